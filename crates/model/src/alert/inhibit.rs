//! Inhibition: an alert that fires keeps others quiet that follow from it.
//!
//! Sources are indexed by the values of the labels that must be equal, so that asking about an alert costs the same however
//! many fire.

use std::collections::{BTreeMap, BTreeSet};

use super::Fingerprint;
use crate::labels::Labels;
use crate::matcher::Matcher;

/// A rule: while a source fires, targets with equal labels are quiet.
#[derive(Debug, Clone)]
pub struct Inhibition {
    /// What keeps others quiet.
    pub source: Vec<Matcher>,
    /// What is kept quiet.
    pub target: Vec<Matcher>,
    /// Labels that both must have the same value of; a label that neither has is equal.
    pub equal: BTreeSet<String>,
}

impl Inhibition {
    fn values(&self, labels: &Labels) -> Vec<String> {
        self.equal.iter().map(|name| labels.get(name).to_owned()).collect()
    }
}

/// Firing sources that have the same values of the equal labels.
#[derive(Debug, Clone, Default, PartialEq)]
struct Sources {
    /// Those that are no targets of the same rule.
    pure: BTreeSet<Fingerprint>,
    /// Those that are: they keep no other alert quiet that is both as well, or two would silence each other.
    both: BTreeSet<Fingerprint>,
}

/// All rules with the sources that fire.
#[derive(Debug, Clone, Default)]
pub(super) struct Inhibitor(Vec<(Inhibition, BTreeMap<Vec<String>, Sources>)>);

impl Inhibitor {
    pub(super) fn new(rules: &[Inhibition]) -> Self {
        Self(rules.iter().map(|rule| (rule.clone(), BTreeMap::new())).collect())
    }

    /// An alert began to fire.
    pub(super) fn insert(&mut self, fingerprint: Fingerprint, labels: &Labels) {
        for (rule, firing) in &mut self.0 {
            if Matcher::accept_all(&rule.source, labels) {
                let sources = firing.entry(rule.values(labels)).or_default();
                let is_target = Matcher::accept_all(&rule.target, labels);
                if is_target { &mut sources.both } else { &mut sources.pure }.insert(fingerprint);
            }
        }
    }

    /// An alert does not fire any more.
    pub(super) fn remove(&mut self, fingerprint: Fingerprint, labels: &Labels) {
        for (rule, firing) in &mut self.0 {
            let values = rule.values(labels);
            let Some(sources) = firing.get_mut(&values) else { continue };
            sources.pure.remove(&fingerprint);
            sources.both.remove(&fingerprint);
            if *sources == Sources::default() {
                firing.remove(&values);
            }
        }
    }

    /// The alerts that keep this one quiet, at most one of each rule.
    pub(super) fn inhibiting(&self, labels: &Labels) -> BTreeSet<Fingerprint> {
        let by_rule = self.0.iter().filter_map(|(rule, firing)| {
            if !Matcher::accept_all(&rule.target, labels) {
                return None;
            }
            let sources = firing.get(&rule.values(labels))?;
            let is_source = Matcher::accept_all(&rule.source, labels);
            let both = sources.both.first().filter(|_| !is_source);
            sources.pure.first().or(both).copied()
        });
        by_rule.collect()
    }
}
