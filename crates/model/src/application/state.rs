//! How each application stands: the fold of its facts. And which facts follow from what was seen.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::fact::{ApplicationFact, ApplicationId, Because, Counts, Differing, Ending, Health, Held};
use super::{FIELDS_MAX, NAME_BYTES_MAX, OBJECTS_MAX, TEXT_BYTES_MAX};
use crate::ids::{CommitId, SetName};
use crate::stored::Fold;

/// So few applications of a set may leave at once, whatever their share; of more, at most half.
const LEAVING_FREE: usize = 2;
/// How far it is asked who deploys whom.
const GENERATIONS_MAX: usize = 16;
/// What is told of a deletion that failed, before why it did.
const NOT_DELETED: &str = "it is not all deleted; put that right and order its sync again: ";
/// Why what leaves waits for a person.
const TOO_MANY: &str = "Git names more than half of the set's applications no longer, so nothing of it is deleted before a person confirms it";

/// What a person ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Whether what Git names no longer is deleted.
    pub prune: bool,
    /// Whether all of it may go.
    pub confirm_prune: bool,
    /// Who.
    pub by: String,
}

/// A sync that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Began {
    /// The commit that it was read from.
    pub commit: CommitId,
    /// The digest of what is wanted.
    pub revision: String,
    /// Whether hooks are run.
    pub hooks: bool,
    /// Whether what Git names no longer is deleted.
    pub prune: bool,
    /// Whether all of it may go.
    pub confirm_prune: bool,
    /// Why.
    pub because: Because,
}

/// A sync that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The digest of what was wanted.
    pub revision: String,
    /// What was done.
    pub counts: Counts,
    /// How and why it failed, and what it depended on; none where it did not.
    pub failure: Option<(Ending, String, Option<String>)>,
    /// What is not deleted until a person says so.
    pub held: Vec<Held>,
}

/// What a look gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The commit that was compared with.
    pub commit: CommitId,
    /// The digest of what is wanted.
    pub revision: String,
    /// What differs.
    pub differing: Vec<Differing>,
    /// How well it is.
    pub health: Health,
    /// The objects that make it so, unless it is healthy.
    pub ailing: Vec<String>,
}

/// A sync under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// What began.
    pub began: Began,
    /// When.
    pub at: Timestamp,
}

/// A sync that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The digest of what was wanted.
    pub revision: String,
    /// The commit.
    pub commit: Option<CommitId>,
    /// When it ended.
    pub at: Timestamp,
    /// What was done.
    pub counts: Counts,
    /// How and why it failed, if it did.
    pub failure: Option<(Ending, String)>,
    /// What it depended on, where it failed.
    pub depended_on: Option<String>,
}

impl Tried {
    fn has_failed(&self, revision: &str) -> bool {
        self.failure.is_some() && self.revision == revision
    }
}

/// How an application stands against Git.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Nothing is known yet.
    Unknown,
    /// It is as Git says.
    Synced,
    /// It is being synchronised, or will be at once.
    Syncing,
    /// It differs from Git.
    Differs,
    /// Something would be deleted, and waits for a person.
    Held,
    /// The last sync failed.
    Failed,
    /// Git names it no longer, and what it has in the cluster is being deleted.
    Leaving,
    /// What its files say can't be used.
    Unusable,
}

/// An application.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Application {
    /// What was ordered and has not begun.
    pub ordered: Option<(Timestamp, Order)>,
    /// What has begun and not ended.
    pub running: Option<Running>,
    /// The last sync that ended.
    pub tried: Option<Tried>,
    /// Since when it differs, how many objects do, and the first of them.
    pub drift: Option<(Timestamp, u64, Vec<Differing>)>,
    /// The revision and commit with which it was found to be in step, and when.
    pub in_step: Option<(Timestamp, String, Option<CommitId>)>,
    /// Since when objects wait to be deleted, how many, and the first of them.
    pub held: Option<(Timestamp, u64, Vec<Held>)>,
    /// How well it is, since when, and the objects that make it so.
    pub health: Option<(Timestamp, Health, Vec<String>)>,
    /// Since when its files can't be used, and why.
    pub unusable: Option<(Timestamp, String)>,
    /// What its files say about its end, and the commit that said so first; none where nothing goes with it.
    pub deletion: Option<(Timestamp, CommitId, Deletion)>,
    /// What is known of its end, once Git names it no longer.
    pub leaving: Option<Leaving>,
}

