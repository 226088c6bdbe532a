//! Backups: the database at one moment, logins and files, in one sealed file.
//!
//! `manifest.json` first, then `database` or `tables/NAME/N`, `snapshots/…`, `media/…`, and `end.json` last: a tar archive, compressed
//! and sealed. What is in a bucket stays there.

use crate::config::Config;
use crate::ground;
use crate::store::Store;
use crate::store::copy::{Filling, Table, check_file};
use crate::vault::{Opener, Sealer, Vault};
use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};
use wardroom_actors::domain::ids::NodeId;

/// Where a copy of the database lies while a backup is made or looked at.
const SCRATCH: &str = "backup.tmp";
/// It is there as long as a restoration is not done.
const RESTORING: &str = "backup.restoring";
/// What is taken of the data directory.
const DIRS: [&str; 2] = ["snapshots", "media"];
const MANIFEST: &str = "manifest.json";
const DATABASE: &str = "database";
const TABLES: &str = "tables";
const END: &str = "end.json";

/// What a backup says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// When it was made, Unix milliseconds.
    pub made_ms: i64,
    /// By which version.
    pub version: String,
    /// The server whose sessions these are.
    pub node: NodeId,
    /// What made the database what it is.
    pub migrations: Vec<String>,
    /// PostgreSQL's tables; none, if the database is a file.
    pub tables: Option<Vec<Table>>,
}

/// What was found in a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Logins and their parts.
    pub snapshots: u64,
    /// Files.
    pub media: u64,
    /// Bytes of all that.
    pub bytes: u64,
}

impl Counts {
    fn add(&mut self, dir: &str, bytes: u64) {
        match dir {
            "snapshots" => self.snapshots += 1,
            _ => self.media += 1,
        }
        self.bytes += bytes;
    }
}

/// A backup that is read.
type Opened = zstd::Decoder<'static, BufReader<Opener<BufReader<File>>>>;
/// One that is written.
type Archive<W> = tar::Builder<zstd::Encoder<'static, Sealer<W>>>;

fn put(archive: &mut Archive<impl Write>, path: &str, size: u64, data: impl Read) -> anyhow::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o600);
    archive.append_data(&mut header, path, data).with_context(|| path.to_owned())
}

fn put_json(archive: &mut Archive<impl Write>, path: &str, value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_vec_pretty(value)?;
    put(archive, path, text.len() as u64, text.as_slice())
}

/// A directory that is gone when this is, and which one at a time has.
struct Scratch {
    path: PathBuf,
    _alone: File,
}

impl Scratch {
    fn new(dir: &Path) -> anyhow::Result<Self> {
        let alone = File::options().create(true).truncate(false).write(true).open(dir.join("backup.lock"))?;
        alone.try_lock().context("another backup command is at work here")?;
        let path = dir.join(SCRATCH);
        // One that was killed left it.
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => DirBuilder::new().mode(0o700).create(&path)?,
        }
        Ok(Self { path, _alone: alone })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Makes a backup, beside a server that goes on.
///
/// # Errors
/// A sentence that says what is wrong; nothing is left then.
pub async fn create(store: &Store, vault: &Vault, dir: &Path, to: &Path) -> anyhow::Result<Counts> {
    let scratch = Scratch::new(dir)?;
    let part = to.with_added_extension("part");
    ensure!(!to.exists(), "{} is there already", to.display());
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&part);
    let file = file.with_context(|| part.display().to_string())?;
    let written = write(store, vault, (dir, &scratch.path), BufWriter::new(file)).await;
    let (counts, file) = match written {
        Ok(written) => written,
        Err(error) => {
            let _ = fs::remove_file(&part);
            return Err(error);
        }
    };
    file.into_inner().map_err(|error| error.into_error())?.sync_all()?;
    // Never in the place of another one.
    fs::hard_link(&part, to).with_context(|| to.display().to_string())?;
    fs::remove_file(&part)?;
    Ok(counts)
}

