//! Manifests as they are pushed: what they need, what they are about, and what is wrong with them.
//!
//! Any media type is taken. What is checked is what every reader has to agree on: that the document is one JSON object,
//! of the type that it was pushed as, and that everything that it names is there.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::document::{INDEX, MANIFEST};
use crate::error::cut;
use crate::registry::error::RegistryError;
use crate::registry::name::ContentDigest;

const MEDIA_TYPE_BYTES_MAX: usize = 255;
/// Things that one manifest may name.
const REFERENCES_MAX: usize = 10_000;

/// Arrays and objects inside of each other: more than that no reader has to bear.
const DEPTH_MAX: usize = 100;

/// Docker's types that hold a signature inside of the document: its digest is not that of its bytes.
const SIGNED_PREFIX: &str = "application/vnd.docker.distribution.manifest.v1";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    schema_version: Option<u64>,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    config: Option<Named>,
    #[serde(default)]
    layers: Option<Vec<Named>>,
    #[serde(default)]
    blobs: Option<Vec<Named>>,
    #[serde(default)]
    manifests: Option<Vec<Named>>,
    #[serde(default)]
    subject: Option<Named>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

/// A descriptor, as far as a registry looks at it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: i64,
    #[serde(default)]
    urls: Option<Vec<String>>,
}

/// Something that a manifest needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needed {
    pub(super) digest: ContentDigest,
    pub(super) size: u64,
    /// Whether it is a manifest and no blob.
    pub(super) manifest: bool,
    /// Whether it may be missing, as it is to be had elsewhere (image specification, "Non-Distributable Layers").
    pub(super) elsewhere: bool,
}

/// A manifest that was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) media_type: String,
    pub(super) needed: Vec<Needed>,
    pub(super) subject: Option<ContentDigest>,
    pub(super) artifact_type: Option<String>,
    /// Its annotations as JSON, if it has any.
    pub(super) annotations: Option<String>,
}

fn invalid(why: impl Into<String>) -> RegistryError {
    RegistryError::ManifestInvalid { why: why.into() }
}

/// Reads a manifest that came with this `Content-Type`, if with any.
pub(super) fn read(bytes: &[u8], content_type: Option<&str>) -> Result<Read, RegistryError> {
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(invalid("it is not a JSON object"));
    }
    if depth(bytes) > DEPTH_MAX {
        return Err(invalid(format!("it is nested deeper than {DEPTH_MAX}")));
    }
    let document: Document = serde_json::from_slice(bytes).map_err(|error| invalid(cut(&error.to_string(), 200)))?;
    let media_type = media_type(&document, content_type)?;
    check_shape(&document, &media_type)?;
    let needed = needed(&document)?;
    let subject = document.subject.as_ref().map(|subject| descriptor("subject", subject, true)).transpose()?;
    let given = document.artifact_type.filter(|kind| !kind.is_empty());
    let of_config = document.config.map(|config| config.media_type).filter(|kind| !kind.is_empty());
    let annotations = document.annotations.filter(|annotations| !annotations.is_empty());
    let annotations = annotations.map(|annotations| serde_json::to_string(&annotations)).transpose();
    Ok(Read {
        media_type,
        needed,
        subject: subject.map(|subject| subject.digest),
        artifact_type: given.or(of_config),
        annotations: annotations.map_err(|error| invalid(error.to_string()))?,
    })
}

/// How deep arrays and objects are inside of each other. The parser skips what nobody asks for without counting.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => depth += 1,
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The type, on which header and document have to agree.
fn media_type(document: &Document, content_type: Option<&str>) -> Result<String, RegistryError> {
    let of_header =
        content_type.map(|value| value.split(';').next().unwrap_or(value).trim()).filter(|kind| !kind.is_empty());
    let of_document = document.media_type.as_deref().filter(|kind| !kind.is_empty());
    let media_type = match (of_header, of_document) {
        (Some(header), Some(inside)) if header != inside => {
            let (header, inside) = (cut(header, 100), cut(inside, 100));
            return Err(invalid(format!("it was sent as {header:?}, and its `mediaType` is {inside:?}")));
        }
        (Some(kind), _) | (None, Some(kind)) => kind,
        (None, None) => return Err(invalid("neither its `mediaType` nor the header `Content-Type` says what it is")),
    };
    let good = media_type.len() <= MEDIA_TYPE_BYTES_MAX && media_type.bytes().all(|b| b.is_ascii_graphic());
    if !good || !media_type.contains('/') {
        return Err(invalid(format!("{:?} is not a media type", cut(media_type, 100))));
    }
    if media_type.starts_with(SIGNED_PREFIX) {
        return Err(invalid("it is of Docker's first schema, which is no longer in use: push it with a newer client"));
    }
    Ok(media_type.to_owned())
}

/// What is a manifest to one reader and an index to another is a trap (GHSA-77vh-xpmg-72qh, GHSA-mc8v-mgrf-8f4m).
fn check_shape(document: &Document, media_type: &str) -> Result<(), RegistryError> {
    let image = document.config.is_some() || document.layers.is_some();
    if image && document.manifests.is_some() {
        return Err(invalid("it has `manifests` and also `config` or `layers`: it can't be an index and an image"));
    }
    if [MANIFEST, INDEX].contains(&media_type) && document.schema_version != Some(2) {
        return Err(invalid("its `schemaVersion` is not 2"));
    }
    if media_type == MANIFEST && (document.config.is_none() || document.layers.is_none()) {
        return Err(invalid("it is an image manifest and lacks `config` or `layers`"));
    }
    if media_type == INDEX && document.manifests.is_none() {
        return Err(invalid("it is an index and lacks `manifests`"));
    }
    Ok(())
}

