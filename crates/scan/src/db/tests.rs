use serde_json::json;

use super::*;
use crate::ecosystem::{Ecosystem, Kind};
use crate::severity::Severity;

fn database(records: &[serde_json::Value]) -> Database {
    let mut builder = Builder::default();
    builder.begin("test");
    for record in records {
        builder.add_osv("x.json", record.to_string().as_bytes());
    }
    assert!(builder.notes.is_empty(), "{:?}", builder.notes);
    Database::from_bytes("db", builder.finish("2026-02-01T12:00:00Z")).unwrap()
}

/// What the advisory with these ranges says of each version: `-`, or `+` and the version that is corrected.
fn check(ecosystem: &str, affected: &serde_json::Value, expected: &[(&str, &str)]) {
    let mut affected = affected.clone();
    affected["package"] = json!({"ecosystem": ecosystem, "name": "p"});
    let db = database(&[json!({"id": "X-1", "affected": [affected]})]);
    let ecosystem = Ecosystem::parse(ecosystem).unwrap();
    let all = db.advisories(ecosystem.kind, "p").unwrap();
    for (version, expected) in expected {
        let said = match all[0].judge(&ecosystem, version).unwrap() {
            None => "-".to_owned(),
            Some(meant) => format!("+{}", meant.fixed.unwrap_or_default()),
        };
        assert_eq!(said, *expected, "{version} of {ecosystem}: {affected}");
    }
}

#[test]
fn ranges_are_evaluated_as_the_schema_says() {
    let semver = json!({"ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.2.0"}, {"introduced": "2.0.0-0"}, {"fixed": "2.0.3"}]}]});
    check(
        "npm",
        &semver,
        &[
            ("1.1.9", "+1.2.0"),
            ("1.2.0-rc.1", "+1.2.0"),
            ("1.2.0", "-"),
            ("1.9.0", "-"),
            ("2.0.0-alpha", "+2.0.3"),
            ("2.0.3", "-"),
        ],
    );
    let unsorted = json!({"ranges": [{"type": "SEMVER", "events": [{"fixed": "2.0.3"}, {"introduced": "2.0.0"}, {"fixed": "1.2.0"}, {"introduced": "1.0.0"}]}]});
    check("Go", &unsorted, &[("v0.9.0", "-"), ("v1.1.0", "+1.2.0"), ("v1.5.0", "-"), ("v2.0.1", "+2.0.3")]);
    let last = json!({"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "1.0"}, {"last_affected": "1.5"}]}]});
    check("PyPI", &last, &[("0.9", "-"), ("1.0.0", "+"), ("1.5", "+"), ("1.5.post1", "-")]);
    let limit = json!({"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"limit": "2.0"}]}]});
    check("Maven", &limit, &[("1.9", "+"), ("2.0", "-")]);
    let listed =
        json!({"versions": ["1.0", "1.2"], "ranges": [{"type": "GIT", "repo": "x", "events": [{"introduced": "0"}]}]});
    check("PyPI", &listed, &[("1.0.0", "+"), ("1.1", "-"), ("1.2", "+")]);
    let debian =
        json!({"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1.1n-0+deb11u5"}]}]});
    check("Debian:11", &debian, &[("1.1.1n-0+deb11u4", "+1.1.1n-0+deb11u5"), ("1.1.1n-0+deb11u5", "-")]);
}

#[test]
fn an_advisory_is_about_its_release_only() {
    let about = |text: &str| Ecosystem::parse(text).unwrap();
    assert!(about("Debian:12").is_meant_by(&about("Debian")));
    assert!(about("Debian:12").is_meant_by(&about("Debian:12")));
    assert!(!about("Debian:12").is_meant_by(&about("Debian:11")));
    assert!(!about("Debian").is_meant_by(&about("Debian:11")));
    assert!(about("Ubuntu:22.04:LTS").is_meant_by(&about("Ubuntu:22.04:LTS")));
    assert!(!about("Ubuntu:22.04:LTS").is_meant_by(&about("Ubuntu:Pro:22.04:LTS")));
    assert!(about("Alpine:v3.19").is_meant_by(&about("Alpine:v3.19")));
}