/// What an application's files say about its end: what it has in the cluster goes once Git names it no longer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deletion {
    /// The application that deploys it. Where that one is gone too, it has to say the same.
    pub parent: Option<String>,
    /// Whether it goes by a person's order alone, because it does not follow Git by itself.
    pub by_order: bool,
}

/// An application that Git names no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// Since when.
    pub at: Timestamp,
    /// The commit that does not name it.
    pub commit: CommitId,
    /// A commit that names it as it was last.
    pub named_in: CommitId,
    /// Whether a person has to say so first.
    pub asks: bool,
}

impl Application {
    /// How it stands, since when, and why.
    pub fn standing(&self) -> (Standing, Option<Timestamp>, String) {
        let failed = self.tried.as_ref().and_then(|tried| Some((tried.at, tried.failure.as_ref()?)));
        if let Some((at, why)) = &self.unusable {
            (Standing::Unusable, Some(*at), why.clone())
        } else if let Some((at, order)) = &self.ordered {
            (Standing::Syncing, Some(*at), format!("ordered by {}", order.by))
        } else if let Some(running) = &self.running {
            (Standing::Syncing, Some(running.at), String::new())
        } else if let Some((at, (_, why))) = failed {
            let what = if self.leaving.is_some() { NOT_DELETED } else { "" };
            (Standing::Failed, Some(at), [what, why].concat())
        } else if let (Some((at, ..)), Some(Leaving { asks: true, .. })) = (&self.held, &self.leaving) {
            (Standing::Held, Some(*at), TOO_MANY.to_owned())
        } else if let Some((at, _, first)) = &self.held {
            let why = first.first().map(|held| format!("{} would be deleted: {}", held.object, held.why));
            (Standing::Held, Some(*at), why.unwrap_or_default())
        } else if let Some(leaving) = &self.leaving {
            let waits = self.deletion.as_ref().is_some_and(|(_, _, deletion)| deletion.by_order);
            let why = if waits { "it does not follow Git by itself: it goes once a sync is ordered" } else { "" };
            (Standing::Leaving, Some(leaving.at), why.to_owned())
        } else if let Some((at, objects, first)) = &self.drift {
            (Standing::Differs, Some(*at), differs(*objects, first))
        } else if let Some((at, ..)) = &self.in_step {
            (Standing::Synced, Some(*at), String::new())
        } else {
            (Standing::Unknown, None, String::new())
        }
    }

    /// Whether a sync was broken off, or has not begun although it was ordered; and what a person asked for in it.
    pub fn unfinished(&self) -> Option<Order> {
        if let Some((_, order)) = &self.ordered {
            return Some(order.clone());
        }
        let began = &self.running.as_ref()?.began;
        // What undoes a change is decided anew.
        let order = Order { prune: began.prune, confirm_prune: began.confirm_prune, by: String::new() };
        (began.because != Because::Drift).then_some(order)
    }

    fn is_running(&self, revision: &str) -> bool {
        self.running.as_ref().is_some_and(|running| running.began.revision == revision)
    }

    /// What was wanted of it last, where it was tried or found so: a commit that says it, and the revision.
    pub fn wanted(&self) -> Option<(&CommitId, &str)> {
        self.wanted_at().map(|(_, commit, revision)| (commit, revision))
    }

    /// The same, and when that was known first.
    fn wanted_at(&self) -> Option<(&Timestamp, &CommitId, &str)> {
        let in_step = self.in_step.as_ref().and_then(|(at, revision, commit)| Some((at, commit.as_ref()?, revision)));
        let tried = self.tried.as_ref().and_then(|tried| Some((&tried.at, tried.commit.as_ref()?, &tried.revision)));
        let running = self.running.as_ref().map(|Running { began, at }| (at, &began.commit, &began.revision));
        let all = [in_step, tried, running].into_iter().flatten();
        all.max_by_key(|(at, ..)| **at).map(|(at, commit, revision)| (at, commit, revision.as_str()))
    }

    /// The last commit that is known to name it as it is wanted.
    fn named_in(&self) -> Option<&CommitId> {
        let wanted = self.wanted_at().map(|(at, commit, _)| (at, commit));
        let deletion = self.deletion.as_ref().map(|(at, commit, _)| (at, commit));
        [deletion, wanted].into_iter().flatten().max_by_key(|(at, _)| **at).map(|(_, commit)| commit)
    }

