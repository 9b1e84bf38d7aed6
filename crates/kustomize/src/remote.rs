//! Bases that lie in other repositories. Invariant: rendering asks nobody itself; who renders may give a port that
//! answers for a commit, whose content can't change.

use crate::tree::FileTree;

/// A directory of another repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteBase {
    /// The address as written.
    pub url: String,
    /// The repository, to be cloned.
    pub repository: String,
    /// The directory within it; empty for its root.
    pub path: String,
    /// The branch, tag or commit; empty for none.
    pub reference: String,
}

/// Answers for other repositories.
pub trait Remotes {
    /// The files of a repository at a commit, or why they can't be had.
    fn fetch(&self, base: &RemoteBase) -> Result<FileTree, String>;
}

impl<R: Remotes + ?Sized> Remotes for &R {
    fn fetch(&self, base: &RemoteBase) -> Result<FileTree, String> {
        (**self).fetch(base)
    }
}

impl RemoteBase {
    /// What an address means; `None` for a path.
    pub fn parse(url: &str) -> Option<Self> {
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        let stripped = address.strip_prefix("git::").unwrap_or(address);
        let lower = stripped.to_ascii_lowercase();
        let scheme = ["ssh://", "https://", "http://", "file://"].into_iter().find(|known| lower.starts_with(known));
        let rest = stripped.get(scheme.map_or(0, str::len)..)?;
        let user = rest.split_once('@').filter(|(user, _)| {
            user.starts_with(|c: char| c.is_ascii_alphabetic())
                && user.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        });
        let bare = user.map_or(rest, |(_, rest)| rest);
        let lower = bare.to_ascii_lowercase();
        let github = lower.starts_with("github.com/") || lower.starts_with("github.com:");
        if scheme.is_none() && user.is_none() && !github {
            return None;
        }
        let split = if scheme.is_none() { bare.find([':', '/'])? } else { bare.find('/')? };
        let (host, path) = (bare.get(..=split)?, bare.get(split + 1..)?);
        let (repository, inner) = split_path(path)?;
        if inner.split('/').any(|part| part == "..") {
            return None;
        }
        let front = match (scheme, user) {
            (None, None) => "https://".to_owned(),
            (scheme, user) => {
                format!(
                    "{}{}",
                    scheme.unwrap_or_default(),
                    user.map(|(user, _)| format!("{user}@")).unwrap_or_default()
                )
            }
        };
        let parameter = |wanted: &str| {
            query.split('&').find_map(|pair| pair.split_once('=').filter(|(name, _)| *name == wanted)).map(|(_, v)| v)
        };
        let reference = parameter("ref").or_else(|| parameter("version")).unwrap_or_default().to_owned();
        let inner = inner.trim_matches('/').to_owned();
        Some(Self { url: url.to_owned(), repository: format!("{front}{host}{repository}"), path: inner, reference })
    }

    /// Whether the reference is a commit's whole id.
    pub fn is_pinned(&self) -> bool {
        matches!(self.reference.len(), 40 | 64) && self.reference.bytes().all(|b| b.is_ascii_hexdigit())
    }
}

/// The repository's part of a path, and the rest.
fn split_path(path: &str) -> Option<(String, String)> {
    if let Some((repository, inner)) = path.split_once("//") {
        return (!repository.is_empty()).then(|| (repository.to_owned(), inner.to_owned()));
    }
    if let Some(at) = path.find(".git") {
        let end = at + ".git".len();
        return Some((path.get(..end)?.to_owned(), path.get(end..)?.to_owned()));
    }
    let mut parts = path.splitn(3, '/');
    let (owner, name) = (parts.next()?, parts.next()?);
    Some((format!("{owner}/{name}"), parts.next().unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_paths() {
        for path in ["base", "../base", "a/b.yaml", "git/x", "example.org/x/y"] {
            assert_eq!(RemoteBase::parse(path), None, "{path}");
        }
        for (url, repository, path, reference) in [
            ("https://github.com/o/r//a/b?ref=v1", "https://github.com/o/r", "a/b", "v1"),
            ("github.com/o/r/a/b?version=v2", "https://github.com/o/r", "a/b", "v2"),
            ("git@example.org:o/r.git/a", "git@example.org:o/r.git", "a", ""),
            ("ssh://git@example.org/o/r.git", "ssh://git@example.org/o/r.git", "", ""),
        ] {
            let found = RemoteBase::parse(url).unwrap();
            assert_eq!(
                (found.repository.as_str(), found.path.as_str(), found.reference.as_str()),
                (repository, path, reference)
            );
        }
    }
}
