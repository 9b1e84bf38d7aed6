//! `validate.manifests`: whether a resource is one that somebody signed, as its annotations prove it.
//!
//! The annotation `message` holds what was signed, and `signature`, `signature_1` and so on who did: nothing is asked of a
//! registry, a log or a cluster, and rules that need one are refused when they are read.
//!
//! Source: Kyverno's documentation, "Verify Manifests"; the format is that of k8s-manifest-sigstore
//! (<https://github.com/sigstore/k8s-manifest-sigstore>).

use std::collections::BTreeMap;
use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey as _;
use serde_json::Value;

use crate::image::Image;
use crate::jmespath::equal;
use crate::request::{Kind, at, text};
use crate::rule::flag;
use crate::validate::{Status, Verdict};
use crate::wildcard;

/// The largest message that is unpacked, in bytes.
const MESSAGE_MAX: u64 = 4 * 1024 * 1024;
/// How deep attestors may nest.
const NESTING_MAX: usize = 5;
/// How many signatures of one resource are tried.
const SIGNATURES_MAX: usize = 32;
/// The annotations' domain, where a rule names none.
const DOMAIN: &str = "cosign.sigstore.dev";

/// Fields that a cluster fills in or changes, by kind; they need not be as they were signed.
const FILLED: [(&str, &[&str]); 9] = [
    (
        "*",
        &[
            "status",
            "metadata.namespace",
            "metadata.uid",
            "metadata.generation",
            "metadata.resourceVersion",
            "metadata.selfLink",
            "metadata.creationTimestamp",
            "metadata.managedFields",
            "metadata.finalizers",
            "metadata.labels.app.kubernetes.io/instance",
            "metadata.annotations.namespace",
            "metadata.annotations.kubectl.kubernetes.io/last-applied-configuration",
            "metadata.annotations.deployment.kubernetes.io/revision",
            "metadata.annotations.deprecated.daemonset.template.generation",
            "metadata.annotations.control-plane.alpha.kubernetes.io/leader",
            "spec.containers.*.imagePullPolicy",
            "spec.containers.*.terminationMessagePath",
            "spec.containers.*.terminationMessagePolicy",
            "spec.dnsPolicy",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.terminationGracePeriodSeconds",
        ],
    ),
    (
        "Pod",
        &[
            "spec.volumes.*.name",
            "spec.volumes.*.projected",
            "spec.volumes.*.configMap.defaultMode",
            "spec.containers.*.volumeMounts",
            "spec.tolerations",
            "spec.enableServiceLinks",
            "spec.preemptionPolicy",
            "spec.priority",
            "spec.serviceAccount",
        ],
    ),
    (
        "Deployment",
        &[
            "spec.progressDeadlineSeconds",
            "spec.revisionHistoryLimit",
            "spec.strategy",
            "spec.template.metadata.creationTimestamp",
            "spec.containers.*.ports.*.protocol",
            "spec.containers.*.resources",
            "spec.securityContext",
        ],
    ),
    ("CustomResourceDefinition", &["spec.conversion.strategy", "spec.names.listKind"]),
    (
        "Service",
        &[
            "spec.ports.*.nodePort",
            "spec.clusterIP",
            "spec.clusterIPs.0",
            "spec.sessionAffinity",
            "spec.type",
            "spec.ipFamilies",
            "spec.ipFamilyPolicy",
            "spec.internalTrafficPolicy",
        ],
    ),
    ("ServiceAccount", &["secrets.*.name", "imagePullSecrets.*.name"]),
    ("Route", &["spec.host"]),
    ("ClusterPolicy", POLICY),
    ("Policy", POLICY),
];

const POLICY: &[&str] = &[
    "metadata.annotations.pod-policies.kyverno.io/autogen-controllers",
    "spec.failurePolicy",
    "spec.background",
    "spec.validationFailureAction",
];

/// Who has to have signed.
#[derive(Debug, Clone)]
struct Attestors {
    entries: Vec<Attestor>,
    /// How many of them.
    count: usize,
}

#[derive(Debug, Clone)]
struct Attestor {
    by: By,
    /// Annotations that the resource has to have.
    annotations: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
enum By {
    Key(Box<VerifyingKey>),
    Nested(Attestors),
}

/// Fields of some objects that need not be as they were signed.
#[derive(Debug, Clone)]
struct Ignored {
    objects: Vec<Value>,
    fields: Vec<String>,
}

/// `validate.manifests`.
#[derive(Debug, Clone)]
pub(crate) struct Manifests {
    attestors: Vec<Attestors>,
    ignored: Vec<Ignored>,
    domain: String,
}

impl Manifests {
    pub(crate) fn compile(value: &Value) -> Result<Self, String> {
        if flag(at(value, &["dryRun", "enable"])) == Some(true) {
            return Err("manifests.dryRun asks a cluster, which is not asked here".to_owned());
        }
        if !text(value, &["repository"]).is_empty() {
            return Err("manifests.repository: signatures are read out of annotations alone".to_owned());
        }
        let list = |name: &str| value.get(name).and_then(Value::as_array).into_iter().flatten();
        let attestors: Result<Vec<Attestors>, String> =
            list("attestors").map(|set| Attestors::compile(set, NESTING_MAX)).collect();
        let attestors = attestors?;
        if attestors.is_empty() {
            return Err("manifests needs attestors: who has to have signed".to_owned());
        }
        let ignored = list("ignoreFields").map(|item| Ignored {
            objects: item.get("objects").and_then(Value::as_array).cloned().unwrap_or_default(),
            fields: crate::matching::texts(item.get("fields")),
        });
        let domain = text(value, &["annotationDomain"]);
        let domain = if domain.is_empty() { DOMAIN } else { domain };
        Ok(Self { attestors, ignored: ignored.collect(), domain: domain.to_owned() })
    }

