//! `upstreams.yaml`: which repositories on Git hosts are followed, and which ones manifests may be taken from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use prograde_control::rota::located;
use prograde_gitops::deploy::REPOSITORY;
use prograde_gitops::git::Upstream;
use prograde_model::ids::{CommitId, ServiceName};
use prograde_model::quantity::Period;
use prograde_model::service::Problem;
use prograde_model::{Diagnostic, Diagnostics};
use prograde_notify::config::Secret;
use serde::Deserialize;

use crate::adapters::client::is_loopback;
use crate::events::chain;

/// The code of everything that is wrong with the file.
pub(crate) const CODE: &str = "PG0310";
/// The largest file, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// The most repositories that are followed.
const UPSTREAMS_MAX: usize = 500;
/// The most entries of where bases or charts may come from.
const SHARED_MAX: usize = 100;
/// How often a host may be asked without having told anything.
const POLL_MIN: Duration = Duration::from_secs(5);
const POLL_MAX: Duration = Duration::from_hours(24);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default)]
    upstreams: Vec<Declared>,
    deployments: Option<Copy>,
    #[serde(default)]
    bases: Vec<Shared>,
    #[serde(default)]
    charts: Vec<String>,
}

/// Where bases of other repositories may lie: a repository, or all below an address.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shared {
    url: String,
    #[serde(default = "user")]
    user: String,
    token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    service: ServiceName,
    url: String,
    #[serde(default = "main")]
    branch: String,
    #[serde(default = "a_minute")]
    poll: Period,
    #[serde(default = "user")]
    user: String,
    token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    webhook_secret_file: Option<PathBuf>,
    accept: Option<CommitId>,
    #[serde(default)]
    image_updates: bool,
}

/// Where the deployment repository is as well.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Copy {
    url: String,
    #[serde(default = "a_minute")]
    poll: Period,
    #[serde(default = "user")]
    user: String,
    token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    webhook_secret_file: Option<PathBuf>,
}

/// What a file says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Upstreamed {
    /// The repositories that are followed.
    pub(crate) followed: Vec<Followed>,
    /// Where the deployment repository is as well.
    pub(crate) mirror: Option<Followed>,
    /// What manifests may be rendered from.
    pub(crate) shared: Sharing,
}

/// What manifests may be rendered from beside their own files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sharing {
    /// Where bases may be fetched from.
    pub(crate) bases: Vec<Host>,
    /// The repositories that charts may come from, or what those lie below.
    pub(crate) charts: Vec<String>,
}

fn main() -> String {
    "main".into()
}
fn a_minute() -> Period {
    Period::seconds(60)
}
fn user() -> String {
    "x-access-token".into()
}

/// A repository on a host, or what repositories there lie below, and what is shown to it.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) url: String,
    user: String,
    token: Option<Secret>,
    ca_file: Option<PathBuf>,
}

impl Host {
    /// A repository to be asked, with the token that is in its file now.
    pub(crate) fn upstream(&self, url: &str, branch: &str) -> Result<Upstream, String> {
        let token = self.token.as_ref().map(|token| token.read(Path::new(""))).transpose();
        let token = token.map_err(|error| chain(&error))?;
        Ok(Upstream {
            url: url.to_owned(),
            branch: branch.to_owned(),
            credential: token.map(|token| (self.user.clone(), token)),
            ca_file: self.ca_file.clone(),
        })
    }
}

/// A repository that is followed.
#[derive(Debug, Clone)]
pub(crate) struct Followed {
    pub(crate) service: ServiceName,
    pub(crate) at: Host,
    pub(crate) branch: String,
    /// How often the host is asked where it tells nothing.
    pub(crate) poll: Duration,
    /// What signs the host's messages.
    pub(crate) webhook: Option<Secret>,
    /// What may be followed although it does not come after what was there.
    pub(crate) accept: Option<CommitId>,
    /// Whether images that are kept up to date are committed there.
    pub(crate) image_updates: bool,
}

impl Followed {
    /// What the host is called, without the way to the repository.
    pub(crate) fn host(&self) -> String {
        let authority = self.at.url.parse::<Uri>().ok().and_then(|uri| Some(uri.authority()?.to_string()));
        authority.unwrap_or_else(|| self.at.url.clone())
    }

