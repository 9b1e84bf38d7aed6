//! Images on their way into the registry and out of it, as policies see them: one object for each push and pull of a
//! manifest, of a kind of its own. Policies that don't name that kind are not asked, whatever wildcards they have.

use std::borrow::Cow;

use prograde_policy::{Action, Given, Kind, PolicySet, Request, Status, User};
use prograde_sign::limits::MANIFEST_BYTES_MAX;
use serde_json::{Map, Value, json};

use super::Policies;

/// The API group of the kinds.
const GROUP: &str = "registry.prograde.dev";
const VERSION: &str = "v1";
/// Configurations that are larger are not read.
pub(crate) const CONFIG_BYTES_MAX: u64 = MANIFEST_BYTES_MAX;
/// Media types of the configurations of images that can be run.
const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
/// Media types of what cosign keeps as layers of manifests that look like an image's.
const SAYINGS: [&str; 3] = [
    "application/vnd.dev.cosign.simplesigning.v1+json",
    "application/vnd.dsse.envelope.v1+json",
    "application/vnd.dev.sigstore.bundle.v0.3+json",
];

/// How the media types of layers begin that runtimes unpack, whatever the configuration beside them is.
const LAYERS: [&str; 2] = ["application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs."];

/// Which way an image goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Into the registry.
    Push,
    /// Out of it.
    Pull,
}

impl Way {
    /// The kind of the object that policies see.
    pub(crate) fn kind(self) -> Kind {
        Kind { group: GROUP.to_owned(), version: VERSION.to_owned(), kind: self.name().to_owned() }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Push => "ImagePush",
            Self::Pull => "ImagePull",
        }
    }
}

/// A manifest on its way.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) way: Way,
    pub(crate) repository: String,
    /// None where it is asked for by its digest.
    pub(crate) tag: Option<String>,
    pub(crate) digest: String,
    pub(crate) media_type: String,
    pub(crate) manifest: Value,
    /// The image's configuration, where it is an image.
    pub(crate) config: Option<Value>,
    /// Who vouches for it; nobody can before it is there.
    pub(crate) vouched: Vouchers,
    /// Whether nobody knows who moves it; else it is somebody who shows the server's token.
    pub(crate) anonymous: bool,
}

/// Who vouches for an image, and for what.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Vouchers {
    /// The names of those whose signature holds, as the trusted keys and identities are called.
    pub(crate) signed_by: Vec<String>,
    /// The types of what they attest.
    pub(crate) attested: Vec<String>,
}

/// Where a manifest has its configuration, if it is that of an image that can be run.
pub(crate) fn config_of(manifest: &Value) -> Option<&str> {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str);
    let is_config = text("/config/mediaType").is_some_and(|kind| CONFIGS.contains(&kind));
    text("/config/digest").filter(|_| is_config && !says_something(manifest))
}

/// Whether it holds nothing but signatures and attestations. An image with one of them among its layers is an image.
fn says_something(manifest: &Value) -> bool {
    let layers = manifest.get("layers").and_then(Value::as_array).filter(|layers| !layers.is_empty());
    let kind = |layer: &Value| layer.get("mediaType").and_then(Value::as_str).map(str::to_owned);
    layers.is_some_and(|layers| {
        layers.iter().all(|layer| kind(layer).is_some_and(|kind| SAYINGS.contains(&kind.as_str())))
    })
}

/// Whether a runtime would find something in it to run, whatever its configuration is called.
fn has_layers(manifest: &Value) -> bool {
    let layers = manifest.get("layers").and_then(Value::as_array).into_iter().flatten();
    let mut kinds = layers.filter_map(|layer| layer.get("mediaType")?.as_str());
    kinds.any(|kind| LAYERS.iter().any(|start| kind.starts_with(start)))
}

impl Moved {
    /// What it is: an image, an index of images, or something else, such as a signature.
    fn form(&self) -> &'static str {
        if config_of(&self.manifest).is_some() || has_layers(&self.manifest) {
            "image"
        } else if self.manifest.get("manifests").is_some() {
            "index"
        } else {
            "artifact"
        }
    }

    /// Who moves it, in the words of Kubernetes.
    fn user(&self) -> User {
        let (name, group) = if self.anonymous {
            ("system:anonymous", "system:unauthenticated")
        } else {
            ("prograde:token", "system:authenticated")
        };
        let info = json!({"username": name, "groups": [group]});
        User { name: name.to_owned(), groups: vec![group.to_owned()], info, ..User::default() }
    }

    /// The object that policies see.
    fn resource(&self) -> Value {
        let map = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
        let config = self.config.as_ref();
        let mut spec = Map::new();
        for (name, value) in [
            ("repository", Some(json!(self.repository))),
            ("tag", self.tag.as_ref().map(|tag| json!(tag))),
            ("digest", Some(json!(self.digest))),
            ("mediaType", Some(json!(self.media_type))),
            ("form", Some(json!(self.form()))),
            ("manifest", Some(self.manifest.clone())),
            ("config", config.map(|config| config.get("config").cloned().unwrap_or_else(|| json!({})))),
            ("platform", config.map(|config| json!({"os": config["os"], "architecture": config["architecture"]}))),
            ("signedBy", (self.way == Way::Pull).then(|| json!(self.vouched.signed_by))),
            ("attested", (self.way == Way::Pull).then(|| json!(self.vouched.attested))),
        ] {
            spec.extend(value.map(|value| (name.to_owned(), value)));
        }
        let labels = map(config.and_then(|config| config.pointer("/config/Labels")));
        let annotations = map(self.manifest.get("annotations"));
        json!({
            "apiVersion": format!("{GROUP}/{VERSION}"),
            "kind": self.way.name(),
            "metadata": {"name": self.repository, "labels": labels, "annotations": annotations},
            "spec": spec,
        })
    }
}

