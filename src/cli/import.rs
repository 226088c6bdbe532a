//! `wardroom import`: logins that whatsapp-web.js or WAHA's browser engine keeps, so that nobody has to scan again.

use super::ImportCommand;
use super::audit::told;
use super::operate::{blocking, store_with_vault};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::engine::web::{PARTS, Snapshots};
use crate::ground;
use crate::quotas::QuotaBook;
use anyhow::{Context as _, bail};
use serde_json::json;
use std::fs::{DirBuilder, File};
use std::io::{self, BufReader, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wardroom_actors::domain::ids::SessionName;
use wardroom_actors::domain::spec::{EngineName, Network};
use wardroom_actors::ports::quotas::Quotas as _;
use wardroom_actors::ports::store::{CreateError, NewSession, SessionStore};
use zip::ZipArchive;

/// What an archive may hold, unpacked: many times what a login takes.
const LARGEST: u64 = 2 << 30;
/// How deep profiles are looked for: WAHA keeps them two directories further down.
const DEPTH: u32 = 3;

pub(super) fn import(config: Config, what: ImportCommand) -> anyhow::Result<()> {
    let dir = ground::data_dir(&config)?;
    // A server would not learn of the new sessions.
    let _alone = ground::lock(&dir)?;
    let unpacked = dir.join(ground::IMPORT);
    ground::clear_import(&unpacked)?;
    let network = match what.network.as_str() {
        "whatsapp" => Network::Whatsapp,
        "simulator" => Network::Simulator,
        _ => bail!("--network is whatsapp or simulator"),
    };
    let mut profiles = vec![];
    find(&what.path, DEPTH, &mut profiles)?;
    if profiles.is_empty() {
        bail!(
            "{} holds no profile of Chromium: no directory and no archive of RemoteAuth (.zip) with Default/IndexedDB in it",
            what.path.display()
        );
    }
    let named: Vec<_> = profiles.iter().map(|path| Ok((name_of(path)?, path))).collect::<anyhow::Result<_>>()?;
    for (place, (name, path)) in named.iter().enumerate() {
        if named.iter().take(place).any(|(other, _)| other == name) {
            bail!("two profiles are named {name}: rename one, or import them one after the other");
        }
        if let Some(user) = user_of(path) {
            bail!(
                "{user} is using the profile of {name}: stop it first. If it is stopped, remove {}/SingletonLock",
                path.display()
            );
        }
    }
    blocking(async {
        let (store, vault) = store_with_vault(&config).await?;
        let tenant = store.tenant_named(&what.tenant).await?;
        let tenant = tenant.with_context(|| format!("there is no tenant named {}", what.tenant))?;
        let user = store.user_named(tenant, &what.user).await?;
        let snapshots = Snapshots::new(dir.join("snapshots"), vault);
        let book = QuotaBook::new(&config.quotas, Arc::new(SystemClock::start()));
        book.read(&store).await?;
        let mut left = vec![];
        for (name, path) in named {
            let new = NewSession {
                tenant,
                user,
                name: name.clone(),
                engine: EngineName::Web,
                network,
                config: json!({"network": what.network}).to_string(),
                // Not before its login is here.
                desired_running: false,
            };
            let spec = match store.create(new, book.of(tenant, user)).await {
                Ok(spec) => spec,
                Err(CreateError::Exists) => {
                    left.push(name.to_string());
                    continue;
                }
                Err(error) => bail!("{name}: {error}"),
            };
            let (path, unpacked) = (path.clone(), unpacked.clone());
            let (kept, session) = (snapshots.clone(), spec.clone());
            let archived = tokio::task::spawn_blocking(move || -> anyhow::Result<u64> {
                if path.is_dir() {
                    return Ok(kept.archive(&session, &path)?);
                }
                let made = unpack(&path, &unpacked).and_then(|()| Ok(kept.archive(&session, &unpacked)?));
                ground::clear_import(&unpacked)?;
                made
            });
            if let Err(error) = archived.await? {
                let _ = store.bury(&spec).await;
                return Err(error).with_context(|| format!("the profile of {name} cannot be read"));
            }
            store.set_desired(&spec, true).await?;
            told(&store, Some(tenant), "session imported", Some(spec.id.0)).await?;
            println!("{name} is here; it starts with the server.");
        }
        if !left.is_empty() {
            bail!("{}: a session of this name exists, and its profile was left alone", left.join(", "));
        }
        Ok(())
    })
}

/// Profiles of Chromium at or below a path, as directories or archives.
fn find(path: &Path, depth: u32, into: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if path.join("Default/IndexedDB").is_dir() || is_archive(path) {
        into.push(path.to_owned());
        return Ok(());
    }
    if depth == 0 || path.is_file() {
        return Ok(());
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut inside: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    inside.retain(|path| path.is_dir() || path.is_file());
    inside.sort();
    inside.iter().try_for_each(|path| find(path, depth - 1, into))
}

fn is_archive(path: &Path) -> bool {
    let named = path.extension().is_some_and(|end| end == "zip") && path.is_file();
    let zip = named.then(|| ZipArchive::new(BufReader::new(File::open(path).ok()?)).ok()).flatten();
    zip.is_some_and(|zip| zip.file_names_raw().any(|name| name.starts_with(b"Default/IndexedDB/")))
}

/// Unpacks a profile into a directory that only its owner can look into.
fn unpack(archive: &Path, into: &Path) -> anyhow::Result<()> {
    DirBuilder::new().mode(0o700).create(into)?;
    let mut zip = ZipArchive::new(BufReader::new(File::open(archive)?))?;
    let mut left = LARGEST;
    for place in 0..zip.len() {
        let mut file = zip.by_index(place)?;
        let Some(name) = file.enclosed_name() else { bail!("the archive leads out of its directory") };
        if !file.is_file() || !PARTS.iter().any(|part| name.starts_with(part)) {
            continue;
        }
        let path = into.join(name);
        if let Some(parent) = path.parent() {
            DirBuilder::new().recursive(true).create(parent)?;
        }
        let copied = io::copy(&mut file.by_ref().take(left + 1), &mut File::create_new(path)?)?;
        left = left.checked_sub(copied).context("the archive holds more than 2 GiB")?;
    }
    Ok(())
}

/// whatsapp-web.js calls the directory `session`, or `session-` and the client's id; an archive `RemoteAuth`, or
/// `RemoteAuth-` and the client's id.
fn name_of(profile: &Path) -> anyhow::Result<SessionName> {
    let path = profile.canonicalize()?;
    let own = if path.is_dir() { path.file_name() } else { path.file_stem() };
    let own = own.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = match own.strip_prefix("session").or_else(|| own.strip_prefix("RemoteAuth")) {
        Some("") => "default",
        Some(rest) => rest.strip_prefix('-').unwrap_or(rest),
        None => &own,
    };
    SessionName::parse(name).map_err(|_| anyhow::anyhow!("{own}: {name} cannot be a session's name; rename it"))
}

/// The host and process whose browser holds a profile. A lock that was left behind on this machine names a process that is gone;
/// of another machine, or of a container, nobody can tell here.
fn user_of(profile: &Path) -> Option<String> {
    let lock = std::fs::read_link(profile.join("SingletonLock")).ok()?.to_string_lossy().into_owned();
    let (host, pid) = lock.rsplit_once('-')?;
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let runs = |pid: &str| pid.parse::<u32>().is_ok_and(|pid| Path::new(&format!("/proc/{pid}")).exists());
    let gone = host == own.trim() && !runs(pid);
    (!gone).then(|| format!("process {pid} of {host}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    proptest! {
        // Each writes files.
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn an_archive_is_unpacked_or_refused(
            names in prop::collection::vec("(Default/IndexedDB/)?(\\.\\./|[a-z]{1,3}/|\\\\){0,6}[a-z]{1,4}", 0..4),
            (place, byte) in any::<(prop::sample::Index, Option<u8>)>(),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let (zip, into) = (dir.path().join("RemoteAuth-x.zip"), dir.path().join("into"));
            let distinct: std::collections::BTreeSet<_> = names.iter().collect();
            archive(&zip, &distinct.into_iter().map(|name| (name.as_str(), "x")).collect::<Vec<_>>());
            if let Some(byte) = byte {
                let mut bytes = std::fs::read(&zip).unwrap();
                let place = place.index(bytes.len());
                bytes[place] = byte;
                std::fs::write(&zip, bytes).unwrap();
            }
            let _ = (is_archive(&zip), unpack(&zip, &into));
            let beside = std::fs::read_dir(dir.path()).unwrap().filter(|one| {
                !["RemoteAuth-x.zip", "into"].contains(&one.as_ref().unwrap().file_name().to_str().unwrap())
            });
            prop_assert_eq!(beside.count(), 0, "it leads nowhere else");
        }
    }

    #[test]
    fn profiles_are_found_and_named_as_their_makers_do() {
        let dir = tempfile::tempdir().unwrap();
        for path in
            ["webjs/default/session-default", "session", "session-shop", "Default-not", "too/deep/for/us/session-x"]
        {
            let inner = if path.contains("not") { "Default" } else { "Default/IndexedDB" };
            std::fs::create_dir_all(dir.path().join(path).join(inner)).unwrap();
        }
        archive(&dir.path().join("RemoteAuth-bar.zip"), &[("Default/IndexedDB/db/1.log", "x")]);
        archive(&dir.path().join("pictures.zip"), &[("Default.png", "x")]);
        std::fs::write(dir.path().join("broken.zip"), "x").unwrap();
        let mut found = vec![];
        find(dir.path(), DEPTH, &mut found).unwrap();
        let names: Vec<_> = found.iter().map(|path| name_of(path).unwrap().to_string()).collect();
        assert_eq!(names, ["bar", "default", "shop", "default"]);
    }

    fn archive(path: &Path, files: &[(&str, &str)]) {
        let mut zip = ZipWriter::new(File::create(path).unwrap());
        for (name, text) in files {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
    }

    #[test]
    fn an_archive_is_unpacked_out_of_sight_and_leads_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let (zip, into) = (dir.path().join("one.zip"), dir.path().join("import"));
        archive(
            &zip,
            &[
                ("Default/IndexedDB/db/1.log", "login"),
                ("Default/x/../Local Storage/1.log", "more"),
                ("Default/Cache/1", "nothing of a login"),
            ],
        );
        unpack(&zip, &into).unwrap();
        assert_eq!(std::fs::read_to_string(into.join("Default/IndexedDB/db/1.log")).unwrap(), "login");
        assert_eq!(std::fs::metadata(&into).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(!into.join("Default/Cache").exists());
        ground::clear_import(&into).unwrap();
        archive(&zip, &[("../out", "x")]);
        assert!(unpack(&zip, &into).is_err());
        assert!(!dir.path().join("out").exists());
    }

    #[test]
    fn a_lock_counts_while_its_process_lives() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("SingletonLock");
        assert_eq!(user_of(dir.path()), None);
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let host = host.trim();
        for (text, held) in [
            (format!("{host}-4294967294"), false),
            (format!("{host}-{}", std::process::id()), true),
            ("another-host-4294967294".to_owned(), true),
        ] {
            std::os::unix::fs::symlink(&text, &lock).unwrap();
            assert_eq!(user_of(dir.path()).is_some(), held, "{text}");
            std::fs::remove_file(&lock).unwrap();
        }
    }
}