    /// Where to look, with the token that is in its file now.
    pub(crate) fn upstream(&self) -> Result<Upstream, String> {
        self.branch_of_it(&self.branch)
    }

    /// Another branch of the same repository.
    pub(crate) fn branch_of_it(&self, branch: &str) -> Result<Upstream, String> {
        self.at.upstream(&self.at.url, branch)
    }
}

/// Reads a file.
pub(crate) fn read(file: &Path) -> Result<Upstreamed, Diagnostics> {
    let name = file.display().to_string();
    let unreadable = |error: std::io::Error| {
        let message = format!("the file can't be read: {error}");
        Diagnostic::file(CODE, &name, message, "make it readable for this user, or name another one with `--upstreams`")
    };
    let size = std::fs::metadata(file).map_err(unreadable)?.len();
    if size > FILE_BYTES_MAX {
        let message = format!("the file has {size} bytes, more than the {FILE_BYTES_MAX} that are read");
        return Err(Diagnostic::file(CODE, &name, message, "follow fewer repositories").into());
    }
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    parse(&name, &text, file.parent().unwrap_or(Path::new("")))
}

/// Reads a text; relative paths in it are looked for in `folder`.
fn parse(name: &str, text: &str, folder: &Path) -> Result<Upstreamed, Diagnostics> {
    let file: File = prograde_yaml::decode(name, text).map_err(|mut found| {
        if found.hint.is_empty() {
            "docs/guides/git-hosts.md shows the format".clone_into(&mut found.hint);
        }
        found
    })?;
    let mut found = Found(Vec::new());
    if file.version != 1 {
        found.add(&["version"], format!("version {} is not known", file.version), "write `version: 1`");
    }
    if file.upstreams.len() > UPSTREAMS_MAX {
        found.add(&["upstreams"], format!("at most {UPSTREAMS_MAX} repositories are followed"), "follow fewer");
    }
    let (mut all, mut services) = (Vec::new(), BTreeSet::new());
    for (index, declared) in file.upstreams.into_iter().enumerate().take(UPSTREAMS_MAX) {
        let index = index.to_string();
        if !services.insert(declared.service.clone()) {
            let message = format!("`{}` follows another repository already", declared.service);
            found.add(&["upstreams", &index, "service"], message, "name each service once");
        }
        all.push(declared.checked(&["upstreams", &index], folder, &mut found));
    }
    let mirror =
        file.deployments.map(|copy| copy.checked(folder, &mut found)).transpose().map_err(Diagnostics::from)?;
    for (field, count) in [("bases", file.bases.len()), ("charts", file.charts.len())] {
        if count > SHARED_MAX {
            let hint = "name what repositories lie below, such as `https://git.example.org/team/`";
            found.add(&[field], format!("at most {SHARED_MAX} entries may be named"), hint);
        }
    }
    for (index, url) in file.charts.iter().enumerate() {
        if let Err((message, hint)) = chart_address(url) {
            found.add(&["charts", &index.to_string()], message, hint);
        }
    }
    let checked = |(index, shared): (usize, Shared)| {
        let Shared { url, user, token_file, ca_file } = shared;
        let at = ["bases".to_owned(), index.to_string()];
        Declaring { at: &[&at[0], &at[1]], folder, found: &mut found }.host(url, user, token_file, ca_file)
    };
    let bases: Vec<Host> = file.bases.into_iter().take(SHARED_MAX).enumerate().map(checked).collect();
    if found.0.is_empty() {
        Ok(Upstreamed { followed: all, mirror, shared: Sharing { bases, charts: file.charts } })
    } else {
        Err(located(CODE, name, text, found.0)?)
    }
}

struct Found(Vec<Problem>);

impl Found {
    fn add(&mut self, path: &[&str], message: impl Into<String>, hint: &str) {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        self.0.push(Problem { path, message: message.into(), hint: hint.to_owned() });
    }
}

