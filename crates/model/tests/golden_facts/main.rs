//! Every fact that a journal may hold beside those about flights can be read for ever.
//!
//! `golden/<subject>/<type>.v<version>.json` is a payload as that version stored it. **These files are never changed and never
//! deleted**, for the reasons that `golden.rs` gives. A new fact needs a file before this test passes.
#![cfg(test)]

use std::fmt::Debug;
use std::path::Path;

use prograde_model::stored::Fact;
use serde_json::{Value, json};

mod alerts;
mod applications;
mod incidents;
mod oncall;
mod pages;
mod runbooks;

/// Checks that each fact is stored as its file has it, and read from there.
fn check<F: Fact + Debug + PartialEq>(folder: &str, all: &[F]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder);
    let version = F::VERSION;
    for fact in all {
        let (event_type, payload) = fact.encode();
        let file = folder.join(format!("{event_type}.v{version}.json"));
        let text = std::fs::read_to_string(&file);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}; store {payload}", file.display()));
        let stored: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(payload, stored, "{event_type}");
        assert_eq!(F::decode(&event_type, version, stored.clone()).unwrap(), *fact, "{event_type}");
        assert!(F::decode(&event_type, version + 1, stored).is_err(), "a later release's");
        assert!(F::decode(&event_type, version, json!({"unknown": 1})).is_err(), "{event_type}");
    }
    assert!(F::decode("something.unheard_of", version, Value::Null).is_err());
}
