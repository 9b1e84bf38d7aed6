//! Where an image is: `host[:port]/name[:tag][@digest]`, with Docker's defaults.
//!
//! The grammar is that of the OCI distribution specification 1.1, section "Pulling manifests"; what is left out is
//! filled in as every tool does: `debian` is `docker.io/library/debian:latest`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use prograde_model::Digest;

use super::error::RegistryError;
use crate::error::cut;

/// The registry that is meant where none is named.
const DOCKER: &str = "docker.io";
/// Where that one answers.
const DOCKER_API: &str = "registry-1.docker.io";
/// Names longer than that do not fit into registries' tables.
const NAME_BYTES_MAX: usize = 255;

/// One repository of one registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    registry: String,
    name: String,
}

impl Repository {
    /// The repository `name` of the registry `host[:port]`.
    pub fn new(registry: &str, name: &str) -> Result<Self, RegistryError> {
        let refused = |why| RegistryError::InvalidReference { text: cut(&format!("{registry}/{name}"), 300), why };
        let registry = match registry {
            "index.docker.io" | DOCKER_API => DOCKER,
            other => other,
        };
        if !is_registry(registry) {
            return Err(refused("the registry is not `host` or `host:port`"));
        }
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.split('/').all(is_component) {
            return Err(refused("a name is lower-case letters and digits, with `.`, `_`, `-` and `/` between them"));
        }
        Ok(Self { registry: registry.to_owned(), name: name.to_owned() })
    }

    /// The registry as it is written: `host` or `host:port`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The name without the registry, such as `library/debian`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the registry answers.
    pub(crate) fn authority(&self) -> &str {
        if self.registry == DOCKER { DOCKER_API } else { &self.registry }
    }

    /// The image with this tag here.
    pub fn tagged(&self, tag: &str) -> Result<Reference, RegistryError> {
        if !is_tag(tag) {
            let why = "a tag is up to 128 letters, digits, `_`, `.` and `-`";
            return Err(RegistryError::InvalidReference { text: cut(&format!("{self}:{tag}"), 300), why });
        }
        Ok(Reference { repository: self.clone(), tag: Some(tag.to_owned()), digest: None })
    }

    /// The image with this digest here.
    pub fn at(&self, digest: &Digest) -> Reference {
        Reference { repository: self.clone(), tag: None, digest: Some(digest.clone()) }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.name)
    }
}

/// One image of a registry, by tag, by digest or by both; where both are there, the digest decides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    repository: Repository,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Its repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Its tag: the one that was written, or `latest` where there was neither tag nor digest.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Its digest, if one was written.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What stands in a URL: the digest, or else the tag.
    pub(crate) fn name(&self) -> &str {
        self.digest.as_ref().map(Digest::as_str).or(self.tag.as_deref()).unwrap_or("latest")
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Reference {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = |why| RegistryError::InvalidReference { text: cut(text, 300), why };
        if text.contains("://") {
            return Err(refused("a reference has no scheme: leave out what is before `//`"));
        }
        let (rest, digest) = match text.split_once('@') {
            None => (text, None),
            Some((rest, digest)) => {
                let digest = digest.parse().map_err(|_| refused("the digest is not `sha256:` and 64 hex digits"))?;
                (rest, Some(digest))
            }
        };
        let (registry, path) = match rest.split_once('/') {
            Some((first, path)) if names_registry(first) => (first, path),
            _ => (DOCKER, rest),
        };
        let (name, tag) = match path.rsplit_once(':') {
            Some((name, tag)) => (name, Some(tag)),
            None => (path, None),
        };
        let is_docker = ["index.docker.io", DOCKER_API, DOCKER].contains(&registry);
        let full = if is_docker && !name.contains('/') { format!("library/{name}") } else { name.to_owned() };
        let repository = Repository::new(registry, &full).map_err(|error| {
            if let RegistryError::InvalidReference { why, .. } = error { refused(why) } else { error }
        })?;
        let tag = match tag {
            Some(tag) if is_tag(tag) => Some(tag.to_owned()),
            Some(_) => return Err(refused("a tag is up to 128 letters, digits, `_`, `.` and `-`")),
            None if digest.is_none() => Some("latest".to_owned()),
            None => None,
        };
        Ok(Self { repository, tag, digest })
    }
}

/// Whether the first part of a reference is a host; `library/debian` has none.
fn names_registry(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    if port.is_some_and(|port| {
        port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) || port.parse::<u16>().is_err()
    }) {
        return false;
    }
    if let Some(address) = host.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253 && host.split('.').all(is_label)
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !text.starts_with(is_word) || !text.ends_with(is_word) {
        return false;
    }
    let separators = text.split(is_word).filter(|separator| !separator.is_empty());
    separators.into_iter().all(|found| matches!(found, "." | "_" | "__") || found.chars().all(|c| c == '-'))
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
fn is_tag(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= 128 && text.starts_with(is_word) && text.chars().all(|c| is_word(c) || c == '.' || c == '-')
}

/// Whether a host, without its port, is this machine itself.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_filled_in_as_everywhere() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let at = |text: &str| format!("{text}@{digest}");
        for (text, full) in [
            ("debian".to_owned(), "docker.io/library/debian:latest".to_owned()),
            ("debian:12".into(), "docker.io/library/debian:12".into()),
            ("me/app".into(), "docker.io/me/app:latest".into()),
            ("index.docker.io/debian".into(), "docker.io/library/debian:latest".into()),
            ("ghcr.io/me/app:v1".into(), "ghcr.io/me/app:v1".into()),
            ("localhost/app".into(), "localhost/app:latest".into()),
            ("localhost:5000/a/b/c:1".into(), "localhost:5000/a/b/c:1".into()),
            ("[::1]:5000/app".into(), "[::1]:5000/app:latest".into()),
            ("127.0.0.1:5000/a--b__c.d".into(), "127.0.0.1:5000/a--b__c.d:latest".into()),
            ("Host/app".into(), "Host/app:latest".into()),
            (at("debian"), at("docker.io/library/debian")),
            (at("ghcr.io/me/app:v1"), at("ghcr.io/me/app:v1")),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), full, "{text}");
        }
        let both: Reference = at("ghcr.io/me/app:v1").parse().unwrap();
        assert_eq!(both.name(), digest, "the digest decides");
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let long = "a".repeat(256);
        for text in [
            "",
            ":",
            "@",
            "/",
            "a/",
            "/a",
            "A",
            "a:",
            "a:b:c",
            "a@b",
            "a@sha256:00",
            "a@sha512:00",
            "a..b",
            "a___b",
            "-a",
            "a/-b",
            "http://a/b",
            "host.x:port/a",
            "host.x:99999/a",
            "host.x:/a",
            "[::g]:5000/a",
            "a:é",
            "a b",
            "../a",
            "host.x/../a",
            "host.x/a:..",
            "user:pw@host.x/a",
            "-h.x/a",
            "h..x/a",
            "a%2fb",
            "a?b",
            "a#b",
            &long,
        ] {
            let error = text.parse::<Reference>().map(|found| found.to_string()).unwrap_err();
            assert!(matches!(error, RegistryError::InvalidReference { .. }), "{text}: {error}");
        }
    }

    #[test]
    fn loopback_is_this_machine_alone() {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example", "128.0.0.1", "10.0.0.1", "[::2]", "127.0.0.1.example", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
