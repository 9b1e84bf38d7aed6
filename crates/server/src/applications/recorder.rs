//! What a keeper does, as facts in the journal: before a sync begins, after it has ended, and where an application is found to be
//! other than before.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use prograde_control::{Clock as _, SystemClock};
use prograde_kubernetes::{Begin, Order, Past, Refused, Report, Seen, Stopped, Target, What, Witness};
use prograde_model::application::{
    self as model, ApplicationFact, ApplicationId, Applications, Counts, Differing, Field, Health, Held,
};
use prograde_model::ids::SetName;
use prograde_model::stored::Fact as _;
use prograde_resource::keep::Before;
use prograde_resource::sync::Ending;
use prograde_resource::{Drift, Identity, Status};

use crate::records::Kept;

/// How long to wait after a fact could not be recorded.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How many facts are stored at once.
const FACTS_AT_ONCE: usize = 500;
/// How many reasons are told.
const REASONS_MAX: usize = 3;

/// What keeps a set from being kept, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) since: Timestamp,
    pub(super) text: String,
}

/// Records what is done in one set.
pub(super) struct Recorder {
    pub(super) set: SetName,
    pub(super) kept: Arc<Kept<Applications>>,
    /// Whether the cluster answers.
    pub(super) away: Mutex<Option<Trouble>>,
    /// The applications that were let go: what happens to one after that is not recorded.
    pub(super) let_go: Mutex<BTreeSet<String>>,
}

impl Recorder {
    pub(super) fn id(&self, name: &str) -> ApplicationId {
        ApplicationId { set: self.set.clone(), application: name.to_owned() }
    }

