//! How an application is kept as Git says: when it is synchronised, looked at, and left alone.
//!
//! Invariant: a revision that failed is tried again only after something that it depends on has changed, and not at once;
//! changes that come back are undone ever more rarely; what does not follow Git by itself is synchronised by order alone.

use jiff::{SignedDuration, Timestamp};
pub use prograde_model::application::Because;

use crate::sync::Backoff;

/// How long is waited for a cluster that does not answer; twice as long after each time.
const AWAY_FIRST: SignedDuration = SignedDuration::from_secs(1);
/// The longest pause.
const AWAY_MOST: SignedDuration = SignedDuration::from_secs(30);

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is to be synchronised: with hooks for a new revision, without where changes are undone.
    Sync {
        /// Whether hooks are run.
        hooks: bool,
        /// Why.
        because: Because,
    },
    /// It is to be compared with what is there.
    Look,
    /// The sync under way is to be broken off: something newer is wanted.
    Stop,
    /// Nothing before this time.
    WaitUntil(Timestamp),
    /// Nothing, until something happens.
    Rest,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// This is wanted now, by itself or only where a person says so.
    Wanted {
        /// What.
        revision: String,
        /// Whether it is synchronised without being asked for.
        follows: bool,
        /// Whether changes in the cluster are undone.
        heals: bool,
        /// How long is waited between attempts.
        backoff: Backoff,
    },
    /// A person says that it is to be synchronised.
    Ordered,
    /// An object of it, or one that it depends on, has changed in the cluster.
    Changed,
    /// How it stands is not known any more.
    Stale,
    /// It is being compared.
    Looking,
    /// It was compared.
    Looked {
        /// Whether it differs.
        differs: bool,
    },
    /// A sync has begun.
    Began(Because),
    /// The sync under way was broken off.
    Stopped,
    /// The cluster did not answer: nothing was compared, and no sync has begun.
    Away {
        /// When.
        at: Timestamp,
    },
    /// A sync has ended.
    Ended {
        /// Whether it failed.
        failed: bool,
        /// When.
        at: Timestamp,
    },
}

/// What is known of an application from before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Before {
    /// The revision that was tried last, whether it failed, and when.
    pub tried: Option<(String, bool, Timestamp)>,
    /// Whether a sync was broken off, or one that was ordered had not begun.
    pub unfinished: bool,
}

/// An application that is kept.
#[derive(Debug, Clone)]
pub struct Keep {
    follows: bool,
    heals: bool,
    backoff: Backoff,
    wanted: String,
    begun: Option<(String, Because)>,
    tried: Option<Tried>,
    /// The revision that was looked at last.
    looked: Option<String>,
    ordered: bool,
    resumes: bool,
    changed: bool,
    stale: bool,
    differs: bool,
    /// How often in a row changes were undone, or failures tried again.
    again: u32,
    /// How often in a row the cluster did not answer, and when last.
    away: Option<(u32, Timestamp)>,
}

#[derive(Debug, Clone)]
struct Tried {
    revision: String,
    failed: bool,
    at: Timestamp,
}

impl Keep {
    /// An application that wants this, and follows Git. `heals` says whether changes in the cluster are undone.
    pub fn new(revision: impl Into<String>, heals: bool, backoff: Backoff) -> Self {
        Self {
            follows: true,
            heals,
            backoff,
            wanted: revision.into(),
            begun: None,
            tried: None,
            looked: None,
            ordered: false,
            resumes: false,
            changed: false,
            stale: false,
            differs: false,
            again: 0,
            away: None,
        }
    }

    /// The same with what is known of it from before: how it stands is looked at first.
    #[must_use]
    pub fn after(mut self, before: Before) -> Self {
        self.resumes = before.unfinished;
        if let Some((revision, failed, at)) = before.tried {
            self.again = u32::from(failed);
            self.tried = Some(Tried { revision, failed, at });
            self.stale = true;
        }
        self
    }

    /// What to do next.
    pub fn decide(&self, now: Timestamp) -> Step {
        if let Some((begun, _)) = &self.begun {
            let is_old = self.follows && *begun != self.wanted;
            return if is_old || self.ordered { Step::Stop } else { Step::Rest };
        }
        let step = self.next(now);
        match (&step, self.away) {
            (Step::Sync { .. } | Step::Look, Some((times, at))) => {
                let pause = AWAY_FIRST.saturating_mul(1 << times.min(5)).min(AWAY_MOST);
                let next = at.checked_add(pause).unwrap_or(Timestamp::MAX);
                if now >= next { step } else { Step::WaitUntil(next) }
            }
            (Step::Sync { .. } | Step::Look | Step::Stop | Step::WaitUntil(_) | Step::Rest, _) => step,
        }
    }

