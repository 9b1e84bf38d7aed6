//! How one object is brought to what Git says.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use prograde_resource::compare::{Change, LAST_APPLIED, predicted};
use prograde_resource::options::SyncOptions;
use prograde_resource::{Drift, Identity, Object, Options, Status, compare};
use serde_json::Value;

use super::{AT_ONCE, LOOK, What, Work, place};
use crate::cluster::{Way, Write};
use crate::kinds::Resource;
use crate::refused::Refused;
use crate::tracking::owner;

/// How often a replacement is tried while others write to the same object.
const REPLACEMENTS: u32 = 4;
/// How long a deleted object may take to be gone.
const GONE_WAIT: Duration = Duration::from_mins(2);

impl Work<'_> {
    fn options(&self, object: &Object) -> SyncOptions {
        // What can't be followed was refused when the application was read.
        self.target.options.of(&object.value).unwrap_or_else(|_| self.target.options.clone())
    }

    /// Asks the server for everything that it would refuse, before anything is changed.
    pub(super) async fn try_all(&self) -> Result<Vec<(Identity, String)>, Refused> {
        let mut against = Vec::new();
        for (identity, other) in &self.standing.shared {
            let fails = self.settled.find(identity).is_some_and(|object| self.options(object).fail_on_shared);
            let message = format!("it belongs to the application `{other}`");
            if fails {
                against.push((identity.clone(), message));
            } else {
                (self.telling)("Taking", format!("{}: {identity}: {message}", self.target.name));
            }
        }
        let mut asked = Vec::new();
        for object in self.settled.desired.values() {
            if self.standing.differs(&object.identity) {
                asked.push(async move { (object, self.try_one(object).await) });
            }
        }
        let answers: Vec<_> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        for (object, answer) in answers {
            match answer {
                Ok(()) => {}
                Err(refused) if refused.is_passing() => return Err(refused),
                Err(refused) => {
                    self.failed(&object.identity, &refused);
                    against.push((object.identity.clone(), refused.to_string()));
                }
            }
        }
        against.sort();
        Ok(against)
    }

    async fn try_one(&self, object: &Object) -> Result<(), Refused> {
        let options = self.options(object);
        let (group, kind) = (&object.identity.group, &object.identity.kind);
        let kinds = self.cluster.kinds(false).await?;
        let Some(resource) = kinds.find(object.api_version(), kind) else {
            let comes = options.skip_missing || self.settled.made.contains(&(group.clone(), kind.clone()));
            let unknown = || Refused::UnknownKind(format!("{kind} of {}", object.api_version()));
            return if comes { Ok(()) } else { Err(unknown()) };
        };
        // What is replaced may be refused as a change; and a namespace that is still to come can't be tried in.
        if options.replace || options.force || self.is_to_come(&object.identity.namespace) {
            return Ok(());
        }
        let value = self.wanted(object, &options);
        let write = Write { way: Way::Apply, object: &value, dry: true, validate: options.validate };
        self.cluster.write(place(resource, &object.identity), write).await.map(|_| ())
    }

    fn is_to_come(&self, namespace: &str) -> bool {
        let is = |identity: &&Identity| {
            identity.group.is_empty() && identity.kind == "Namespace" && identity.name == namespace
        };
        self.settled.desired.keys().find(is).is_some_and(|identity| !self.standing.live.contains_key(identity))
    }

    /// What is sent: what Git says, or with the values that ignored fields have.
    fn wanted(&self, object: &Object, options: &SyncOptions) -> Value {
        match self.standing.live.get(&object.identity).filter(|_| options.respect_ignored) {
            Some(live) => self.target.ignored.respecting(&object.identity, &object.value, &live.value),
            None => object.value.clone(),
        }
    }

    /// Applies an object where it differs, and says how well it is.
    pub(super) async fn apply(&self, identity: &Identity) -> Result<Status, Refused> {
        let Some(object) = self.settled.desired.get(identity) else { return Ok(Status::Healthy) };
        let live = self.standing.live.get(identity);
        if !self.standing.differs(identity)
            && let Some(live) = live
        {
            self.note(identity, What::Unchanged, None, "");
            return Ok(self.healthy(identity, &live.value));
        }
        let resource = self.resource(object).await?;
        let options = self.options(object);
        let written = match self.write(object, &resource, &options).await {
            Err(refused) if options.force && (refused.is(422) || refused.is(409)) => {
                self.remake(object, &resource, &options).await?
            }
            outcome => outcome?,
        };
        let written = self.migrated(object, &resource, written, &options).await?;
        let what = if live.is_some() { What::Changed } else { What::Created };
        (self.telling)(if live.is_some() { "Changed" } else { "Created" }, format!("{}: {identity}", self.target.name));
        self.note(identity, what, None, "");
        Ok(self.healthy(identity, &written))
    }

    async fn write(&self, object: &Object, resource: &Resource, options: &SyncOptions) -> Result<Value, Refused> {
        let place = place(resource, &object.identity);
        let mut value = self.wanted(object, options);
        let apply = Write { way: Way::Apply, object: &value, dry: false, validate: options.validate };
        if !options.replace {
            return self.cluster.write(place, apply).await;
        }
        let mut left = REPLACEMENTS;
        loop {
            let Some(live) = self.cluster.get(place).await? else {
                let apply = Write { way: Way::Apply, object: &value, dry: false, validate: options.validate };
                return self.cluster.write(place, apply).await;
            };
            set_version(&mut value, &live);
            let replace = Write { way: Way::Replace, object: &value, dry: false, validate: options.validate };
            match self.cluster.write(place, replace).await {
                Err(refused) if refused.is(409) && left > 1 => left -= 1,
                outcome => return outcome,
            }
        }
    }

    /// Deletes what can't be changed, and makes it anew.
    async fn remake(&self, object: &Object, resource: &Resource, options: &SyncOptions) -> Result<Value, Refused> {
        let place = place(resource, &object.identity);
        if let Some(live) = self.cluster.get(place).await? {
            self.delete_own(object, resource, live, options).await?;
        }
        let write = Write { way: Way::Apply, object: &object.value, dry: false, validate: options.validate };
        self.cluster.write(place, write).await
    }

    /// Deletes an object that is this application's, and waits until it is gone.
    pub(super) async fn delete_own(
        &self,
        object: &Object,
        resource: &Resource,
        live: Value,
        options: &SyncOptions,
    ) -> Result<(), Refused> {
        let place = place(resource, &object.identity);
        let found = Object::new(live, "").map_err(|why| Refused::Strange(why.to_string()))?;
        if owner(&found) != Some(self.target.name.as_str()) {
            let why = format!("it is in the way, and does not belong to `{}`", self.target.name);
            return Err(Refused::Unusable(why));
        }
        let uid = uid(&found.value).to_owned();
        self.cluster.delete(place, &uid, options.propagation).await?;
        let gone = async {
            loop {
                match self.cluster.get(place).await? {
                    Some(live) if self::uid(&live) == uid => tokio::time::sleep(LOOK).await,
                    Some(_) | None => return Ok(()),
                }
            }
        };
        let late = || Refused::Unusable(format!("it was deleted, and is not gone after {} s", GONE_WAIT.as_secs()));
        tokio::time::timeout(GONE_WAIT, gone).await.unwrap_or_else(|_| Err(late()))
    }

    /// Takes out what `kubectl apply` wrote and Git does not name: server-side apply leaves it, because it is another
    /// manager's.
    async fn migrated(
        &self,
        object: &Object,
        resource: &Resource,
        written: Value,
        options: &SyncOptions,
    ) -> Result<Value, Refused> {
        let has_memory = written.pointer("/metadata/annotations").and_then(|all| all.get(LAST_APPLIED)).is_some();
        if !options.migrate || !has_memory {
            return Ok(written);
        }
        let mut left = compare(&object.value, &written, None, &Options::default());
        left.retain(|one| one.change == Change::Removed);
        if left.is_empty() {
            return Ok(written);
        }
        let mut value = predicted(&written, &left);
        if let Some(annotations) = value.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
            annotations.shift_remove(LAST_APPLIED);
        }
        set_version(&mut value, &written);
        let write = Write { way: Way::Replace, object: &value, dry: false, validate: None };
        self.cluster.write(place(resource, &object.identity), write).await
    }

    /// Whether an object should be there no longer.
    pub(super) fn extra(&self) -> impl Iterator<Item = &Identity> {
        self.standing.drifts.iter().filter(|(_, drift)| *drift == Drift::Extra).map(|(identity, _)| identity)
    }
}

/// Writes into an object which version of it it replaces.
fn set_version(value: &mut Value, live: &Value) {
    let version = live.pointer("/metadata/resourceVersion").cloned();
    if let (Some(metadata), Some(version)) = (value.get_mut("metadata").and_then(Value::as_object_mut), version) {
        metadata.insert("resourceVersion".to_owned(), version);
    }
}

/// The identifier that no other object ever has.
pub(super) fn uid(object: &Value) -> &str {
    object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default()
}
