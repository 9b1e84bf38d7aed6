//! `trackers.yaml`: where action items get tickets.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use prograde_control::rota::located;
use prograde_model::ids::ServiceName;
use prograde_model::quantity::Period;
use prograde_model::service::Problem;
use prograde_model::{Diagnostic, Diagnostics};
use prograde_notify::config::Secret;
use serde::Deserialize;

use crate::adapters::client::is_loopback;

/// The code of everything that is wrong with the file.
pub(crate) const CODE: &str = "PG0705";
/// The largest file, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// The most trackers, and labels of one.
const TRACKERS_MAX: usize = 20;
const LABELS_MAX: usize = 10;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    trackers: Vec<Declared>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    name: String,
    github: Option<GitHub>,
    gitlab: Option<GitLab>,
    jira: Option<Jira>,
    token_file: PathBuf,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default)]
    services: Vec<ServiceName>,
    #[serde(default = "yes")]
    automatic: bool,
    #[serde(default = "five_minutes")]
    every: Period,
    #[serde(default = "our_name")]
    mark: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GitHub {
    repository: String,
    #[serde(default = "github_com")]
    url: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GitLab {
    project: String,
    #[serde(default = "gitlab_com")]
    url: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Jira {
    url: String,
    project: String,
    #[serde(default = "task")]
    issue_type: String,
    user: Option<String>,
    edition: Option<Edition>,
}

/// Which Jira.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Edition {
    Cloud,
    DataCenter,
}

fn yes() -> bool {
    true
}
fn five_minutes() -> Period {
    Period::seconds(300)
}
fn our_name() -> String {
    "prograde".into()
}
fn github_com() -> String {
    "https://api.github.com".into()
}
fn gitlab_com() -> String {
    "https://gitlab.com".into()
}
fn task() -> String {
    "Task".into()
}

/// A tracker that can be used. Addresses have no `/` at their end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TrackerConfig {
    /// How it is called here.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) token_file: PathBuf,
    /// What tickets bear beside their mark.
    pub(crate) labels: Vec<String>,
    /// Whose action items go there; those of all others where none are named.
    pub(crate) services: Vec<ServiceName>,
    /// Whether tickets are opened without being asked for.
    pub(crate) automatic: bool,
    /// How often tickets are looked at.
    pub(crate) every: Period,
    /// What the label begins with by which a ticket is found.
    pub(crate) mark: String,
}

/// Which tracker.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Github { url: String, repository: String },
    Gitlab { url: String, project: String },
    Jira { url: String, project: String, issue_type: String, user: Option<String>, edition: Option<Edition> },
}

impl Kind {
    fn url(&self) -> &str {
        match self {
            Self::Github { url, .. } | Self::Gitlab { url, .. } | Self::Jira { url, .. } => url,
        }
    }

    /// Whether it is Jira Cloud.
    pub(crate) fn is_cloud(&self) -> bool {
        let Self::Jira { url, edition, .. } = self else { return false };
        let host = url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_ascii_lowercase));
        edition.map_or(host.is_some_and(|host| host.ends_with(".atlassian.net")), |edition| edition == Edition::Cloud)
    }
}

/// Reads a file.
pub(crate) fn read(file: &Path) -> Result<Vec<TrackerConfig>, Diagnostics> {
    let name = file.display().to_string();
    let unreadable = |error: std::io::Error| {
        let message = format!("the file can't be read: {error}");
        Diagnostic::file(CODE, &name, message, "make it readable for this user, or name another one with `--trackers`")
    };
    let size = std::fs::metadata(file).map_err(unreadable)?.len();
    if size > FILE_BYTES_MAX {
        let message = format!("the file has {size} bytes, more than the {FILE_BYTES_MAX} that are read");
        return Err(Diagnostic::file(CODE, &name, message, "name fewer trackers").into());
    }
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    let folder = file.parent().unwrap_or(Path::new(""));
    parse(&name, &text, |token| {
        Secret::File(token.to_owned()).read(folder).map_err(|error| crate::events::chain(&error))
    })
}

/// Reads a text; `token` gives the token in a file.
fn parse(
    name: &str,
    text: &str,
    token: impl Fn(&Path) -> Result<String, String>,
) -> Result<Vec<TrackerConfig>, Diagnostics> {
    let file: File = prograde_yaml::decode(name, text).map_err(|mut found| {
        if found.hint.is_empty() {
            "docs/guides/incidents.md shows the format".clone_into(&mut found.hint);
        }
        found
    })?;
    let mut found = Found(Vec::new());
    if file.version != 1 {
        found.add(&["version"], format!("version {} is not known", file.version), "write `version: 1`");
    }
    if file.trackers.is_empty() || file.trackers.len() > TRACKERS_MAX {
        found.add(&["trackers"], format!("there are 1 to {TRACKERS_MAX} trackers"), "declare one");
    }
    let mut configs = Vec::new();
    for (index, declared) in file.trackers.into_iter().enumerate().take(TRACKERS_MAX) {
        let index = index.to_string();
        if let Err(why) = token(&declared.token_file).and_then(|token| usable(&token)) {
            let hint = "write the token alone into the file, readable for this user only";
            found.add(&["trackers", &index, "token_file"], why, hint);
        }
        configs.extend(declared.checked(&index, &mut found));
    }
    among(&configs, &mut found);
    if found.0.is_empty() { Ok(configs) } else { Err(located(CODE, name, text, found.0)?) }
}

