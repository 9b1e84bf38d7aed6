//! References by name: what refers to an object follows it when the object is given another name.

use std::collections::{HashMap, HashSet};

use prograde_model::Diagnostic;

use crate::codes;
use crate::config::References;
use crate::fields::FieldSpec;
use crate::id::{Gvk, Id};
use crate::node::{Kind, Node, Value};
use crate::place::Place;
use crate::resource::Resource;
use crate::scalar::Tag;
use crate::schema::Schemas;

/// What is known of an object that may be referred to.
struct Candidate {
    now: Id,
    earlier: Vec<Id>,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
}

/// All of them, and which are or were called something.
struct Candidates {
    all: Vec<Candidate>,
    by_name: HashMap<String, Vec<usize>>,
}

impl Candidates {
    fn of(resources: &[Resource], scopes: &Schemas) -> Self {
        let candidate = |resource: &Resource| Candidate {
            now: resource.id(scopes),
            earlier: resource.earlier_ids().collect(),
            prefixes: resource.prefixes.clone(),
            suffixes: resource.suffixes.clone(),
        };
        let all: Vec<Candidate> = resources.iter().map(candidate).collect();
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, candidate) in all.iter().enumerate() {
            for id in &candidate.earlier {
                let known = by_name.entry(id.name.clone()).or_default();
                if known.last() != Some(&at) {
                    known.push(at);
                }
            }
        }
        Self { all, by_name }
    }

    fn were_called(&self, name: &str) -> impl Iterator<Item = &Candidate> {
        self.by_name.get(name).into_iter().flatten().filter_map(|at| self.all.get(*at))
    }
}

/// The object whose references are followed, and where it stands.
struct Referrer<'a> {
    at: usize,
    id: Id,
    prefixes: &'a [String],
    suffixes: &'a [String],
    role: Option<Gvk>,
    namespaces: HashSet<String>,
}

/// Follows all references.
pub(crate) fn follow(resources: &mut [Resource], all: &[References], scopes: &Schemas) -> Result<(), Diagnostic> {
    let candidates = Candidates::of(resources, scopes);
    if candidates.by_name.is_empty() {
        return resources.iter().try_for_each(|resource| subject_namespaces(resource).map(|_| ()));
    }
    let firsts: Vec<Id> = resources.iter().map(|resource| resource.first_id(scopes)).collect();
    for (at, (resource, first)) in resources.iter_mut().zip(&firsts).enumerate() {
        let (prefixes, suffixes) = (resource.prefixes.clone(), resource.suffixes.clone());
        let id = resource.id(scopes);
        let namespaces = subject_namespaces(resource)?;
        let role = role_of(&resource.tree);
        let referrer = Referrer { at, id, prefixes: &prefixes, suffixes: &suffixes, role, namespaces };
        for references in all {
            for spec in references.referrers.iter().filter(|spec| first.gvk.is_selected(&spec.gvk)) {
                let search = Search { referrer: &referrer, target: &references.target, spec, candidates: &candidates };
                spec.change_in_any(&mut resource.tree, None, &mut |node| search.change(node))?;
            }
        }
    }
    Ok(())
}

/// The namespaces of the service accounts that a role binding names.
fn subject_namespaces(resource: &Resource) -> Result<HashSet<String>, Diagnostic> {
    let mut found = HashSet::new();
    if resource.kind() != "RoleBinding" {
        return Ok(found);
    }
    for subject in resource.tree.get("subjects").map(Node::items).unwrap_or_default() {
        let Some(namespace) = subject.get("namespace").filter(|_| subject.text_at(&["kind"]) == "ServiceAccount")
        else {
            continue;
        };
        if namespace.as_scalar().is_none_or(|scalar| !scalar.is_text()) {
            let message = "the namespace of a subject must be a text";
            return Err(namespace.place.diagnostic(codes::STRUCTURE, message, ""));
        }
        found.insert(namespace.raw().to_owned());
    }
    Ok(found)
}

fn role_of(tree: &Node) -> Option<Gvk> {
    let role = tree.get("roleRef")?;
    let text = |name: &str| role.get(name).map(|node| node.raw().to_owned());
    Some(Gvk { group: text("apiGroup")?, version: String::new(), kind: text("kind")? })
}

struct Search<'a> {
    referrer: &'a Referrer<'a>,
    target: &'a Gvk,
    spec: &'a FieldSpec,
    candidates: &'a Candidates,
}

