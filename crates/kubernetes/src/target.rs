//! What an application wants of a cluster: its objects, each where the cluster has its kind, and how they are brought there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::SignedDuration;
use prograde_apps::Rendered;
use prograde_apps::application::{Application, Backoff as Pauses, Finalizer};
use prograde_kustomize::{Node, Place};
use prograde_model::{Diagnostic, Diagnostics};
use prograde_resource::object::{group_of, unique};
use prograde_resource::options::{Propagation, SyncOptions};
use prograde_resource::order::Plan;
use prograde_resource::sync::Backoff;
use prograde_resource::{Identity, IgnoreRules, Object, Sync};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::codes;
use crate::kinds::Kinds;
use crate::tracking::{TRACKING, annotate, id};

/// The namespace that Argo CD itself runs in. Applications elsewhere have it in their objects' annotation.
const ARGO_NAMESPACE: &str = "argocd";
/// How much of the hash of what is wanted names it.
const REVISION_CHARS: usize = 12;

/// What an application wants.
#[derive(Debug, Clone)]
pub struct Target {
    /// The name by which its objects say that they are its ([`instance`]).
    pub name: String,
    /// The namespace of objects that name none.
    pub namespace: String,
    /// Where it is written.
    pub place: Place,
    /// How its objects are synchronised.
    pub options: SyncOptions,
    /// How often a sync is tried again.
    pub again: u32,
    /// How long is waited in between.
    pub backoff: Backoff,
    /// Whether what Git names no longer is deleted without being asked for.
    pub prune: bool,
    /// Whether everything may be deleted.
    pub allow_empty: bool,
    /// Whether it is kept in step by itself.
    pub automated: bool,
    /// Whether changes in the cluster are undone.
    pub self_heal: bool,
    /// Differences that don't count.
    pub ignored: Arc<IgnoreRules>,
    /// What is wanted, as it was rendered.
    pub objects: Vec<Object>,
    /// What is wanted, in short: the same for the same objects and options.
    pub revision: String,
    /// Whether it goes: nothing of it should be there any more.
    pub leaves: bool,
    /// Objects that others want now, named as some of its own: those stay when it goes.
    spared: BTreeSet<Identity>,
    namespace_metadata: Option<Value>,
    /// What this was made of.
    of: (Arc<Application>, Arc<[Rendered]>),
}

impl Target {
    /// What an application wants. What can't be followed is an error with its place.
    pub fn of(application: &Arc<Application>, rendered: &Arc<[Rendered]>) -> Result<Self, Diagnostics> {
        let place = application.place.clone();
        let policy = application.spec.sync_policy.clone().unwrap_or_default();
        let mut wrong = Vec::new();
        let mut options = SyncOptions::default();
        for option in &policy.sync_options {
            if let Err(why) = options.set(option) {
                let message = format!("`{}`: {why}", application.name());
                wrong.push(place.diagnostic(codes::OPTION, message, "take it out of `spec.syncPolicy.syncOptions`"));
            }
        }
        let namespace = application.spec.destination.namespace.clone();
        let mut objects = Vec::new();
        for one in &**rendered {
            match Object::new(one.object.clone(), &namespace) {
                Ok(object) => objects.push(Object { place: Some(one.place.clone()), ..object }),
                Err(why) => {
                    wrong.push(one.place.diagnostic(prograde_resource::codes::NOT_AN_OBJECT, why.to_string(), ""));
                }
            }
        }
        wrong.extend(objects.iter().filter_map(|object| object_problem(object, &options)));
        let mut ignored = IgnoreRules::default();
        if let Err(found) = ignored.take(&place.file, &Node::from_json(application.object(), &place)) {
            wrong.extend(found.0);
        }
        if !wrong.is_empty() {
            return Err(Diagnostics(wrong));
        }
        let automated = policy.automated.unwrap_or_default();
        let retry = policy.retry.unwrap_or_default();
        let again = u32::try_from(retry.limit).unwrap_or(u32::MAX);
        let revision = revision(&objects, application.object().pointer("/spec/syncPolicy"));
        Ok(Self {
            name: instance(application),
            namespace,
            place,
            options,
            again,
            backoff: backoff(retry.backoff.as_ref()),
            prune: automated.prune.unwrap_or(false),
            allow_empty: automated.allow_empty.unwrap_or(false),
            automated: application.is_automated(),
            self_heal: application.is_automated() && automated.self_heal.unwrap_or(false),
            ignored: Arc::new(ignored),
            objects,
            revision,
            leaves: false,
            spared: BTreeSet::new(),
            namespace_metadata: policy.managed_namespace_metadata,
            of: (Arc::clone(application), Arc::clone(rendered)),
        })
    }

