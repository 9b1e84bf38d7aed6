//! Which applications an object concerns, and where changes are heard: an index, so that a change costs what it concerns, however
//! many applications there are.

use std::collections::{BTreeMap, BTreeSet};

use prograde_resource::Identity;

use crate::changes::{Ear, Ears};
use crate::target::Settled;

/// What an application depends on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    /// An object that it wants.
    Object(Identity),
    /// The namespace of such objects.
    Namespace(String),
    /// The group of their kinds, which a definition may bring.
    Group(String),
}

/// What an application depends on, and where changes to that are heard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scope {
    needs: BTreeSet<Need>,
    ears: Ears,
}

impl Scope {
    pub(super) fn of(settled: &Settled) -> Self {
        let mut scope = Self::default();
        let ear = |version: &str, kind: &str, space: &str| (version.to_owned(), kind.to_owned(), space.to_owned());
        scope.ears.insert(ear("v1", "Namespace", ""));
        scope.ears.insert(ear("apiextensions.k8s.io/v1", "CustomResourceDefinition", ""));
        for (identity, object) in &settled.desired {
            scope.ears.insert(ear(object.api_version(), &identity.kind, &identity.namespace));
            let (space, group) = (identity.namespace.clone(), identity.group.clone());
            scope.needs.extend([Need::Object(identity.clone()), Need::Namespace(space), Need::Group(group)]);
        }
        scope
    }
}

/// Those of all applications.
#[derive(Debug, Default)]
pub(super) struct Scopes {
    of: BTreeMap<String, Scope>,
    needed: BTreeMap<Need, BTreeSet<String>>,
    /// How many applications listen there.
    ears: BTreeMap<Ear, usize>,
    are_new: bool,
}

impl Scopes {
    /// An application's is this from now on. Whether it was another one.
    pub(super) fn set(&mut self, name: &str, scope: Scope) -> bool {
        if *self.of.get(name).unwrap_or(&Scope::default()) == scope {
            return false;
        }
        self.forget(name);
        for need in &scope.needs {
            self.needed.entry(need.clone()).or_default().insert(name.to_owned());
        }
        for ear in &scope.ears {
            let listeners = self.ears.entry(ear.clone()).or_default();
            *listeners += 1;
            self.are_new |= *listeners == 1;
        }
        self.of.insert(name.to_owned(), scope);
        true
    }

    /// An application is kept no longer.
    pub(super) fn forget(&mut self, name: &str) {
        let Some(scope) = self.of.remove(name) else { return };
        for need in &scope.needs {
            if let Some(names) = self.needed.get_mut(need) {
                names.remove(name);
                if names.is_empty() {
                    self.needed.remove(need);
                }
            }
        }
        for ear in &scope.ears {
            if let Some(listeners) = self.ears.get_mut(ear) {
                *listeners -= 1;
                if *listeners == 0 {
                    self.ears.remove(ear);
                    self.are_new = true;
                }
            }
        }
    }

    /// The applications that an object concerns: they want it, or what they want needs it.
    pub(super) fn concerned(&self, identity: &Identity) -> BTreeSet<String> {
        let around = match (identity.group.as_str(), identity.kind.as_str()) {
            ("", "Namespace") => Some(Need::Namespace(identity.name.clone())),
            ("apiextensions.k8s.io", "CustomResourceDefinition") => {
                identity.name.split_once('.').map(|(_, group)| Need::Group(group.to_owned()))
            }
            _ => None,
        };
        let needs = [Some(Need::Object(identity.clone())), around].into_iter().flatten();
        needs.filter_map(|need| self.needed.get(&need)).flatten().cloned().collect()
    }

    /// Where changes are to be heard, if that is not as it was when this was asked last.
    pub(super) fn new_ears(&mut self) -> Option<Ears> {
        std::mem::take(&mut self.are_new).then(|| self.ears.keys().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(group: &str, kind: &str, namespace: &str, name: &str) -> Identity {
        Identity { group: group.into(), kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }

    fn scope(name: &str) -> Scope {
        let own = identity("example.org", "Dish", "sky", name);
        let ear = ("example.org/v1".to_owned(), "Dish".to_owned(), "sky".to_owned());
        Scope {
            needs: [Need::Object(own), Need::Namespace("sky".into()), Need::Group("example.org".into())].into(),
            ears: [ear].into(),
        }
    }

    #[test]
    fn an_object_concerns_who_wants_or_needs_it() {
        let mut scopes = Scopes::default();
        assert!(scopes.set("a", scope("one")) && scopes.set("b", scope("two")) && !scopes.set("a", scope("one")));
        let names = |scopes: &Scopes, object: Identity| scopes.concerned(&object).into_iter().collect::<Vec<_>>();
        assert_eq!(names(&scopes, identity("example.org", "Dish", "sky", "two")), ["b"]);
        assert_eq!(names(&scopes, identity("", "Namespace", "", "sky")), ["a", "b"]);
        let definition = identity("apiextensions.k8s.io", "CustomResourceDefinition", "", "dishes.example.org");
        assert_eq!(names(&scopes, definition), ["a", "b"]);
        assert_eq!(names(&scopes, identity("", "Namespace", "", "ground")), [""; 0]);
        scopes.set("b", scope("three"));
        assert_eq!(names(&scopes, identity("example.org", "Dish", "sky", "two")), [""; 0]);
        scopes.forget("a");
        assert_eq!(names(&scopes, identity("", "Namespace", "", "sky")), ["b"]);
    }

    #[test]
    fn ears_are_told_when_they_are_others() {
        let mut scopes = Scopes::default();
        assert!(scopes.new_ears().is_none());
        scopes.set("a", scope("one"));
        assert_eq!(scopes.new_ears().map(|ears| ears.len()), Some(1));
        scopes.set("b", scope("two"));
        scopes.forget("a");
        assert!(scopes.new_ears().is_none());
        scopes.forget("b");
        assert_eq!(scopes.new_ears(), Some(Ears::new()));
    }
}
