//! References to container images: `registry/path:tag@digest`, with Docker's defaults.
//!
//! Source of the grammar: the package `reference` of the distribution project
//! (<https://pkg.go.dev/github.com/distribution/reference>), and Kyverno's documentation of the variable `images`.

use std::fmt;

use serde_json::{Value, json};

/// The registry that is meant when none is named.
const DEFAULT_REGISTRY: &str = "docker.io";

/// One reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Host and port of the registry.
    pub registry: String,
    /// The repository within it.
    pub path: String,
    /// The last part of the path.
    pub name: String,
    /// The tag; `latest` where there is neither tag nor digest.
    pub tag: String,
    /// The digest, or nothing.
    pub digest: String,
}

impl Image {
    /// Reads a reference.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is no reference to an image");
        if text.is_empty() || text.len() > 512 {
            return Err(bad());
        }
        let (rest, digest) = text.split_once('@').map_or((text, ""), |(rest, digest)| (rest, digest));
        if text.contains('@') && !is_digest(digest) {
            return Err(bad());
        }
        let (registry, rest) = match rest.split_once('/') {
            Some((host, tail)) if host.contains(['.', ':']) || host == "localhost" || host.to_lowercase() != host => {
                (host, tail)
            }
            Some(_) | None => (DEFAULT_REGISTRY, rest),
        };
        let (path, tag) = rest.split_once(':').unwrap_or((rest, ""));
        let tag_fits = tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
        if !path.split('/').all(is_component) || !tag_fits || tag.len() > 128 || (rest.contains(':') && tag.is_empty())
        {
            return Err(bad());
        }
        let tag = if tag.is_empty() && digest.is_empty() { "latest" } else { tag };
        Ok(Self {
            registry: registry.to_owned(),
            path: path.to_owned(),
            name: path.rsplit('/').next().unwrap_or(path).to_owned(),
            tag: tag.to_owned(),
            digest: digest.to_owned(),
        })
    }

    /// From how the variable `images` shows it.
    pub(crate) fn of_json(shown: &Value) -> Self {
        let field = |name: &str| shown.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            registry: field("registry"),
            path: field("path"),
            name: field("name"),
            tag: field("tag"),
            digest: field("digest"),
        }
    }

    /// As the variable `images` shows it.
    pub fn to_json(&self, pointer: &str) -> Value {
        let with_tag = format!("{}/{}:{}", self.registry, self.path, self.tag);
        let mut shown = json!({
            "registry": self.registry, "name": self.name, "path": self.path,
            "reference": self.to_string(), "referenceWithTag": with_tag, "jsonPointer": pointer,
        });
        for (name, value) in [("tag", &self.tag), ("digest", &self.digest)] {
            if !value.is_empty()
                && let Some(object) = shown.as_object_mut()
            {
                object.insert(name.to_owned(), Value::String(value.clone()));
            }
        }
        shown
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)?;
        if self.digest.is_empty() { write!(f, ":{}", self.tag) } else { write!(f, "@{}", self.digest) }
    }
}

fn is_component(part: &str) -> bool {
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(ends)
        && part.ends_with(ends)
        && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'))
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hash)| {
        !algorithm.is_empty() && hash.len() >= 32 && hash.chars().all(|c| c.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_with_defaults() {
        let check = |text: &str, want: &str| assert_eq!(Image::parse(text).unwrap().to_string(), want);
        check("nginx", "docker.io/nginx:latest");
        check("library/nginx:1", "docker.io/library/nginx:1");
        check("ghcr.io/a/b:v1", "ghcr.io/a/b:v1");
        check("localhost:5000/b", "localhost:5000/b:latest");
        let digest = format!("sha256:{}", "a".repeat(64));
        check(&format!("r.io/a:t@{digest}"), &format!("r.io/a@{digest}"));
        for bad in ["", "a b", "A", "x:", "x@sha256:1", "-x", "a//b", &"x".repeat(1_000)] {
            assert!(Image::parse(bad).is_err(), "{bad}");
        }
    }
}
