//! Passwords that leaked elsewhere: a list that the operator has fetched, which nobody chooses from.

use super::password::SHORTEST;
use anyhow::Context as _;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;

/// Bytes of a line that are looked at.
const LINE: u64 = 4096;
/// Passwords that are kept, 64 bits of each: 160 MB, and of 10¹² others one is taken for one of them.
const MOST: usize = 20_000_000;

/// The list.
#[derive(Default)]
pub struct Leaked {
    /// In order.
    sums: Vec<u64>,
    by: RandomState,
}

impl Leaked {
    /// The list of a file that has one password in each line; of an empty path, none. Shorter ones than anybody may choose are left out;
    /// what is not UTF-8 is nobody's password.
    ///
    /// # Errors
    /// A file that cannot be read, in which none is long enough, or too many are.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        if path.as_os_str().is_empty() {
            return Ok(Self::default());
        }
        let opened = File::open(path).map_err(anyhow::Error::from);
        let list = opened.and_then(|file| Self::of(BufReader::new(file)));
        let list = list.with_context(|| format!("guard.leaked_passwords: {}", path.display()))?;
        tracing::info!(passwords = list.sums.len(), "nobody chooses a leaked password");
        Ok(list)
    }

    fn of(mut lines: impl BufRead) -> anyhow::Result<Self> {
        let (mut list, mut line) = (Self::default(), vec![]);
        while lines.by_ref().take(LINE).read_until(b'\n', &mut line)? > 0 {
            let password = String::from_utf8_lossy(&line);
            let password = password.trim_end_matches(['\r', '\n']);
            if password.chars().count() >= SHORTEST {
                list.sums.push(list.sum(password));
                anyhow::ensure!(list.sums.len() <= MOST, "more than {MOST} passwords");
            }
            line.clear();
        }
        anyhow::ensure!(!list.sums.is_empty(), "no line has {SHORTEST} characters or more");
        list.sums.sort_unstable();
        list.sums.dedup();
        Ok(list)
    }

    fn sum(&self, password: &str) -> u64 {
        self.by.hash_one(password.to_lowercase())
    }

    /// Whether it is in the list, in small letters or capitals.
    #[must_use]
    pub fn has(&self, password: &str) -> bool {
        self.sums.binary_search(&self.sum(password)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_line_of_a_list_is_read_or_refused(
            lines in proptest::collection::vec("[^\r\n]{0,30}", 0..6), odd in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let list = Leaked::of(&*[lines.join("\r\n").as_bytes(), b"\n", &odd].concat());
            let is_long = |line: &&String| line.chars().count() >= SHORTEST;
            prop_assert!(list.is_ok() || !lines.iter().any(|line| is_long(&line)));
            for line in lines.iter().filter(is_long) {
                prop_assert!(list.as_ref().is_ok_and(|list| list.has(line)), "{:?}", line);
            }
        }
    }

    #[test]
    fn a_list_of_leaked_passwords_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |text: &[u8]| {
            std::fs::write(file.path(), text).unwrap();
            Leaked::read(file.path())
        };
        let list = read(b"short\nTrustNo1-TrustNo1\r\ntrustno1-trustno1\nfour green chairs").unwrap();
        assert_eq!(list.sums.len(), 2);
        for (password, known) in
            [("trustno1-trustno1", true), ("Four green chairs", true), ("four green chairs ", false), ("short", false)]
        {
            assert_eq!(list.has(password), known, "{password}");
        }
        let odd = [&[0xff; 14][..], b"\n", &[b'x'; 10_000], b"\nfour green chairs\n"].concat();
        assert!(
            read(&odd).unwrap().has("four green chairs"),
            "lines that are no text, or too long, are in nobody's way"
        );
        for (text, says) in [(&b""[..], "no line has 12"), (b"123456\nqwertz\n", "no line has 12")] {
            assert!(format!("{:#}", read(text).err().unwrap()).contains(says));
        }
        assert!(Leaked::read(Path::new("/none")).err().unwrap().to_string().contains("guard.leaked_passwords: /none"));
        assert!(!Leaked::read(Path::new("")).unwrap().has(""));
    }
}