fn usable(token: &str) -> Result<(), String> {
    let is_token = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    if is_token { Ok(()) } else { Err("the file of the token holds no token".into()) }
}

struct Found(Vec<Problem>);

impl Found {
    fn add(&mut self, path: &[&str], message: impl Into<String>, hint: &str) {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        self.0.push(Problem { path, message: message.into(), hint: hint.to_owned() });
    }
}

fn is_word(text: &str, more: &str) -> bool {
    !text.is_empty() && text.len() <= 100 && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
}

impl Declared {
    fn checked(self, index: &str, found: &mut Found) -> Option<TrackerConfig> {
        let at = |field: &'static str| ["trackers", index, field];
        if !is_word(&self.name, "-_") {
            found.add(&at("name"), "a name is made of letters, digits, `-` and `_`", "such as `github`");
        }
        if !is_word(&self.mark, "-_") || self.mark.len() > 20 {
            found.add(&at("mark"), "a mark has up to 20 letters, digits, `-` and `_`", "leave it out for `prograde`");
        }
        let is_label = |label: &String| {
            !label.is_empty()
                && label.len() <= 50
                && !label.chars().any(|c| c == ',' || c.is_whitespace() || c.is_control())
        };
        if self.labels.len() > LABELS_MAX || !self.labels.iter().all(is_label) {
            let message =
                format!("a ticket has up to {LABELS_MAX} labels of up to 50 bytes, without blanks and commas");
            found.add(&at("labels"), message, "such as `[post-mortem]`");
        }
        if self.every.duration() < jiff::SignedDuration::from_mins(1) {
            found.add(&at("every"), "tickets are looked at every minute at most", "leave it out for `5m`");
        }
        let kinds = [self.github.is_some(), self.gitlab.is_some(), self.jira.is_some()];
        if kinds.iter().filter(|is_there| **is_there).count() != 1 {
            let message = "a tracker is one of `github`, `gitlab` and `jira`";
            found.add(&["trackers", index], message, "such as `github: { repository: team/pad }`");
            return None;
        }
        let github = self.github.map(|it| it.checked(&at("github"), found));
        let gitlab = self.gitlab.map(|it| it.checked(&at("gitlab"), found));
        let jira = self.jira.map(|it| it.checked(&at("jira"), found));
        Some(TrackerConfig {
            name: self.name,
            kind: github.or(gitlab).or(jira)?,
            token_file: self.token_file,
            labels: self.labels,
            services: self.services,
            automatic: self.automatic,
            every: self.every,
            mark: self.mark,
        })
    }
}

/// An address without what does not belong into it; a token goes over TLS or stays on this machine (RFC 6750, section 5.3).
fn url(text: &str, at: &[&str], found: &mut Found) -> String {
    let at = [at, &["url"]].concat();
    let uri = text.parse::<http::Uri>().ok().filter(|uri| uri.host().is_some() && uri.query().is_none());
    match uri {
        Some(uri) if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) => {
            found.add(&at, "an address holds no user and no password", "put the token into `token_file`");
        }
        Some(uri) if uri.scheme_str() == Some("https") || (uri.scheme_str() == Some("http") && is_loopback(&uri)) => {}
        Some(uri) if uri.scheme_str() == Some("http") => {
            found.add(&at, "a token is not sent in clear", "use https");
        }
        Some(_) | None => found.add(&at, "it is no address", "such as `https://tracker.example`"),
    }
    text.trim_end_matches('/').to_owned()
}

impl GitHub {
    fn checked(self, at: &[&str], found: &mut Found) -> Kind {
        let is_repository =
            self.repository.split('/').count() == 2 && self.repository.split('/').all(|p| is_word(p, "-_."));
        if !is_repository || self.repository.split('/').any(|part| part == "." || part == "..") {
            found.add(&[at, &["repository"]].concat(), "a repository is an owner and a name", "such as `team/pad`");
        }
        Kind::Github { url: url(&self.url, at, found), repository: self.repository }
    }
}

impl GitLab {
    fn checked(self, at: &[&str], found: &mut Found) -> Kind {
        if !self.project.split('/').all(|part| is_word(part, "-_.+")) {
            found.add(&[at, &["project"]].concat(), "a project is a path or a number", "such as `team/pad`");
        }
        Kind::Gitlab { url: url(&self.url, at, found), project: self.project }
    }
}

