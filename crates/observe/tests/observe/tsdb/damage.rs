//! Files that something else has changed: an error, or the right answer, never a wrong sample.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use prograde_observe::tsdb::DatabaseError;

const BLOCK_MS: i64 = 1000;

/// All series, with the times and bits of their samples.
type Contents = Vec<(String, Vec<(i64, u64)>)>;

fn open(folder: &Path) -> Result<Database, DatabaseError> {
    Database::open(Options { block_ms: BLOCK_MS, ..Options::new(folder, NOW_MS) })
}

/// A database with a block, a checkpoint and a log.
fn filled(folder: &Path) -> Contents {
    let database = open(folder).unwrap();
    for index in 0..3 {
        let name = labels(&[("__name__", "m"), ("i", &index.to_string())]);
        append(&database, &name, &[(NOW_MS, 1.5), (NOW_MS + 100, 2.5), (NOW_MS + 1000, -1.0)]);
    }
    assert_eq!(database.maintain(NOW_MS + 1500).unwrap().blocks_cut, 1);
    append(&database, &labels(&[("__name__", "m"), ("i", "2")]), &[(NOW_MS + 1100, f64::NAN)]);
    append(&database, &labels(&[("__name__", "n")]), &[(NOW_MS + 1200, 0.0)]);
    all(&database, &[], i64::MIN, i64::MAX)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ["blocks", "wal"]
        .into_iter()
        .flat_map(|part| fs::read_dir(folder.join(part)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    found.sort();
    found
}

/// What opening and reading gives: samples, or the error's text.
fn told(folder: &Path) -> Result<(Contents, bool), String> {
    let chain = |error: &dyn std::error::Error| {
        format!("{error}: {}", error.source().map(ToString::to_string).unwrap_or_default())
    };
    let database = open(folder).map_err(|error| chain(&error))?;
    let selected = database.select(&[], i64::MIN, i64::MAX).map_err(|error| chain(&error))?;
    let by_matcher = database.select(&[matcher("i", "=", "1")], i64::MIN, i64::MAX).map_err(|error| chain(&error))?;
    database.label_values("i", &[], i64::MIN, i64::MAX).map_err(|error| chain(&error))?;
    assert!(by_matcher.iter().all(|series| selected.contains(series)));
    Ok((all(&database, &[], i64::MIN, i64::MAX), database.recovery().torn.is_some()))
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, target).unwrap();
    }
}