impl Policies {
    /// Whether any policy is about images that go this way.
    pub(crate) fn ask_of_images(&self, way: Way) -> bool {
        !self.of_images(way).policies.is_empty()
    }

    fn of_images(&self, way: Way) -> &PolicySet {
        match way {
            Way::Push => &self.pushes,
            Way::Pull => &self.pulls,
        }
    }

    /// Why an image may not go its way. What is only told is logged.
    pub(crate) fn refusal(&self, moved: &Moved, now: jiff::Timestamp) -> Option<String> {
        let (resource, policies) = (moved.resource(), self.of_images(moved.way));
        let mut request = Request::create(&resource, now);
        request.user = Cow::Owned(moved.user());
        for answer in policies.evaluate(&request, &Given::default()) {
            let Some(policy) = policies.policies.get(answer.policy) else { continue };
            for result in answer.results {
                let broken = matches!(result.status, Status::Fail | Status::Error | Status::Warn);
                if !broken {
                    continue;
                }
                let why =
                    format!("policy `{}` refuses it: {}", policy.name(), result.message.trim().trim_end_matches('.'));
                if result.action == Action::Enforce && result.status != Status::Warn {
                    let comply = policy.annotation("prograde.dev/comply");
                    return Some(comply.map_or(why.clone(), |comply| format!("{why}; {comply}")));
                }
                let Moved { repository, digest, .. } = moved;
                tracing::warn!("{} of {repository}@{digest} is let past, but {why}", moved.way.name());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(manifest: Value) -> Moved {
        Moved {
            way: Way::Pull,
            repository: "team/app".to_owned(),
            tag: Some("v1".to_owned()),
            digest: "sha256:1".to_owned(),
            media_type: String::new(),
            manifest,
            config: None,
            vouched: Vouchers::default(),
            anonymous: true,
        }
    }

    #[test]
    fn nothing_that_can_be_run_is_taken_for_an_artifact() {
        let layers = |kinds: &[&str]| {
            let layers: Vec<Value> = kinds.iter().map(|kind| json!({"mediaType": kind})).collect();
            json!({"config": {"mediaType": CONFIGS[0], "digest": "sha256:2"}, "layers": layers})
        };
        let layer = "application/vnd.oci.image.layer.v1.tar";
        for (manifest, form) in [
            (layers(&[layer]), "image"),
            (layers(&[SAYINGS[0], layer]), "image"),
            (layers(&[]), "image"),
            (layers(&[SAYINGS[0], SAYINGS[1]]), "artifact"),
            (json!({"config": {"mediaType": "application/x"}, "layers": [{"mediaType": layer}]}), "image"),
            (json!({"config": {"mediaType": "application/x"}, "layers": [{"mediaType": "text/plain"}]}), "artifact"),
            (json!({"manifests": []}), "index"),
            (json!({"config": {"mediaType": "application/vnd.oci.empty.v1+json"}}), "artifact"),
        ] {
            assert_eq!(moved(manifest.clone()).form(), form, "{manifest}");
        }
    }

    #[test]
    fn policies_see_labels_annotations_and_who_asks() {
        let mut image = moved(json!({"annotations": {"a": "b"}}));
        image.config =
            Some(json!({"os": "linux", "architecture": "arm64", "config": {"User": "1", "Labels": {"c": "d"}}}));
        image.vouched.signed_by = vec!["ours".to_owned()];
        let expected = json!({
            "apiVersion": "registry.prograde.dev/v1",
            "kind": "ImagePull",
            "metadata": {"name": "team/app", "labels": {"c": "d"}, "annotations": {"a": "b"}},
            "spec": {
                "repository": "team/app", "tag": "v1", "digest": "sha256:1", "mediaType": "", "form": "artifact",
                "manifest": {"annotations": {"a": "b"}}, "config": {"User": "1", "Labels": {"c": "d"}},
                "platform": {"os": "linux", "architecture": "arm64"}, "signedBy": ["ours"], "attested": [],
            },
        });
        assert_eq!(image.resource(), expected);
        assert_eq!(image.user().groups, ["system:unauthenticated"]);
        image.anonymous = false;
        assert_eq!(image.user().groups, ["system:authenticated"]);
    }
}