impl Jira {
    fn checked(self, at: &[&str], found: &mut Found) -> Kind {
        if !is_word(&self.project, "_") {
            found.add(&[at, &["project"]].concat(), "a project is given by its key", "such as `OPS`");
        }
        if self.issue_type.trim().is_empty() || self.issue_type.len() > 100 {
            found.add(&[at, &["issue_type"]].concat(), "a type of issue has a name", "leave it out for `Task`");
        }
        if self
            .user
            .as_ref()
            .is_some_and(|user| user.is_empty() || user.contains(':') || user.chars().any(char::is_control))
        {
            found.add(&[at, &["user"]].concat(), "a user has no colon in it", "write the mail address of the account");
        }
        let Self { project, issue_type, user, edition, .. } = self;
        let kind = Kind::Jira { url: url(&self.url, at, found), project, issue_type, user, edition };
        if let (true, Kind::Jira { user: None, .. }) = (kind.is_cloud(), &kind) {
            let hint = "write `user`, the mail address of the token's account";
            found.add(at, "Jira Cloud wants a user with the token", hint);
        }
        kind
    }
}

/// What does not fit among several.
fn among(configs: &[TrackerConfig], found: &mut Found) {
    let (mut names, mut services, mut others) = (BTreeSet::new(), BTreeSet::new(), 0);
    for (index, config) in configs.iter().enumerate() {
        let index = index.to_string();
        if !names.insert(&config.name) {
            found.add(&["trackers", &index, "name"], "another tracker has that name", "give one of the two another");
        }
        for service in config.services.iter().filter(|service| !services.insert(*service)) {
            let message = format!("action items of {service} go to another tracker already");
            found.add(&["trackers", &index, "services"], message, "name it once");
        }
        others += usize::from(config.services.is_empty());
        if others > 1 && config.services.is_empty() {
            let message = "two trackers are for all services that no other is for";
            found.add(&["trackers", &index], message, "name `services` of one of them");
        }
        debug_assert!(!config.kind.url().ends_with('/'), "addresses are joined with paths");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
version: 1
trackers:
  - name: github
    github: { repository: team/pad }
    token_file: github.token
    labels: [post-mortem]
    services: [pad]
  - name: gitlab
    gitlab: { url: 'https://gitlab.example/', project: team/sub/pad }
    token_file: gitlab.token
    services: [shop]
  - name: ops
    jira: { url: 'https://team.atlassian.net', project: OPS, user: ann@example.com }
    token_file: jira.token
    automatic: false
    every: 10m
";

    fn token(path: &Path) -> Result<String, String> {
        match path.to_str().unwrap() {
            "missing" => Err("the secret in missing can't be read".into()),
            "empty" => Ok(String::new()),
            _ => Ok("s3cret".into()),
        }
    }

    #[test]
    fn a_good_file_is_read() {
        let configs = parse("trackers.yaml", GOOD, token).unwrap();
        assert_eq!(configs[0].kind, Kind::Github { url: github_com(), repository: "team/pad".into() });
        assert_eq!(configs[1].kind.url(), "https://gitlab.example");
        assert!(configs[2].kind.is_cloud() && !configs[2].automatic);
        assert_eq!((configs[0].every, configs[2].every), (five_minutes(), "10m".parse().unwrap()));
    }

    #[test]
    fn every_error_names_its_line_and_no_token() {
        for (from, to, place, says) in [
            ("version: 1", "version: 2", "1:1", "version 2 is not known"),
            ("labels:", "label:", "6:5", "unknown field `label`"),
            ("team/pad }", "pad }", "4:15", "an owner and a name"),
            ("team/pad }", "'../pad' }", "4:15", "an owner and a name"),
            ("github: { repository: team/pad }", "every: 6m", "3:5", "one of `github`, `gitlab` and `jira`"),
            ("github.token", "missing", "5:5", "can't be read"),
            ("github.token", "empty", "5:5", "holds no token"),
            ("https://gitlab.example/", "http://gitlab.example/", "9:15", "not sent in clear"),
            ("https://gitlab.example/", "https://a:b@gitlab.example/", "9:15", "no user and no password"),
            ("https://gitlab.example/", "gitlab", "9:15", "it is no address"),
            ("services: [shop]", "services: [pad]", "11:5", "go to another tracker already"),
            ("services: [shop]", "", "12:5", "all services that no other is for"),
            ("name: gitlab", "name: github", "8:5", "another tracker has that name"),
            (", user: ann@example.com", "", "13:5", "Jira Cloud wants a user"),
            ("every: 10m", "every: 10s", "16:5", "every minute at most"),
            ("[post-mortem]", "['a,b']", "6:5", "without blanks and commas"),
            ("OPS", "'OPS\" OR 1=1'", "13:48", "by its key"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let told = parse("trackers.yaml", &GOOD.replacen(from, to, 1), token).unwrap_err().to_string();
            assert!(told.contains(says) && !told.contains("s3cret"), "{told}");
            let place = place.split(':').next().unwrap();
            assert!(told.contains(&format!("trackers.yaml:{place}:")), "{place}: {told}");
        }
    }
}