/// Changes each file in each way, and asks what is said then.
fn each_change(
    ways: impl Fn(&[u8]) -> Vec<Vec<u8>>,
    check: impl Fn(&Path, usize, Result<(Contents, bool), String>, &Contents),
) {
    let original = tempfile::tempdir().unwrap();
    let expected = filled(original.path());
    let mut counts: HashMap<String, usize> = HashMap::new();
    for file in files(original.path()) {
        let name = file.strip_prefix(original.path()).unwrap();
        for (index, bytes) in ways(&fs::read(&file).unwrap()).into_iter().enumerate() {
            let changed = tempfile::tempdir().unwrap();
            copy(original.path(), changed.path());
            fs::write(changed.path().join(name), bytes).unwrap();
            check(name, index, told(changed.path()), &expected);
            *counts.entry(name.extension().unwrap().to_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    assert!(["block", "checkpoint", "wal"].into_iter().all(|kind| counts.contains_key(kind)), "{counts:?}");
}

#[test]
fn a_flipped_byte_is_an_error_or_changes_nothing() {
    // One bit, or all of the byte's, by turns.
    let flipped = |bytes: &[u8]| {
        let flip = |at: usize| {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= if at.is_multiple_of(2) { 1 << (at % 16 / 2) } else { 0xff };
            bytes
        };
        (0..bytes.len()).map(flip).collect()
    };
    each_change(flipped, |name, at, told, expected| match told {
        Ok((samples, false)) => assert_eq!(&samples, expected, "{} {at}", name.display()),
        // A changed last record of the log can't be told from one that was not written to its end. It is left out, and said.
        Ok((samples, true)) => {
            assert!(name.extension().is_some_and(|kind| kind == "wal"), "{} {at}", name.display());
            assert!(samples.iter().all(|(labels, some)| {
                expected.iter().any(|(known, samples)| known == labels && samples.starts_with(some))
            }));
        }
        Err(said) => assert!(said.contains(name.to_str().unwrap()), "{} {at}: {said}", name.display()),
    });
}

#[test]
fn a_file_that_was_cut_is_an_error_unless_it_is_the_end_of_the_log() {
    let cut = |bytes: &[u8]| (0..bytes.len()).map(|length| bytes[..length].to_vec()).collect();
    each_change(cut, |name, length, told, expected| match told {
        Ok((samples, _)) => {
            assert!(name.extension().is_some_and(|kind| kind == "wal"), "{} {length}", name.display());
            assert!(samples.iter().all(|(labels, some)| {
                expected.iter().any(|(known, samples)| known == labels && samples.starts_with(some))
            }));
        }
        Err(said) => {
            assert!(name.extension().is_none_or(|kind| kind != "wal"), "{} {length}: {said}", name.display());
            assert!(said.contains(name.to_str().unwrap()), "{} {length}: {said}", name.display());
        }
    });
}

#[test]
fn a_log_that_is_damaged_in_the_middle_names_the_place_and_is_skipped_when_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b, c) = (labels(&[("__name__", "a")]), labels(&[("__name__", "b")]), labels(&[("__name__", "c")]));
    {
        let database = open(folder.path()).unwrap();
        append(&database, &a, &[(NOW_MS, 1.0)]);
        append(&database, &b, &[(NOW_MS, 2.0)]);
        append(&database, &a, &[(NOW_MS + 1, 3.0)]);
        append(&database, &b, &[(NOW_MS + 1, 4.0)]);
    }
    let path = folder.path().join("wal/0000000001.wal");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(2).position(|pair| pair == [1, b'b']).unwrap();
    bytes[at + 1] = b'x';
    fs::write(&path, bytes).unwrap();
    match open(folder.path()) {
        Err(DatabaseError::Damaged { path: found, offset, reason }) => {
            assert_eq!((found, reason), (path, "a record does not match its checksum"));
            assert!(offset > 8 && offset < at as u64);
        }
        other => panic!("{other:?}"),
    }
    let options = Options { block_ms: BLOCK_MS, repair: true, ..Options::new(folder.path(), NOW_MS) };
    let database = Database::open(options).unwrap();
    assert_eq!(database.recovery().orphans, 2);
    assert!(database.recovery().skipped.len() >= 2, "{:?}", database.recovery());
    append(&database, &c, &[(NOW_MS + 2, 5.0)]);
    let left = all(&database, &[], 0, i64::MAX);
    assert_eq!(
        left.iter().map(|(labels, samples)| (labels.as_str(), samples.len())).collect::<Vec<_>>(),
        [("a", 2), ("c", 1)]
    );
    drop(database);
    // Once is enough.
    assert_eq!(all(&open(folder.path()).unwrap(), &[], 0, i64::MAX), left);
}

#[test]
fn a_missing_file_of_the_log_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    fs::rename(folder.path().join("wal/0000000002.wal"), folder.path().join("wal/0000000004.wal")).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("0000000002.wal"), "{error}");
}

#[test]
fn files_of_a_later_release_are_refused_as_such() {
    for (name, at) in [("blocks/0000000001.block", 6), ("wal/0000000002.wal", 6), ("wal/0000000001.checkpoint", 6)] {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path());
        let path = folder.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] = 3;
        fs::write(&path, bytes).unwrap();
        let error = open(folder.path()).unwrap_err();
        assert!(matches!(error, DatabaseError::NewerFormat { found: 3, known: 2, .. }), "{name}: {error}");
    }
}

#[test]
fn a_block_that_can_t_be_opened_is_set_aside_when_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let before = filled(folder.path());
    let path = folder.path().join("blocks/0000000001.block");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(matches!(open(folder.path()), Err(DatabaseError::Damaged { path: found, .. }) if found == path));
    let repair = Options { block_ms: BLOCK_MS, repair: true, ..Options::new(folder.path(), NOW_MS) };
    let database = Database::open(repair).unwrap();
    assert_eq!(database.recovery().skipped.iter().map(|loss| &loss.path).collect::<Vec<_>>(), [&path]);
    assert!(path.with_extension("damaged").exists());
    let after = all(&database, &[], i64::MIN, i64::MAX);
    assert_eq!(after.len(), before.len());
    for ((name, left), (_, all)) in after.iter().zip(&before) {
        assert!(!left.is_empty() && all.ends_with(left), "{name}");
    }
}