impl Search<'_> {
    fn change(&self, node: &mut Node) -> Result<(), Diagnostic> {
        if node.is_null() {
            return Ok(());
        }
        match &mut node.value {
            Value::Scalar(_) => self.scalar(node),
            Value::Map(_) => self.mapping(node),
            Value::List(items) => {
                for item in items.iter_mut().filter(|item| !item.is_null()) {
                    match item.kind() {
                        Kind::Scalar => self.scalar(item)?,
                        Kind::Map => self.mapping(item)?,
                        Kind::List => {
                            let message = "expected names, or mappings with a name, found a list";
                            return Err(item.place.diagnostic(codes::STRUCTURE, message, ""));
                        }
                    }
                }
                Ok(())
            }
        }
    }

    fn scalar(&self, node: &mut Node) -> Result<(), Diagnostic> {
        let named = self.candidates.were_called(node.raw()).filter(|candidate| self.reaches(candidate)).collect();
        let Some(found) = self.select(node.raw(), named, &node.place, false)? else { return Ok(()) };
        if found.now.name != node.raw() {
            let value = Node::scalar(&node.place, Tag::Open, found.now.name.as_str());
            node.replace_with(value);
        }
        Ok(())
    }

    fn mapping(&self, node: &mut Node) -> Result<(), Diagnostic> {
        let Some(name) = node.get("name").map(|name| name.raw().to_owned()) else {
            let message = format!("`{}` leads to a mapping without `name`", self.spec.path);
            return Err(node.place.diagnostic(
                codes::STRUCTURE,
                message,
                "correct the object, or the path of the field",
            ));
        };
        let candidates: Vec<&Candidate> = match node.get("namespace") {
            None => self.candidates.were_called(&name).filter(|candidate| self.reaches(candidate)).collect(),
            Some(namespace) => {
                let namespace = namespace.raw();
                let within = |of: fn(&Candidate) -> &str| -> Vec<&Candidate> {
                    let all = self.candidates.all.iter().filter(|candidate| self.reaches(candidate));
                    all.filter(|candidate| of(candidate) == namespace && of(candidate) != "_non_namespaceable_")
                        .collect()
                };
                let first = within(first_namespace);
                if first.is_empty() { within(|candidate| candidate.now.effective_namespace()) } else { first }
            }
        };
        let Some(found) = self.select(&name, candidates, &node.place, true)? else { return Ok(()) };
        if found.now.name == name && found.now.namespace.is_empty() {
            return Ok(());
        }
        let value = Node::scalar(&node.place, Tag::Open, found.now.name.as_str());
        node.put("name", value);
        if !found.now.namespace.is_empty() {
            let value = Node::scalar(&node.place, Tag::Open, found.now.namespace.as_str());
            node.put("namespace", value);
        }
        Ok(())
    }

    /// Whether the referrer may mean an object at all, by their namespaces.
    fn reaches(&self, candidate: &Candidate) -> bool {
        let referrer = self.referrer;
        referrer.id.cluster_scoped
            || candidate.now.cluster_scoped
            || candidate.now.effective_namespace() == referrer.id.effective_namespace()
            || referrer.namespaces.contains(&candidate.now.namespace)
    }

    fn select<'b>(
        &self,
        name: &str,
        mut found: Vec<&'b Candidate>,
        place: &Place,
        with_namespace: bool,
    ) -> Result<Option<&'b Candidate>, Diagnostic> {
        let referrer = self.referrer;
        found.retain(|candidate| candidate.earlier.iter().any(|id| id.name == name));
        found.retain(|candidate| candidate.earlier.iter().any(|id| id.gvk.is_selected(self.target)));
        if let Some(role) = referrer.role.as_ref().filter(|_| self.spec.path.ends_with("roleRef/name")) {
            found.retain(|candidate| candidate.earlier.iter().any(|id| id.gvk.is_selected(role)));
        }
        if !referrer.id.cluster_scoped {
            found.retain(|candidate| {
                candidate.now.cluster_scoped
                    || candidate.now.gvk.kind == "ServiceAccount"
                    || candidate.now.effective_namespace() == referrer.id.effective_namespace()
            });
        }
        if found.len() == 1 {
            return Ok(found.pop());
        }
        found.retain(|candidate| same_affixes(referrer, candidate, true));
        if found.len() > 1 {
            found.retain(|candidate| same_affixes(referrer, candidate, false));
        }
        let Some(first) = found.first().copied() else { return Ok(None) };
        let alike = |other: &&Candidate| {
            other.now.name == first.now.name && (!with_namespace || other.now.namespace == first.now.namespace)
        };
        if found.iter().all(alike) {
            return Ok(Some(first));
        }
        let names: Vec<String> = found.iter().take(5).map(|candidate| candidate.now.to_string()).collect();
        let message = format!(
            "`{name}` in `{}` of {} may mean {}",
            self.spec.path,
            self.candidates.all.get(referrer.at).map(|own| own.now.to_string()).unwrap_or_default(),
            names.join(" or ")
        );
        Err(place.diagnostic(codes::AMBIGUOUS, message, "give the objects names that differ before they are renamed"))
    }
}

fn first_namespace(candidate: &Candidate) -> &str {
    candidate.earlier.first().unwrap_or(&candidate.now).effective_namespace()
}

/// Whether an object was renamed in the same way as the one that refers to it, as far as both were.
fn same_affixes(referrer: &Referrer<'_>, candidate: &Candidate, allow_none: bool) -> bool {
    let alike = |one: &[String], other: &[String]| {
        (allow_none && (one.is_empty() || other.is_empty())) || same_ending(one, other)
    };
    alike(referrer.prefixes, &candidate.prefixes) && alike(referrer.suffixes, &candidate.suffixes)
}

fn same_ending(one: &[String], other: &[String]) -> bool {
    let (short, long) = if one.len() > other.len() { (other, one) } else { (one, other) };
    if short.is_empty() { long.is_empty() } else { long.ends_with(short) }
}
