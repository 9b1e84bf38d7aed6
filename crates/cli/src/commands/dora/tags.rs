//! Tags of a Git repository as deployments, for the time before Prograde.
//!
//! A tag is a deployment at the time at which it was made: the tagger's date of an annotated tag, the commit's of a
//! lightweight one. Its changes are the commits that no earlier tag reaches; of the first tag it is not known which of its
//! commits were new. It failed if a later one reverts a commit of its own in Git's words, or if a tag that marks failures is
//! on its commit; that lasts until the next one that did not fail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use prograde_model::dora::{Deployment, Question, Report as Measured, of};
use prograde_model::ids::{EnvironmentName, ServiceName, Target};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{TagArgs, too_many};
use crate::app::App;
use crate::report::{self, Report};

/// How long Git may take for one answer.
const GIT_WAIT: Duration = Duration::from_mins(5);
/// The most tags that are read.
const TAGS_MAX: usize = 20_000;
/// Where tags are taken to deploy to.
const ENVIRONMENT: &str = "production";
/// In Git's own message of a revert, before the commit that it takes back.
const REVERTS: &str = "This reverts commit ";

/// A tag, peeled.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tag {
    name: String,
    commit: String,
    at: Timestamp,
}

/// A commit that is new in a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Commit {
    id: String,
    committed_at: Timestamp,
    subject: String,
    reverts: Vec<String>,
}

/// The measures of a repository's tags.
pub(super) fn measured(app: &App, git: &Path, args: &TagArgs, question: &Question) -> Result<Measured, Report> {
    let tags = tags(app, git, &args.tags)?;
    let failed = match &args.failed_tags {
        Some(pattern) => self::tags(app, git, pattern)?.into_iter().map(|tag| tag.commit).collect(),
        None => BTreeSet::new(),
    };
    let mut changes = Vec::with_capacity(tags.len());
    for (index, tag) in tags.iter().enumerate() {
        let (earlier, _) = tags.split_at(index);
        changes.push(if earlier.is_empty() { Vec::new() } else { new_commits(app, git, tag, earlier)? });
    }
    let target = target(git, question)?;
    let deployments = deployments(&target, &tags, &changes, &failed);
    let began = tags.first().map(|tag| tag.at);
    let mut found = of(&deployments, began, question).map_err(|error| too_many(&error))?;
    found.imported = true;
    Ok(found)
}

/// The service that the repository is taken for: as asked, else as its folder is named.
fn target(git: &Path, question: &Question) -> Result<Target, Report> {
    let folder = git.canonicalize().map_err(|error| Report::file("open", git, &error))?;
    let name = folder.file_name().map(|name| name.to_string_lossy().to_lowercase().trim_end_matches(".git").to_owned());
    let named = || name.as_deref().unwrap_or_default().parse::<ServiceName>();
    let service = match &question.service {
        Some(service) => service.clone(),
        None => named().map_err(|error| {
            Report::new(report::ARGUMENT, "the repository's folder is not named as a service can be")
                .because(&error)
                .hint("name the service: `prograde dora SERVICE --git DIR`")
        })?,
    };
    let environment: EnvironmentName =
        ENVIRONMENT.parse().map_err(|error| Report::new(report::SYSTEM, "no name").because(&error))?;
    Ok(Target { environment, service })
}

/// The tags that match a pattern, in the order of their times, each commit once.
fn tags(app: &App, git: &Path, pattern: &str) -> Result<Vec<Tag>, Report> {
    let format = "--format=%(refname:strip=2)%00%(objectname)%00%(*objectname)%00%(objecttype)%00%(*objecttype)%00%(creatordate:unix)";
    let order = "--sort=creatordate";
    let text = ask(app, git, &["for-each-ref", order, format, &format!("refs/tags/{pattern}")], &[])?;
    let found: Vec<Tag> = text.lines().filter_map(tag).collect();
    if found.len() > TAGS_MAX {
        return Err(Report::new(
            report::ARGUMENT,
            format!("{} tags match, more than the {TAGS_MAX} that are read", found.len()),
        )
        .hint("write a narrower pattern, such as `--tags 'v2.*'`"));
    }
    let mut seen = BTreeSet::new();
    Ok(found.into_iter().filter(|tag| seen.insert(tag.commit.clone())).collect())
}

