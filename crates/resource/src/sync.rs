//! A sync of one application from its beginning to its end: what to do next, from what has come of it so far.
//!
//! [`Run::decide`] is asked until it says that the sync has ended; whoever carries out what it says tells it what came of
//! that. What Git names no longer is deleted once all that it names is healthy, before the hooks that come last.
//! Invariant: the same answers at the same times lead to the same end; nothing is asked for twice within one attempt.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::annotations::Phase;
use crate::health::Status;
use crate::object::Identity;
use crate::order::{Decision, Outcome, Plan, Seen, Task};

/// How long is waited before another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Before the second attempt.
    pub first: SignedDuration,
    /// By how much each is longer than the one before.
    pub factor: u32,
    /// At most.
    pub most: SignedDuration,
}

impl Default for Backoff {
    /// Source: Argo CD's documentation, `spec.syncPolicy.retry`.
    fn default() -> Self {
        Self { first: SignedDuration::from_secs(5), factor: 2, most: SignedDuration::from_mins(3) }
    }
}

impl Backoff {
    /// How long is waited after so many attempts.
    pub fn after(&self, attempts: u32) -> SignedDuration {
        let factor = i32::try_from(self.factor.saturating_pow(attempts.saturating_sub(1))).unwrap_or(i32::MAX);
        self.first.checked_mul(factor).unwrap_or(self.most).min(self.most)
    }
}

/// How often a sync is tried, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// How often it is tried again after a failure; `None` for as long as there is time.
    pub again: Option<u32>,
    /// How long is waited in between.
    pub backoff: Backoff,
    /// How long the sync may take in all.
    pub timeout: SignedDuration,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Action {
    /// All that will be applied is to be tried without effect.
    Try,
    /// These are to be applied, in this order.
    Apply(Vec<Task>),
    /// The health of these is to be asked for again, in a while.
    Look(Vec<(Identity, Phase)>),
    /// What Git names no longer is to be deleted.
    Prune,
    /// These hooks are to be deleted.
    Clean(Vec<Identity>),
    /// The attempt has failed. At this time the next one begins.
    WaitUntil(Timestamp),
    /// What is there is to be looked at anew, for another attempt.
    Restart,
    /// It is over.
    End(Ending),
}

/// How a sync ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Ending {
    /// Everything is as it should be, and healthy.
    Done,
    /// These failed.
    Failed(Vec<(Identity, String)>),
    /// These were not healthy in time.
    Late(Vec<(Identity, Status)>),
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The try found these reasons against applying.
    Tried(Vec<(Identity, String)>),
    /// An object was applied, or looked at.
    Came(Identity, Phase, Outcome),
    /// What is no longer named was deleted, save for these.
    Pruned(Vec<(Identity, String)>),
    /// The hooks were deleted.
    Cleaned,
    /// The attempt was given up at this time.
    GaveUp(Timestamp),
    /// Another attempt begins.
    Restarted,
}

/// A sync under way.
#[derive(Debug, Clone)]
pub struct Run {
    plan: Plan,
    attempts: Attempts,
    begun: Timestamp,
    attempt: u32,
    seen: Seen,
    tried: Option<Vec<(Identity, String)>>,
    pruned: Option<Vec<(Identity, String)>>,
    cleaned: bool,
    gave_up: Option<Timestamp>,
}