    /// Whether all sets of attestors vouch for the resource, and for what it is now.
    pub(crate) fn run(&self, resource: &Value) -> Verdict {
        let annotation = |name: &str| {
            let annotations = at(resource, &["metadata", "annotations"])?;
            annotations.get(format!("{}/{name}", self.domain))?.as_str()
        };
        let Some(message) = annotation("message") else {
            return Verdict::new(Status::Fail, format!("the resource has no annotation {}/message", self.domain));
        };
        let mut signatures: Vec<&str> = annotation("signature").into_iter().collect();
        signatures.extend((1..SIGNATURES_MAX).map_while(|number| annotation(&format!("signature_{number}"))));
        let signed = match unpacked(message) {
            Ok(signed) => signed,
            Err(why) => return Verdict::new(Status::Fail, format!("the signed message can't be read: {why}")),
        };
        let signatures: Vec<Signature> = signatures.into_iter().filter_map(signature).collect();
        if let Some(set) = self.attestors.iter().find(|set| !set.vouch(&signed, &signatures, resource)) {
            let why = format!("fewer than {} of the attestors signed the manifest", set.count);
            return Verdict::new(Status::Fail, why);
        }
        match manifest(&signed, resource) {
            Ok(manifest) => self.compared(&manifest, resource),
            Err(why) => Verdict::new(Status::Fail, why),
        }
    }

    fn compared(&self, manifest: &Value, resource: &Value) -> Verdict {
        let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
        leaves(manifest, &mut String::new(), &mut before);
        leaves(resource, &mut String::new(), &mut after);
        let same = |path: &str| match (before.get(path), after.get(path)) {
            (Some(a), Some(b)) => equal(a, b) || (path.rsplit('.').next() == Some("image") && same_image(a, b)),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let changed = before.keys().chain(after.keys()).find(|path| !same(path) && !self.is_ignored(path, resource));
        match changed {
            None => Verdict::new(Status::Pass, "the manifest is signed and unchanged"),
            Some(path) => Verdict {
                path: format!("/{}/", path.replace('.', "/")),
                ..Verdict::new(Status::Fail, format!("{path} is not as it was signed"))
            },
        }
    }

    fn is_ignored(&self, path: &str, resource: &Value) -> bool {
        let kind = text(resource, &["kind"]);
        let within = |field: &str| wildcard::matches(field, path) || wildcard::matches(&[field, ".*"].concat(), path);
        let proof = ["metadata.annotations.", &self.domain, "/"].concat();
        let filled = FILLED.iter().filter(|(of, _)| *of == "*" || *of == kind);
        path.starts_with(&proof)
            || filled.flat_map(|(_, fields)| fields.iter()).any(|field| within(field))
            || self
                .ignored
                .iter()
                .filter(|ignored| ignored.objects.iter().any(|object| is_of(object, resource)))
                .any(|ignored| ignored.fields.iter().any(|field| within(field)))
    }
}

impl Attestors {
    fn compile(value: &Value, depth: usize) -> Result<Self, String> {
        let depth = depth.checked_sub(1).ok_or_else(|| format!("attestors nest deeper than {NESTING_MAX}"))?;
        let mut entries = Vec::new();
        for entry in value.get("entries").and_then(Value::as_array).into_iter().flatten() {
            let annotations = entry.get("annotations").and_then(Value::as_object).into_iter().flatten();
            let annotations: Vec<(String, String)> =
                annotations.map(|(name, value)| (name.clone(), crate::pattern::shown(value).into_owned())).collect();
            let mut push = |by: By| entries.push(Attestor { by, annotations: annotations.clone() });
            if let Some(nested) = entry.get("attestor") {
                push(By::Nested(Self::compile(nested, depth)?));
                continue;
            }
            let keys = entry.get("keys").ok_or(
                "manifests: an attestor needs keys; certificates and keyless signatures are not verified here",
            )?;
            for key in static_keys(keys)? {
                push(By::Key(Box::new(key)));
            }
        }
        if entries.is_empty() {
            return Err("manifests: attestors without entries".to_owned());
        }
        let all = entries.len();
        let count = value.get("count").and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok());
        Ok(Self { entries, count: count.filter(|count| *count > 0).unwrap_or(all) })
    }

