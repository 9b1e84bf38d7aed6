//! Trust files: when and for what keys count.

use std::path::Path;

use prograde_sign::key::{PrivateKey, Signer as _};
use prograde_sign::{Form, Terms, Trust, sign, verify};
use serde_json::Map;

use super::attacks::indented;
use super::memory::{Memory, now, signatures, words};

fn entry(name: &str, key: &PrivateKey, more: &str) -> String {
    format!("- name: {name}\n  public_key: |\n{}{more}", indented(key.public_key()))
}

#[test]
fn keys_count_in_their_time_and_place() {
    let key = PrivateKey::generate().unwrap();
    let (memory, image) = Memory::with_image();
    sign(&memory, &image, &Map::new(), &key, Form::Both, now()).unwrap();
    let check = |more: &str, want: &str| {
        let trust = Trust::parse("trust.yaml", &format!("keys:\n{}", entry("a", &key, more)), Path::new("")).unwrap();
        let found = verify(&memory, &image, &signatures(), Terms { trust: &trust, at: now() }).unwrap();
        assert_eq!(words(&found), [want, want], "{more}");
    };
    check("", "good");
    check("  not_before: 2026-01-01T00:00:00Z\n  not_after: 2026-03-01T00:00:00Z\n", "good");
    check("  not_after: 2026-02-01T12:00:00Z\n", "expired");
    check("  not_after: 2026-02-01T12:00:01Z\n", "good");
    check("  not_before: 2026-02-01T12:00:01Z\n", "not_yet_valid");
    check("  revoked: lost in March\n", "revoked");
    check("  repositories: [registry.example.com/team/*]\n", "good");
    check("  repositories: [registry.example.com/team/app]\n", "good");
    check("  repositories: [registry.example.com/other/*, evil.example.com/*]\n", "not_for_repository");
}

#[test]
fn after_a_change_of_keys_old_and_new_count() {
    let (old, new) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let text = format!(
        "keys:\n{}{}",
        entry("2025", &old, "  not_after: 2026-01-01T00:00:00Z\n"),
        entry("2026", &new, "  not_before: 2025-12-01T00:00:00Z\n")
    );
    let trust = Trust::parse("trust.yaml", &text, Path::new("")).unwrap();
    let (memory, image) = Memory::with_image();
    sign(&memory, &image, &Map::new(), &old, Form::Tag, now()).unwrap();
    let at = |time: &str| {
        let terms = Terms { trust: &trust, at: time.parse().unwrap() };
        words(&verify(&memory, &image, &signatures(), terms).unwrap())
    };
    // The release was recorded in its time: the record vouches for the time, and the key for the rest.
    assert_eq!(at("2025-06-01T00:00:00Z"), ["good"]);
    assert_eq!(at("2026-06-01T00:00:00Z"), ["expired"]);
    sign(&memory, &image, &Map::new(), &new, Form::Tag, now()).unwrap();
    assert_eq!(at("2026-06-01T00:00:00Z"), ["expired", "good"]);
}

#[test]
fn faults_are_told_with_their_place() {
    let key = PrivateKey::generate().unwrap();
    let good = entry("a", &key, "");
    let check = |text: &str, line: u32, want: &str| {
        let faults = Trust::parse("trust.yaml", text, Path::new("/nonexistent")).unwrap_err();
        assert!(faults.0[0].line == line && faults.to_string().contains(want), "{text}\n{faults}");
    };
    check("keys: []\n", 0, "there are 0 keys");
    check("keys:\n- name: a\n  public_key: gone.pub\n", 3, "can't be read");
    check("keys:\n- name: a\n  public_key: |\n    -----BEGIN X-----\n", 3, "PEM");
    check("keys:\n- name: a\n  publickey: a.pub\n", 3, "publickey");
    check("keys:\n- name: ''\n  public_key: a.pub\n", 2, "1 to 100");
    check(&format!("keys:\n{good}{good}"), 8, "there twice");
    check(&format!("keys:\n{good}  repositories: []\n"), 8, "sign for nothing");
    check(&format!("keys:\n{good}  repositories: ['team**']\n"), 8, "team**");
    check(
        &format!("keys:\n{good}  not_before: 2026-01-01T00:00:00Z\n  not_after: 2025-01-01T00:00:00Z\n"),
        9,
        "before",
    );
    check("", 0, "there are 0 keys");
}
