//! `volumes` of a pod and `volumeMounts` of its container (Kubernetes API reference, `Volume` and `VolumeMount`).

use std::path::{Component, Path};

use prograde_model::confinement::{Asked, Part, VolumeMount};

use super::fields::{Fields, Findings};
use super::quantity::{self, Unit};
use crate::codes;
use crate::located::Located;

const ELSEWHERE: &str = "use `emptyDir`, `env`, or an environment on Kubernetes";
/// The longest name and path that are taken (RFC 1123 labels; Linux' `NAME_MAX` for each part of a path).
const NAME_MAX: usize = 63;

/// A volume of a pod.
pub(super) struct Volume<'a> {
    name: &'a str,
    tree: &'a Located,
    /// Whether it is an `emptyDir`, which alone can be mounted here, with what it says.
    empty: Option<(bool, Option<u64>)>,
}

/// Reads a pod's volumes. What can't be had is a finding only once something mounts it.
pub(super) fn read<'a>(pod: &mut Fields<'a>, found: &mut Findings) -> Vec<Volume<'a>> {
    let path = pod.path("volumes");
    let mut volumes: Vec<Volume> = Vec::new();
    for (at, tree) in pod.list("volumes", found).iter().enumerate() {
        let Some(mut fields) = Fields::new(tree, format!("{path}[{at}]"), found) else { continue };
        fields.required("name", found);
        let Some(name) = fields.text("name", found) else { continue };
        let is_label = !name.is_empty()
            && name.len() <= NAME_MAX
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !name.starts_with('-')
            && !name.ends_with('-');
        if !is_label {
            found.invalid(tree, "a volume's name has at most 63 lower-case letters, digits and `-` inside", "");
            continue;
        }
        if volumes.iter().any(|other| other.name == name) {
            found.invalid(tree, format!("two volumes are named `{name}`"), "");
        }
        let empty = fields.fields("emptyDir", found).map(|empty| empty_dir(empty, found));
        if empty.is_some() {
            fields.finish(found);
        }
        volumes.push(Volume { name, tree, empty });
    }
    volumes
}

fn empty_dir(mut empty: Fields, found: &mut Findings) -> (bool, Option<u64>) {
    let medium = empty.get("medium");
    let in_memory = match empty.text("medium", found).unwrap_or_default() {
        "" => false,
        "Memory" => true,
        other => {
            if let Some(at) = medium {
                let message = format!("`{}` can't be `{other}` on this runtime", empty.path("medium"));
                found.error(at, codes::REFUSED_FIELD, message, "there is `Memory`, and the disk where it is left out");
            }
            false
        }
    };
    let path = empty.path("sizeLimit");
    let size = empty.get("sizeLimit").and_then(|at| {
        let size = quantity::read(at, Unit::One).filter(|size| *size > 0);
        if size.is_none() {
            found.invalid(at, format!("`{path}` must be a quantity greater than 0"), "write one such as `64Mi`");
        }
        size
    });
    if !in_memory {
        empty.note(found, &["sizeLimit"], "a volume on the disk is not limited; `medium: Memory` is");
    }
    empty.finish(found);
    (in_memory, size)
}

/// Reads what the container mounts.
pub(super) fn mounts(
    container: &mut Fields,
    volumes: &[Volume],
    asked: &mut Vec<Asked>,
    found: &mut Findings,
) -> Vec<VolumeMount> {
    container.refuse(found, &["volumeDevices"], ELSEWHERE);
    let path = container.path("volumeMounts");
    let mut mounts: Vec<VolumeMount> = Vec::new();
    for (at, tree) in container.list("volumeMounts", found).iter().enumerate() {
        let Some(fields) = Fields::new(tree, format!("{path}[{at}]"), found) else { continue };
        let Some(mount) = mount(fields, volumes, found) else { continue };
        if mounts.iter().any(|other| other.path == mount.path) {
            found.invalid(tree, format!("two volumes are mounted at `{}`", mount.path), "");
        }
        mounts.push(mount);
    }
    if !mounts.is_empty() {
        asked.push(container.asks("volumeMounts", Part::Container));
    }
    for volume in volumes.iter().filter(|volume| !mounts.iter().any(|mount| mount.volume == volume.name)) {
        let field = format!("spec.template.spec.volumes.{}", volume.name);
        found.notices.push(super::Notice { field, place: volume.tree.place.clone(), why: "nothing mounts it" });
    }
    mounts
}

fn mount(mut fields: Fields, volumes: &[Volume], found: &mut Findings) -> Option<VolumeMount> {
    let (at, at_path) = (fields.required("name", found), fields.required("mountPath", found));
    let (name, path) = (fields.text("name", found), fields.text("mountPath", found));
    let read_only = fields.flag("readOnly", found);
    fields.refuse(found, &["subPath", "subPathExpr"], "mount the whole volume");
    fields.note(found, &["recursiveReadOnly"], "nothing is mounted below a volume");
    if let Some(how) = fields.get("mountPropagation").filter(|how| how.as_str() != Some("None")) {
        let message = format!("`{}` must be `None` on this runtime", fields.path("mountPropagation"));
        found.error(how, codes::REFUSED_FIELD, message, "remove it");
    }
    fields.finish(found);
    let (at, at_path, name, path) = (at?, at_path?, name?, path?);
    if !is_place(path) {
        let message = format!("`{path}` can't be where a volume is mounted");
        found.invalid(at_path, message, "write an absolute path without `..`, not of `/`, `/proc`, `/sys` or `/dev`");
        return None;
    }
    let Some(volume) = volumes.iter().find(|volume| volume.name == name) else {
        found.error(at, codes::REFERENCE, format!("the pod has no volume named `{name}`"), "list it under `volumes`");
        return None;
    };
    let Some((in_memory, bytes_max)) = volume.empty else {
        let message = format!("the volume `{name}` can't be had on this runtime");
        found.error(volume.tree, codes::REFUSED_FIELD, message, ELSEWHERE);
        return None;
    };
    Some(VolumeMount { volume: name.to_owned(), path: path.to_owned(), read_only, in_memory, bytes_max })
}

/// Below the root, and not where a container's own mounts are.
fn is_place(path: &str) -> bool {
    let own = ["proc", "sys", "dev"];
    let mut parts = Path::new(path).components();
    let is_absolute = parts.next() == Some(Component::RootDir) && !path.contains(['\0', ':']);
    let first = parts.clone().next();
    let is_own = first.is_some_and(|first| own.iter().any(|name| first.as_os_str() == *name));
    is_absolute && first.is_some() && !is_own && parts.all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_below_the_root() {
        for (path, expected) in [
            ("/tmp", true),
            ("/var/cache/app", true),
            ("/devices", true),
            ("tmp", false),
            ("/", false),
            ("", false),
            ("/a/../b", false),
            ("/proc/self", false),
            ("/dev", false),
            ("/a:b", false),
        ] {
            assert_eq!(is_place(path), expected, "{path}");
        }
    }
}
