//! Voice messages and films in WhatsApp's formats, made by ffmpeg where this machine has it.
//!
//! What is converted comes from strangers. ffmpeg gets it in a file in memory and writes into another one; it opens no address and
//! no list of other files, and is bounded in time, memory and what it writes. A server that is root runs it under an id that no
//! account has, without a network where the system lets it; any other server as itself.

use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wardroom_actors::ports::files::TakeError;

/// Bytes of address space and seconds of CPU for a conversion, and how long it may take.
const MEMORY: u64 = 2 << 30;
const CPU_S: u64 = 120;
const LIMIT: Duration = Duration::from_secs(180);
/// What ffmpeg reads; others of its formats are lists that name further files.
const FORMATS: &str = "aac,aiff,amr,asf,avi,caf,flac,flv,gif,matroska,mp3,mp4,mpeg,mpegts,ogg,wav";
/// Bytes of what ffmpeg says that are shown.
const SAID: u64 = 300;
/// Files that are converted or wait for it.
const PLACES: usize = 4;
/// The id, beyond those that systems give to accounts.
const NOBODYS: u32 = 65_533;

/// What becomes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A voice message.
    Voice,
    /// A film.
    Film,
}

impl Target {
    /// The network's format.
    #[must_use]
    pub fn mimetype(self) -> &'static str {
        match self {
            Self::Voice => "audio/ogg; codecs=opus",
            Self::Film => "video/mp4",
        }
    }

    fn arguments(self) -> &'static str {
        match self {
            Self::Voice => "-map 0:a:0 -c:a libopus -b:a 32k -ar 48000 -ac 1 -application voip -f ogg",
            // Sides have to be even; what shows the film begins before all of it is there.
            Self::Film => {
                "-map 0:v:0 -map 0:a:0? -c:v libx264 -preset veryfast -profile:v main -pix_fmt yuv420p \
                 -vf scale=trunc(iw/2)*2:trunc(ih/2)*2 -c:a aac -b:a 128k -ar 48000 -movflags +faststart -f mp4"
            }
        }
    }
}

/// Why nothing was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// There is no ffmpeg.
    #[error("this server has no ffmpeg")]
    Absent,
    /// Enough others wait.
    #[error("too many files are being converted")]
    Busy,
    /// ffmpeg does not know what to do with it.
    #[error("the file cannot be converted: {0}")]
    Unreadable(String),
    /// It took too much.
    #[error("the file takes too long to convert, or becomes too large")]
    TooMuch,
    /// This machine's trouble.
    #[error("ffmpeg does not run: {0}")]
    Failed(String),
}

impl From<std::io::Error> for ConvertError {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// A file in memory that has no name.
pub struct Held {
    file: File,
    size: u64,
    limit: u64,
    place: OwnedSemaphorePermit,
}

fn in_memory() -> std::io::Result<File> {
    Ok(File::from(memfd_create("wardroom-conversion", MemfdFlags::CLOEXEC)?))
}

impl Held {
    /// The next bytes.
    ///
    /// # Errors
    /// When there are too many, or no memory is left.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), TakeError> {
        self.size += bytes.len() as u64;
        if self.size > self.limit {
            return Err(TakeError::TooLarge { limit: self.limit });
        }
        self.file.write_all(bytes).map_err(|error| {
            tracing::warn!(%error, "a file could not be held in memory");
            TakeError::Store(wardroom_actors::ports::PortError::Unavailable)
        })
    }

    /// Bytes that it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl Read for Held {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.file.read(buffer)
    }
}

/// Converts, one file at a time.
pub struct Converter {
    program: Option<PathBuf>,
    alone: Alone,
    limit: u64,
    places: Arc<Semaphore>,
    turn: Semaphore,
}

/// How far ffmpeg is kept from everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alone {
    /// It runs as the server.
    No,
    /// Under an id of its own.
    Id,
    /// And without a network.
    Network,
}

