//! `images`: other names, tags and digests for the images of containers.

use super::kustomization::Image;
use super::resource::Resource;
use crate::located::{Located, Value};

/// Changes the image in every `containers` and `initContainers`, wherever they are in the object.
pub(super) fn apply(resources: &mut [Resource], image: &Image) {
    for resource in resources.iter_mut().filter(|resource| resource.kind() != "CustomResourceDefinition") {
        containers(&mut resource.tree, image);
    }
}

fn containers(tree: &mut Located, image: &Image) {
    match &mut tree.value {
        Value::Map(entries) => {
            for entry in entries {
                containers(&mut entry.value, image);
                if !matches!(entry.name.as_str(), "containers" | "initContainers") {
                    continue;
                }
                for container in entry.value.items_mut().into_iter().flatten() {
                    if let Some(Located { value: Value::Text(reference), place }) = container.get_mut("image")
                        && let Some(changed) = replaced(reference, image)
                    {
                        *reference = changed;
                        *place = image.place.clone();
                    }
                }
            }
        }
        Value::List(items) => items.iter_mut().for_each(|item| containers(item, image)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
    }
}

/// The new reference, where the old one has the image's name.
fn replaced(reference: &str, image: &Image) -> Option<String> {
    let rest = reference.strip_prefix(image.name.as_str())?;
    let (tagged, digest) = match rest.split_once('@') {
        Some((tagged, digest)) => (tagged, Some(digest)),
        None => (rest, None),
    };
    let tag = if tagged.is_empty() { None } else { Some(tagged.strip_prefix(':')?) };
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "_.{}-".contains(c));
    let digest_is_plain = digest.is_none_or(|digest| digest.strip_prefix("sha256:").is_some_and(plain));
    if !tag.is_none_or(plain) || !digest_is_plain {
        return None;
    }
    let (tag, digest) = match (&image.new_tag, &image.digest) {
        (Some(tag), Some(digest)) => (Some(tag.as_str()), Some(digest.as_str())),
        (Some(tag), None) => (Some(tag.as_str()), None),
        (None, Some(digest)) => (None, Some(digest.as_str())),
        (None, None) => (tag, digest),
    };
    let mut changed = image.new_name.clone().unwrap_or_else(|| image.name.clone());
    if let Some(tag) = tag.filter(|tag| !tag.is_empty()) {
        changed.push(':');
        changed.push_str(tag);
    }
    if let Some(digest) = digest {
        changed.push('@');
        changed.push_str(digest);
    }
    Some(changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::located::Place;

    #[test]
    fn references_change_by_whole_names() {
        let digest = "sha256:0123";
        let place = Place { file: "k".into(), line: 1, column: 1 };
        let image = Image { name: "web".into(), new_name: None, new_tag: None, digest: Some(digest.into()), place };
        for (before, after) in [
            ("web", Some("web@sha256:0123")),
            ("web:1.2", Some("web@sha256:0123")),
            ("web:1@sha256:ff", Some("web@sha256:0123")),
            ("webs", None),
            ("team/web", None),
            ("web/api", None),
            ("web@md5:1", None),
        ] {
            assert_eq!(replaced(before, &image).as_deref(), after, "{before}");
        }
        let host = Image { name: "host:5000/web".into(), new_tag: Some("2".into()), digest: None, ..image };
        assert_eq!(replaced("host:5000/web:1", &host).as_deref(), Some("host:5000/web:2"));
    }
}
