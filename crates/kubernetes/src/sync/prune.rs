//! Deletes what Git names no longer, as far as it may go.

use std::collections::BTreeSet;

use prograde_resource::options::SyncOptions;
use prograde_resource::prune::{Approvals, Guard, Pruning, Reason, Refusal, Rendered, prune};
use prograde_resource::{Identity, Object, Permission};

use super::{What, Work, place};
use crate::refused::Refused;
use crate::tracking::owner;

/// What was not deleted.
#[derive(Debug, Default)]
pub(super) struct Pruned {
    /// What a person has to say yes to.
    pub(super) asks: Vec<(Identity, Reason)>,
    /// Why nothing was deleted.
    pub(super) refusal: Option<Refusal>,
    /// What nobody asked to delete.
    pub(super) left: Vec<Identity>,
}

impl Work<'_> {
    /// Deletes it, and says what failed.
    pub(super) async fn prune(&mut self) -> Result<Vec<(Identity, String)>, Refused> {
        self.pruning = Pruned::default();
        self.take_stock().await?;
        let mut failed = self.unseen().await?;
        let extra: Vec<Identity> = self.extra().cloned().collect();
        if extra.is_empty() {
            return Ok(failed);
        }
        if !self.orders.prune || self.target.options.prune == Permission::Never {
            self.pruning.left = extra;
            return Ok(failed);
        }
        let found = self.plan(&extra);
        // Also what an order that was broken off has deleted.
        let mut going: Vec<Identity> =
            found.kept.into_iter().filter(|(_, why)| *why == Reason::Going).map(|(identity, _)| identity).collect();
        self.pruning = Pruned { asks: found.asks, refusal: found.refusal, left: Vec::new() };
        for identity in found.delete {
            if self.orders.dry {
                self.note(&identity, What::Pruned, None, "");
                continue;
            }
            match self.prune_one(&identity).await {
                Ok(true) => {
                    (self.telling)("Deleted", format!("{}: {identity}", self.target.name));
                    self.note(&identity, What::Pruned, None, "");
                    going.push(identity);
                }
                Ok(false) => {}
                Err(refused) => {
                    self.failed(&identity, &refused);
                    failed.push((identity, refused.to_string()));
                }
            }
        }
        if self.target.leaves && !self.orders.dry {
            failed.extend(self.see_gone(going).await?);
        }
        Ok(failed)
    }

    /// What of this may be deleted, and what is asked for first.
    fn plan(&self, extra: &[Identity]) -> Pruning {
        // The namespace that is made for the application is not what Git names.
        let mut named = self.settled.desired.clone();
        named.retain(|_, object| owner(object).is_some());
        let approvals = Approvals {
            objects: if self.orders.confirmed { extra.iter().cloned().collect() } else { BTreeSet::new() },
            many: self.orders.confirmed || (self.target.allow_empty && named.is_empty()),
        };
        let mut there = self.standing.owned.clone();
        there.retain(|identity, _| !self.target.spares(identity));
        let mut found = prune(Rendered::Objects(&named), &there, Guard::default(), &approvals);
        if self.target.options.prune == Permission::Confirm && !self.orders.confirmed {
            found.asks.extend(found.delete.drain(..).map(|identity| (identity, Reason::Confirm)));
        }
        found
    }

    /// Whether a person has to say yes to something before the application goes.
    pub(super) async fn waits_for_a_person(&mut self) -> Result<bool, Refused> {
        self.take_stock().await?;
        let extra: Vec<Identity> = self.extra().cloned().collect();
        let found = self.plan(&extra);
        self.pruning = Pruned { asks: found.asks, refusal: found.refusal, left: Vec::new() };
        Ok(self.pruning.refusal.is_some() || !self.pruning.asks.is_empty())
    }

    /// What an application that goes may still have, because nobody may look for it.
    async fn unseen(&self) -> Result<Vec<(Identity, String)>, Refused> {
        if !self.target.leaves || self.blind.is_empty() {
            return Ok(Vec::new());
        }
        let kinds = self.cluster.kinds(false).await?;
        let why = |object: &Object| {
            let resource = kinds.find(object.api_version(), &object.identity.kind)?;
            let (_, why) = self.blind.iter().find(|(kind, _)| *kind == resource.plural)?;
            Some((object.identity.clone(), format!("it can't be seen whether it is there: {why}")))
        };
        Ok(self.target.objects.iter().filter_map(why).collect())
    }

    /// Waits until what was deleted is gone, and says what is not in time: whatever comes after it relies on that.
    async fn see_gone(&self, going: Vec<Identity>) -> Result<Vec<(Identity, String)>, Refused> {
        let mut left = going;
        loop {
            let mut there = Vec::new();
            for identity in left {
                let kinds = self.cluster.kinds(false).await?;
                let Some(resource) = kinds.preferred(&identity) else { continue };
                if self.cluster.get(place(resource, &identity)).await?.is_some() {
                    there.push(identity);
                }
            }
            left = there;
            if left.is_empty() || self.clock.now() > self.begun + self.orders.timeout {
                let why = |identity: Identity| {
                    let why = "it was deleted, and is still there: something has to release it first".to_owned();
                    self.note(&identity, What::Failed, None, &why);
                    (identity, why)
                };
                return Ok(left.into_iter().map(why).collect());
            }
            tokio::time::sleep(super::LOOK).await;
        }
    }

    /// Deletes an object that is still there, and still this application's.
    async fn prune_one(&self, identity: &Identity) -> Result<bool, Refused> {
        let kinds = self.cluster.kinds(false).await?;
        let Some(resource) = kinds.preferred(identity) else { return Ok(false) };
        let place = place(resource, identity);
        let Some(live) = self.cluster.get(place).await? else { return Ok(false) };
        let found = Object::new(live, "").map_err(|why| Refused::Strange(why.to_string()))?;
        if owner(&found) != Some(self.target.name.as_str()) {
            return Ok(false);
        }
        let options: SyncOptions = self.target.options.of(&found.value).unwrap_or_else(|_| self.target.options.clone());
        self.cluster.delete(place, super::apply::uid(&found.value), options.propagation).await?;
        Ok(true)
    }
}