impl Run {
    /// A sync that begins now.
    pub fn new(plan: Plan, attempts: Attempts, now: Timestamp) -> Self {
        Self {
            plan,
            attempts,
            begun: now,
            attempt: 1,
            seen: Seen::default(),
            tried: None,
            pruned: None,
            cleaned: false,
            gave_up: None,
        }
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// What is applied, in order.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Whether there is no time left.
    pub fn is_late(&self, now: Timestamp) -> bool {
        now.duration_since(self.begun) >= self.attempts.timeout
    }

    /// What to do next.
    pub fn decide(&self, now: Timestamp) -> Action {
        if let Some(at) = self.gave_up {
            let next = at.checked_add(self.attempts.backoff.after(self.attempt)).unwrap_or(Timestamp::MAX);
            return if now >= next { Action::Restart } else { Action::WaitUntil(next) };
        }
        match &self.tried {
            None => return Action::Try,
            Some(against) if !against.is_empty() => return self.failed(against.clone(), now),
            Some(_) => {}
        }
        match self.plan.decide(&self.seen) {
            Decision::Apply(tasks) => {
                if !tasks.iter().any(|task| task.phase == Phase::PostSync) {
                    return Action::Apply(tasks);
                }
                match &self.pruned {
                    None => Action::Prune,
                    // What comes last relies on what is gone.
                    Some(failed) if !failed.is_empty() => {
                        let clean = self.clean_first(self.plan.clean(&self.seen));
                        clean.unwrap_or_else(|| self.failed(failed.clone(), now))
                    }
                    Some(_) => Action::Apply(tasks),
                }
            }
            Decision::Wait { on, .. } if self.is_late(now) => Action::End(Ending::Late(on)),
            Decision::Wait { phase, on, .. } => {
                Action::Look(on.into_iter().map(|(identity, _)| (identity, phase)).collect())
            }
            Decision::Done { clean } => {
                if self.pruned.is_none() {
                    return Action::Prune;
                }
                if let Some(clean) = self.clean_first(clean) {
                    return clean;
                }
                match &self.pruned {
                    Some(failed) if !failed.is_empty() => self.failed(failed.clone(), now),
                    Some(_) | None => Action::End(Ending::Done),
                }
            }
            Decision::Failed { why, clean } => self.clean_first(clean).unwrap_or_else(|| self.failed(why, now)),
            // A run is of one revision, and is told of no other.
            Decision::Superseded(_) => Action::End(Ending::Failed(Vec::new())),
        }
    }

    fn clean_first(&self, clean: Vec<Identity>) -> Option<Action> {
        (!self.cleaned && !clean.is_empty()).then_some(Action::Clean(clean))
    }

    /// What is done after a failure: another attempt where there is one left, and time for it.
    fn failed(&self, why: Vec<(Identity, String)>, now: Timestamp) -> Action {
        let left = self.attempts.again.is_none_or(|again| self.attempt <= again);
        let next = now.checked_add(self.attempts.backoff.after(self.attempt)).unwrap_or(Timestamp::MAX);
        if left && !self.is_late(next) { Action::WaitUntil(next) } else { Action::End(Ending::Failed(why)) }
    }

    /// Takes in what came of an action.
    pub fn take(&mut self, event: Event) {
        match event {
            Event::Tried(against) => self.tried = Some(against),
            Event::Came(identity, phase, outcome) => {
                self.seen.outcomes.insert((identity, phase), outcome);
            }
            Event::Pruned(failed) => self.pruned = Some(failed),
            Event::Cleaned => self.cleaned = true,
            Event::GaveUp(at) => self.gave_up = self.gave_up.or(Some(at)),
            Event::Restarted => {
                self.attempt = self.attempt.saturating_add(1);
                self.seen = Seen::default();
                (self.tried, self.pruned, self.cleaned, self.gave_up) = (None, None, false, None);
            }
        }
    }

    /// What came of the tasks so far.
    pub fn outcomes(&self) -> &BTreeMap<(Identity, Phase), Outcome> {
        &self.seen.outcomes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Object;
    use serde_json::json;

    fn object(name: &str, annotations: &serde_json::Value) -> Object {
        let value =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "annotations": annotations}});
        Object::new(value, "shop").unwrap()
    }

    fn attempts(again: u32) -> Attempts {
        Attempts { again: Some(again), backoff: Backoff::default(), timeout: SignedDuration::from_mins(5) }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    /// Carries a run to its end in a world where objects fail as they are named, and says what was done.
    fn played(objects: &[Object], again: u32, fails: &[&str]) -> (Vec<String>, Ending) {
        let mut run = Run::new(Plan::new("1", objects).unwrap(), attempts(again), at(0));
        let (mut said, mut now) = (Vec::new(), at(0));
        for _ in 0..200 {
            match run.decide(now) {
                Action::Try => run.take(Event::Tried(Vec::new())),
                Action::Apply(tasks) => {
                    for task in tasks {
                        said.push(format!("apply {}", task.identity.name));
                        let failed = fails.contains(&task.identity.name.as_str());
                        let outcome =
                            if failed { Outcome::Failed("no".into()) } else { Outcome::Applied(Status::Progressing) };
                        run.take(Event::Came(task.identity, task.phase, outcome));
                    }
                }
                Action::Look(on) => {
                    for (identity, phase) in on {
                        run.take(Event::Came(identity, phase, Outcome::Applied(Status::Healthy)));
                    }
                }
                Action::Prune => {
                    said.push("prune".into());
                    run.take(Event::Pruned(Vec::new()));
                }
                Action::Clean(hooks) => {
                    said.push(format!("clean {}", hooks.len()));
                    run.take(Event::Cleaned);
                }
                Action::WaitUntil(next) => {
                    said.push(format!("wait {}", next.duration_since(now).as_secs()));
                    run.take(Event::GaveUp(now));
                    now = next;
                }
                Action::Restart => run.take(Event::Restarted),
                Action::End(ending) => return (said, ending),
            }
        }
        panic!("it does not end: {said:?}");
    }

    #[test]
    fn hooks_that_come_last_wait_for_what_could_not_be_deleted() {
        let last = object("after", &json!({"argocd.argoproj.io/hook": "PostSync"}));
        let mut run = Run::new(Plan::new("r", [&last]).unwrap(), attempts(0), at(0));
        run.take(Event::Tried(Vec::new()));
        assert_eq!(run.decide(at(0)), Action::Prune);
        let held = (object("held", &json!({})).identity, "it is still there".to_owned());
        run.take(Event::Pruned(vec![held.clone()]));
        assert_eq!(run.decide(at(0)), Action::End(Ending::Failed(vec![held])));
    }

    #[test]
    fn what_is_gone_is_pruned_before_the_hooks_that_come_last() {
        let hook =
            json!({"argocd.argoproj.io/hook": "PostSync", "argocd.argoproj.io/hook-delete-policy": "HookSucceeded"});
        let objects = [object("a", &json!({})), object("after", &hook)];
        let (said, ending) = played(&objects, 0, &[]);
        assert_eq!(said, ["apply a", "prune", "apply after", "clean 1"]);
        assert_eq!(ending, Ending::Done);
        assert_eq!(played(&[], 0, &[]).0, ["prune"]);
    }

    #[test]
    fn a_failure_is_tried_again_with_growing_pauses() {
        let fail = json!({"argocd.argoproj.io/hook": "SyncFail"});
        let (said, ending) = played(&[object("a", &json!({})), object("f", &fail)], 2, &["a"]);
        assert_eq!(said, ["apply a", "apply f", "wait 5", "apply a", "apply f", "wait 10", "apply a", "apply f"]);
        assert!(matches!(ending, Ending::Failed(why) if why.len() == 1));
    }

    #[test]
    fn a_refusal_of_the_try_applies_nothing() {
        let objects = [object("a", &json!({}))];
        let mut run = Run::new(Plan::new("1", &objects).unwrap(), attempts(0), at(0));
        run.take(Event::Tried(vec![(objects[0].identity.clone(), "no".into())]));
        assert!(matches!(run.decide(at(1)), Action::End(Ending::Failed(_))));
    }

    #[test]
    fn what_is_not_healthy_in_time_ends_the_sync() {
        let objects = [object("a", &json!({}))];
        let mut run = Run::new(Plan::new("1", &objects).unwrap(), attempts(0), at(0));
        run.take(Event::Tried(Vec::new()));
        let identity = objects[0].identity.clone();
        run.take(Event::Came(identity.clone(), Phase::Sync, Outcome::Applied(Status::Progressing)));
        assert_eq!(run.decide(at(299)), Action::Look(vec![(identity.clone(), Phase::Sync)]));
        assert_eq!(run.decide(at(300)), Action::End(Ending::Late(vec![(identity, Status::Progressing)])));
    }

    #[test]
    fn pauses_are_bounded() {
        let backoff = Backoff::default();
        assert_eq!(backoff.after(1).as_secs(), 5);
        assert_eq!(backoff.after(3).as_secs(), 20);
        assert_eq!(backoff.after(u32::MAX).as_secs(), 180);
    }
}
