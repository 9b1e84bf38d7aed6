//! Resources that expressions hand to Kyverno's generator. Nothing is made: they are kept, and the policy's answer has them.
//!
//! Source: Kyverno's documentation, "`GeneratingPolicy`", "generator library".

use serde_json::{Value, json};

use super::Error;
use super::eval::Run;
use super::value::Val;

/// How many steps one resource counts.
const COST: usize = 100;

/// Keeps resources, with the namespace that they shall be in. Lists as the API gives them are taken apart.
pub(super) fn apply<'a>(run: &Run<'a>, namespace: &str, resources: &Val<'a>) -> Result<Val<'a>, Error> {
    let Some(items) = resources.items() else {
        return Err(Error::new(format!("generator.apply takes a list of resources, not {}", resources.type_name())));
    };
    for item in items {
        let resource = run.document(&item)?;
        match resource.get("items").and_then(Value::as_array) {
            Some(inner) => {
                for resource in inner {
                    keep(run, namespace, resource.clone())?;
                }
            }
            None => keep(run, namespace, resource)?,
        }
    }
    Ok(Val::Bool(true))
}

fn keep(run: &Run<'_>, namespace: &str, mut resource: Value) -> Result<(), Error> {
    run.step(COST)?;
    let Some(fields) = resource.as_object_mut() else { return Err(Error::new("what is generated is no resource")) };
    fields.shift_remove("status");
    let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
    let Some(metadata) = metadata.as_object_mut() else { return Err(Error::new("metadata is an object")) };
    // What belongs to the resource that this is a copy of.
    for name in ["uid", "resourceVersion", "creationTimestamp", "managedFields", "selfLink", "generation"] {
        metadata.shift_remove(name);
    }
    if !namespace.is_empty() {
        metadata.insert("namespace".to_owned(), Value::from(namespace));
    }
    run.generated.borrow_mut().push(resource);
    Ok(())
}