impl Converter {
    /// One that runs this program; a name without a path is looked for where programs are. Files have at most `limit` bytes, before
    /// and after.
    #[must_use]
    pub fn new(configured: &str, limit: u64) -> Self {
        let found = |name: &str| {
            let places = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&places).map(|place| place.join(name)).find(|path| path.is_file())
        };
        let program = match configured {
            "" => None,
            path if path.contains('/') => Some(PathBuf::from(path)).filter(|path| path.is_file()),
            name => found(name),
        };
        let alone = if rustix::process::geteuid().is_root() {
            let may = std::process::Command::new("unshare").args(["--net", "true"]).output();
            if may.is_ok_and(|output| output.status.success()) { Alone::Network } else { Alone::Id }
        } else {
            Alone::No
        };
        Self { program, alone, limit, places: Arc::new(Semaphore::new(PLACES)), turn: Semaphore::new(1) }
    }

    /// Whether it can.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.program.is_some()
    }

    /// A place for what is to be converted.
    ///
    /// # Errors
    /// When there is none, or no memory is left.
    pub fn hold(&self) -> Result<Held, ConvertError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| ConvertError::Busy)?;
        Ok(Held { file: in_memory()?, size: 0, limit: self.limit, place })
    }

    /// Makes a file of another kind. The answer is read from its beginning.
    ///
    /// # Errors
    /// [`ConvertError`].
    pub async fn convert(&self, target: Target, source: Held) -> Result<Held, ConvertError> {
        let program = self.program.as_ref().ok_or(ConvertError::Absent)?;
        let _turn = self.turn.acquire().await.map_err(|_| ConvertError::Absent)?;
        let (mut made, mut said) = (in_memory()?, in_memory()?);
        let mut command = self.command(program, target);
        command.stdin(source.file).stdout(made.try_clone()?).stderr(said.try_clone()?);
        let ended = tokio::time::timeout(LIMIT, command.kill_on_drop(true).spawn()?.wait()).await;
        let status = ended.map_err(|_| ConvertError::TooMuch)??;
        let size = made.metadata()?.len();
        made.seek(SeekFrom::Start(0))?;
        if status.success() && size > 0 {
            return Ok(Held { file: made, size, limit: self.limit, place: source.place });
        }
        said.seek(SeekFrom::Start(0))?;
        let mut words = vec![];
        said.take(SAID).read_to_end(&mut words)?;
        Err(why(status, String::from_utf8_lossy(&words).trim()))
    }

    /// The environment is cleared: it would inherit the master key and API keys.
    fn command(&self, program: &Path, target: Target) -> Command {
        let mut command = Command::new(if self.alone == Alone::Network { "unshare" } else { "setpriv" });
        if self.alone == Alone::Network {
            command.args(["--net", "--ipc", "setpriv"]);
        }
        command.args(["--no-new-privs", "--pdeathsig", "KILL"]);
        if self.alone != Alone::No {
            command.args([format!("--reuid={NOBODYS}"), format!("--regid={NOBODYS}"), "--clear-groups".to_owned()]);
        }
        let limits = [format!("--as={MEMORY}"), format!("--cpu={CPU_S}"), format!("--fsize={}", self.limit)];
        command.args(["prlimit", "--core=0", "--nofile=64"]).args(limits).arg(program);
        command.args("-nostdin -hide_banner -loglevel error -y -threads 1 -protocol_whitelist file".split(' '));
        command.args([
            "-format_whitelist",
            FORMATS,
            "-i",
            "file:/proc/self/fd/0",
            "-map_metadata",
            "-1",
            "-threads",
            "1",
        ]);
        command.args(target.arguments().split_whitespace()).arg("file:/proc/self/fd/1");
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LANG", "C.UTF-8").current_dir("/");
        command
    }
}

/// What the end of ffmpeg means.
fn why(status: ExitStatus, said: &str) -> ConvertError {
    use std::os::unix::process::ExitStatusExt;
    // Out of time, or the file became too long: SIGKILL, SIGXCPU, SIGXFSZ.
    match (status.signal(), status.code()) {
        (Some(9 | 24 | 25), _) => ConvertError::TooMuch,
        _ if ["unshare:", "setpriv:", "prlimit:"].iter().any(|name| said.starts_with(name)) => {
            ConvertError::Failed(said.to_owned())
        }
        _ => ConvertError::Unreadable(said.lines().next().unwrap_or_default().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_not_used() {
        for nowhere in ["", "/nowhere/ffmpeg", "no-such-program"] {
            assert!(!Converter::new(nowhere, 9).is_there(), "{nowhere}");
        }
        assert!(Converter::new("sh", 9).is_there());
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut held = Converter::new("", 9).hold().unwrap();
        held.write(b"12345").unwrap();
        assert_eq!(held.write(b"67890"), Err(TakeError::TooLarge { limit: 9 }));
    }

    /// A second of a tone at 8,000 samples a second.
    fn tone() -> Vec<u8> {
        let samples: Vec<u8> = (0..8000_u32).map(|at| if at / 10 % 2 == 0 { 100 } else { 156 }).collect();
        let mut wav = b"RIFF\x64\x1f\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00".to_vec();
        wav.extend(b"\x40\x1f\x00\x00\x40\x1f\x00\x00\x01\x00\x08\x00data\x40\x1f\x00\x00");
        wav.extend(samples);
        wav
    }

    async fn converted(target: Target, bytes: &[u8], limit: u64) -> Result<Vec<u8>, ConvertError> {
        let converter = Converter::new("ffmpeg", limit);
        assert!(converter.is_there(), "deploy/setup.sh --test installs ffmpeg");
        let mut held = converter.hold()?;
        held.write(bytes).unwrap();
        let mut made = vec![];
        converter.convert(target, held).await?.read_to_end(&mut made)?;
        Ok(made)
    }

    #[tokio::test]
    async fn a_recording_becomes_a_voice_message() {
        let made = converted(Target::Voice, &tone(), 1 << 20).await.unwrap();
        assert!(made.starts_with(b"OggS") && made.windows(8).any(|part| part == b"OpusHead"));
        let none = converted(Target::Film, &tone(), 1 << 20).await;
        assert!(matches!(none, Err(ConvertError::Unreadable(_))), "{none:?}");
    }

    #[tokio::test]
    async fn what_is_no_recording_or_names_other_files_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (recording, stream) = (dir.path().join("tone.wav"), dir.path().join("tone.ts"));
        std::fs::write(&recording, tone()).unwrap();
        let made = std::process::Command::new("ffmpeg").arg("-i").arg(&recording).arg(&stream).output().unwrap();
        assert!(made.status.success() && stream.is_file());
        let list = format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n", stream.display());
        for text in ["hello", &list] {
            let refused = converted(Target::Voice, text.as_bytes(), 1 << 20).await;
            assert!(matches!(refused, Err(ConvertError::Unreadable(_))), "{text}: {refused:?}");
        }
    }

    #[test]
    fn only_so_many_wait() {
        let converter = Converter::new("", 9);
        let held: Vec<_> = (0..PLACES).map(|_| converter.hold().unwrap()).collect();
        assert!(matches!(converter.hold(), Err(ConvertError::Busy)));
        drop(held);
        assert!(converter.hold().is_ok());
    }
}
