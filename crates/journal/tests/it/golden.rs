//! Journals of every format that was ever released open, verify and go on.

use std::fs;
use std::path::Path;

use super::*;

fn golden(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/format-{format}.db"))
}

#[tokio::test]
async fn a_journal_of_format_1_opens_and_goes_on() {
    let fixture = Fixture::new();
    fs::copy(golden(1), fixture.path()).unwrap();
    let journal = fixture.open();
    let report = journal.verify().await.unwrap();
    assert_eq!(report.events, 6);
    assert_eq!(report.head_hash, "a8b6375d90146b8df167404a9719de598acad5c15e4885169d6894aeb8aa5cd8");
    let events = all(&journal).await;
    assert_eq!(
        events[4].payload,
        json!({ "digest": "sha256:ab", "weights": [1, 10, 100], "ratio": 0.1, "text": "é\n" })
    );
    assert_eq!(events[4].at, "2026-01-02T03:03:05.000000009Z".parse().unwrap());
    assert_eq!(journal.read_subject("subject/1").await.unwrap().len(), 1);

    let stored = append(&journal, "subject/0", 2, 7).await.unwrap();
    assert_eq!((stored[0].sequence, &stored[0].previous_hash), (7, &report.head_hash));
    journal.close().await.unwrap();
    assert_eq!(fixture.open().verify().await.unwrap().events, 7);
}

#[tokio::test]
#[ignore = "writes the golden file of a new format; run once when the format changes"]
async fn write_the_golden_file() {
    let fixture = Fixture::new();
    let journal = fixture.open();
    fill(&journal, 4).await;
    let payload = json!({ "digest": "sha256:ab", "weights": [1, 10, 100], "ratio": 0.1, "text": "é\n" });
    let earlier = "2026-01-02T03:03:05.000000009Z".parse().unwrap();
    let other = NewEvent { event_type: "release.made".into(), version: 3, payload };
    journal.append("release/1", 0, earlier, vec![other, event(Value::Null)]).await.unwrap();
    println!("{:?}", journal.verify().await.unwrap());
    journal.close().await.unwrap();
    let bytes = fs::read(fixture.path()).unwrap();
    let format = u32::from_be_bytes(bytes[60..64].try_into().unwrap());
    assert!(!golden(format).exists(), "golden files are kept for ever");
    fs::write(golden(format), bytes).unwrap();
}