impl Copy {
    fn checked(self, folder: &Path, found: &mut Found) -> Result<Followed, Diagnostic> {
        let Self { url, poll, user, token_file, ca_file, webhook_secret_file } = self;
        let service = REPOSITORY.parse().map_err(|_| Diagnostic::file(CODE, REPOSITORY, "it is no name", ""))?;
        let (branch, accept, image_updates) = (main(), None, false);
        let as_one = Declared {
            service,
            url,
            branch,
            poll,
            user,
            token_file,
            ca_file,
            webhook_secret_file,
            accept,
            image_updates,
        };
        Ok(as_one.checked(&[REPOSITORY], folder, found))
    }
}

impl Declared {
    fn checked(self, at: &[&str], folder: &Path, found: &mut Found) -> Followed {
        let Self { service, url, branch, poll, user, token_file, ca_file, webhook_secret_file, accept, image_updates } =
            self;
        let mut declaring = Declaring { at, folder, found };
        let at = declaring.host(url, user, token_file, ca_file);
        if !is_branch(&branch) {
            let message = format!("{branch:?} is not the name of a branch");
            declaring.wrong("branch", message, "write `main`, or another branch");
        }
        let poll = poll.duration().unsigned_abs();
        if !(POLL_MIN..=POLL_MAX).contains(&poll) {
            let message = "a host is asked between every 5 seconds and once a day";
            declaring.wrong("poll", message.into(), "write `poll: 1m`");
        }
        let webhook = declaring.secret("webhook_secret_file", webhook_secret_file);
        Followed { service, at, branch, poll, webhook, accept, image_updates }
    }
}

/// An entry of the file, and what is found wrong with it.
struct Declaring<'a> {
    at: &'a [&'a str],
    folder: &'a Path,
    found: &'a mut Found,
}

impl Declaring<'_> {
    fn wrong(&mut self, field: &str, message: String, hint: &str) {
        self.found.add(&[self.at, &[field]].concat(), message, hint);
    }

    fn host(&mut self, url: String, user: String, token_file: Option<PathBuf>, ca_file: Option<PathBuf>) -> Host {
        if let Err((message, hint)) = address(&url, token_file.is_some()) {
            self.wrong("url", message, hint);
        }
        if user.is_empty() || user.contains(':') || user.chars().any(char::is_control) {
            self.wrong("user", "a name has no colon".into(), "leave it out where the token is enough");
        }
        let token = self.secret("token_file", token_file);
        let ca_file = ca_file.map(|file| self.folder.join(file));
        if ca_file.as_ref().is_some_and(|file| !file.is_file()) {
            self.wrong("ca_file", "there is no such file".into(), "name a file of certificates in PEM");
        }
        Host { url, user, token, ca_file }
    }

    fn secret(&mut self, field: &str, file: Option<PathBuf>) -> Option<Secret> {
        let secret = Secret::File(self.folder.join(file?));
        match secret.read(Path::new("")) {
            Ok(text) if text.is_empty() || text.chars().any(char::is_control) => {
                let hint = "write it alone into the file, in one line";
                self.wrong(field, "the file holds no secret".into(), hint);
            }
            Ok(_) => {}
            Err(error) => self.wrong(field, chain(&error), "make the file readable for this user only"),
        }
        Some(secret)
    }
}

/// Whether an address can be followed, else why not.
fn address(url: &str, has_token: bool) -> Result<(), (String, &'static str)> {
    if Path::new(url).is_absolute() {
        return if has_token { Err(("a folder needs no token".into(), "leave `token_file` out")) } else { Ok(()) };
    }
    let hint = "write `https://HOST/PATH`, or the absolute path of a repository on this machine";
    let uri: Uri = url.parse().map_err(|_| ("it is not an address".to_owned(), hint))?;
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(("the address has a name or password in it".into(), "write `user` and `token_file`"));
    }
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if is_loopback(&uri) => Ok(()),
        Some("http") => Err(("a host is asked by `https`: what comes by `http` may be anybody's".into(), hint)),
        Some(_) | None => Err(("only `https` and folders can be followed".into(), hint)),
    }
}

/// Whether charts may come from an address, else why not.
fn chart_address(url: &str) -> Result<(), (String, &'static str)> {
    let hint = "write `https://HOST/PATH`, or `oci://HOST/PATH` for a registry";
    let uri: Uri = url.parse().map_err(|_| ("it is not an address".to_owned(), hint))?;
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(("the address has a name or password in it".into(), "charts are asked for without"));
    }
    match uri.scheme_str() {
        Some("https" | "oci") => Ok(()),
        Some("http") if is_loopback(&uri) => Ok(()),
        Some(_) | None => Err(("charts come by `https` or from a registry".into(), hint)),
    }
}

