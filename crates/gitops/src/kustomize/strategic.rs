//! Strategic merge patches, as Kustomize applies them: mappings merge, lists are replaced, except the lists that the
//! Kubernetes API marks with `patchStrategy: merge`, whose elements merge by key. What the patch names comes first.
//!
//! See `strategic-merge-patch.md` in the Kubernetes community's API documents.

use prograde_model::Diagnostic;

use crate::codes;
use crate::located::{Entry, Located, Value};

const DIRECTIVE: &str = "$patch";

/// Where the lists of a pod specification that merge by key are, from the pod specification on.
const POD_LISTS: [(&[&str], &[&str]); 18] = [
    (&["containers"], &["name"]),
    (&["containers", "env"], &["name"]),
    (&["containers", "ports"], &["containerPort", "protocol"]),
    (&["containers", "volumeDevices"], &["devicePath"]),
    (&["containers", "volumeMounts"], &["mountPath"]),
    (&["ephemeralContainers"], &["name"]),
    (&["ephemeralContainers", "env"], &["name"]),
    (&["ephemeralContainers", "volumeMounts"], &["mountPath"]),
    (&["hostAliases"], &["ip"]),
    (&["imagePullSecrets"], &["name"]),
    (&["initContainers"], &["name"]),
    (&["initContainers", "env"], &["name"]),
    (&["initContainers", "ports"], &["containerPort", "protocol"]),
    (&["initContainers", "volumeDevices"], &["devicePath"]),
    (&["initContainers", "volumeMounts"], &["mountPath"]),
    (&["schedulingGates"], &["name"]),
    (&["topologySpreadConstraints"], &["topologyKey", "whenUnsatisfiable"]),
    (&["volumes"], &["name"]),
];

/// Lists of other objects that merge by key: group, kind, path, keys.
const OTHER_LISTS: [(&str, &str, &[&str], &[&str]); 4] = [
    ("", "Service", &["spec", "ports"], &["port", "protocol"]),
    ("", "ServiceAccount", &["secrets"], &["name"]),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration", &["webhooks"], &["name"]),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", &["webhooks"], &["name"]),
];

/// Where each kind has its pod specification: group, kind, path.
pub(super) const POD_SPECS: [(&str, &str, &[&str]); 9] = [
    ("", "Pod", &["spec"]),
    ("", "PodTemplate", &["template", "spec"]),
    ("", "ReplicationController", &["spec", "template", "spec"]),
    ("apps", "DaemonSet", &["spec", "template", "spec"]),
    ("apps", "Deployment", &["spec", "template", "spec"]),
    ("apps", "ReplicaSet", &["spec", "template", "spec"]),
    ("apps", "StatefulSet", &["spec", "template", "spec"]),
    ("batch", "CronJob", &["spec", "jobTemplate", "spec", "template", "spec"]),
    ("batch", "Job", &["spec", "template", "spec"]),
];

/// Merges a patch into an object of a group and kind. `None`: the patch deletes the object.
pub(super) fn merge(object: Located, patch: Located, group: &str, kind: &str) -> Result<Option<Located>, Diagnostic> {
    Merger { group, kind, path: Vec::new() }.value(object, patch)
}

/// The walk through an object; `path` is where it is, without the positions in lists.
struct Merger<'a> {
    group: &'a str,
    kind: &'a str,
    path: Vec<String>,
}

