//! The routing tree: which receivers an alert goes to, and how it is grouped on the way.
//!
//! Invariant: routes are kept in the order in which an alert meets them, a parent before its children, and what a child
//! leaves out is filled in from its parent when the tree is read.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::inhibit::Inhibition;
use super::interval::TimeInterval;
use super::matchers::written;
use crate::labels::Labels;
use crate::matcher::Matcher;

/// By which labels a route's alerts are put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupBy {
    /// By all: each alert is a group of its own (`...`).
    All,
    /// By these; where there are none, all alerts of the route are one group.
    Labels(BTreeSet<String>),
}

impl GroupBy {
    /// The labels that name an alert's group.
    pub fn labels(&self, alert: &Labels) -> Labels {
        match self {
            Self::All => alert.clone(),
            Self::Labels(names) => alert.retain(|name| names.contains(name)),
        }
    }
}

/// A node of the tree, with everything filled in that it inherits.
#[derive(Debug, Clone)]
pub struct Route {
    /// Who is told.
    pub receiver: String,
    /// Which alerts go here.
    pub matchers: Vec<Matcher>,
    /// How they are grouped.
    pub group_by: GroupBy,
    /// How long a new group waits for more alerts before anybody is told.
    pub group_wait: SignedDuration,
    /// How far two notifications of a group are apart at least.
    pub group_interval: SignedDuration,
    /// After how long a group that has not changed is told again.
    pub repeat_interval: SignedDuration,
    /// Names of intervals in which nobody is told.
    pub mute_time_intervals: Vec<String>,
    /// Names of the intervals in which somebody is told, if there are any.
    pub active_time_intervals: Vec<String>,
    /// Whether an alert that goes here may also go to routes after this one.
    pub goes_on: bool,
    /// The children.
    pub routes: Vec<Route>,
}

/// One way of telling a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Integration {
    /// The kind and its place among those of its kind, such as `webhook/0`.
    pub name: String,
    /// Whether it is also told that alerts have ended.
    pub send_resolved: bool,
}

/// Somebody who can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// The name that routes use.
    pub name: String,
    /// All of the ways are used; where there is none, the alert is only shown.
    pub integrations: Vec<Integration>,
}

/// All that decides who is told what.
#[derive(Debug, Clone)]
pub struct Routing {
    /// The tree's root; it takes every alert.
    pub root: Route,
    /// By name.
    pub receivers: BTreeMap<String, Receiver>,
    /// Which alerts keep others quiet.
    pub inhibitions: Vec<Inhibition>,
    /// Named intervals; a time is in one that any of its parts holds.
    pub time_intervals: BTreeMap<String, Vec<TimeInterval>>,
    /// When an alert ends whose sender left that open and says nothing more.
    pub resolve_timeout: SignedDuration,
}

/// A route with its place in the tree.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    /// The matchers from the root down to here, as a text.
    pub(super) key: String,
    pub(super) route: Route,
    children: Vec<usize>,
}

/// The tree as a list, so that a group can say which route it is of.
#[derive(Debug, Clone)]
pub(super) struct Tree(Vec<Placed>);

impl Tree {
    pub(super) fn new(root: &Route) -> Self {
        let mut placed = Vec::new();
        // Depth is bounded by the reader of the file.
        place(root, None, &mut placed);
        Self(placed)
    }

    pub(super) fn get(&self, index: usize) -> Option<&Placed> {
        self.0.get(index)
    }

    /// The routes that an alert takes, in their order: at each node the first child that takes it, and those after it as
    /// long as each says `continue`; the node itself where no child does.
    pub(super) fn matching(&self, labels: &Labels) -> Vec<usize> {
        let mut found = Vec::new();
        self.collect(0, labels, &mut found);
        found
    }

    fn collect(&self, index: usize, labels: &Labels, found: &mut Vec<usize>) -> bool {
        let Some(here) = self.0.get(index).filter(|here| Matcher::accept_all(&here.route.matchers, labels)) else {
            return false;
        };
        let mut taken = false;
        for &child in &here.children {
            let went = self.collect(child, labels, found);
            taken |= went;
            if went && !self.0.get(child).is_some_and(|child| child.route.goes_on) {
                break;
            }
        }
        if !taken {
            found.push(index);
        }
        true
    }
}

fn place(route: &Route, parent: Option<&str>, placed: &mut Vec<Placed>) -> usize {
    let mut sorted = route.matchers.clone();
    sorted.sort_by(|a, b| (&a.name, a.value(), a.operator()).cmp(&(&b.name, b.value(), b.operator())));
    let own = written(&sorted);
    let key = parent.map_or_else(|| own.clone(), |parent| format!("{parent}/{own}"));
    let index = placed.len();
    let bare = Route { routes: Vec::new(), ..route.clone() };
    placed.push(Placed { key: key.clone(), route: bare, children: Vec::new() });
    let children: Vec<usize> = route.routes.iter().map(|child| place(child, Some(&key), placed)).collect();
    if let Some(here) = placed.get_mut(index) {
        here.children = children;
    }
    index
}

impl Routing {
    /// The receivers that an alert with these labels goes to, in their order.
    pub fn receivers_of(&self, labels: &Labels) -> Vec<String> {
        let tree = Tree::new(&self.root);
        let routes = tree.matching(labels);
        routes.into_iter().filter_map(|index| Some(tree.get(index)?.route.receiver.clone())).collect()
    }

    /// Whether a route is quiet at a time: in one of its muted intervals, or outside of all of its active ones.
    pub(super) fn is_muted(&self, route: &Route, at: Timestamp) -> bool {
        let is_in =
            |name: &String| self.time_intervals.get(name).is_some_and(|parts| parts.iter().any(|part| part.holds(at)));
        let is_inactive = !route.active_time_intervals.is_empty() && !route.active_time_intervals.iter().any(is_in);
        is_inactive || route.mute_time_intervals.iter().any(is_in)
    }
}