    /// Records what is decided on what is known, however long that takes. What is recorded is not decided again.
    pub(super) async fn record(&self, decide: impl Fn(&Applications) -> Vec<ApplicationFact>) {
        loop {
            let some = |known: &Applications| {
                let mut facts = decide(known);
                facts.truncate(FACTS_AT_ONCE);
                Ok::<_, Infallible>(facts)
            };
            match self.kept.record(SystemClock.now(), some).await {
                Ok(facts) => {
                    facts.iter().for_each(log);
                    if facts.len() < FACTS_AT_ONCE {
                        return;
                    }
                }
                Err(error) => {
                    tracing::error!(set = %self.set, "a fact about an application waits: {error}");
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    /// What the journal knows of an application.
    pub(super) fn past(&self, name: &str) -> Past {
        let of = self.id(name);
        self.kept.with(|known| {
            let Some(known) = known.get(&of) else { return Past::default() };
            let order = known.unfinished();
            let began = known.running.as_ref().filter(|_| known.ordered.is_none());
            let tried = known.tried.as_ref();
            // What goes, and waits for a person, is not gone.
            let waits = known.leaving.is_some() && known.held.is_some();
            Past {
                before: Before {
                    tried: tried.map(|tried| (tried.revision.clone(), tried.failure.is_some() || waits, tried.at)),
                    unfinished: order.is_some(),
                },
                order: order
                    .map_or_else(Order::default, |order| Order { prune: order.prune, confirmed: order.confirm_prune }),
                began: began.map(|running| running.began.revision.clone()),
                mark: tried.and_then(|tried| tried.depended_on.clone()),
            }
        })
    }

    /// These are kept no longer.
    pub(super) fn lets_go(&self, names: impl IntoIterator<Item = String>) {
        self.let_go.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
    }

    /// These are kept from now on.
    pub(super) fn keeps<'a>(&self, names: impl IntoIterator<Item = &'a String>) {
        let mut let_go = self.let_go.lock().unwrap_or_else(PoisonError::into_inner);
        if !let_go.is_empty() {
            for name in names {
                let_go.remove(name);
            }
        }
    }

    /// Whether what is done to an application is still recorded: what has gone meanwhile does not come back by that.
    fn is_there(&self, known: &Applications, of: &ApplicationId, leaves: bool) -> bool {
        if leaves {
            return known.get(of).is_some();
        }
        !self.let_go.lock().unwrap_or_else(PoisonError::into_inner).contains(&of.application)
    }

    fn answers(&self) {
        let before = self.away.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(before) = before {
            tracing::info!(set = %self.set, since = %before.since, "the cluster answers again");
        }
    }
}

pub(super) fn log(fact: &ApplicationFact) {
    let (name, payload) = fact.encode();
    tracing::info!("{name} {payload}");
}

#[async_trait]
impl Witness for Recorder {
    fn tells(&self, verb: &'static str, text: String) {
        tracing::debug!(set = %self.set, "{verb} {text}");
    }

    fn away(&self, refused: &Refused) {
        let text = refused.to_string();
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        if away.is_none() {
            tracing::error!(set = %self.set, "{text}");
        }
        let since = away.as_ref().map_or_else(|| SystemClock.now(), |before| before.since);
        *away = Some(Trouble { since, text });
    }

    async fn begins(&self, begin: &Begin) {
        self.answers();
        let Ok(commit) = begin.origin.parse() else { return };
        let fact = model::Began {
            commit,
            revision: begin.revision.clone(),
            hooks: begin.hooks,
            prune: begin.prune,
            confirm_prune: begin.confirmed,
            because: begin.because,
        };
        let of = self.id(&begin.name);
        let is_there = |known: &Applications| self.is_there(known, &of, begin.leaves);
        let facts = || Applications::began(of.clone(), fact.clone());
        self.record(|known| if is_there(known) { facts() } else { Vec::new() }).await;
    }

    async fn ended(&self, begin: &Begin, outcome: &Result<Report, Stopped>, mark: Option<&str>) {
        let ended = ended(begin, outcome, mark);
        self.record(|known| known.ended(&self.id(&begin.name), ended.clone())).await;
    }

    async fn looked(&self, target: &Target, origin: &str, seen: Result<&Seen, &Refused>) {
        let seen = match seen {
            Ok(seen) => seen,
            Err(refused) => {
                tracing::error!(set = %self.set, application = target.name, "it can't be compared: {refused}");
                return;
            }
        };
        self.answers();
        let Ok(commit) = origin.parse() else { return };
        let worst = seen.health.values().copied().max().unwrap_or(Status::Healthy);
        let ailing = seen.health.iter().filter(|(_, status)| **status == worst && worst != Status::Healthy);
        let look = model::Look {
            commit,
            revision: target.revision.clone(),
            differing: seen.drifts.iter().map(differing).collect(),
            health: health(worst),
            ailing: ailing.map(|(identity, _)| identity.to_string()).collect(),
        };
        let of = self.id(&target.name);
        let is_there = |known: &Applications| self.is_there(known, &of, target.leaves);
        self.record(|known| if is_there(known) { known.looked(&of, look.clone()) } else { Vec::new() }).await;
    }
}

fn health(status: Status) -> Health {
    match status {
        Status::Healthy => Health::Healthy,
        Status::Suspended => Health::Suspended,
        Status::Progressing => Health::Progressing,
        Status::Missing => Health::Missing,
        Status::Degraded => Health::Degraded,
        Status::Unknown => Health::Unknown,
    }
}

/// Fields and who wrote them. Their values are not told.
fn differing((identity, drift): &(Identity, Drift)) -> Differing {
    let (what, fields) = match drift {
        Drift::Missing => (model::What::Missing, Vec::new()),
        Drift::Extra => (model::What::Extra, Vec::new()),
        Drift::Changed { differences } => {
            let field = |difference: &prograde_resource::Difference| Field {
                path: difference.path.to_string(),
                by: difference.by.as_ref().map(|by| by.manager.clone()),
                at: difference.by.as_ref().and_then(|by| by.time.parse().ok()),
            };
            (model::What::Changed, differences.iter().map(field).collect())
        }
    };
    Differing { object: identity.to_string(), what, fields }
}

fn ended(begin: &Begin, outcome: &Result<Report, Stopped>, mark: Option<&str>) -> model::Ended {
    let revision = begin.revision.clone();
    let failed = |ending: model::Ending, why: String| Some((ending, why, mark.map(str::to_owned)));
    let report = match outcome {
        Ok(report) => report,
        Err(stopped) => {
            let ending = match stopped {
                Stopped::Refused(refused) if refused.is_passing() => model::Ending::NoAnswer,
                Stopped::Refused(_) => model::Ending::Failed,
                Stopped::Wrong(_) => model::Ending::NotPossible,
            };
            let failure = failed(ending, stopped.to_string());
            return model::Ended { revision, counts: Counts::default(), failure, held: Vec::new() };
        }
    };
    let number = |what: What| report.lines.iter().filter(|line| line.what == what).count() as u64;
    let counts = Counts {
        created: number(What::Created),
        changed: number(What::Changed),
        pruned: number(What::Pruned),
        unchanged: number(What::Unchanged),
        left: report.left.len() as u64,
    };
    let failure = match &report.ending {
        Ending::Done => None,
        Ending::Failed(why) => failed(
            model::Ending::Failed,
            some(why.iter().map(|(identity, why)| format!("{identity}: {why}")).collect()),
        ),
        Ending::Late(on) => failed(
            model::Ending::Late,
            some(on.iter().map(|(identity, status)| format!("{identity} is {status}")).collect()),
        ),
    };
    let all = report.refusal.iter().map(|refusal| Held { object: begin.name.clone(), why: refusal.to_string() });
    let asks = report.asks.iter().map(|(identity, why)| Held { object: identity.to_string(), why: why.to_string() });
    model::Ended { revision, counts, failure, held: all.chain(asks).collect() }
}

/// The first of some reasons.
fn some(mut reasons: Vec<String>) -> String {
    let more = reasons.len().saturating_sub(REASONS_MAX);
    reasons.truncate(REASONS_MAX);
    if more > 0 {
        reasons.push(format!("and {more} more"));
    }
    reasons.join("; ")
}