    /// The same application as it goes: of what is rendered only the hooks of deletion count, and changes are not undone.
    #[must_use]
    pub fn leaving(&self) -> Self {
        let mut options = self.options.clone();
        if self.of.0.finalizer() == Some(Finalizer::Background) {
            options.propagation = Propagation::Background;
        }
        let revision = short(Sha256::new_with_prefix("leaves").chain_update(&self.revision));
        Self { leaves: true, self_heal: false, options, revision, ..self.clone() }
    }

    /// The same application as it goes because Git names it no longer: with all that it has, if nobody is to be asked, but for
    /// what these others want now.
    #[must_use]
    pub fn left_out(&self, asks: bool, others: &[&Self]) -> Self {
        // Whether kinds have namespaces is known once the cluster is asked.
        let own: BTreeSet<_> = self.objects.iter().map(|object| key_of(&object.identity)).collect();
        let wanted = others.iter().flat_map(|other| &other.objects).map(|object| &object.identity);
        let spared = wanted.filter(|identity| own.contains(&key_of(identity))).cloned().collect();
        Self { allow_empty: !asks, spared, ..self.leaving() }
    }

    /// The namespaces in which something of it may be.
    pub(crate) fn spaces(&self, settled: &Settled) -> BTreeSet<String> {
        let wanted = self.objects.iter().map(|object| &object.identity);
        let all = settled.desired.keys().chain(wanted).map(|identity| &identity.namespace).chain([&self.namespace]);
        all.filter(|space| !space.is_empty()).cloned().collect()
    }

    /// Whether an object stays when the application goes, because others want it.
    pub(crate) fn spares(&self, identity: &Identity) -> bool {
        // Files have namespaces also where the kind has none.
        let is_same = |other: &Identity| key_of(other) == key_of(identity);
        self.spared.contains(identity) || (identity.namespace.is_empty() && self.spared.iter().any(is_same))
    }

    /// Whether it was made of the very same.
    pub fn is_of(&self, application: &Arc<Application>, rendered: &Arc<[Rendered]>) -> bool {
        Arc::ptr_eq(&self.of.0, application) && Arc::ptr_eq(&self.of.1, rendered)
    }

    /// The objects as this cluster has them: each in its namespace, with what says whose it is. Hooks whose name the server
    /// would make up get it from `named`.
    pub fn settle(&self, kinds: &Kinds, named: &str) -> Result<Settled, Diagnostics> {
        let made = definitions(&self.objects);
        let mut wrong = Vec::new();
        let mut settled = Vec::new();
        for object in &self.objects {
            let key = (object.identity.group.clone(), object.identity.kind.clone());
            let known = kinds.is_namespaced(&key.0, &key.1);
            if known.is_none() && is_read_here(&object.identity) {
                continue;
            }
            match self.one(object, known.or_else(|| made.get(&key).copied()), named) {
                Ok(object) => settled.push(object),
                Err(why) => wrong.push(why),
            }
        }
        let mut all = match unique(settled) {
            Ok(all) if wrong.is_empty() => all,
            Ok(_) => return Err(Diagnostics(wrong)),
            Err(found) => return Err(Diagnostics(wrong.into_iter().chain(found.0).collect())),
        };
        if let Some(namespace) = self.own_namespace(&all).filter(|_| !self.leaves) {
            all.insert(namespace.identity.clone(), namespace);
        }
        let skips = |object: &Object| self.options.skip_hooks && is_hook(object);
        let plan = Plan::new(self.revision.clone(), all.values().filter(|object| !skips(object)))?;
        let (hooks, mut desired): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.into_iter().partition(|(_, object)| is_hook(object));
        let plan = if self.leaves { plan.leaving() } else { plan };
        if self.leaves {
            desired.clear();
        }
        Ok(Settled { desired, hooks, plan, made: made.into_keys().collect() })
    }