impl Merger<'_> {
    fn value(&mut self, object: Located, patch: Located) -> Result<Option<Located>, Diagnostic> {
        let (object_kind, patch_kind) = (object.kind(), patch.kind());
        match (object.value, patch.value) {
            (Value::Map(ours), Value::Map(theirs)) => {
                let ours = Located { place: object.place, value: Value::Map(ours) };
                self.map(ours, Located { place: patch.place, value: Value::Map(theirs) })
            }
            (Value::List(ours), Value::List(theirs)) => match self.merge_keys() {
                Some(keys) => {
                    let merged = self.list(ours, theirs, keys)?;
                    Ok(merged.map(|items| Located { place: object.place, value: Value::List(items) }))
                }
                None => Ok(Some(Located { place: patch.place, value: Value::List(theirs) })),
            },
            (Value::Null, theirs) => self.added(Located { place: patch.place, value: theirs }),
            (Value::Map(_) | Value::List(_), _) | (_, Value::Map(_) | Value::List(_)) => {
                let message =
                    format!("the patch has {patch_kind} at `{}`, the object has {object_kind}", self.path.join("."));
                let hint = format!("the object's is at {}", object.place);
                Err(patch.place.diagnostic(codes::PATCH, message, hint))
            }
            (Value::Bool(_) | Value::Number(_) | Value::Text(_), theirs) => {
                Ok(Some(Located { place: patch.place, value: theirs }))
            }
        }
    }

    fn map(&mut self, mut object: Located, mut patch: Located) -> Result<Option<Located>, Diagnostic> {
        match directive(&mut patch)? {
            Directive::Delete => return Ok(None),
            Directive::Replace => return Ok(Some(patch)),
            Directive::Merge => {}
        }
        let Value::Map(theirs) = patch.value else { return Ok(Some(object)) };
        for Entry { name, place, value } in theirs {
            if value.is_null() {
                object.remove(&name);
                continue;
            }
            refuse_other_directives(&name, &place)?;
            self.path.push(name);
            let ours = self.path.last().and_then(|name| object.get_mut(name)).map(|ours| {
                let place = ours.place.clone();
                std::mem::replace(ours, Located { place, value: Value::Null })
            });
            let merged = match ours {
                Some(ours) => self.value(ours, value)?,
                None => self.added(value)?,
            };
            let name = self.path.pop().unwrap_or_default();
            match merged {
                Some(merged) => object.set(&name, merged),
                None => {
                    object.remove(&name);
                }
            }
        }
        Ok(Some(object))
    }

    /// A value of the patch that the object has nothing for: directives are carried out, nulls say nothing.
    fn added(&mut self, mut patch: Located) -> Result<Option<Located>, Diagnostic> {
        match &mut patch.value {
            Value::Map(_) => {
                if matches!(directive(&mut patch)?, Directive::Delete) {
                    return Ok(None);
                }
                let empty = Located::map(&patch.place);
                self.map(empty, patch)
            }
            Value::List(items) => match self.merge_keys() {
                Some(keys) => {
                    let items = std::mem::take(items);
                    Ok(self
                        .list(vec![], items, keys)?
                        .map(|items| Located { place: patch.place, value: Value::List(items) }))
                }
                None => Ok(Some(patch)),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => Ok(Some(patch)),
        }
    }

    fn list(
        &mut self,
        mut ours: Vec<Located>,
        theirs: Vec<Located>,
        keys: &[&str],
    ) -> Result<Option<Vec<Located>>, Diagnostic> {
        let mut merged = Vec::new();
        let mut items = Vec::new();
        for mut item in theirs {
            let alone = item.entries().len() == 1;
            match directive(&mut item)? {
                Directive::Delete if alone => return Ok(None),
                Directive::Replace if alone => ours.clear(),
                Directive::Merge if alone && item.entries().is_empty() => {}
                Directive::Delete => {
                    self.key_of(&item, keys)?;
                    ours.retain(|our| !same(our, &item, keys));
                }
                found @ (Directive::Replace | Directive::Merge) => {
                    items.push((item, matches!(found, Directive::Replace)));
                }
            }
        }
        for (item, replace) in items {
            self.key_of(&item, keys)?;
            let position = ours.iter().position(|our| same(our, &item, keys));
            let found = position.map(|index| ours.remove(index));
            let value = match found {
                Some(our) if !replace => self.value(our, item)?,
                Some(_) | None => self.added(item)?,
            };
            match (position, value) {
                // Lists with one key begin with what the patch names, those with several with what it adds.
                (Some(index), Some(value)) if keys.len() > 1 => ours.insert(index, value),
                (_, Some(value)) => merged.push(value),
                (_, None) => {}
            }
        }
        merged.extend(ours);
        Ok(Some(merged))
    }

    /// The first key is needed in each element of a patch; the others narrow the choice.
    fn key_of(&self, item: &Located, keys: &[&str]) -> Result<(), Diagnostic> {
        let first = keys.first().copied().unwrap_or_default();
        if item.get(first).is_some_and(|value| !value.is_null()) {
            return Ok(());
        }
        let message = format!(
            "an element of `{}` in a patch needs `{first}`, which says what it is merged with",
            self.path.join(".")
        );
        Err(item.place.diagnostic(codes::PATCH, message, format!("write `{first}`")))
    }

    fn merge_keys(&self) -> Option<&'static [&'static str]> {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        if path == ["metadata", "ownerReferences"] {
            return Some(&["uid"]);
        }
        if let Some((_, _, _, keys)) =
            OTHER_LISTS.iter().find(|(group, kind, at, _)| *group == self.group && *kind == self.kind && *at == path)
        {
            return Some(keys);
        }
        let (_, _, pod) = POD_SPECS.iter().find(|(group, kind, _)| *group == self.group && *kind == self.kind)?;
        let below = path.strip_prefix(*pod)?;
        POD_LISTS.iter().find(|(at, _)| *at == below).map(|(_, keys)| *keys)
    }
}

enum Directive {
    Merge,
    Replace,
    Delete,
}

/// Takes the directive out of a mapping.
fn directive(patch: &mut Located) -> Result<Directive, Diagnostic> {
    let Some(found) = patch.remove(DIRECTIVE) else { return Ok(Directive::Merge) };
    match found.as_str() {
        Some("merge") => Ok(Directive::Merge),
        Some("replace") => Ok(Directive::Replace),
        Some("delete") => Ok(Directive::Delete),
        Some(_) | None => {
            Err(found.place.diagnostic(codes::PATCH, "`$patch` must be `merge`, `replace` or `delete`", ""))
        }
    }
}

fn refuse_other_directives(name: &str, place: &crate::located::Place) -> Result<(), Diagnostic> {
    if ["$setElementOrder/", "$deleteFromPrimitiveList/", "$retainKeys"].iter().any(|start| name.starts_with(start)) {
        let message = format!("`{name}` is not supported yet");
        return Err(place.diagnostic(
            codes::PATCH,
            message,
            "use a JSON 6902 patch for the order or the elements of lists",
        ));
    }
    Ok(())
}

/// Whether two elements have the same key. A key that only one of them has, such as `protocol`, does not part them:
/// Kubernetes would fill it in. (Kustomize 5 then sometimes drops the patch's element; here it is always merged.)
fn same(one: &Located, other: &Located, keys: &[&str]) -> bool {
    let mut equal = false;
    for key in keys {
        match (one.get(key).map(scalar), other.get(key).map(scalar)) {
            (Some(one), Some(other)) if one == other => equal = true,
            (Some(_), Some(_)) => return false,
            (None, _) | (_, None) => {}
        }
    }
    equal
}

fn scalar(value: &Located) -> Option<String> {
    match &value.value {
        Value::Text(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}
