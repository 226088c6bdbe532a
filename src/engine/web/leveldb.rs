//! Logs of LevelDB that a killed browser left behind, made fit to be opened again.
//!
//! Chromium keeps IndexedDB and localStorage in LevelDB, which writes a record of a log in two steps: a kill between them
//! leaves half a record at the end. The next browser passes over it, but appends to the same log; the one after that finds a
//! wrong checksum in the middle, and Chromium answers that by deleting the database, and with it the login (issue 1287 of
//! google/leveldb). So the logs are read before a browser is started, and what is no whole record is left out.

use crc::{CRC_32_ISCSI, Crc, Table};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// A log is made of blocks; no piece of a record reaches from one into the next.
const BLOCK: usize = 32 * 1024;
/// Checksum, length, kind.
const HEADER: usize = 7;
/// Logs are begun anew long before; what is larger is none of Chromium's.
const LARGEST: u64 = 64 << 20;
/// Kinds of pieces.
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// Mends the logs at or below a path that no browser works in; `own` gives a new file to the browser's account.
///
/// # Errors
/// Of the file system. A log is replaced as a whole or not at all.
pub(super) fn mend(path: &Path, own: &dyn Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    let Ok(meta) = fs::symlink_metadata(path) else { return Ok(()) };
    if meta.is_dir() {
        return fs::read_dir(path)?.try_for_each(|entry| mend(&entry?.path(), own));
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let log = name.ends_with(".log") || name.starts_with("MANIFEST-");
    if !log || !meta.is_file() || meta.len() > LARGEST {
        return Ok(());
    }
    let log = fs::read(path)?;
    let (records, true) = records(&log) else { return Ok(()) };
    let mended = log_of(&records);
    tracing::info!(path = %path.display(), before = log.len(), after = mended.len(), "half a record is taken out of a log");
    let fresh = path.with_extension("mended");
    // A file that stands there is not written through: the browser could have made it lead elsewhere.
    let _ = fs::remove_file(&fresh);
    let mut file = OpenOptions::new().write(true).create_new(true).open(&fresh)?;
    file.write_all(&mended)?;
    file.sync_all()?;
    own(&fresh)?;
    fs::rename(fresh, path)
}

/// The whole records of a log, and whether anything else stands in it.
fn records(log: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let (mut whole, mut begun, mut broken) = (vec![], None::<Vec<u8>>, false);
    for block in log.chunks(BLOCK) {
        let mut rest = block;
        while rest.len() >= HEADER {
            let Some((kind, part, after)) = piece(rest) else {
                // Where the next browser went on is not known: each place is tried.
                (begun, broken, rest) = (None, true, rest.get(1..).unwrap_or_default());
                continue;
            };
            rest = after;
            let before = begun.take();
            broken |= before.is_some() == matches!(kind, FULL | FIRST);
            match (kind, before) {
                (FULL, _) => whole.push(part.to_vec()),
                (FIRST, _) => begun = Some(part.to_vec()),
                (MIDDLE, Some(before)) => begun = Some([&before, part].concat()),
                (LAST, Some(before)) => whole.push([&before, part].concat()),
                _ => {}
            }
        }
        // Too short for a header: padding at the end of a block, half a header at the end of a log.
        broken |= block.len() < BLOCK && !rest.is_empty();
    }
    (whole, broken || begun.is_some())
}

/// The piece of a record that stands here, and what follows; `None` when none stands here in one piece.
fn piece(at: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (header, rest) = at.split_first_chunk::<HEADER>()?;
    let [a, b, c, d, low, high, kind] = *header;
    let (part, after) = rest.split_at_checked(usize::from(u16::from_le_bytes([low, high])))?;
    let sound = matches!(kind, FULL..=LAST) && checksum(kind, part) == u32::from_le_bytes([a, b, c, d]);
    sound.then_some((kind, part, after))
}

/// Of a piece, masked as LevelDB does it, so that a log within a record is not taken for one.
fn checksum(kind: u8, part: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(&[kind]);
    digest.update(part);
    digest.finalize().rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A log of these records.
fn log_of(records: &[Vec<u8>]) -> Vec<u8> {
    let mut log = vec![];
    records.iter().for_each(|record| append(&mut log, record));
    log
}

fn append(log: &mut Vec<u8>, record: &[u8]) {
    let (mut rest, mut first) = (record, true);
    loop {
        let left = BLOCK - log.len() % BLOCK;
        if left < HEADER {
            log.resize(log.len() + left, 0);
            continue;
        }
        let (part, after) = rest.split_at(rest.len().min(left - HEADER));
        let kind = match (first, after.is_empty()) {
            (true, true) => FULL,
            (true, false) => FIRST,
            (false, false) => MIDDLE,
            (false, true) => LAST,
        };
        log.extend(checksum(kind, part).to_le_bytes());
        log.extend(u16::try_from(part.len()).unwrap_or_default().to_le_bytes());
        log.push(kind);
        log.extend(part);
        if after.is_empty() {
            return;
        }
        (rest, first) = (after, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_log_is_read_or_refused(
            sizes in prop::collection::vec((5_u8.., prop_oneof![0_usize..100, 0_usize..50_000]), 0..4),
            (place, byte) in any::<(prop::sample::Index, u8)>(),
            noise in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            records(&noise);
            let whole: Vec<_> = sizes.into_iter().map(|(byte, size)| vec![byte; size]).collect();
            let log = log_of(&whole);
            prop_assert_eq!(records(&log), (whole.clone(), false));
            if !log.is_empty() {
                let mut other = log.clone();
                other[place.index(log.len())] = byte;
                prop_assert!(records(&other).0.iter().all(|one| whole.contains(one)), "none is made up");
                let cut = records(&log[..place.index(log.len())]).0;
                prop_assert!(whole.starts_with(&cut));
            }
        }
    }

    /// Records of many lengths; the long ones reach over blocks.
    fn some(count: usize) -> Vec<Vec<u8>> {
        let lengths = [0, 1, 12, 424, 32_000, 700, 80_000, 5];
        (0..count).map(|one| vec![one as u8; lengths[one % lengths.len()] + one]).collect()
    }

    #[test]
    fn a_log_reads_as_leveldb_wrote_it() {
        // How Chromium begins the manifest of an IndexedDB.
        let manifest = b"\xe4\xd6\x8e\xee\x10\x00\x01\x01\x08idb_cmp1\x02\x00\x03\x02\x04\x00";
        let record = b"\x01\x08idb_cmp1\x02\x00\x03\x02\x04\x00".to_vec();
        assert_eq!(records(manifest), (vec![record.clone()], false));
        assert_eq!(log_of(&[record]), manifest);
        let sound = log_of(&some(40));
        assert_eq!(records(&sound), (some(40), false));
    }

    #[test]
    fn what_was_written_whole_before_a_kill_and_after_it_is_kept() {
        let before = some(16);
        let log = log_of(&before);
        let later = [b"later".to_vec(), vec![7; 50_000]];
        let ends: Vec<_> = (0..=before.len()).map(|count| log_of(&before[..count]).len()).collect();
        for cut in (0..log.len()).filter(|cut| cut % 97 == 0 || ends.iter().any(|end| end.abs_diff(*cut) < 9)) {
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            let mut left = log[..cut].to_vec();
            let (kept, broken) = records(&left);
            assert_eq!((kept.as_slice(), broken), (&before[..whole], cut != ends[whole]), "cut at {cut}");
            // The next browser went on behind the half record.
            later.iter().for_each(|record| append(&mut left, record));
            let (kept, _) = records(&left);
            assert_eq!(kept, [&before[..whole], &later[..]].concat(), "cut at {cut}, gone on");
            assert_eq!(records(&log_of(&kept)), (kept, false));
        }
    }

    #[test]
    fn only_logs_are_touched_and_sound_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("IndexedDB/db.leveldb");
        fs::create_dir_all(&database).unwrap();
        let (sound, torn) = (log_of(&some(9)), [log_of(&some(3)), vec![1, 2, 3, 4, 9, 0, 1]].concat());
        for (name, bytes) in [("3.log", &torn), ("MANIFEST-1", &torn), ("5.log", &sound), ("4.ldb", &torn)] {
            fs::write(database.join(name), bytes).unwrap();
        }
        let owned = std::cell::RefCell::new(vec![]);
        let own = |path: &Path| {
            owned.borrow_mut().push(path.to_owned());
            Ok(())
        };
        mend(dir.path(), &own).unwrap();
        mend(dir.path(), &own).unwrap();
        let read = |name| fs::read(database.join(name)).unwrap();
        assert_eq!((read("3.log"), read("MANIFEST-1")), (log_of(&some(3)), log_of(&some(3))));
        assert_eq!((read("5.log"), read("4.ldb")), (sound, torn));
        assert_eq!(owned.borrow().len(), 2, "{owned:?}");
        mend(&dir.path().join("nowhere"), &own).unwrap();
    }
}
