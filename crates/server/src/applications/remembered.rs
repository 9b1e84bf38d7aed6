//! Applications that can't be read when the server starts: what they wanted before is read from the commit that said so, and kept
//! as it would be if the server had not ended in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prograde_kubernetes::{Connection, Keeper, Wish};
use prograde_model::ids::CommitId;

use super::Inner;
use super::leaving::Elsewhere;
use super::set::Set;

impl Set {
    /// What is wanted of applications that can't be read and are not kept yet, by what was wanted of them before. Each is looked for
    /// once, and again when a base or chart has been fetched: what is not found is told with what keeps it from being read.
    pub(super) async fn remembered(
        &self,
        inner: &Inner,
        connection: &Arc<Connection>,
        keeper: &Keeper,
        names: BTreeSet<String>,
    ) -> Vec<Wish> {
        let names: BTreeSet<String> = {
            let mut state = self.lock();
            let is_new = |name: &String| keeper.target(name).is_none() && state.looked_for.insert(name.clone());
            names.into_iter().filter(is_new).collect()
        };
        let mut wanted: BTreeMap<CommitId, BTreeMap<String, String>> = BTreeMap::new();
        self.recorder.kept.with(|known| {
            for name in names {
                if let Some((commit, revision)) = known.get(&self.recorder.id(&name)).and_then(|known| known.wanted()) {
                    wanted.entry(commit.clone()).or_default().insert(name, revision.to_owned());
                }
            }
        });
        let mut wishes = Vec::new();
        for (commit, names) in wanted {
            let past = self.past(inner, connection, &commit, names.keys().cloned().collect()).await;
            let (origin, at): (Arc<str>, _) = (commit.as_str().into(), commit.short());
            for (name, target) in
                past.unwrap_or_else(|why| names.keys().map(|name| (name.clone(), Err(why.clone()))).collect())
            {
                let set = &self.declared.name;
                match target {
                    // Nobody has ever wanted what that commit says together with what another repository says now.
                    Ok(target) if names.get(&name) != Some(&target.revision) => {
                        tracing::warn!(%set, application = name, "what was wanted at {at} is not known any more");
                    }
                    Ok(target) => {
                        // That another set keeps it is told where it is read.
                        let Ok(target) = self.claimed(inner, connection, &name, Ok(target)) else { continue };
                        tracing::info!(%set, application = name, "kept as it was at {at}");
                        let (orders, follows) = (self.orders(&target), target.automated);
                        wishes.push(Wish { target, orders, follows, origin: Arc::clone(&origin) });
                    }
                    Err(why) => tracing::warn!(%set, application = name, "what was wanted at {at} is not known: {why}"),
                }
            }
        }
        wishes
    }

    /// The applications of this set that files don't name, and may have named if all of them could be read.
    pub(super) fn lost(&self, names: &BTreeMap<String, Option<bool>>, elsewhere: &Elsewhere) -> BTreeSet<String> {
        let Elsewhere::Kept(elsewhere) = elsewhere else { return BTreeSet::new() };
        let is_lost = |name: &String| !names.contains_key(name) && !elsewhere.contains(name);
        self.recorder.kept.with(|known| {
            let own = known.iter().filter(|(of, known)| of.set == self.declared.name && known.leaving.is_none());
            own.map(|(of, _)| of.application.clone()).filter(is_lost).collect()
        })
    }
}