/// A line of `git for-each-ref`; none for a tag of something that is no commit.
fn tag(line: &str) -> Option<Tag> {
    let fields: Vec<&str> = line.split('\0').collect();
    let [name, object, peeled, kind, peeled_kind, at] = fields.as_slice() else { return None };
    let commit = match (*kind, *peeled_kind) {
        ("commit", _) => object,
        ("tag", "commit") => peeled,
        _ => return None,
    };
    Some(Tag { name: (*name).to_owned(), commit: (*commit).to_owned(), at: seconds(at)? })
}

fn seconds(text: &str) -> Option<Timestamp> {
    Timestamp::from_second(text.trim().parse().ok()?).ok()
}

/// The commits that a tag reaches and no earlier one does.
fn new_commits(app: &App, git: &Path, tag: &Tag, earlier: &[Tag]) -> Result<Vec<Commit>, Report> {
    let mut wanted = format!("{}\n", tag.commit);
    for earlier in earlier {
        wanted.extend(["^", &earlier.commit, "\n"]);
    }
    let text = ask(app, git, &["log", "--stdin", "--format=%H%x00%ct%x00%s%x00%b%x1e"], wanted.as_bytes())?;
    Ok(text.split('\x1e').filter_map(commit).collect())
}

fn commit(record: &str) -> Option<Commit> {
    let mut fields = record.trim_start().splitn(4, '\0');
    let (id, at, subject, body) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let reverts = body.match_indices(REVERTS).filter_map(|(found, _)| {
        let tail = body.get(found + REVERTS.len()..)?;
        let id: String = tail.chars().take_while(char::is_ascii_hexdigit).collect();
        (id.len() >= 40).then_some(id)
    });
    Some(Commit {
        id: id.to_owned(),
        committed_at: seconds(at)?,
        subject: subject.to_owned(),
        reverts: reverts.collect(),
    })
}

/// What the tags say of deployments.
fn deployments(target: &Target, tags: &[Tag], changes: &[Vec<Commit>], failed: &BTreeSet<String>) -> Vec<Deployment> {
    let mut carried: BTreeMap<&str, usize> = BTreeMap::new();
    let mut found: Vec<Deployment> = Vec::with_capacity(tags.len());
    for (index, (tag, commits)) in tags.iter().zip(changes).enumerate() {
        carried.extend(commits.iter().map(|commit| (commit.id.as_str(), index)));
        for reverted in commits.iter().flat_map(|commit| &commit.reverts) {
            // What is taken back before it was ever deployed has failed nobody.
            let before = carried.get(reverted.as_str()).copied().filter(|earlier| *earlier < index);
            if let Some(earlier) = before.and_then(|earlier| found.get_mut(earlier)) {
                earlier.failed_at.get_or_insert(earlier.deployed_at);
            }
        }
        found.push(Deployment {
            target: target.clone(),
            flight: None,
            name: tag.name.clone(),
            last: true,
            deployed_at: tag.at,
            served_at: Some(tag.at),
            reached_at: Some(tag.at),
            failed_at: failed.contains(&tag.commit).then_some(tag.at),
            restored_at: None,
            committed_at: commits.iter().map(|commit| commit.committed_at).collect(),
            pushed_at: None,
            rework: commits.iter().any(|commit| commit.subject.starts_with("Revert \"")),
        });
    }
    recover(&mut found);
    found
}

/// A failure lasts until the next deployment that did not fail; all until then, and that one, are repairs.
fn recover(found: &mut [Deployment]) {
    let mut failing = false;
    for deployment in &mut *found {
        deployment.rework |= failing;
        failing = deployment.failed_at.is_some();
    }
    let mut good = None;
    for deployment in found.iter_mut().rev() {
        if deployment.failed_at.is_some() {
            deployment.restored_at = good;
        } else {
            good = deployment.reached_at;
        }
    }
}

