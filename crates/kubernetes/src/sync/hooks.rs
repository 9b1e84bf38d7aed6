//! Hooks: made anew in each sync, once in each attempt, and deleted as they say.

use prograde_resource::health::assess;
use prograde_resource::order::Task;
use prograde_resource::{HookDeletion, Identity, Phase, Status};
use serde_json::Value;

use super::{What, Work, place};
use crate::cluster::{Way, Write};
use crate::refused::Refused;
use crate::tracking::{SYNC, annotate};

impl Work<'_> {
    /// What a hook says of the sync that made it: what is wanted, when it began, the attempt and the phase.
    fn mark(&self, task: &Task) -> String {
        let begun = self.begun.as_millisecond();
        format!("{}.{begun}.{}.{:?}", self.target.revision, self.attempt, task.phase)
    }

    /// Makes a hook, unless this attempt has made it, and says how well it is.
    pub(super) async fn apply_hook(&self, task: &Task) -> Result<Status, Refused> {
        let identity = &task.identity;
        let Some(object) = self.settled.hooks.get(identity) else { return Ok(Status::Healthy) };
        let resource = self.resource(object).await?;
        let place = place(&resource, identity);
        let options = self.target.options.of(&object.value).unwrap_or_else(|_| self.target.options.clone());
        let mark = self.mark(task);
        if let Some(live) = self.cluster.get(place).await? {
            if self.is_made(&live, &mark) {
                self.note(identity, What::Created, None, "");
                return Ok(self.healthy(identity, &live));
            }
            if task.deletions.contains(&HookDeletion::BeforeCreation) {
                self.delete_own(object, &resource, live, &options).await?;
            }
        }
        let mut value = object.value.clone();
        annotate(&mut value, SYNC, &mark);
        let write = Write { way: Way::Apply, object: &value, dry: false, validate: options.validate };
        let written = self.cluster.write(place, write).await?;
        let phase = match (self.target.leaves, task.phase) {
            (true, Phase::PreSync) => Phase::PreDelete,
            (true, Phase::PostSync) => Phase::PostDelete,
            (_, phase) => phase,
        };
        (self.telling)("Running", format!("{}: {identity} ({phase:?})", self.target.name));
        self.note(identity, What::Created, None, "");
        Ok(self.healthy(identity, &written))
    }

    /// Whether a hook was made by this attempt, or still runs for the same objects, after a sync that broke off.
    fn is_made(&self, live: &Value, mark: &str) -> bool {
        let made = live.pointer("/metadata/annotations").and_then(|all| all.get(SYNC)).and_then(Value::as_str);
        let Some(made) = made else { return false };
        if made == mark {
            return true;
        }
        let what = |mark: &str| mark.split('.').next().map(str::to_owned);
        let phase = |mark: &str| mark.rsplit('.').next().map(str::to_owned);
        let runs = assess(live, &self.rules, self.clock.now()).status == Status::Progressing;
        let goes = live.pointer("/metadata/deletionTimestamp").is_some();
        runs && !goes && what(made) == what(mark) && phase(made) == phase(mark)
    }

    /// Deletes hooks that have ended. One that can't be deleted is told, and fails nothing: it is deleted before it is made
    /// again.
    pub(super) async fn clean(&self, hooks: &[Identity]) {
        for identity in hooks {
            if let Err(refused) = self.clean_one(identity).await {
                (self.telling)("Left", format!("{}: {identity}: {refused}", self.target.name));
            }
        }
    }

    async fn clean_one(&self, identity: &Identity) -> Result<(), Refused> {
        let Some(object) = self.settled.hooks.get(identity) else { return Ok(()) };
        let resource = self.resource(object).await?;
        let place = place(&resource, identity);
        let Some(live) = self.cluster.get(place).await? else { return Ok(()) };
        let found = prograde_resource::Object::new(live, "").map_err(|why| Refused::Strange(why.to_string()))?;
        if crate::tracking::owner(&found) != Some(self.target.name.as_str()) {
            return Ok(());
        }
        self.cluster.delete(place, super::apply::uid(&found.value), self.target.options.propagation).await?;
        (self.telling)("Deleted", format!("{}: {identity}", self.target.name));
        Ok(())
    }
}
