//! Names of repositories, in one form, so that two names of the same place are equal and no two places have the same.
//!
//! Source of the grammar: the package `reference` of the distribution project
//! (<https://pkg.go.dev/github.com/distribution/reference>).

use std::fmt;
use std::str::FromStr;

/// The longest name that is read.
const NAME_BYTES_MAX: usize = 512;
/// What Docker's own registry is called, in the order of preference.
const DOCKER: [&str; 3] = ["index.docker.io", "docker.io", "registry-1.docker.io"];

/// A repository of a registry, such as `registry.example.com/team/app`; never a tag or digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository(String);

/// A text is no name of a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name of a repository, such as `registry.example.com/team/app`")]
pub struct NotRepository(String);

impl Repository {
    /// Host and path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Repository {
    type Err = NotRepository;

    /// Reads a name as people and tools write it: a tag and a digest are left out, and Docker's registry is filled in.
    fn from_str(text: &str) -> Result<Self, NotRepository> {
        let wrong = || NotRepository(text.chars().take(100).collect());
        if text.is_empty() || text.len() > NAME_BYTES_MAX {
            return Err(wrong());
        }
        let name = text.split_once('@').map_or(text, |(name, _)| name);
        let last = name.rfind('/').map_or(0, |at| at + 1);
        let name = match name.get(last..).and_then(|part| part.find(':')) {
            // Without a path, `localhost:5000` would be a name with a tag.
            Some(at) => name.get(..last + at).unwrap_or(name),
            None => name,
        };
        let (host, path) = match name.split_once('/') {
            Some((host, path)) if is_host(host) => (host.to_ascii_lowercase(), path.to_owned()),
            Some(_) | None => (DOCKER[0].to_owned(), name.to_owned()),
        };
        let docker = DOCKER.contains(&host.as_str());
        let path = if docker && !path.contains('/') { format!("library/{path}") } else { path };
        let host = if docker { DOCKER[0].to_owned() } else { host };
        if !path.split('/').all(is_component) {
            return Err(wrong());
        }
        Ok(Self(format!("{host}/{path}")))
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_host(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']' | b'_'));
    plain && !text.is_empty() && (text.contains(['.', ':']) || text == "localhost" || text.to_lowercase() != text)
}

fn is_component(part: &str) -> bool {
    let end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(end)
        && part.ends_with(end)
        && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'))
}

/// Which repositories a key may sign for: one by its name, all below a path (`registry.example.com/team/*`), or all (`*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// All.
    All,
    /// All below a path, which ends with `/`.
    Below(String),
    /// One.
    One(Repository),
}

impl Pattern {
    /// Whether a repository is meant.
    pub fn matches(&self, repository: &Repository) -> bool {
        match self {
            Self::All => true,
            Self::Below(path) => repository.as_str().starts_with(path.as_str()),
            Self::One(one) => one == repository,
        }
    }
}

impl FromStr for Pattern {
    type Err = NotRepository;

    fn from_str(text: &str) -> Result<Self, NotRepository> {
        if text == "*" {
            return Ok(Self::All);
        }
        let Some(above) = text.strip_suffix("/*") else { return text.parse().map(Self::One) };
        // A host alone is read as the path's beginning: `registry.example.com/*`.
        if !above.contains('/') && is_host(above) {
            let docker = DOCKER.contains(&above);
            let host = if docker { DOCKER[0].to_owned() } else { above.to_ascii_lowercase() };
            return Ok(Self::Below(format!("{host}/")));
        }
        if !above.contains('/') {
            return Err(NotRepository(text.chars().take(100).collect()));
        }
        let above: Repository = above.parse()?;
        Ok(Self::Below(format!("{above}/")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_has_one_name() {
        let check = |text: &str, want: &str| assert_eq!(text.parse::<Repository>().unwrap().as_str(), want, "{text}");
        check("registry.example.com/team/app", "registry.example.com/team/app");
        check("Registry.Example.com/team/app:v1", "registry.example.com/team/app");
        check(&format!("localhost:5000/app:v1@sha256:{}", "a".repeat(64)), "localhost:5000/app");
        check("localhost/app", "localhost/app");
        check("[::1]:5000/app", "[::1]:5000/app");
        check("nginx", "index.docker.io/library/nginx");
        check("docker.io/nginx", "index.docker.io/library/nginx");
        check("index.docker.io/library/nginx:1", "index.docker.io/library/nginx");
        check("team/app", "index.docker.io/team/app");
        for bad in
            ["", "registry.example.com/", "a//b", "r.io/A", "r.io/../a", "r.io/a b", "r.io/-a", "/a", &"a".repeat(600)]
        {
            assert!(bad.parse::<Repository>().is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_end_at_a_slash() {
        let check = |pattern: &str, name: &str, want: bool| {
            let (pattern, name): (Pattern, Repository) = (pattern.parse().unwrap(), name.parse().unwrap());
            assert_eq!(pattern.matches(&name), want, "{pattern:?} {name}");
        };
        check("*", "r.io/a", true);
        check("r.io/*", "r.io/a/b", true);
        check("r.io/*", "r.io.evil.com/a", false);
        check("r.io/team/*", "r.io/team/app", true);
        check("r.io/team/*", "r.io/teams/app", false);
        check("r.io/team/*", "r.io/team", false);
        check("r.io/team", "r.io/team:v1", true);
        check("docker.io/*", "nginx", true);
        for bad in ["", "/*", "team/**", "a b/*", "r.io/A/*", "team*"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }
}
