//! Commit messages and their trailers (`git-interpret-trailers`): how a deployment is found again after a crash.
//! Invariant: our trailers are the whole last paragraph, so nothing that people write can pass for them.

use jiff::Timestamp;
use prograde_model::{CommitId, FlightId, Target};

use super::{Action, DeployChange, Deployment, RevertRequest};

pub(super) const FLIGHT: &str = "Prograde-Flight";
pub(super) const TARGET: &str = "Prograde-Target";
const ACTION: &str = "Prograde-Action";
const SOURCE: &str = "Prograde-Source";
const DIGEST: &str = "Prograde-Digest";
const REVERTS: &str = "Prograde-Reverts";
const SUPERSEDES: &str = "Prograde-Supersedes";
/// The longest first line and the longest reason that are kept.
const SUBJECT_CHARS_MAX: usize = 200;
const REASON_CHARS_MAX: usize = 16_000;

/// What makes a commit one of a kind.
pub(super) struct Trailers {
    action: Action,
    target: Target,
    flight: FlightId,
    supersedes: Option<CommitId>,
}

impl Trailers {
    pub(super) fn of(action: Action, target: &Target, flight: &FlightId) -> Self {
        Self { action, target: target.clone(), flight: flight.clone(), supersedes: None }
    }

    /// The same, of a commit that puts an earlier one right.
    pub(super) fn after(self, earlier: Option<&CommitId>) -> Self {
        Self { supersedes: earlier.cloned(), ..self }
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    pub(super) fn flight(&self) -> &FlightId {
        &self.flight
    }

    pub(super) fn are_of(&self, entry: &Deployment) -> bool {
        let same = entry.action == self.action && entry.target == self.target && entry.flight == self.flight;
        same && entry.supersedes == self.supersedes
    }
}

pub(super) fn deploy(change: &DeployChange) -> String {
    format!(
        "{subject}\n\n{FLIGHT}: {flight}\n{ACTION}: {action}\n{TARGET}: {target}\n{SOURCE}: {source}\n{DIGEST}: {digest}\n",
        subject = first_line(&change.subject, "Deploy"),
        flight = change.flight,
        action = Action::Deploy.name(),
        target = change.target,
        source = change.source_commit,
        digest = change.digest,
    )
}

pub(super) fn revert(request: &RevertRequest, subject: &str) -> String {
    let reason: String =
        request.reason.chars().filter(|c| *c == '\n' || !c.is_control()).take(REASON_CHARS_MAX).collect();
    format!(
        "Revert \"{subject}\"\n\n{reason}\n\n{FLIGHT}: {flight}\n{ACTION}: {action}\n{TARGET}: {target}\n{REVERTS}: {commit}\n{more}",
        subject = first_line(subject, "Deploy"),
        reason = reason.trim(),
        flight = request.flight,
        action = Action::Revert.name(),
        target = request.target,
        commit = request.deploy_commit,
        more = request.supersedes.as_ref().map_or_else(String::new, |earlier| format!("{SUPERSEDES}: {earlier}\n")),
    )
}

fn first_line(text: &str, or: &str) -> String {
    let line: String =
        text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(SUBJECT_CHARS_MAX).collect();
    if line.trim().is_empty() { or.to_owned() } else { line.trim().to_owned() }
}

/// One entry of `log --format="%H %ct%n%B"`; `None` for a commit that is not ours.
pub(super) fn parse(entry: &str) -> Option<Deployment> {
    let (head, message) = entry.split_once('\n')?;
    let (commit, seconds) = head.split_once(' ')?;
    let (_, last) = message.trim_end().rsplit_once("\n\n")?;
    let trailer = |name: &str| {
        last.lines()
            .find_map(|line| line.split_once(": ").filter(|(key, _)| *key == name))
            .map(|(_, value)| value.trim())
    };
    let action = match trailer(ACTION)? {
        "deploy" => Action::Deploy,
        "revert" => Action::Revert,
        _ => return None,
    };
    let (environment, service) = trailer(TARGET)?.split_once('/')?;
    Some(Deployment {
        commit: commit.parse().ok()?,
        action,
        target: Target { environment: environment.parse().ok()?, service: service.parse().ok()? },
        flight: trailer(FLIGHT)?.parse().ok()?,
        supersedes: trailer(SUPERSEDES).map(str::parse).transpose().ok()?,
        subject: message.lines().next()?.to_owned(),
        at: Timestamp::from_second(seconds.parse().ok()?).ok()?,
    })
}
