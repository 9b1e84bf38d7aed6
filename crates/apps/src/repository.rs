//! Where files of repositories come from. A port: nothing here reads a disk or asks Git.

use std::path::Path;
use std::sync::Arc;

use prograde_kustomize::helm::Charts;
use prograde_kustomize::{Files, Link};

/// What stands in every file that has something to read.
const MARKS: [&str; 3] = ["argoproj.io/", "image.toolkit.fluxcd.io/", "$imagepolicy"];
/// How many symbolic links are followed for one file.
const LINKS_MAX: usize = 8;

/// Repositories by their addresses.
pub trait Repositories {
    /// The files of a repository; nothing where it is not known here.
    fn find(&self, url: &str) -> Option<&dyn Files>;
    /// Who runs Helm; by default nobody.
    fn charts(&self) -> Option<&dyn Charts> {
        None
    }
}

/// One tree for every address.
#[derive(Debug)]
pub struct Everywhere<T>(pub T);

impl<T: Files> Repositories for Everywhere<T> {
    fn find(&self, _: &str) -> Option<&dyn Files> {
        Some(&self.0)
    }
}

/// A file's content, with symbolic links followed inside of the repository.
pub(crate) fn content(tree: &dyn Files, path: &str) -> Result<Arc<[u8]>, String> {
    let mut at = path.to_owned();
    for _ in 0..LINKS_MAX {
        match tree.link(&at) {
            Link::None => {
                return tree.read(&at)?.ok_or_else(|| format!("`{path}` is no file"));
            }
            Link::To(target) => at = target,
            Link::Outside(link) => return Err(format!("the link `{link}` leads out of the repository")),
        }
    }
    Err(format!("`{path}` is a link to a link, and so on"))
}

/// An address without its way of access: one repository may be reached by several.
pub fn address_key(url: &str) -> String {
    let url = normal_url(url);
    url.split_once("://").map_or(url.as_str(), |(_, rest)| rest).to_owned()
}

/// Texts of files.
#[derive(Debug, Default)]
pub struct Texts {
    /// Each with its path, as seen from the folder.
    pub found: Vec<(String, String)>,
    /// What had to be left out, and why.
    pub left_out: Vec<String>,
}

/// The YAML files of a tree below a folder that may have objects which are read. A link is read where it leads to, if that is
/// here.
pub fn texts(tree: &dyn Files, folder: &str) -> Result<Texts, String> {
    let Texts { mut found, mut left_out } = Texts::default();
    for file in tree.paths(folder)? {
        let inner = Path::new(&file).strip_prefix(folder).ok().and_then(Path::to_str).map(str::to_owned);
        let Some(inner) = inner else { continue };
        let is_yaml = Path::new(&file).extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        if !is_yaml || tree.link(&file) != Link::None {
            continue;
        }
        match tree.read(&file) {
            Ok(Some(bytes)) => match std::str::from_utf8(&bytes) {
                Ok(text) if MARKS.iter().any(|mark| text.contains(mark)) => found.push((inner, text.to_owned())),
                Ok(_) => {}
                Err(_) => left_out.push(format!("{inner} is left out: it is not UTF-8")),
            },
            Ok(None) => {}
            Err(why) => left_out.push(format!("{inner} is left out: {why}")),
        }
    }
    Ok(Texts { found, left_out })
}

/// An address in the form in which it is compared: without user, suffix, case or way of access.
///
/// Source: Argo CD 3.4, `util/git`, `NormalizeGitURL`: `git@host:path`, `ssh://` and a `.git` at the end don't count.
pub fn normal_url(url: &str) -> String {
    let lower = url.trim().to_lowercase();
    let (scheme, rest) = lower.split_once("://").map_or(("", lower.as_str()), |(scheme, rest)| (scheme, rest));
    if scheme.is_empty() && !rest.contains('@') {
        return rest.trim_end_matches('/').strip_suffix(".git").unwrap_or(rest.trim_end_matches('/')).to_owned();
    }
    let host = rest.split('/').next().unwrap_or_default();
    let rest = match host.rsplit_once('@') {
        Some((user, _)) => rest.get(user.len() + 1..).unwrap_or_default(),
        None => rest,
    };
    let rest = if scheme.is_empty() { rest.replacen(':', "/", 1) } else { rest.to_owned() };
    let rest = rest.trim_end_matches('/');
    let rest = rest.strip_suffix(".git").unwrap_or(rest);
    let is_ssh = scheme.is_empty() || scheme == "ssh";
    if is_ssh { rest.to_owned() } else { format!("{scheme}://{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_without_what_does_not_count() {
        for (left, right) in [
            ("https://github.com/a/b.git", "https://GitHub.com/a/b"),
            ("git@github.com:a/b.git", "ssh://git@github.com/a/b"),
            ("https://user@github.com/a/b/", "https://github.com/a/b"),
        ] {
            assert_eq!(normal_url(left), normal_url(right));
        }
        assert_ne!(normal_url("https://github.com/a/b"), normal_url("https://github.com/a/c"));
    }
}