    fn end(&mut self, at: Timestamp, revision: &str, counts: Counts, failure: Option<(Ending, String)>) {
        let commit = self.running.take().map(|running| running.began.commit);
        if failure.is_none() {
            let is_new = self.in_step.as_ref().is_none_or(|(_, step, _)| step != revision);
            let had_failed = self.tried.as_ref().is_some_and(|tried| tried.failure.is_some());
            if self.drift.take().is_some() || is_new || had_failed {
                self.in_step = Some((at, revision.to_owned(), commit.clone()));
            }
        }
        self.tried = Some(Tried { revision: revision.to_owned(), commit, at, counts, failure, depended_on: None });
    }
}

fn differs(objects: u64, first: &[Differing]) -> String {
    let Some(one) = first.first() else { return String::new() };
    let more = if objects > 1 { format!(", and {} more", objects - 1) } else { String::new() };
    let by = one.fields.iter().find_map(|field| field.by.as_ref());
    let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
    let field = one.fields.first().map(|field| format!(" {}", field.path)).unwrap_or_default();
    match one.what {
        super::What::Missing => format!("{} is not there{more}", one.object),
        super::What::Extra => format!("{} is in Git no longer{more}", one.object),
        super::What::Changed => format!("{}{field} was changed{by}{more}", one.object),
    }
}

/// All applications that are kept.
#[derive(Debug, Default)]
pub struct Applications(BTreeMap<ApplicationId, Application>);

impl Applications {
    /// One of them.
    pub fn get(&self, of: &ApplicationId) -> Option<&Application> {
        self.0.get(of)
    }