fn needed(document: &Document) -> Result<Vec<Needed>, RegistryError> {
    let lists = [
        ("layers", &document.layers, false),
        ("blobs", &document.blobs, false),
        ("manifests", &document.manifests, true),
    ];
    let counted: usize = lists.iter().filter_map(|(_, list, _)| list.as_ref()).map(Vec::len).sum();
    if counted > REFERENCES_MAX {
        return Err(invalid(format!("it names {counted} things, and {REFERENCES_MAX} are allowed")));
    }
    let mut needed: Vec<Needed> =
        document.config.iter().map(|config| descriptor("config", config, false)).collect::<Result<_, _>>()?;
    for (field, list, manifest) in lists {
        for named in list.iter().flatten() {
            needed.push(descriptor(field, named, manifest)?);
        }
    }
    Ok(needed)
}

fn descriptor(field: &str, named: &Named, manifest: bool) -> Result<Needed, RegistryError> {
    let digest = ContentDigest::new(&named.digest)
        .map_err(|_| invalid(format!("`{field}` names {:?}, which is not a digest", cut(&named.digest, 100))))?;
    let size =
        u64::try_from(named.size).map_err(|_| invalid(format!("`{field}` names {digest} with a size below 0")))?;
    let foreign = named.media_type.contains("nondistributable") || named.media_type.contains(".foreign.");
    let elsewhere = foreign || named.urls.as_ref().is_some_and(|urls| !urls.is_empty());
    Ok(Needed { digest, size, manifest, elsewhere })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

    fn digest(fill: &str) -> String {
        format!("sha256:{}", fill.repeat(64))
    }

    fn image() -> Value {
        let named = |kind: &str, fill: &str| json!({ "mediaType": kind, "digest": digest(fill), "size": 7 });
        json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": named("application/x", "a"), "layers": [named("application/y", "b")],
        })
    }

    fn changed(change: impl FnOnce(&mut Value)) -> String {
        let mut document = image();
        change(&mut document);
        document.to_string()
    }

    #[test]
    fn what_a_manifest_needs_and_is() {
        let read = read(image().to_string().as_bytes(), Some(MANIFEST)).unwrap();
        assert_eq!(read.needed.iter().map(|needed| needed.size).collect::<Vec<_>>(), [7, 7]);
        assert_eq!((read.artifact_type.as_deref(), read.subject), (Some("application/x"), None));
        let with = changed(|document| {
            document["artifactType"] = json!("application/sbom");
            document["subject"] = json!({ "digest": digest("c"), "size": 1 });
            document["annotations"] = json!({ "a": "b" });
        });
        let read = super::read(with.as_bytes(), Some(&format!("{MANIFEST}; charset=utf-8"))).unwrap();
        assert_eq!(read.media_type, MANIFEST);
        assert_eq!(read.artifact_type.as_deref(), Some("application/sbom"));
        assert_eq!(read.subject.unwrap().as_str(), digest("c"));
        assert_eq!(read.annotations.as_deref(), Some(r#"{"a":"b"}"#));
    }

    #[test]
    fn any_type_is_taken_that_is_one_thing() {
        let docker = changed(|document| document["mediaType"] = json!(DOCKER));
        assert_eq!(read(docker.as_bytes(), Some(DOCKER)).unwrap().needed.len(), 2);
        assert_eq!(read(br#"{"a":1}"#, Some("application/vnd.other+json")).unwrap().needed, []);
        let list =
            json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [{ "digest": digest("a"), "size": 1 }] });
        assert!(read(list.to_string().as_bytes(), None).unwrap().needed[0].manifest);
    }

    #[test]
    fn brackets_in_texts_are_no_depth() {
        for (text, expected) in [("{}", 1), (r#"{"a":[{}]}"#, 3), (r#"{"[[\"[[":"{{"}"#, 1), (r#"{"\\":[]}"#, 2)] {
            assert_eq!(depth(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let many = changed(|document| {
            document["layers"] = std::iter::repeat_n(json!({ "digest": digest("b"), "size": 1 }), 10_001).collect();
        });
        let cases = [
            (String::new(), Some(MANIFEST), "not a JSON object"),
            ("[]".to_owned(), Some(MANIFEST), "not a JSON object"),
            ("{".to_owned(), Some(MANIFEST), "EOF"),
            (deep, Some(MANIFEST), "nested deeper"),
            (image().to_string(), Some(INDEX), "it was sent as"),
            (r#"{"schemaVersion":2}"#.to_owned(), None, "neither"),
            (r#"{"schemaVersion":2}"#.to_owned(), Some(MANIFEST), "lacks `config` or `layers`"),
            (r#"{"schemaVersion":2}"#.to_owned(), Some(INDEX), "lacks `manifests`"),
            (r#"{"a":1}"#.to_owned(), Some("nonsense"), "not a media type"),
            (
                r#"{"a":1}"#.to_owned(),
                Some("application/vnd.docker.distribution.manifest.v1+prettyjws"),
                "first schema",
            ),
            (changed(|document| document["manifests"] = json!([])), Some(MANIFEST), "can't be an index and an image"),
            (changed(|document| document["schemaVersion"] = json!(1)), Some(MANIFEST), "not 2"),
            (changed(|document| document["layers"][0]["digest"] = json!("../x")), Some(MANIFEST), "not a digest"),
            (changed(|document| document["layers"][0]["size"] = json!(-1)), Some(MANIFEST), "below 0"),
            (changed(|document| document["subject"] = json!("x")), Some(MANIFEST), "invalid type"),
            (many, Some(MANIFEST), "10000 are allowed"),
        ];
        for (text, kind, expected) in cases {
            let error = read(text.as_bytes(), kind).unwrap_err().to_string();
            assert!(error.contains(expected), "{} {error}", cut(&text, 80));
        }
    }
}