async fn write(
    store: &Store,
    vault: &Vault,
    (dir, scratch): (&Path, &Path),
    sink: BufWriter<File>,
) -> anyhow::Result<(Counts, BufWriter<File>)> {
    let mut archive = tar::Builder::new(zstd::Encoder::new(vault.backup_sealer(sink)?, 3)?);
    let mut manifest = Manifest {
        made_ms: store.unix_ms(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node: ground::node(dir)?,
        migrations: Store::migrations(),
        tables: None,
    };
    if store.is_file() {
        put_json(&mut archive, MANIFEST, &manifest)?;
        let copy = scratch.join(DATABASE);
        store.copy_file(&copy).await?;
        let file = File::open(&copy)?;
        put(&mut archive, DATABASE, file.metadata()?.len(), file)?;
    } else {
        let mut copying = store.copy_rows().await?;
        let tables = copying.tables.clone();
        manifest.tables = Some(tables.clone());
        put_json(&mut archive, MANIFEST, &manifest)?;
        for table in tables {
            let mut number = 0;
            let place = &mut archive;
            let take = |rows: &[u8]| {
                number += 1;
                put(place, &format!("{TABLES}/{}/{number}", table.name), rows.len() as u64, rows)
            };
            copying.rows(&table, take).await?;
        }
        copying.finish().await?;
    }
    // Behind the database: what it names is there, or was removed meanwhile.
    let mut counts = Counts::default();
    for name in DIRS {
        for path in files(&dir.join(name))? {
            let Ok(file) = File::open(&path) else { continue };
            let size = file.metadata()?.len();
            let inside = path.strip_prefix(dir)?.to_str().context("a file's name is no text")?.to_owned();
            put(&mut archive, &inside, size, file.take(size))?;
            counts.add(name, size);
        }
    }
    put_json(&mut archive, END, &counts)?;
    let sink = archive.into_inner()?.finish()?.finish()?;
    Ok((counts, sink))
}

/// All files below a directory that are whole: what is being written has a name of its own.
fn files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        entries => entries?,
    };
    let mut found = vec![];
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path())?);
        } else if !name.contains('#') && !name.ends_with("fresh") {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn open(vault: &Vault, path: &Path) -> anyhow::Result<tar::Archive<Opened>> {
    let file = BufReader::new(File::open(path).with_context(|| path.display().to_string())?);
    let opener = vault.backup_opener(file).with_context(|| path.display().to_string())?;
    Ok(tar::Archive::new(zstd::Decoder::new(opener)?))
}

/// Whoever takes what is in a backup, in its order.
trait Taker {
    async fn manifest(&mut self, manifest: &Manifest) -> anyhow::Result<()>;
    async fn database(&mut self, data: &mut dyn Read) -> anyhow::Result<()>;
    async fn rows(&mut self, table: &Table, rows: Vec<u8>) -> anyhow::Result<()>;
    async fn file(&mut self, path: &Path, data: &mut dyn Read) -> anyhow::Result<()>;
}

/// Goes through a backup, to its end.
async fn walk(vault: &Vault, path: &Path, taker: &mut impl Taker) -> anyhow::Result<(Manifest, Counts)> {
    let mut archive = open(vault, path)?;
    let (mut manifest, mut counts, mut end) = (None, Counts::default(), None);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let (inside, size) = (entry.path()?.into_owned(), entry.size());
        let parts: Vec<_> = inside
            .components()
            .map(|part| match part {
                Component::Normal(part) => part.to_str(),
                _ => None,
            })
            .collect::<Option<_>>()
            .context("a backup holds no such path")?;
        ensure!(end.is_none(), "something comes behind the end");
        match (parts.as_slice(), &manifest) {
            ([MANIFEST], None) => {
                let read: Manifest = serde_json::from_reader(entry)?;
                taker.manifest(&read).await?;
                manifest = Some(read);
            }
            ([DATABASE], Some(_)) => taker.database(&mut entry).await?,
            ([TABLES, name, _], Some(Manifest { tables: Some(tables), .. })) => {
                let table = tables.iter().find(|table| table.name == *name).context("rows of no table")?;
                let mut rows = vec![];
                entry.read_to_end(&mut rows)?;
                taker.rows(table, rows).await?;
            }
            ([dir, ..], Some(_)) if DIRS.contains(dir) => {
                taker.file(&inside, &mut entry).await?;
                counts.add(dir, size);
            }
            ([END], Some(_)) => end = Some(serde_json::from_reader::<_, Counts>(entry)?),
            _ => bail!("a backup holds no {}", inside.display()),
        }
    }
    // The seal of the last chunk says that nothing was cut off.
    std::io::copy(&mut archive.into_inner(), &mut std::io::sink())?;
    ensure!(end == Some(counts), "it is not whole");
    Ok((manifest.context("it is empty")?, counts))
}

/// Reads everything, and keeps no more than the database's file, to look at it.
struct Looking<'a>(&'a Path);

