//! Groups: alerts of a route that have the labels in common which the route groups by.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use jiff::Timestamp;

use super::Fingerprint;
use crate::labels::Labels;

/// That somebody has taken a group on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// What they say to it.
    pub comment: String,
    /// Since when.
    pub at: Timestamp,
}

/// What keeps an alert quiet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mutes {
    /// Alerts that fire.
    pub inhibited_by: BTreeSet<Fingerprint>,
    /// Silences, by id.
    pub silenced_by: BTreeSet<String>,
}

impl Mutes {
    /// Whether nothing does.
    pub fn is_empty(&self) -> bool {
        self.inhibited_by.is_empty() && self.silenced_by.is_empty()
    }
}

/// Alerts that are told of together.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Which route it is of, by its place in the tree.
    pub route: usize,
    /// The labels that it is named by.
    pub labels: Labels,
    /// What it is known by to receivers: the route's matchers, and the labels.
    pub key: String,
    /// The receiver's name.
    pub receiver: String,
    /// Those that fire.
    pub firing: BTreeSet<Fingerprint>,
    /// Those that have ended, until that is told.
    pub ended: BTreeSet<Fingerprint>,
    /// When it is looked at next.
    pub flush_at: Timestamp,
    /// Whether it was looked at before.
    pub has_flushed: bool,
    /// Notifications of the last look that are being sent, by receiver's integration.
    pub(super) outstanding: BTreeMap<String, BTreeSet<Fingerprint>>,
    /// Whether one of them failed.
    pub(super) has_failed: bool,
}

/// A group's key, as Alertmanager writes it: the same text names the same group to PagerDuty whoever sends it.
pub(super) fn key(route: &str, labels: &Labels) -> String {
    let mut pairs = String::new();
    for (index, label) in labels.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        // Writing into a text can't fail.
        let _ = write!(pairs, "{comma}{}={}", label.name, quoted(&label.value));
    }
    format!("{route}:{{{pairs}}}")
}

/// A text in quotes as Go's `%q` writes it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if c.is_control() && u32::from(c) < 0x80 => drop(write!(out, "\\x{:02x}", u32::from(c))),
            c if c.is_control() => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
