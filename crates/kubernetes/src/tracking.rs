//! Which application an object belongs to: Argo CD's annotation, so that a team can move over without a change.
//!
//! Source: Argo CD's documentation, "Resource Tracking". Invariant: a copy of an object, which has the annotation of the one
//! that it was copied from, belongs to nobody.

use prograde_resource::{Identity, Object};
use serde_json::{Map, Value, json};

/// The annotation.
pub const TRACKING: &str = "argocd.argoproj.io/tracking-id";
/// Which sync made a hook: the revision, when it began, and which attempt.
pub const SYNC: &str = "prograde.dev/sync";

/// The annotation of an object that belongs to an application. Objects without a namespace count to the application's.
pub fn id(instance: &str, identity: &Identity, namespace: &str) -> String {
    let namespace = if identity.namespace.is_empty() { namespace } else { &identity.namespace };
    format!("{instance}:{}/{}:{namespace}/{}", identity.group, identity.kind, identity.name)
}

/// The application that an object belongs to.
pub fn owner(object: &Object) -> Option<&str> {
    let annotation = object.value.pointer("/metadata/annotations")?.get(TRACKING)?.as_str()?;
    let (instance, rest) = annotation.split_once(':')?;
    let (kind, name) = rest.split_once(':')?;
    let (group, kind) = kind.split_once('/')?;
    let (namespace, name) = name.split_once('/')?;
    let own = &object.identity;
    let is_itself = group == own.group
        && kind == own.kind
        && name == own.name
        && (own.namespace.is_empty() || namespace == own.namespace);
    (is_itself && !instance.is_empty()).then_some(instance)
}

/// Sets an annotation.
pub(crate) fn annotate(object: &mut Value, name: &str, value: &str) {
    let Some(fields) = object.as_object_mut() else { return };
    let metadata = fields.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    let Some(metadata) = metadata.as_object_mut() else { return };
    let annotations = metadata.entry("annotations").or_insert(Value::Null);
    if !annotations.is_object() {
        *annotations = json!({});
    }
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.insert(name.to_owned(), Value::from(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str, version: &str, annotation: &str) -> Object {
        let mut value = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "web", "namespace": "shop"}});
        annotate(&mut value, TRACKING, annotation);
        Object::new(value, "shop").unwrap()
    }

    #[test]
    fn an_object_belongs_to_whom_it_says() {
        let web = object("Deployment", "apps/v1", "shop:apps/Deployment:shop/web");
        assert_eq!(owner(&web), Some("shop"));
        assert_eq!(id("shop", &web.identity, "other"), "shop:apps/Deployment:shop/web");
        let space = object("Namespace", "v1", "shop:/Namespace:anywhere/web");
        assert_eq!(owner(&space), Some("shop"));
        assert_eq!(id("shop", &space.identity, "shop"), "shop:/Namespace:shop/web");
    }

    #[test]
    fn a_copy_belongs_to_nobody() {
        for other in [
            "",
            "shop",
            "shop:apps/Deployment",
            "shop:apps/Deployment:shop/other",
            "shop:apps/Deployment:b/web",
            "shop:/Deployment:shop/web",
            ":apps/Deployment:shop/web",
            "shop:apps/StatefulSet:shop/web",
        ] {
            assert_eq!(owner(&object("Deployment", "apps/v1", other)), None, "{other}");
        }
    }

    #[test]
    fn annotations_are_added_where_there_are_none() {
        for mut value in
            [json!({}), json!({"metadata": {"annotations": null}}), json!({"metadata": {"annotations": {"b": "c"}}})]
        {
            annotate(&mut value, "a", "1");
            assert_eq!(value.pointer("/metadata/annotations/a"), Some(&json!("1")));
        }
    }
}