/// Whether Git takes a name for a branch's (git-check-ref-format), and it is none of the names that mean something else.
fn is_branch(name: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.strip_suffix(".lock").is_none();
    name.len() <= 200
        && name.split('/').all(is_part)
        && !name.starts_with('-')
        && !name.ends_with('.')
        && !name.contains("..")
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+#".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(upstream: &str) -> String {
        let text = format!("version: 1\nupstreams:\n- {upstream}\n");
        parse("upstreams.yaml", &text, Path::new("/nowhere")).map(drop).map_err(|found| found.to_string()).unwrap_err()
    }

    #[test]
    fn a_whole_file_is_read() {
        let text = "version: 1\nupstreams:\n- { service: pad, url: 'https://git.example.org/pad.git', branch: release/1, poll: 30s }\n- { service: tin, url: /srv/git/tin.git }\n";
        let text = format!(
            "{text}deployments: {{ url: 'https://git.example.org/deployments.git' }}\nbases: [{{ url: 'https://git.example.org/shared/' }}]\ncharts: ['oci://registry.example.org/charts']\n"
        );
        let all = parse("upstreams.yaml", &text, Path::new("")).unwrap();
        let mirror = all.mirror.unwrap();
        assert_eq!((mirror.service.as_str(), mirror.host()), ("deployments", "git.example.org".to_owned()));
        let seen: Vec<_> =
            all.followed.iter().map(|one| (one.service.as_str(), one.branch.as_str(), one.poll.as_secs())).collect();
        assert_eq!(seen, [("pad", "release/1", 30), ("tin", "main", 60)]);
        assert_eq!(
            all.shared.bases.iter().map(|host| host.url.as_str()).collect::<Vec<_>>(),
            ["https://git.example.org/shared/"]
        );
    }

    #[test]
    fn what_can_not_be_followed_is_told_with_its_place() {
        for (upstream, said) in [
            ("{ service: pad, url: 'http://git.example.org/pad' }", "upstreams.yaml:3:19: a host is asked by `https`"),
            ("{ service: pad, url: 'https://a:b@git.example.org/pad' }", "has a name or password in it"),
            ("{ service: pad, url: 'ext::sh -c x' }", "not an address"),
            ("{ service: pad, url: 'ssh://git@h/x' }", "name or password"),
            ("{ service: pad, url: relative/path }", "it is not an address"),
            ("{ service: pad, url: 'git://h/x' }", "only `https` and folders"),
            ("{ service: pad, url: /x, branch: '--upload-pack=x' }", "not the name of a branch"),
            ("{ service: pad, url: /x, branch: a..b }", "not the name of a branch"),
            ("{ service: pad, url: /x, poll: 1s }", "every 5 seconds"),
            ("{ service: pad, url: 'https://h/x', token_file: missing }", "can't be read"),
            ("{ service: pad, url: /x, ca_file: missing }", "no such file"),
            ("{ service: pad, url: /x, colour: red }", "colour"),
            ("{ service: pad, url: /x }\ndeployments: { url: x }", "upstreams.yaml:4:16: only `https` and folders"),
            (
                "{ service: pad, url: /x }\nbases: [{ url: 'http://h/x' }]",
                "upstreams.yaml:4:11: a host is asked by `https`",
            ),
            ("{ service: pad, url: /x }\nbases: [{ url: /x, token_file: missing }]", "a folder needs no token"),
            ("{ service: pad, url: /x }\nbases: [{ url: /x, branch: main }]", "branch"),
            (
                "{ service: pad, url: /x }\ncharts: ['https://h/x', 'http://h/x']",
                "upstreams.yaml:4:25: charts come by `https`",
            ),
            ("{ service: pad, url: /x }\n- { service: pad, url: /y }", "follows another repository already"),
        ] {
            assert!(errors(upstream).contains(said), "{upstream}: {}", errors(upstream));
        }
    }
}