/// Git's answer.
fn ask(app: &App, git: &Path, args: &[&str], input: &[u8]) -> Result<String, Report> {
    let failed = |what: String| {
        Report::new(report::FILE, format!("can't read the tags of {}: {what}", git.display()))
            .hint("name the folder of a Git repository, or of a bare one")
    };
    let mut command = Command::new("git");
    command.arg("-C").arg(git).args(args).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let answer = async {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input).await?;
        }
        child.wait_with_output().await
    };
    let answered = app.runtime.block_on(async { tokio::time::timeout(GIT_WAIT, answer).await });
    let output = match answered {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(failed("git can't be run".to_owned()).because(&error)),
        Err(_) => return Err(failed("git does not answer".to_owned())),
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(said.lines().next().unwrap_or("git failed").to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// When a tag was made, its commits, and what each reverts.
    type Said<'a> = (i64, &'a [(&'a str, &'a [&'a str])]);

    fn told(tags: &[Said], failed: &[&str]) -> Vec<(Option<i64>, bool)> {
        let target = Target { environment: "production".parse().unwrap(), service: "shop".parse().unwrap() };
        let named = |index: usize| format!("{index:040}");
        let list: Vec<Tag> = tags
            .iter()
            .enumerate()
            .map(|(index, (second, _))| Tag { name: format!("v{index}"), commit: named(index), at: at(*second) })
            .collect();
        let commit = |(id, reverts): &(&str, &[&str])| Commit {
            id: (*id).to_owned(),
            committed_at: at(0),
            subject: String::new(),
            reverts: reverts.iter().map(|id| (*id).to_owned()).collect(),
        };
        let changes: Vec<Vec<Commit>> = tags.iter().map(|(_, commits)| commits.iter().map(commit).collect()).collect();
        let failed = failed.iter().map(|index| named(index.parse().unwrap())).collect();
        let found = deployments(&target, &list, &changes, &failed);
        let shown = |d: &Deployment| {
            let lasted =
                d.failed_at.map(|_| d.restored_at.map_or(-1, |until| until.as_second() - d.deployed_at.as_second()));
            (lasted, d.rework)
        };
        found.iter().map(shown).collect()
    }

    #[test]
    fn a_revert_marks_what_it_reverts() {
        let found = told(&[(10, &[]), (20, &[("a", &[])]), (50, &[("b", &["a"])]), (60, &[("c", &[])])], &[]);
        assert_eq!(found, [(None, false), (Some(30), false), (None, true), (None, false)]);
    }

    #[test]
    fn what_is_reverted_before_it_was_deployed_has_not_failed() {
        assert_eq!(told(&[(10, &[]), (20, &[("a", &[]), ("b", &["a"])])], &[]), [(None, false), (None, false)]);
        assert_eq!(told(&[(10, &[]), (20, &[("b", &["unknown"])])], &[]), [(None, false), (None, false)]);
    }

    #[test]
    fn marked_tags_failed_until_the_next_good_one() {
        let found = told(&[(10, &[]), (20, &[]), (30, &[]), (70, &[])], &["1", "2"]);
        assert_eq!(found, [(None, false), (Some(50), false), (Some(40), true), (None, true)]);
        assert_eq!(told(&[(10, &[])], &["0"]), [(Some(-1), false)], "nothing has recovered from it");
    }

    #[test]
    fn lines_of_git_that_are_no_commits_are_left_out() {
        let hash = "a".repeat(40);
        let line = format!("v1\0{hash}\0\0commit\0\0{}", 12);
        assert_eq!(tag(&line).map(|tag| (tag.name, tag.at)), Some(("v1".to_owned(), at(12))));
        for bad in [
            "",
            "v1",
            "v1\x00a\x00b\x00tag\x00tree\x005",
            "v1\x00a\x00b\x00commit\x00\x00soon",
            "v1\x00a\x00\x00blob\x00\x005",
        ] {
            assert_eq!(tag(bad), None, "{bad:?}");
        }
        let record = format!("\n{hash}\09\0Revert \"x\"\0{REVERTS}{hash}.\n{REVERTS}abc");
        assert_eq!(commit(&record).unwrap().reverts, [hash]);
        assert_eq!(commit("\n"), None);
    }
}
