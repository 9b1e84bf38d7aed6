//! What is found where the journal should be, and who else is there.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use prograde_journal::JournalError::{Broken, Corrupt, NotAJournal};
use rusqlite::Connection;

use super::*;

/// Set for the child process of [`a_read_only_directory_can_be_read_and_not_written`].
const READ_ONLY_JOURNAL: &str = "PROGRADE_TEST_READ_ONLY_JOURNAL";

#[tokio::test]
async fn a_second_writer_is_refused_while_readers_are_welcome() {
    let fixture = Fixture::new();
    let writer = fixture.open();
    fill(&writer, 3).await;
    match Journal::open(&fixture.path()) {
        Err(JournalError::Locked { path }) => assert!(path.ends_with("journal.db")),
        other => panic!("{other:?}"),
    }
    let reader = Journal::open_read_only(&fixture.path()).unwrap();
    assert_eq!(reader.head().await.unwrap(), 3);
    fill_more(&writer).await;
    assert_eq!(reader.verify().await.unwrap(), writer.verify().await.unwrap());
    assert_eq!(all(&reader).await, all(&writer).await);
    assert!(matches!(append(&reader, "s", 0, 1).await, Err(JournalError::ReadOnly { .. })));

    writer.close().await.unwrap();
    assert_eq!(reader.head().await.unwrap(), 4, "the reader goes on without the writer");
    let writer = fixture.open();
    assert_eq!(append(&writer, "subject/0", 2, 1).await.unwrap()[0].sequence, 5);
    assert_eq!(reader.head().await.unwrap(), 5);
}

async fn fill_more(writer: &Journal) {
    append(writer, "subject/0", 1, 3).await.unwrap();
}

fn refusals(path: &Path) -> [JournalError; 2] {
    [Journal::open(path).unwrap_err(), Journal::open_read_only(path).unwrap_err()]
}

#[test]
fn other_files_are_told_apart_and_left_alone() {
    let fixture = Fixture::new();
    let path = fixture.path();
    let text = b"a letter, not a journal. ".repeat(100);
    fs::write(&path, &text).unwrap();
    for error in refusals(&path) {
        assert!(matches!(error, JournalError::NotAJournal { reason: "it is not an SQLite database", .. }), "{error}");
    }
    assert_eq!(fs::read(&path).unwrap(), text);

    fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE bookmarks (url)").unwrap();
    let foreign = fs::read(&path).unwrap();
    for error in refusals(&path) {
        let expected = "it is another program's database";
        assert!(matches!(error, JournalError::NotAJournal { reason, .. } if reason == expected), "{error}");
    }
    assert_eq!(fs::read(&path).unwrap(), foreign);
}

#[tokio::test]
async fn a_later_release_s_journal_is_refused_and_left_alone() {
    let fixture = Fixture::new();
    fixture.open().close().await.unwrap();
    Connection::open(fixture.path()).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let before = fs::read(fixture.path()).unwrap();
    for error in refusals(&fixture.path()) {
        assert!(matches!(error, JournalError::NewerFormat { found: 2, known: 1, .. }), "{error}");
    }
    assert_eq!(fs::read(fixture.path()).unwrap(), before);
}

#[test]
fn nothing_and_empty_files_become_journals_only_by_writing() {
    let fixture = Fixture::new();
    let missing = Journal::open_read_only(&fixture.path()).unwrap_err();
    assert!(matches!(missing, JournalError::Io { .. }), "{missing}");
    fs::write(fixture.path(), "").unwrap();
    let empty = Journal::open_read_only(&fixture.path()).unwrap_err();
    assert!(matches!(empty, JournalError::NotAJournal { reason: "it is empty", .. }), "{empty}");
    drop(fixture.open());
    let nowhere = fixture.directory.path().join("no/such/directory/journal.db");
    assert!(matches!(Journal::open(&nowhere), Err(JournalError::Io { .. })));
    assert!(Journal::open(fixture.directory.path()).is_err(), "a directory is no journal");
}

#[tokio::test]
async fn damage_is_reported_wherever_it_is() {
    let fixture = Fixture::new();
    let journal = fixture.open();
    for n in 0..40 {
        journal.append("s", n, at(0), vec![event(Value::String("x".repeat(3000)))]).await.unwrap();
    }
    journal.close().await.unwrap();
    let whole = fs::read(fixture.path()).unwrap();
    assert!(whole.len() > 100_000);

    // Half of the file is gone.
    fs::write(fixture.path(), &whole[..whole.len() / 2]).unwrap();
    for error in refusals(&fixture.path()) {
        assert!(matches!(error, JournalError::Corrupt { .. }), "{error}");
    }
    // A bad sector, at every page in turn: found when opening or when verifying, and never a panic.
    for page in (0..whole.len()).step_by(4096) {
        let mut bad = whole.clone();
        bad[page..page + 4096].fill(0xa5);
        fs::write(fixture.path(), &bad).unwrap();
        let found = match Journal::open_read_only(&fixture.path()) {
            Ok(journal) => journal.verify().await.map(drop),
            Err(error) => Err(error),
        };
        let error = found.expect_err("the damage was not found");
        assert!(matches!(error, Corrupt { .. } | Broken { .. } | NotAJournal { .. }), "page at {page}: {error:?}");
    }
}

/// Permissions do not bind the superuser: the check runs in a process of the user `nobody` where need be.
#[tokio::test]
async fn a_read_only_directory_can_be_read_and_not_written() {
    let fixture = Fixture::new();
    let journal = fixture.open();
    fill(&journal, 3).await;
    journal.close().await.unwrap();
    let directory = fixture.directory.path();
    let program = directory.join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(fixture.path(), fs::Permissions::from_mode(0o444)).unwrap();
    fs::remove_file(directory.join("journal.db.lock")).unwrap();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o555)).unwrap();

    let mut child = Command::new(&program);
    child.args(["--exact", "files::read_only_child", "--ignored"]).env(READ_ONLY_JOURNAL, fixture.path());
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        child.uid(65_534).gid(65_534);
    }
    let output = child.output().unwrap();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "runs as a child process of the test above"]
async fn read_only_child() {
    let path = PathBuf::from(std::env::var_os(READ_ONLY_JOURNAL).unwrap());
    for target in [path.clone(), path.with_file_name("new.db")] {
        let refused = Journal::open(&target).unwrap_err();
        assert!(matches!(refused, JournalError::ReadOnly { .. }), "{refused:?}");
    }
    let journal = Journal::open_read_only(&path).unwrap();
    assert_eq!(journal.verify().await.unwrap().events, 3);
    assert_eq!(all(&journal).await.len(), 3);
}