impl Taker for Looking<'_> {
    async fn manifest(&mut self, manifest: &Manifest) -> anyhow::Result<()> {
        let known = Store::migrations();
        let stranger = manifest.migrations.iter().find(|one| !known.contains(one));
        stranger.map_or(Ok(()), |stranger| bail!("it was made by a newer Wardroom ({stranger} is not known here)"))
    }

    async fn database(&mut self, data: &mut dyn Read) -> anyhow::Result<()> {
        let path = self.0.join(DATABASE);
        std::io::copy(data, &mut File::create(&path)?)?;
        check_file(&path).await
    }

    async fn rows(&mut self, _: &Table, _: Vec<u8>) -> anyhow::Result<()> {
        Ok(())
    }

    async fn file(&mut self, _: &Path, data: &mut dyn Read) -> anyhow::Result<()> {
        Ok(std::io::copy(data, &mut std::io::sink()).map(drop)?)
    }
}

/// Looks whether a backup is whole and can be opened with this master key.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub async fn verify(vault: &Vault, dir: &Path, path: &Path) -> anyhow::Result<(Manifest, Counts)> {
    let scratch = Scratch::new(dir)?;
    walk(vault, path, &mut Looking(&scratch.path)).await
}

/// Refuses where something lies that a backup would be mixed with. What a restoration that was interrupted has left is its own.
fn nothing_is_there(dir: &Path, database: Option<&str>) -> anyhow::Result<()> {
    if dir.join(RESTORING).exists() {
        return Ok(());
    }
    let logs = ["", "-wal", "-shm", "-journal"].map(|end| database.map(|file| PathBuf::from(format!("{file}{end}"))));
    let mut there: Vec<_> = logs.into_iter().flatten().filter(|path| path.exists()).collect();
    for name in DIRS {
        there.extend(files(&dir.join(name))?.into_iter().take(1));
    }
    match there.first() {
        Some(path) => bail!("{} is there already: a backup is restored where nothing is", path.display()),
        None => Ok(()),
    }
}

/// Puts everything where it was.
struct Restoring<'a> {
    dir: &'a Path,
    scratch: &'a Path,
    filling: Option<Filling>,
}

impl Taker for Restoring<'_> {
    async fn manifest(&mut self, manifest: &Manifest) -> anyhow::Result<()> {
        ensure!(
            manifest.tables.is_some() == self.filling.is_some(),
            "the database in it is {}, and database.url names the other kind",
            if manifest.tables.is_some() { "PostgreSQL's" } else { "SQLite's" }
        );
        if self.filling.is_some() {
            ensure!(
                manifest.migrations == Store::migrations(),
                "restore it with Wardroom {}, and start this one then",
                manifest.version
            );
        }
        fs::write(self.dir.join("node.id"), manifest.node.to_string())?;
        Ok(())
    }

    async fn database(&mut self, data: &mut dyn Read) -> anyhow::Result<()> {
        let mut file = File::options().create_new(true).write(true).mode(0o600).open(self.scratch.join(DATABASE))?;
        std::io::copy(data, &mut file)?;
        Ok(file.sync_all()?)
    }

    async fn rows(&mut self, table: &Table, rows: Vec<u8>) -> anyhow::Result<()> {
        match &mut self.filling {
            Some(filling) => filling.rows(table, &rows).await.with_context(|| table.name.clone()),
            None => Ok(()),
        }
    }

    async fn file(&mut self, path: &Path, data: &mut dyn Read) -> anyhow::Result<()> {
        let path = self.dir.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&path)?;
        std::io::copy(data, &mut file)?;
        Ok(file.sync_all()?)
    }
}

/// Restores a backup into a data directory and a database that have nothing yet, while no server runs. Interrupted, it can be done
/// again.
///
/// # Errors
/// A sentence that says what is wrong; the database has nothing then.
pub async fn restore(config: &Config, vault: &Vault, dir: &Path, path: &Path) -> anyhow::Result<(Manifest, Counts)> {
    let _alone = ground::lock(dir)?;
    // A damaged one restores nothing.
    verify(vault, dir, path).await?;
    let scratch = Scratch::new(dir)?;
    let options = ground::database(config, dir);
    let database = options.url.strip_prefix("sqlite://").map(|file| file.split('?').next().unwrap_or(file));
    nothing_is_there(dir, database)?;
    let filling = match database {
        Some(_) => None,
        None => {
            let (database, _) = Box::pin(Store::connect(&options)).await?;
            Box::pin(Store::migrate(&database)).await?;
            Some(Filling::begin(&database).await?)
        }
    };
    let marker = dir.join(RESTORING);
    File::create(&marker)?.sync_all()?;
    let mut restoring = Restoring { dir, scratch: &scratch.path, filling };
    let done = walk(vault, path, &mut restoring).await?;
    if let Some(filling) = restoring.filling.take() {
        filling.finish().await?;
    }
    if let Some(database) = database {
        fs::rename(scratch.path.join(DATABASE), database)?;
    }
    fs::remove_file(marker)?;
    File::open(dir)?.sync_all()?;
    Ok(done)
}