    fn one(&self, object: &Object, namespaced: Option<bool>, named: &str) -> Result<Object, Diagnostic> {
        let mut value = object.value.clone();
        let place = object.place.clone().unwrap_or_else(|| self.place.clone());
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            for other in ["managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink"] {
                metadata.shift_remove(other);
            }
            if metadata.get("name").and_then(Value::as_str).unwrap_or_default().is_empty() {
                if !is_hook(object) {
                    let message = format!("{} has `generateName`, so it would be made anew each time", object.identity);
                    return Err(place.diagnostic(codes::OPTION, message, "give it a `name`, or make it a hook"));
                }
                let prefix = metadata.get("generateName").and_then(Value::as_str).unwrap_or_default();
                let name = format!("{prefix}{named}");
                metadata.insert("name".to_owned(), Value::from(name));
                metadata.shift_remove("generateName");
            }
            match namespaced {
                Some(true) if metadata.get("namespace").is_none() => {
                    if self.namespace.is_empty() {
                        let message = format!("{} is in no namespace", object.identity);
                        let hint = "set `spec.destination.namespace`, or `metadata.namespace`";
                        return Err(place.diagnostic(codes::NOT_HERE, message, hint));
                    }
                    metadata.insert("namespace".to_owned(), Value::from(self.namespace.as_str()));
                }
                Some(false) => {
                    metadata.shift_remove("namespace");
                }
                Some(true) | None => {}
            }
        }
        let wrong = |why: prograde_resource::object::NotAnObject| {
            place.diagnostic(prograde_resource::codes::NOT_AN_OBJECT, why.to_string(), "")
        };
        let found = Object::new(value, "").map_err(wrong)?;
        let mut value = found.value;
        annotate(&mut value, TRACKING, &id(&self.name, &found.identity, &self.namespace));
        Ok(Object { value, place: Some(place), ..found })
    }

    /// The namespace that is made for the application; it is nobody's.
    fn own_namespace(&self, all: &BTreeMap<Identity, Object>) -> Option<Object> {
        if !self.options.create_namespace || self.namespace.is_empty() {
            return None;
        }
        let mut value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}});
        let marks = self.namespace_metadata.as_ref().and_then(Value::as_object);
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.extend(marks.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
        }
        let object = Object::new(value, "").ok()?;
        (!all.contains_key(&object.identity)).then(|| Object { place: Some(self.place.clone()), ..object })
    }
}

/// What an application wants of one cluster.
#[derive(Debug)]
pub struct Settled {
    /// The objects that should be there.
    pub desired: BTreeMap<Identity, Object>,
    /// The hooks.
    pub hooks: BTreeMap<Identity, Object>,
    /// In which order they are applied.
    pub plan: Plan,
    /// The kinds that it brings itself.
    pub made: BTreeSet<(String, String)>,
}

impl Settled {
    /// An object or a hook.
    pub fn find(&self, identity: &Identity) -> Option<&Object> {
        self.desired.get(identity).or_else(|| self.hooks.get(identity))
    }
}

fn is_hook(object: &Object) -> bool {
    Sync::of(&object.value).is_ok_and(|sync| sync.hook)
}

/// Applications are read from Git here; where Argo CD is not installed they are nothing for the cluster.
fn is_read_here(identity: &Identity) -> bool {
    identity.group == "argoproj.io" && ["Application", "ApplicationSet", "AppProject"].contains(&identity.kind.as_str())
}

fn object_problem(object: &Object, options: &SyncOptions) -> Option<Diagnostic> {
    let place = object.place.clone()?;
    let why = options.of(&object.value).err()?;
    let message = format!("{}: {why}", object.identity);
    Some(place.diagnostic(codes::OPTION, message, "take it out of `argocd.argoproj.io/sync-options`"))
}

/// The kinds that objects define, and whether theirs are in namespaces.
fn definitions(objects: &[Object]) -> BTreeMap<(String, String), bool> {
    let is_definition = |object: &&Object| object.identity.kind == "CustomResourceDefinition";
    let read = |object: &Object| {
        let text = |path: &str| object.value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        ((text("/spec/group"), text("/spec/names/kind")), text("/spec/scope") == "Namespaced")
    };
    objects.iter().filter(is_definition).map(read).collect()
}

/// The name of an application that no other one has: with its namespace, where that is not Argo CD's own.
pub fn instance(application: &Application) -> String {
    let namespace = &application.metadata.namespace;
    let name = application.name();
    if namespace.is_empty() || namespace == ARGO_NAMESPACE { name.to_owned() } else { format!("{namespace}_{name}") }
}

fn backoff(written: Option<&Pauses>) -> Backoff {
    let normal = Backoff::default();
    let Some(written) = written else { return normal };
    // Texts that are no durations were refused when the application was read.
    let read = |text: &str, other: SignedDuration| {
        prograde_apps::duration(text).and_then(|read| SignedDuration::try_from(read).ok()).unwrap_or(other)
    };
    let factor = written.factor.and_then(|factor| u32::try_from(factor).ok()).filter(|factor| *factor > 0);
    Backoff {
        first: read(&written.duration, normal.first),
        factor: factor.unwrap_or(normal.factor),
        most: read(&written.max_duration, normal.most),
    }
}

fn revision(objects: &[Object], policy: Option<&Value>) -> String {
    let mut hash = Sha256::new();
    for object in objects {
        hash.update(group_of(object.api_version()).as_bytes());
        hash.update(object.value.to_string().as_bytes());
        hash.update([0]);
    }
    hash.update(policy.map(Value::to_string).unwrap_or_default().as_bytes());
    short(hash)
}

/// An object without its namespace.
fn key_of(identity: &Identity) -> (&str, &str, &str) {
    (&identity.group, &identity.kind, &identity.name)
}

fn short(hash: Sha256) -> String {
    hex::encode(hash.finalize()).chars().take(REVISION_CHARS).collect()
}