    /// Whether enough of them signed.
    fn vouch(&self, signed: &[u8], signatures: &[Signature], resource: &Value) -> bool {
        let annotated = |(name, wanted): &(String, String)| {
            let found = at(resource, &["metadata", "annotations"]).and_then(|annotations| annotations.get(name));
            found.is_some_and(|found| found == wanted.as_str())
        };
        let good = |entry: &&Attestor| {
            entry.annotations.iter().all(annotated)
                && match &entry.by {
                    By::Key(key) => signatures.iter().any(|signature| key.verify(signed, signature).is_ok()),
                    By::Nested(set) => set.vouch(signed, signatures, resource),
                }
        };
        self.entries.iter().filter(good).count() >= self.count
    }
}

/// The keys that stand in a rule: one or more blocks of PEM.
fn static_keys(keys: &Value) -> Result<Vec<VerifyingKey>, String> {
    const END: &str = "-----END PUBLIC KEY-----";
    let algorithm = text(keys, &["signatureAlgorithm"]);
    if !matches!(algorithm, "" | "sha256") {
        return Err(format!("manifests: signatures with {algorithm} are not verified here, only with sha256"));
    }
    let mut found = Vec::new();
    for block in text(keys, &["publicKeys"]).split_inclusive(END).map(str::trim).filter(|block| !block.is_empty()) {
        let key = VerifyingKey::from_public_key_pem(block);
        found.push(key.map_err(|_| "manifests: publicKeys takes keys of P-256 in PEM, not references to keys")?);
    }
    if found.is_empty() {
        return Err("manifests: keys needs publicKeys; secrets and key services are not asked here".to_owned());
    }
    Ok(found)
}

fn signature(text: &str) -> Option<Signature> {
    Signature::from_der(&STANDARD.decode(text.trim()).ok()?).ok()
}

/// What was signed: the annotation unpacked once.
fn unpacked(message: &str) -> Result<Vec<u8>, String> {
    inflated(&STANDARD.decode(message.trim()).map_err(|error| error.to_string())?)
}

fn inflated(packed: &[u8]) -> Result<Vec<u8>, String> {
    let mut made = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(packed).take(MESSAGE_MAX + 1);
    reader.read_to_end(&mut made).map_err(|error| error.to_string())?;
    if made.len() as u64 > MESSAGE_MAX {
        return Err(format!("it has more than {MESSAGE_MAX} bytes"));
    }
    Ok(made)
}

/// The manifest of a resource within what was signed: YAML, or an archive of it.
fn manifest(signed: &[u8], resource: &Value) -> Result<Value, String> {
    let texts = if signed.starts_with(&[0x1f, 0x8b]) { archived(&inflated(signed)?)? } else { vec![signed.to_vec()] };
    for source in texts {
        let source = String::from_utf8(source).map_err(|error| error.to_string())?;
        let documents = prograde_yaml::documents("message", &source).map_err(|error| error.message)?;
        for document in documents.iter().map(prograde_yaml::Node::to_json) {
            let same = |path: &[&str]| text(&document, path) == text(resource, path);
            let placed = text(&document, &["metadata", "namespace"]);
            let namespace = placed.is_empty() || placed == text(resource, &["metadata", "namespace"]);
            if same(&["apiVersion"]) && same(&["kind"]) && same(&["metadata", "name"]) && namespace {
                return Ok(document);
            }
        }
    }
    Err("what was signed has no manifest of this resource".to_owned())
}

fn archived(bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut archive = tar::Archive::new(bytes);
    let mut files = Vec::new();
    for entry in archive.entries().map_err(|error| error.to_string())? {
        let mut made = Vec::new();
        entry.and_then(|mut entry| entry.read_to_end(&mut made)).map_err(|error| error.to_string())?;
        files.push(made);
    }
    Ok(files)
}

/// Single values by their paths; what is empty stands for itself.
fn leaves<'v>(value: &'v Value, path: &mut String, found: &mut BTreeMap<String, &'v Value>) {
    let mut below = |step: &str, value: &'v Value| {
        let length = path.len();
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(step);
        leaves(value, path, found);
        path.truncate(length);
    };
    match value {
        Value::Object(fields) if !fields.is_empty() => fields.iter().for_each(|(name, value)| below(name, value)),
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(place, value)| below(&place.to_string(), value));
        }
        Value::Null => {}
        other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
            found.insert(path.clone(), other);
        }
    }
}

fn same_image(a: &Value, b: &Value) -> bool {
    let whole = |value: &Value| Image::parse(value.as_str()?).ok().map(|image| image.to_string());
    whole(a).is_some_and(|a| whole(b) == Some(a))
}

/// Whether a binding is about a resource.
fn is_of(object: &Value, resource: &Value) -> bool {
    let kind = Kind::of(resource);
    let fits = |field: &str, found: &str| {
        let wanted = text(object, &[field]);
        wanted.is_empty() || wildcard::matches(wanted, found)
    };
    fits("kind", &kind.kind)
        && fits("group", &kind.group)
        && fits("version", &kind.version)
        && fits("name", text(resource, &["metadata", "name"]))
        && fits("namespace", text(resource, &["metadata", "namespace"]))
}