    fn next(&self, now: Timestamp) -> Step {
        if self.ordered {
            return Step::Sync { hooks: true, because: Because::Order };
        }
        if self.resumes {
            return Step::Sync { hooks: true, because: Because::Resumed };
        }
        let is_unseen = self.changed || self.stale;
        let Some(tried) = self.tried.as_ref().filter(|tried| tried.revision == self.wanted) else {
            let is_new = self.looked.as_ref() != Some(&self.wanted);
            return match (self.follows, is_unseen || is_new) {
                (true, _) => Step::Sync { hooks: true, because: Because::Revision },
                (false, true) => Step::Look,
                (false, false) => Step::Rest,
            };
        };
        let due = |hooks, because| {
            let pause = if self.again == 0 { SignedDuration::ZERO } else { self.backoff.after(self.again) };
            let at = tried.at.checked_add(pause).unwrap_or(Timestamp::MAX);
            if now >= at { Step::Sync { hooks, because } } else { Step::WaitUntil(at) }
        };
        if tried.failed && self.changed && self.follows {
            return due(true, Because::Changed);
        }
        if is_unseen {
            return Step::Look;
        }
        if !tried.failed && self.differs && self.heals { due(false, Because::Drift) } else { Step::Rest }
    }

    /// Takes in what has happened.
    pub fn take(&mut self, fact: Fact) {
        match fact {
            Fact::Wanted { revision, follows, heals, backoff } => {
                (self.follows, self.heals, self.backoff) = (follows, heals, backoff);
                if revision != self.wanted {
                    (self.wanted, self.again, self.differs) = (revision, 0, false);
                }
            }
            Fact::Ordered => self.ordered = true,
            Fact::Changed => self.changed = true,
            Fact::Stale => self.stale = true,
            Fact::Looking => {
                (self.changed, self.stale) = (false, false);
                self.looked = Some(self.wanted.clone());
            }
            Fact::Looked { differs } => (self.differs, self.away) = (differs, None),
            Fact::Began(because) => {
                self.begun = Some((self.wanted.clone(), because));
                (self.changed, self.stale, self.differs) = (false, false, false);
                (self.ordered, self.resumes) = (false, false);
            }
            Fact::Stopped => {
                // What is there now is neither what was tried before nor what had begun.
                (self.begun, self.tried) = (None, None);
                self.stale = true;
            }
            Fact::Away { at } => {
                self.away = Some((self.away.map_or(0, |(times, _)| times.saturating_add(1)), at));
                match self.begun.take().map(|(_, because)| because) {
                    None => self.stale = true,
                    Some(Because::Revision) => {}
                    Some(Because::Changed) => self.changed = true,
                    Some(Because::Drift) => self.differs = true,
                    Some(Because::Order) => self.ordered = true,
                    Some(Because::Resumed) => self.resumes = true,
                }
            }
            Fact::Ended { failed, at } => self.end(failed, at),
        }
    }

