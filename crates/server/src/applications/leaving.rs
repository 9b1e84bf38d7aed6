//! Applications that Git names no longer: what they have in the cluster goes where their files said so, and nothing of what others
//! want now. What they wanted is read from a commit that named them, so a restart needs nothing but Git and the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prograde_control::{Clock as _, SystemClock};
use prograde_kubernetes::{Connection, Keeper, Orders, Target, Wish};
use prograde_model::application::{ApplicationId, Applications, Leaving};
use prograde_model::ids::CommitId;

use super::Inner;
use super::reading::{self, Past, Place};
use super::set::Set;
use super::trees::Trees;

/// Which of a set's applications other sets keep, or may keep.
pub(super) enum Elsewhere {
    /// These are kept by others.
    Kept(BTreeSet<String>),
    /// A set of the same repository and cluster has not read this commit yet.
    NotKnown,
}

/// Targets by the names of their applications.
pub(super) type Targets = BTreeMap<String, Arc<Target>>;

impl Set {
    /// Which applications of this set, if it names them no longer, are kept by others.
    pub(super) fn elsewhere(&self, inner: &Inner, connection: &Connection, commit: &CommitId) -> Elsewhere {
        let (repository, own) = (&self.declared.repository, &self.declared);
        let mut kept = BTreeSet::new();
        for other in inner.others(&own.name) {
            let state = other.state();
            let is_here = match &state.address {
                Some(address) => address == connection.address(),
                None => (&other.declared.kubeconfig, &other.declared.context) == (&own.kubeconfig, &own.context),
            };
            if !is_here {
                continue;
            }
            if other.declared.repository == *repository && state.commit.as_ref() != Some(commit) {
                return Elsewhere::NotKnown;
            }
            kept.extend(state.names.into_keys());
        }
        Elsewhere::Kept(kept)
    }

    /// The applications of this set that leave.
    pub(super) fn leaving(&self, known: &Applications) -> BTreeMap<String, Leaving> {
        let own = known.iter().filter(|(of, _)| of.set == self.declared.name);
        own.filter_map(|(of, known)| Some((of.application.clone(), known.leaving.clone()?))).collect()
    }

    /// Lets the keeper delete what leaves. `last` has what applications wanted a moment ago, `others` what is wanted now. What can't
    /// be read any more is told, and nothing of it is deleted.
    pub(super) async fn leave(
        &self,
        inner: &Inner,
        connection: &Arc<Connection>,
        keeper: &mut Keeper,
        mut last: Targets,
        others: &[Arc<Target>],
    ) -> Option<String> {
        let mut leaving = self.recorder.kept.with(|known| self.leaving(known));
        leaving.retain(|name, _| keeper.target(name).is_none_or(|target| !target.leaves));
        let mut wanted: BTreeMap<CommitId, BTreeSet<String>> = BTreeMap::new();
        for (name, left) in leaving.iter().filter(|(name, _)| !last.contains_key(*name)) {
            wanted.entry(left.named_in.clone()).or_default().insert(name.clone());
        }
        let (mut wrong, mut strangers) = (Vec::new(), BTreeSet::new());
        for (commit, names) in wanted {
            let past = self.past(inner, connection, &commit, names.clone()).await;
            let all =
                |past: Past| past.into_iter().map(|(name, target)| Ok((name, target?))).collect::<Result<Targets, _>>();
            match past.and_then(all) {
                Ok(found) => {
                    strangers.extend(names.into_iter().filter(|name| !found.contains_key(name)));
                    last.extend(found);
                }
                Err(why) => wrong.push(format!("{} in {}: {why}", joined(&names), commit.short())),
            }
        }
        // The set was another folder then: nobody took them out of Git.
        let is_kept = |of: &ApplicationId| of.set != self.declared.name || !strangers.contains(&of.application);
        self.recorder.record(|known| known.release(is_kept)).await;
        let others: Vec<&Target> = others.iter().map(|target| &**target).collect();
        let wish = |(name, left): (&String, &Leaving)| {
            let target = Arc::new(last.get(name)?.left_out(left.asks, &others));
            let (follows, origin) = (target.automated, left.commit.as_str().into());
            Some(Wish { target, orders: self.deleting(), follows, origin })
        };
        let wishes: Vec<Wish> = leaving.iter().filter_map(wish).collect();
        if !wishes.is_empty() {
            keeper.add(wishes, &|name| self.recorder.past(name));
        }
        (!wrong.is_empty()).then(|| {
            let way = "name it in Git again, or take the set out of the file of `--applications` to let it go";
            format!("nothing is deleted of what can't be read as it was: {}; {way}", wrong.join("; "))
        })
    }

    /// What applications wanted at a commit, as far as they were there.
    pub(super) async fn past(
        &self,
        inner: &Inner,
        connection: &Arc<Connection>,
        commit: &CommitId,
        names: BTreeSet<String>,
    ) -> Result<Past, String> {
        let known = inner.addresses().await?;
        let place = Place { branches: known.branches, ..self.place() };
        let trees = Trees::new(inner.held.clone(), &place.repository, known.repositories, self.state().read)
            .at(&place.repository, commit.clone());
        let (with, now) = (Arc::clone(connection), SystemClock.now());
        tokio::task::spawn_blocking(move || reading::past(&place, &trees, &with, now, &names))
            .await
            .unwrap_or_else(|error| Err(error.to_string()))
    }

    fn deleting(&self) -> Orders {
        Orders { prune: true, confirmed: false, dry: false, hooks: true, timeout: self.declared.timeout }
    }
}

fn joined(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