    /// All, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&ApplicationId, &Application)> {
        self.0.iter()
    }

    /// A person orders a sync.
    pub fn order(of: ApplicationId, order: Order) -> Vec<ApplicationFact> {
        let Order { prune, confirm_prune, by } = order;
        vec![ApplicationFact::SyncOrdered { of, prune: prune || confirm_prune, confirm_prune, by }]
    }

    /// A sync begins.
    pub fn began(of: ApplicationId, began: Began) -> Vec<ApplicationFact> {
        let Began { commit, revision, hooks, prune, confirm_prune, because } = began;
        vec![ApplicationFact::SyncStarted { of, commit, revision, hooks, prune, confirm_prune, because }]
    }

    /// A sync has ended. What leaves, and has nothing that waits for a person, is gone; and what was let go meanwhile stays so.
    pub fn ended(&self, of: &ApplicationId, ended: Ended) -> Vec<ApplicationFact> {
        let Some(known) = self.get(of) else { return Vec::new() };
        let Ended { revision, counts, failure, held } = ended;
        let mut facts = Vec::new();
        if let Some((ending, why, depended_on)) = failure {
            let (of, why) = (of.clone(), short(&why));
            facts.push(ApplicationFact::SyncFailed { of, revision, ending, why, counts, depended_on });
            return facts;
        }
        facts.push(ApplicationFact::Synced { of: of.clone(), revision: revision.clone(), counts });
        if !held.is_empty() {
            let short = |one: Held| Held { object: name(&one.object), why: short(&one.why) };
            let (objects, first) = (count(held.len()), held.into_iter().take(OBJECTS_MAX).map(short).collect());
            facts.push(ApplicationFact::PruneHeld { of: of.clone(), revision, objects, first });
        } else if known.leaving.is_some() && known.is_running(&revision) {
            facts.push(ApplicationFact::Deleted { of: of.clone() });
        }
        facts
    }

    /// An application was compared with the cluster.
    pub fn looked(&self, of: &ApplicationId, look: Look) -> Vec<ApplicationFact> {
        let Look { commit, revision, mut differing, health, ailing } = look;
        let empty = Application::default();
        let known = self.get(of).unwrap_or(&empty);
        let mut facts = Vec::new();
        if known.leaving.is_some() {
            // How well it is does not matter any more.
            let has_failed = known.tried.as_ref().is_some_and(|tried| tried.has_failed(&revision));
            if !has_failed && known.held.is_none() && differing.is_empty() {
                facts.push(ApplicationFact::Deleted { of: of.clone() });
            }
            return facts;
        }
        if differing.is_empty() {
            let is_known = known.in_step.as_ref().is_some_and(|(_, step, _)| *step == revision);
            if known.drift.is_some() || !is_known {
                facts.push(ApplicationFact::InStep { of: of.clone(), commit, revision });
            }
        } else {
            let objects = count(differing.len());
            differing.truncate(OBJECTS_MAX);
            for one in &mut differing {
                one.object = name(&one.object);
                one.fields.truncate(FIELDS_MAX);
                for field in &mut one.fields {
                    field.path = name(&field.path);
                    field.by = field.by.as_deref().map(name);
                }
            }
            let before = known.drift.as_ref();
            if before.is_none_or(|(_, all, first)| *all != objects || *first != differing) {
                facts.push(ApplicationFact::Drifted { of: of.clone(), commit, revision, objects, first: differing });
            }
        }
        if known.health.as_ref().is_none_or(|(_, before, _)| *before != health) {
            let first = ailing.iter().take(OBJECTS_MAX).map(|one| name(one)).collect();
            facts.push(ApplicationFact::HealthChanged { of: of.clone(), health, first });
        }
        facts
    }

    /// Files name it: what they say about its end, or why they can't be used.
    pub fn read(
        &self,
        of: &ApplicationId,
        commit: &CommitId,
        read: Result<Option<&Deletion>, &str>,
    ) -> Vec<ApplicationFact> {
        let empty = Application::default();
        let known = self.get(of).unwrap_or(&empty);
        let mut facts = Vec::new();
        let (of, commit) = (|| of.clone(), || commit.clone());
        if known.leaving.is_some() {
            facts.push(ApplicationFact::Returned { of: of(), commit: commit() });
        }
        match read {
            Err(why) => {
                let why = short(why);
                if known.unusable.as_ref().is_none_or(|(_, before)| *before != why) {
                    facts.push(ApplicationFact::Unusable { of: of(), commit: commit(), why });
                }
            }
            Ok(deletion) => {
                if known.unusable.is_some() {
                    facts.push(ApplicationFact::Usable { of: of(), commit: commit() });
                }
                if known.deletion.as_ref().map(|(_, _, before)| before) != deletion {
                    let deletes = deletion.is_some();
                    let Deletion { parent, by_order } = deletion.cloned().unwrap_or_default();
                    let (of, commit) = (of(), commit());
                    facts.push(ApplicationFact::DeletionSet { of, commit, deletes, by_order, parent });
                }
            }
        }
        facts
    }

    /// Of a set's applications the files of a commit name these, and no others. Where files said so, what the others have in the
    /// cluster goes, if not too many leave at once; and the rest is let go. `is_elsewhere` says which ones another set keeps now.
    pub fn gone(
        &self,
        set: &SetName,
        commit: &CommitId,
        is_named: &dyn Fn(&str) -> bool,
        is_elsewhere: &dyn Fn(&str) -> bool,
    ) -> Vec<ApplicationFact> {
        let own = || self.0.iter().filter(|(of, _)| of.set == *set);
        let goes = |of: &ApplicationId| !is_elsewhere(&of.application) && self.goes(of, is_named, GENERATIONS_MAX);
        let (mut all, mut leaving) = (0_usize, 0_usize);
        for (of, known) in own().filter(|(_, known)| known.deletion.is_some()) {
            all += 1;
            let is_new = known.leaving.as_ref().is_none_or(|leaving| leaving.commit == *commit);
            leaving += usize::from(is_new && !is_named(&of.application) && goes(of));
        }
        let asks = leaving > LEAVING_FREE && leaving * 2 > all;
        let fact = |(of, known): (&ApplicationId, &Application)| {
            if is_named(&of.application) {
                return None;
            }
            if known.leaving.is_some() {
                return is_elsewhere(&of.application).then(|| ApplicationFact::Released { of: of.clone() });
            }
            let (of, named_in) = (of.clone(), known.named_in().filter(|_| goes(of)).cloned());
            Some(match named_in {
                Some(named_in) => ApplicationFact::Leaving { of, commit: commit.clone(), named_in, asks },
                None => ApplicationFact::Released { of },
            })
        };
        own().filter_map(fact).collect()
    }

    /// Whether what an application has in the cluster goes with it: its files said so, and those of the application that deploys
    /// it, unless that one is there still.
    fn goes(&self, of: &ApplicationId, is_named: &dyn Fn(&str) -> bool, generations: usize) -> bool {
        let Some((_, _, deletion)) = self.get(of).and_then(|known| known.deletion.as_ref()) else { return false };
        let Some(parent) = &deletion.parent else { return true };
        let above = ApplicationId { set: of.set.clone(), application: parent.clone() };
        is_named(parent) || (generations > 0 && self.goes(&above, is_named, generations - 1))
    }

    /// Those that are kept are these: the others are let go.
    pub fn release(&self, is_kept: impl Fn(&ApplicationId) -> bool) -> Vec<ApplicationFact> {
        let gone = self.0.keys().filter(|of| !is_kept(of));
        gone.map(|of| ApplicationFact::Released { of: of.clone() }).collect()
    }
}

fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}

/// A text as facts hold it.
fn short(text: &str) -> String {
    cut(text, TEXT_BYTES_MAX)
}

/// A name as facts hold it.
fn name(text: &str) -> String {
    cut(text, NAME_BYTES_MAX)
}

fn cut(text: &str, most: usize) -> String {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

impl Fold for Applications {
    type Fact = ApplicationFact;

    fn apply(&mut self, fact: &ApplicationFact, at: Timestamp) {
        if let ApplicationFact::Released { of } | ApplicationFact::Deleted { of } = fact {
            self.0.remove(of);
            return;
        }
        let known = self.0.entry(fact.of().clone()).or_default();
        match fact {
            ApplicationFact::SyncOrdered { prune, confirm_prune, by, .. } => {
                let order = Order { prune: *prune, confirm_prune: *confirm_prune, by: by.clone() };
                known.ordered = Some((at, order));
            }
            ApplicationFact::SyncStarted { commit, revision, hooks, prune, confirm_prune, because, .. } => {
                let (commit, revision, because) = (commit.clone(), revision.clone(), *because);
                let (hooks, prune, confirm_prune) = (*hooks, *prune, *confirm_prune);
                let began = Began { commit, revision, hooks, prune, confirm_prune, because };
                known.running = Some(Running { began, at });
                if matches!(because, Because::Order | Because::Resumed) {
                    known.ordered = None;
                }
            }
            ApplicationFact::Synced { revision, counts, .. } => {
                known.end(at, revision, *counts, None);
                known.held = None;
                if known.health.as_ref().is_none_or(|(_, health, _)| *health != Health::Healthy) {
                    known.health = Some((at, Health::Healthy, Vec::new()));
                }
            }
            ApplicationFact::SyncFailed { revision, ending, why, counts, depended_on, .. } => {
                known.end(at, revision, *counts, Some((*ending, why.clone())));
                if let Some(tried) = &mut known.tried {
                    tried.depended_on.clone_from(depended_on);
                }
            }
            ApplicationFact::Drifted { objects, first, .. } => {
                let since = known.drift.as_ref().map_or(at, |(since, ..)| *since);
                known.drift = Some((since, *objects, first.clone()));
            }
            ApplicationFact::InStep { commit, revision, .. } => {
                known.drift = None;
                known.in_step = Some((at, revision.clone(), Some(commit.clone())));
            }
            ApplicationFact::PruneHeld { objects, first, .. } => {
                known.held = Some((at, *objects, first.clone()));
            }
            ApplicationFact::HealthChanged { health, first, .. } => {
                known.health = Some((at, *health, first.clone()));
            }
            ApplicationFact::Unusable { why, .. } => known.unusable = Some((at, why.clone())),
            ApplicationFact::Usable { .. } => known.unusable = None,
            ApplicationFact::DeletionSet { commit, deletes, by_order, parent, .. } => {
                let deletion = Deletion { parent: parent.clone(), by_order: *by_order };
                known.deletion = deletes.then(|| (at, commit.clone(), deletion));
            }
            ApplicationFact::Leaving { commit, named_in, asks, .. } => {
                let (commit, named_in, asks) = (commit.clone(), named_in.clone(), *asks);
                known.leaving = Some(Leaving { at, commit, named_in, asks });
                (known.unusable, known.held, known.drift) = (None, None, None);
                (known.ordered, known.running) = (None, None);
            }
            ApplicationFact::Returned { .. } => {
                (known.leaving, known.held, known.in_step) = (None, None, None);
                (known.ordered, known.running) = (None, None);
            }
            ApplicationFact::Released { .. } | ApplicationFact::Deleted { .. } => {}
        }
    }
}