    fn end(&mut self, failed: bool, at: Timestamp) {
        let revision = self.begun.take().map_or_else(|| self.wanted.clone(), |(revision, _)| revision);
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
        (self.differs, self.away) = (false, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    const NEW: Step = Step::Sync { hooks: true, because: Because::Revision };

    fn wanted(revision: &str, follows: bool) -> Fact {
        Fact::Wanted { revision: revision.into(), follows, heals: true, backoff: Backoff::default() }
    }

    fn kept(heals: bool, failed: bool) -> Keep {
        let mut keep = Keep::new("1", heals, Backoff::default());
        assert_eq!(keep.decide(at(0)), NEW);
        keep.take(Fact::Began(Because::Revision));
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
            assert_eq!(keep.decide(at(now)), Step::Sync { hooks: false, because: Because::Drift });
            pauses.push(now - begun);
            keep.take(Fact::Began(Because::Revision));
            keep.take(Fact::Ended { failed: false, at: at(now) });
        }
        assert_eq!(pauses, [0, 5, 10, 20, 40, 80, 160, 180]);
        // After a calm time it is at once again, almost.
        now += 1_000;
        keep.take(Fact::Looked { differs: true });
        assert_eq!(keep.decide(at(now)), Step::Sync { hooks: false, because: Because::Drift });
        keep.take(Fact::Began(Because::Revision));
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
        assert_eq!(keep.decide(at(6)), Step::Sync { hooks: true, because: Because::Changed });
        keep.take(Fact::Began(Because::Revision));
        keep.take(Fact::Ended { failed: true, at: at(7) });
        assert_eq!(keep.decide(at(7_000)), Step::Rest);
        keep.take(wanted("1", true));
        assert_eq!(keep.decide(at(7_000)), Step::Rest);
        keep.take(wanted("2", true));
        assert_eq!(keep.decide(at(7)), NEW);
    }

    #[test]
    fn what_is_newer_breaks_off_what_is_under_way() {
        let mut keep = Keep::new("1", true, Backoff::default());
        keep.take(Fact::Began(Because::Revision));
        keep.take(Fact::Changed);
        assert_eq!(keep.decide(at(0)), Step::Rest);
        keep.take(wanted("2", true));
        assert_eq!(keep.decide(at(0)), Step::Stop);
        keep.take(Fact::Stopped);
        assert_eq!(keep.decide(at(0)), NEW);
        // Also if what is wanted is what was there before.
        keep.take(Fact::Began(Because::Revision));
        keep.take(Fact::Ended { failed: false, at: at(1) });
        keep.take(wanted("other", true));
        keep.take(Fact::Began(Because::Revision));
        keep.take(wanted("2", true));
        assert_eq!(keep.decide(at(1)), Step::Stop);
        keep.take(Fact::Stopped);
        assert_eq!(keep.decide(at(1)), NEW);
        // It may have ended before it could be broken off.
        keep.take(Fact::Began(Because::Revision));
        keep.take(Fact::Ended { failed: false, at: at(1) });
        keep.take(wanted("3", true));
        assert_eq!(keep.decide(at(1)), NEW);
    }

    #[test]
    fn what_does_not_follow_is_synchronised_by_order_alone() {
        let mut keep = Keep::new("1", false, Backoff::default());
        keep.take(wanted("1", false));
        for revision in ["1", "2"] {
            keep.take(wanted(revision, false));
            assert_eq!(keep.decide(at(0)), Step::Look);
            keep.take(Fact::Looking);
            keep.take(Fact::Looked { differs: true });
            assert_eq!(keep.decide(at(0)), Step::Rest);
        }
        keep.take(Fact::Ordered);
        assert_eq!(keep.decide(at(0)), Step::Sync { hooks: true, because: Because::Order });
        keep.take(Fact::Began(Because::Revision));
        keep.take(wanted("3", false));
        assert_eq!(keep.decide(at(0)), Step::Rest);
        keep.take(Fact::Ordered);
        assert_eq!(keep.decide(at(0)), Step::Stop);
        keep.take(Fact::Stopped);
        keep.take(Fact::Began(Because::Revision));
        keep.take(Fact::Ended { failed: true, at: at(1) });
        keep.take(Fact::Changed);
        assert_eq!(keep.decide(at(1)), Step::Look);
    }

    #[test]
    fn a_restart_tries_nothing_again_that_was_tried() {
        for failed in [true, false] {
            let before = Before { tried: Some(("1".into(), failed, at(0))), unfinished: false };
            let mut keep = Keep::new("1", true, Backoff::default()).after(before.clone());
            assert_eq!(keep.decide(at(100)), Step::Look);
            keep.take(Fact::Looking);
            keep.take(Fact::Looked { differs: failed });
            assert_eq!(keep.decide(at(100)), Step::Rest);
            assert_eq!(Keep::new("2", true, Backoff::default()).after(before).decide(at(100)), NEW);
        }
        let broken_off = Before { unfinished: true, ..Before::default() };
        let keep = Keep::new("1", true, Backoff::default()).after(broken_off);
        assert_eq!(keep.decide(at(0)), Step::Sync { hooks: true, because: Because::Resumed });
    }

    #[test]
    fn a_cluster_that_does_not_answer_is_asked_less_and_less() {
        let mut keep = Keep::new("1", true, Backoff::default());
        let mut now = 0;
        let mut pauses = Vec::new();
        for _ in 0..7 {
            keep.take(Fact::Began(Because::Revision));
            keep.take(Fact::Away { at: at(now) });
            let Step::WaitUntil(next) = keep.decide(at(now)) else { panic!("it is asked at once") };
            pauses.push(next.as_second() - at(now).as_second());
            now = next.as_second() - at(0).as_second();
            assert_eq!(keep.decide(at(now)), NEW);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        keep.take(Fact::Began(Because::Revision));
        keep.take(Fact::Ended { failed: false, at: at(now) });
        assert_eq!(keep.decide(at(now)), Step::Rest);
        // An order is not forgotten over it.
        keep.take(Fact::Ordered);
        keep.take(Fact::Began(Because::Order));
        keep.take(Fact::Away { at: at(now) });
        assert_eq!(keep.decide(at(now + 1)), Step::Sync { hooks: true, because: Because::Order });
    }
}
