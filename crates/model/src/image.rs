//! How `prograde.yaml` says that a service's image is made from what its pipeline uploaded.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::Digest;

/// How the image is made from an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct Image {
    /// The artifact that the workflow uploads with `actions/upload-artifact`.
    pub artifact: String,
    /// What of it becomes the image.
    pub content: Content,
}

/// What of an artifact becomes the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A program, as `/app/<binary>`, started as a user without rights.
    Program {
        /// The program's file.
        binary: String,
        /// What it is laid on.
        base: Base,
        /// Arguments that it is started with.
        args: Vec<String>,
    },
    /// An image that the pipeline's own builder made: the file of an OCI archive.
    Archive(String),
}

impl Image {
    /// The file of the artifact, and the field that names it.
    pub fn file(&self) -> (&'static str, &str) {
        match &self.content {
            Content::Program { binary, .. } => ("binary", binary),
            Content::Archive(archive) => ("archive", archive),
        }
    }
}

/// What a program is laid on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    #[default]
    Scratch,
    /// The authorities, the time zones and the users that a program expects, from the server's machine.
    Minimal,
    /// Another image, by its digest.
    Image(PinnedImage),
}

/// An image's name with its digest, `NAME@sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedImage {
    name: String,
    digest: Digest,
}

impl PinnedImage {
    /// The digest: of the image, or of a list with one for each platform.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl fmt::Display for PinnedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.digest)
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scratch => f.write_str("scratch"),
            Self::Minimal => f.write_str("minimal"),
            Self::Image(image) => image.fmt(f),
        }
    }
}

/// Why a text names no base.
#[derive(Debug, thiserror::Error)]
#[error(
    "`base: {0}` is neither `scratch` nor `minimal` nor an image with its digest: a tag names another image tomorrow; write NAME@sha256:…, as `prograde image inspect NAME` prints it"
)]
pub struct BaseError(String);

impl FromStr for Base {
    type Err = BaseError;

    fn from_str(text: &str) -> Result<Self, BaseError> {
        match text {
            "scratch" => Ok(Self::Scratch),
            "minimal" => Ok(Self::Minimal),
            other => {
                let pinned = other.split_once('@').filter(|(name, _)| !name.is_empty()).and_then(|(name, digest)| {
                    Some(PinnedImage { name: name.to_owned(), digest: digest.parse().ok()? })
                });
                pinned.map(Self::Image).ok_or_else(|| BaseError(other.chars().take(200).collect()))
            }
        }
    }
}

/// How the image is made from an artifact: either its `binary` below `/app`, started as a user without rights, or its
/// `archive`, an image that the pipeline's own builder made.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["binary"]}, {"required": ["archive"]}]))]
struct Fields {
    /// The artifact that the workflow uploads with `actions/upload-artifact`.
    artifact: String,
    /// The file in it that is started; becomes `/app/<binary>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    binary: Option<String>,
    /// What the binary is laid on: `scratch`, which is nothing, `minimal`, which is certificates, time zones and users, or
    /// another image as `NAME@sha256:…`; default `scratch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<String>,
    /// Arguments that the binary is started with.
    #[serde(default)]
    args: Vec<String>,
    /// The OCI archive in it (`docker buildx build --output type=oci`, `buildah push … oci-archive:`), in place of a binary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    archive: Option<String>,
}

impl JsonSchema for Image {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Image".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Fields::json_schema(generator)
    }
}

impl TryFrom<Fields> for Image {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let Fields { artifact, binary, base, args, archive } = fields;
        let content = match (binary, archive) {
            (Some(binary), None) => {
                let base = base.as_deref().map_or(Ok(Base::Scratch), str::parse);
                Content::Program { binary, base: base.map_err(|error: BaseError| error.to_string())?, args }
            }
            (None, Some(archive)) if base.is_none() && args.is_empty() => Content::Archive(archive),
            (None, Some(_)) => {
                return Err("an `archive` is an image already: `base` and `args` go with `binary`; give arguments in the manifests".into());
            }
            (Some(_), Some(_)) => return Err("`image` has both `binary` and `archive`: name one of them".into()),
            (None, None) => {
                return Err("missing field `binary`, or `archive` for an image that the workflow builds".into());
            }
        };
        Ok(Self { artifact, content })
    }
}

impl From<Image> for Fields {
    fn from(image: Image) -> Self {
        let artifact = image.artifact;
        match image.content {
            Content::Program { binary, base, args } => {
                let base = Some(base).filter(|base| *base != Base::Scratch).map(|base| base.to_string());
                Self { artifact, binary: Some(binary), base, args, archive: None }
            }
            Content::Archive(archive) => {
                Self { artifact, binary: None, base: None, args: Vec::new(), archive: Some(archive) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(value: Value) -> Result<Image, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn an_image_is_a_program_or_an_archive() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let pinned = format!("ghcr.io/team/base:1@{digest}");
        let all = [
            json!({"artifact": "a", "binary": "pad", "args": ["serve"]}),
            json!({"artifact": "a", "binary": "pad", "base": "minimal", "args": []}),
            json!({"artifact": "a", "binary": "pad", "base": pinned, "args": []}),
            json!({"artifact": "a", "archive": "image.tar", "args": []}),
        ];
        for one in all {
            assert_eq!(serde_json::to_value(read(one.clone()).unwrap()).unwrap(), one);
        }
        let plain = read(json!({"artifact": "a", "binary": "pad", "base": "scratch"})).unwrap();
        assert_eq!(serde_json::to_value(plain).unwrap(), json!({"artifact": "a", "binary": "pad", "args": []}));
        let Content::Program { base: Base::Image(base), .. } =
            read(json!({"artifact": "a", "binary": "pad", "base": pinned})).unwrap().content
        else {
            panic!("an image")
        };
        assert_eq!((base.to_string(), base.digest().to_string()), (pinned, digest));
    }

    #[test]
    fn what_is_neither_says_why() {
        for (wrong, why) in [
            (json!({"artifact": "a"}), "missing field `binary`, or `archive`"),
            (json!({"artifact": "a", "binary": "b", "archive": "c"}), "both"),
            (json!({"artifact": "a", "archive": "c", "args": ["x"]}), "in the manifests"),
            (json!({"artifact": "a", "binary": "b", "base": "debian:12"}), "a tag names another image tomorrow"),
            (json!({"artifact": "a", "binary": "b", "base": "@sha256:0"}), "NAME@sha256"),
            (json!({"artifact": "a", "binary": "b", "bass": "scratch"}), "unknown field `bass`"),
        ] {
            let told = read(wrong).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }
}