#[test]
fn severities_come_from_vectors_and_words() {
    let record = |severity: serde_json::Value, specific: serde_json::Value| {
        let db = database(&[json!({"id": "X-1", "severity": severity, "database_specific": specific,
            "affected": [{"package": {"ecosystem": "npm", "name": "p"}, "versions": ["1.0.0"]}]})]);
        let one = db.advisories(Kind::Npm, "p").unwrap().remove(0);
        (one.severity, one.score)
    };
    let v3 = json!([{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]);
    assert_eq!(record(v3.clone(), json!({})), (Severity::Critical, Some(9.8)));
    assert_eq!(record(v3, json!({"severity": "MODERATE"})), (Severity::Medium, Some(9.8)));
    let v4 = json!([{"type": "CVSS_V4", "score": "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"}]);
    assert_eq!(record(v4, json!({})), (Severity::Critical, Some(9.3)));
    assert_eq!(record(json!([]), json!({})), (Severity::Unknown, None));
    assert_eq!(record(json!([{"type": "Ubuntu", "score": "low"}]), json!({})), (Severity::Low, None));
    assert_eq!(record(json!([{"type": "CVSS_V3", "score": "nonsense"}]), json!({})), (Severity::Unknown, None));
}

#[test]
fn rustsec_is_read_with_cargos_requirements() {
    let text = "```toml\n[advisory]\nid = \"RUSTSEC-2020-0001\"\npackage = \"my_crate\"\ndate = \"2020-01-02\"\naliases = [\"CVE-2020-1\"]\n\
        cvss = \"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H\"\n[versions]\npatched = [\"^0.5.8\", \">= 0.6.3, < 0.7\", \">= 1\"]\nunaffected = [\"< 0.4.2\"]\n```\n\n# It is bad\n\nText.\n";
    let mut builder = Builder::default();
    builder.begin("r");
    builder.add_rustsec("RUSTSEC-2020-0001.md", text.as_bytes());
    let db = Database::from_bytes("db", builder.finish("t")).unwrap();
    let one = db.advisories(Kind::CratesIo, "my-crate").unwrap().remove(0);
    assert_eq!((one.summary.as_str(), one.severity), ("It is bad", Severity::Critical));
    let judge = |version: &str| {
        one.judge(&Ecosystem::of(Kind::CratesIo), version).unwrap().map(|meant| meant.fixed.unwrap_or_default())
    };
    let cases = [
        ("0.4.1", None),
        ("0.4.2", Some("0.5.8")),
        ("0.5.7", Some("0.5.8")),
        ("0.5.8", None),
        ("0.5.99", None),
        ("0.6.0", Some("0.6.3")),
        ("0.6.3", None),
        ("0.7.0", Some("1.0.0")),
        ("1.0.0", None),
    ];
    for (version, expected) in cases {
        assert_eq!(judge(version).as_deref(), expected, "{version}");
    }
}

#[test]
fn withdrawn_and_unreadable_ones_are_left_out() {
    let mut builder = Builder::default();
    builder.begin("t");
    builder
        .add_osv("w", json!({"id": "W", "withdrawn": "2020-01-01T00:00:00Z", "affected": []}).to_string().as_bytes());
    for bad in ["", "{", "[]", "{\"id\": 3}", "{\"id\": \"\"}"] {
        builder.add_osv("bad", bad.as_bytes());
    }
    builder.add_rustsec("bad.md", b"no front");
    assert_eq!((builder.advisories(), builder.unreadable(), builder.notes.len()), (0, 6, 6));
}

#[test]
fn damage_is_found() {
    let mut builder = Builder::default();
    builder.begin("t");
    let record = json!({"id": "A", "affected": [{"package": {"ecosystem": "npm", "name": "p"}, "versions": ["1"]}]});
    builder.add_osv("a", record.to_string().as_bytes());
    let good = builder.finish("2026-02-01T12:00:00Z");
    let read = |bytes: Vec<u8>| {
        Database::from_bytes("db", bytes).and_then(|db| db.advisories(Kind::Npm, "p").map(|all| all.len()))
    };
    assert_eq!(read(good.clone()), Ok(1));
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let read = read(bad);
        assert!(read.is_err() || read == Ok(0), "byte {at}: {read:?}");
        assert!(
            super::Database::from_bytes("db", good[..at].to_vec()).and_then(|db| db.verify()).is_err(),
            "cut at {at}"
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    assert_eq!(Database::open(&path).unwrap_err().code, "PG1210");
    std::fs::write(&path, &good).unwrap();
    let open = Database::open(&path).unwrap();
    assert_eq!((open.packages(), open.verify().unwrap()), (1, good.len() as u64));
}

#[test]
fn sources_are_archives_and_directories() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let record = |id: &str| {
        json!({"id": id, "affected": [{"package": {"ecosystem": "PyPI", "name": "A_b"}, "versions": ["1"]}]})
            .to_string()
    };
    let path = dir.path().join("all.zip");
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    zip.start_file("A.json", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(record("A").as_bytes()).unwrap();
    zip.finish().unwrap();
    std::fs::create_dir(dir.path().join("more")).unwrap();
    std::fs::write(dir.path().join("more/list.json"), format!("[{},{}]", record("B"), record("C"))).unwrap();
    let mut builder = Builder::default();
    read_source(dir.path(), &mut builder).unwrap();
    let db = Database::from_bytes("db", builder.finish("t")).unwrap();
    assert_eq!(db.advisories(Kind::PyPi, "a-B").unwrap().len(), 3);
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(read_source(empty.path(), &mut Builder::default()).unwrap_err().code, "PG1213");
    std::fs::write(empty.path().join("x.zip"), b"PK\x03\x04 no archive").unwrap();
    assert_eq!(read_source(&empty.path().join("x.zip"), &mut Builder::default()).unwrap_err().code, "PG1213");
}
