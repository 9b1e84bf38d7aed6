//! What follows at a time.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{Dispatcher, GroupId, later};
use crate::alert::event::{AlertEvent, Told};
use crate::alert::group::{Group, Mutes};
use crate::alert::log::{self, Notification, NotificationKey};
use crate::alert::silence::SilenceState;
use crate::alert::{Alert, Fingerprint, order};
use crate::labels::Labels;

/// The shortest time for which it is remembered what was told, whatever the route says.
const REMEMBERED_MIN: SignedDuration = SignedDuration::from_hours(1);

impl Dispatcher {
    /// The facts that follow now. To be applied and asked for again until there are none.
    pub fn decide(&self, now: Timestamp) -> Vec<AlertEvent> {
        let mut facts = Vec::new();
        let run_out: BTreeSet<Fingerprint> =
            self.ends.iter().take_while(|(end, _)| *end <= now).map(|(_, fingerprint)| *fingerprint).collect();
        if !run_out.is_empty() {
            facts.push(AlertEvent::RanOut { alerts: run_out });
        }
        for watched in self.silences.values() {
            let is_over = watched.silence.state(now) == SilenceState::Expired;
            if !is_over && watched.ends_idle_at().is_some_and(|end| end <= now) {
                facts.push(AlertEvent::SilenceEnded { id: watched.silence.id.clone(), with_alerts: true });
            }
        }
        // Groups are looked at when it is known what fires and what is silenced.
        if !facts.is_empty() {
            return facts;
        }
        for (_, id) in self.due.iter().take_while(|(due, _)| *due <= now) {
            let Some(group) = self.groups.get(id) else { continue };
            let (_, settled) = self.look(id, group, now);
            facts.extend(settled.into_iter().map(AlertEvent::Sent));
            facts.push(AlertEvent::Flushed { route: id.0, labels: id.1.clone() });
        }
        facts
    }

    /// When to decide again, if nothing is applied until then.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let ends = self.ends.first().map(|(end, _)| *end);
        let due = self.due.first().map(|(due, _)| *due);
        let idle = self.silences.values().filter_map(super::Watched::ends_idle_at).min();
        [ends, due, idle].into_iter().flatten().min()
    }

    /// What is to be sent: each until it is applied that it was, or could not be. Whoever sends starts none twice.
    pub fn plan(&self) -> impl Iterator<Item = &Notification> {
        self.outstanding.values()
    }

    /// What keeps an alert quiet.
    pub fn mutes(&self, labels: &Labels, at: Timestamp) -> Mutes {
        let active = self.silences.values().filter(|watched| watched.silence.state(at) == SilenceState::Active);
        let silencing = active.filter(|watched| watched.silence.matches(labels));
        Mutes {
            inhibited_by: self.inhibitor.inhibiting(labels),
            silenced_by: silencing.map(|watched| watched.silence.id.clone()).collect(),
        }
    }

    /// What there is to tell of a group, and what its receivers need not be told but count as told.
    pub(super) fn look(&self, id: &GroupId, group: &Group, at: Timestamp) -> (Vec<Notification>, Vec<Told>) {
        let nothing = (Vec::new(), Vec::new());
        let Some(placed) = self.tree.get(id.0) else { return nothing };
        let Some(receiver) = self.routing.receivers.get(&group.receiver) else { return nothing };
        if receiver.integrations.is_empty() || self.routing.is_muted(&placed.route, at) {
            return nothing;
        }
        let is_audible = |fingerprint: &&Fingerprint| {
            let known = self.alerts.get(fingerprint);
            known.is_some_and(|known| self.mutes(&known.alert.labels, at).is_empty())
        };
        let firing: BTreeSet<Fingerprint> = group.firing.iter().filter(is_audible).copied().collect();
        let resolved: BTreeSet<Fingerprint> = group.ended.iter().filter(is_audible).copied().collect();
        if firing.is_empty() && resolved.is_empty() {
            return nothing;
        }
        let (mut notifications, mut settled) = nothing;
        for integration in &receiver.integrations {
            let key = NotificationKey {
                group: group.key.clone(),
                receiver: receiver.name.clone(),
                integration: integration.name.clone(),
            };
            // It is still being sent: what is new is told when the group is looked at next.
            if group.outstanding.contains_key(&integration.name) {
                continue;
            }
            let now = log::Now {
                firing: &firing,
                resolved: &resolved,
                send_resolved: integration.send_resolved,
                repeat_interval: placed.route.repeat_interval,
                is_acknowledged: self.acknowledged.contains_key(&group.key),
                at,
            };
            let Some(cause) = log::cause(self.log.get(&key), &now) else { continue };
            let notification = Notification {
                key,
                cause,
                group_labels: group.labels.clone(),
                alerts: self.told_of(&firing, &resolved, integration.send_resolved),
                at,
                give_up_at: later(at, placed.route.group_interval),
                firing: firing.clone(),
                resolved: resolved.clone(),
            };
            if notification.alerts.is_empty() {
                settled.push(Told { cause: None, ..self.told_by(&notification) });
            } else {
                notifications.push(notification);
            }
        }
        (notifications, settled)
    }

    fn told_of(
        &self,
        firing: &BTreeSet<Fingerprint>,
        resolved: &BTreeSet<Fingerprint>,
        send_resolved: bool,
    ) -> Vec<(Alert, bool)> {
        let ended = resolved.iter().filter(|_| send_resolved);
        let known = firing.iter().chain(ended).filter_map(|fingerprint| self.alerts.get(fingerprint));
        let alerts = order::sorted(known.map(|known| known.alert.clone()).collect());
        alerts.into_iter().map(|alert| (firing.contains(&alert.fingerprint()), alert)).map(|(f, a)| (a, f)).collect()
    }

    /// The fact that a notification was sent.
    pub fn told_by(&self, notification: &Notification) -> Told {
        let repeat = self.groups_of(&notification.key.group).find_map(|group| self.tree.get(group.route));
        let repeat = repeat.map_or(REMEMBERED_MIN, |placed| placed.route.repeat_interval.max(REMEMBERED_MIN));
        Told {
            key: notification.key.clone(),
            cause: Some(notification.cause),
            decided_at: notification.at,
            firing: notification.firing.clone(),
            resolved: notification.resolved.clone(),
            until: later(later(notification.at, repeat), repeat),
        }
    }
}
