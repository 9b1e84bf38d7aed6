//! How an application is kept as Git says: when it is synchronised, looked at, and left alone.
//!
//! Invariant: a revision that failed is tried again only after something that it depends on has changed, and not at once;
//! changes that come back are undone ever more rarely.

use jiff::Timestamp;

use crate::sync::Backoff;

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is to be synchronised: with hooks for a new revision, without where changes are undone.
    Sync {
        /// Whether hooks are run.
        hooks: bool,
    },
    /// It is to be compared with what is there.
    Look,
    /// Nothing before this time.
    WaitUntil(Timestamp),
    /// Nothing, until something happens.
    Rest,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// This is wanted now.
    Wanted(String),
    /// An object of it, or one that it depends on, has changed in the cluster.
    Changed,
    /// It is being compared.
    Looking,
    /// It was compared.
    Looked {
        /// Whether it differs.
        differs: bool,
    },
    /// A sync has begun.
    Began,
    /// A sync has ended.
    Ended {
        /// Whether it failed.
        failed: bool,
        /// When.
        at: Timestamp,
    },
}

/// An application that is kept.
#[derive(Debug, Clone)]
pub struct Keep {
    heals: bool,
    backoff: Backoff,
    wanted: String,
    begun: Option<String>,
    tried: Option<Tried>,
    changed: bool,
    differs: bool,
    /// How often in a row changes were undone, or failures tried again.
    again: u32,
}

#[derive(Debug, Clone)]
struct Tried {
    revision: String,
    failed: bool,
    at: Timestamp,
}

impl Keep {
    /// An application that wants this. `heals` says whether changes in the cluster are undone.
    pub fn new(revision: impl Into<String>, heals: bool, backoff: Backoff) -> Self {
        Self {
            heals,
            backoff,
            wanted: revision.into(),
            begun: None,
            tried: None,
            changed: false,
            differs: false,
            again: 0,
        }
    }

    /// What to do next.
    pub fn decide(&self, now: Timestamp) -> Step {
        if self.begun.is_some() {
            return Step::Rest;
        }
        let Some(tried) = self.tried.as_ref().filter(|tried| tried.revision == self.wanted) else {
            return Step::Sync { hooks: true };
        };
        let due = |hooks| {
            let pause = if self.again == 0 { jiff::SignedDuration::ZERO } else { self.backoff.after(self.again) };
            let at = tried.at.checked_add(pause).unwrap_or(Timestamp::MAX);
            if now >= at { Step::Sync { hooks } } else { Step::WaitUntil(at) }
        };
        match (tried.failed, self.changed) {
            (true, true) => due(true),
            (false, true) => Step::Look,
            (false, false) if self.differs && self.heals => due(false),
            (true | false, false) => Step::Rest,
        }
    }

    /// Takes in what has happened.
    pub fn take(&mut self, fact: Fact) {
        match fact {
            Fact::Wanted(revision) => {
                if revision != self.wanted {
                    (self.wanted, self.again, self.differs) = (revision, 0, false);
                }
            }
            Fact::Changed => self.changed = true,
            Fact::Looking => self.changed = false,
            Fact::Looked { differs } => self.differs = differs,
            Fact::Began => {
                self.begun = Some(self.wanted.clone());
                (self.changed, self.differs) = (false, false);
            }
            Fact::Ended { failed, at } => {
                let revision = self.begun.take().unwrap_or_else(|| self.wanted.clone());
                let last = self.tried.as_ref().filter(|tried| tried.revision == revision);
                // Whoever was left in peace for longer than the longest pause begins anew.
                let calm = last.is_some_and(|last| at.duration_since(last.at) > self.backoff.most.saturating_mul(2));
                self.again = if last.is_none() {
                    u32::from(failed)
                } else if calm {
                    1
                } else {
                    self.again.saturating_add(1)
                };
                self.tried = Some(Tried { revision, failed, at });
                self.differs = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn kept(heals: bool, failed: bool) -> Keep {
        let mut keep = Keep::new("1", heals, Backoff::default());
        assert_eq!(keep.decide(at(0)), Step::Sync { hooks: true });
        keep.take(Fact::Began);
        assert_eq!(keep.decide(at(0)), Step::Rest);
        keep.take(Fact::Ended { failed, at: at(1) });
        assert_eq!(keep.decide(at(1_000_000)), Step::Rest);
        keep
    }

    #[test]
    fn a_change_is_undone_at_once_and_then_ever_more_rarely() {
        let mut keep = kept(true, false);
        let mut pauses = Vec::new();
        let mut now = 10;
        for _ in 0..8 {
            keep.take(Fact::Changed);
            assert_eq!(keep.decide(at(now)), Step::Look);
            keep.take(Fact::Looking);
            keep.take(Fact::Looked { differs: true });
            let begun = now;
            while let Step::WaitUntil(next) = keep.decide(at(now)) {
                now = next.as_second() - at(0).as_second();
            }
            assert_eq!(keep.decide(at(now)), Step::Sync { hooks: false });
            pauses.push(now - begun);
            keep.take(Fact::Began);
            keep.take(Fact::Ended { failed: false, at: at(now) });
        }
        assert_eq!(pauses, [0, 5, 10, 20, 40, 80, 160, 180]);
        // After a calm time it is at once again, almost.
        now += 1_000;
        keep.take(Fact::Looked { differs: true });
        assert_eq!(keep.decide(at(now)), Step::Sync { hooks: false });
        keep.take(Fact::Began);
        keep.take(Fact::Ended { failed: false, at: at(now) });
        keep.take(Fact::Looked { differs: true });
        assert_eq!(keep.decide(at(now)), Step::WaitUntil(at(now + 5)));
    }

    #[test]
    fn what_does_not_heal_itself_is_left_alone() {
        let mut keep = kept(false, false);
        keep.take(Fact::Changed);
        assert_eq!(keep.decide(at(5)), Step::Look);
        keep.take(Fact::Looking);
        keep.take(Fact::Looked { differs: true });
        assert_eq!(keep.decide(at(5)), Step::Rest);
    }

    #[test]
    fn a_failure_is_tried_again_once_something_has_changed() {
        let mut keep = kept(true, true);
        keep.take(Fact::Changed);
        assert_eq!(keep.decide(at(2)), Step::WaitUntil(at(6)));
        assert_eq!(keep.decide(at(6)), Step::Sync { hooks: true });
        keep.take(Fact::Began);
        keep.take(Fact::Ended { failed: true, at: at(7) });
        assert_eq!(keep.decide(at(7_000)), Step::Rest);
        keep.take(Fact::Wanted("1".into()));
        assert_eq!(keep.decide(at(7_000)), Step::Rest);
        keep.take(Fact::Wanted("2".into()));
        assert_eq!(keep.decide(at(7)), Step::Sync { hooks: true });
    }

    #[test]
    fn what_changes_during_a_sync_is_looked_at_after_it() {
        let mut keep = Keep::new("1", true, Backoff::default());
        keep.take(Fact::Began);
        keep.take(Fact::Changed);
        keep.take(Fact::Wanted("2".into()));
        assert_eq!(keep.decide(at(0)), Step::Rest);
        keep.take(Fact::Ended { failed: false, at: at(1) });
        assert_eq!(keep.decide(at(1)), Step::Sync { hooks: true });
    }
}
