//! What can be seen of the state.

use super::Dispatcher;
use crate::alert::group::{Acknowledgement, Group};
use crate::alert::route::{Route, Routing};
use crate::alert::silence::Silence;
use crate::alert::{Alert, Fingerprint};

impl Dispatcher {
    /// The configuration.
    pub fn routing(&self) -> &Routing {
        &self.routing
    }

    /// The alerts that fire, by fingerprint.
    pub fn firing(&self) -> impl Iterator<Item = (Fingerprint, &Alert)> {
        self.alerts.iter().filter(|(_, known)| known.fires).map(|(fingerprint, known)| (*fingerprint, &known.alert))
    }

    /// An alert that fires, or has ended and is not told of yet.
    pub fn alert(&self, fingerprint: Fingerprint) -> Option<&Alert> {
        self.alerts.get(&fingerprint).map(|known| &known.alert)
    }

    /// The receivers that an alert goes to, in the order of their routes.
    pub fn receivers_of(&self, fingerprint: Fingerprint) -> Vec<&str> {
        let groups = self.alerts.get(&fingerprint).map(|known| known.groups.as_slice()).unwrap_or_default();
        groups.iter().filter_map(|id| Some(self.groups.get(id)?.receiver.as_str())).collect()
    }

    /// All groups, by route and labels.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// Whether there is a group of this key in which something fires.
    pub fn has_firing_group(&self, key: &str) -> bool {
        self.groups_of(key).any(|group| !group.firing.is_empty())
    }

    /// The route that a group is of.
    pub fn route(&self, group: &Group) -> Option<&Route> {
        self.tree.get(group.route).map(|placed| &placed.route)
    }

    /// Who has taken a group on.
    pub fn acknowledgement(&self, key: &str) -> Option<&Acknowledgement> {
        self.acknowledged.get(key)
    }

    /// All silences, those included that are over, by id.
    pub fn silences(&self) -> impl Iterator<Item = &Silence> {
        self.silences.values().map(|watched| &watched.silence)
    }

    /// A silence.
    pub fn silence(&self, id: &str) -> Option<&Silence> {
        self.silences.get(id).map(|watched| &watched.silence)
    }
}
