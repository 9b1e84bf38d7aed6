//! What happened, in a sentence: the journal's events, verdicts and outcomes as people read them.

use std::collections::BTreeSet;

use prograde_model::event::{Event, JobConclusion, Outcome, VERSION};
use prograde_model::flag::Setting;
use prograde_model::judge::{Count, Sample, Verdict};
use prograde_model::metric::{MetricSummary, MetricVerdict};
use prograde_model::policy::PolicyAnswers;
use prograde_model::rollout::{RolloutEvent, Start, Strategy};
use prograde_model::runtime::Counters;
use prograde_model::scan::ScanReport;

use crate::printer::{Tone, one_line};
use crate::text::{bytes, count, counted, share, span_ms};
use crate::wire::EventView;

/// What a step's judge says.
pub(crate) fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Pass => "good so far: what would be intolerable is ruled out".to_owned(),
        Verdict::Fail { limit, finding: None } => format!("bad: more than {limit} of the requests fail"),
        Verdict::Fail { finding: Some(finding), .. } => format!("bad: {finding}"),
        Verdict::Inconclusive { requests_missing, expected_in_s, doubt } => {
            let needs = format!("needs {}", counted(*requests_missing, "more request"));
            let when = match expected_in_s {
                Some(seconds) => format!("{needs}, in about {}", about(*seconds)),
                None => format!("{needs}, and none arrives"),
            };
            match doubt {
                Some(finding) => format!("{when}; in doubt: {finding}"),
                None => when,
            }
        }
        Verdict::Error { reason } => format!("can't be judged: {reason}"),
    }
}

/// What a step's judge and its metrics say together: what stands in the step's way, where something does.
pub(crate) fn opinion(of_requests: &Verdict, metrics: &[MetricSummary]) -> String {
    let in_the_way: Vec<String> = metrics
        .iter()
        .filter(|metric| metric.verdict != MetricVerdict::Pass)
        .map(|metric| one_line(&metric.to_string()))
        .collect();
    match of_requests {
        Verdict::Pass if !in_the_way.is_empty() => in_the_way.join("; "),
        Verdict::Pass | Verdict::Fail { .. } | Verdict::Inconclusive { .. } | Verdict::Error { .. } => {
            [vec![verdict(of_requests)], in_the_way].concat().join("; ")
        }
    }
}

/// Seconds as nobody waits more exactly.
fn about(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

/// Requests and how many of them failed.
pub(crate) fn requests(counters: Counters) -> String {
    let share = share(counters.failures, counters.requests).map(|share| format!(" ({share})")).unwrap_or_default();
    format!("{}, {} failed{share}", counted(counters.requests, "request"), count(counters.failures))
}

/// How a flight ended.
pub(crate) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Landed => "landed: it serves all traffic".to_owned(),
        Outcome::Refused { diagnostics } => {
            // The first without its hint; the whole list has a place of its own.
            let first = diagnostics.first().map(ToString::to_string).unwrap_or_default();
            let more = match diagnostics.len() {
                0 | 1 => String::new(),
                n => format!(", and {} more", n - 1),
            };
            format!("refused: {}{more}", first.lines().next().unwrap_or_default())
        }
        Outcome::Rejected { reason } => format!("rejected: {reason}"),
        Outcome::Stopped { environment, reason } => format!("stopped before {environment}: {reason}"),
        Outcome::RolledBack { environment, reason } => format!("rolled back from {environment}: {reason}"),
        Outcome::Kept { environment, reason } => {
            format!("failed past its point of no return in {environment} and serves on: {reason}")
        }
        Outcome::Aborted { by, reason } => format!("aborted by {by}: {reason}"),
        Outcome::Superseded { by } => format!("superseded by flight {}", by.short()),
    }
}

/// An event in one line. One that this version does not know is named by its type.
pub(crate) fn event(view: &EventView) -> (Tone, String) {
    let (tone, text) = match Event::decode(&view.event_type, VERSION, view.data.clone()) {
        Ok(event) => (tone(&event), known(&event)),
        Err(_) => (Tone::Dim, view.event_type.clone()),
    };
    (tone, one_line(&text))
}

/// Whether an event only serves to explain others: people see it as JSON, and in the verdicts that it explains.
pub(crate) fn is_detail(view: &EventView) -> bool {
    view.event_type == "rollout.marked"
}

fn tone(event: &Event) -> Tone {
    match event {
        Event::JobFinished { result, .. } => match result.conclusion {
            JobConclusion::Success => Tone::Good,
            JobConclusion::Failure if result.tolerated => Tone::Warning,
            JobConclusion::Failure => Tone::Bad,
            JobConclusion::Cancelled => Tone::Warning,
            JobConclusion::Skipped => Tone::Dim,
        },
        Event::PipelineFinished { succeeded: true, .. }
        | Event::Migrated { failure: None, .. }
        | Event::Checked { failure: None, .. }
        | Event::Ended { outcome: Outcome::Landed } => Tone::Good,
        Event::Overridden { .. } | Event::RollbackOrdered { .. } | Event::FlagSet { .. } | Event::FlagUnset { .. } => {
            Tone::Warning
        }
        Event::FlagWatched { limit, .. } => {
            if limit.is_some() {
                Tone::Bad
            } else {
                Tone::Good
            }
        }
        Event::Rollout { event, .. } => match event {
            RolloutEvent::StepPassed { .. } | RolloutEvent::Promoted { .. } => Tone::Good,
            RolloutEvent::StepHeld { .. } => Tone::Warning,
            RolloutEvent::Failed { .. } => Tone::Bad,
            RolloutEvent::Started(_)
            | RolloutEvent::StepEntered { .. }
            | RolloutEvent::Marked { .. }
            | RolloutEvent::Watched { .. }
            | RolloutEvent::Withdrawn { .. } => Tone::Plain,
        },
        Event::Ended { outcome: Outcome::Superseded { .. } } => Tone::Dim,
        Event::PipelineFinished { .. }
        | Event::Migrated { .. }
        | Event::Checked { .. }
        | Event::Quarantined { .. }
        | Event::Ended { .. } => Tone::Bad,
        Event::Opened(_)
        | Event::Configured { .. }
        | Event::Scanned(_)
        | Event::JobStarted { .. }
        | Event::ReleaseRecorded(_)
        | Event::Approved { .. }
        | Event::Proposed { .. }
        | Event::Merged { .. }
        | Event::GatePassed { .. }
        | Event::Unchanged { .. }
        | Event::Deployed { .. }
        | Event::MigrationStarted { .. }
        | Event::QuarantineLifted { .. }
        | Event::Reverted { .. }
        | Event::Scaled { .. }
        | Event::AuthorNotified { .. } => Tone::Plain,
    }
}

fn known(event: &Event) -> String {
    match event {
        Event::Opened(opened) => format!("opened: {}, by {}", opened.subject, opened.author.name),
        Event::Scanned(report) => format!("looked through: {}", scanned(report)),
        Event::Configured { service, notices, policies, .. } => {
            let names: Vec<&str> = service.environments.iter().map(|e| e.name.as_str()).collect();
            let noticed = match notices.len() {
                0 => String::new(),
                n => format!(", with {}", counted(n as u64, "notice")),
            };
            let asked = asked(policies);
            format!("read: on its way to {}{noticed}{asked}", names.join(", "))
        }
        Event::JobStarted { job } => format!("{job} started"),
        Event::JobFinished { job, result } => {
            let took = span_ms(result.duration_ms);
            match result.conclusion {
                JobConclusion::Success => format!("{job} succeeded in {took}"),
                JobConclusion::Failure if result.tolerated => format!("{job} failed after {took}, which is tolerated"),
                JobConclusion::Failure => format!("{job} failed after {took}"),
                JobConclusion::Cancelled => format!("{job} was stopped after {took}"),
                JobConclusion::Skipped => format!("{job} was skipped"),
            }
        }
        Event::PipelineFinished { succeeded: true, .. } => "pipeline succeeded".to_owned(),
        Event::PipelineFinished { detail, .. } => format!("pipeline failed{}", because(detail.as_deref())),
        Event::ReleaseRecorded(release) => {
            let of = release.service.as_ref().map_or_else(String::new, |service| format!(" of {service}"));
            let signed = release.evidence.as_ref().map_or_else(String::new, |evidence| {
                let attested = counted(evidence.attestations.len() as u64, "attestation");
                format!(", signed by key {} with {attested}", evidence.key_id.get(..8).unwrap_or_default())
            });
            format!("image {}{of}, {}{signed}", release.digest.short(), bytes(release.size_bytes))
        }
        Event::AuthorNotified { channels, failures } => {
            let lost = if failures.is_empty() { String::new() } else { format!("; not over {}", failures.join(", ")) };
            format!("author notified over {}{lost}", channels.join(", "))
        }
        Event::Ended { outcome: how } => outcome(how),
        Event::Approved { .. }
        | Event::Overridden { .. }
        | Event::Proposed { .. }
        | Event::Merged { .. }
        | Event::GatePassed { .. }
        | Event::Unchanged { .. }
        | Event::Deployed { .. }
        | Event::MigrationStarted { .. }
        | Event::Migrated { .. }
        | Event::Rollout { .. }
        | Event::Checked { .. }
        | Event::RollbackOrdered { .. }
        | Event::Quarantined { .. }
        | Event::QuarantineLifted { .. }
        | Event::Reverted { .. }
        | Event::Scaled { .. }
        | Event::FlagSet { .. }
        | Event::FlagUnset { .. }
        | Event::FlagWatched { .. } => in_environment(event),
    }
}

fn in_environment(event: &Event) -> String {
    match event {
        Event::Approved { environment, by } => format!("{environment}: approved by {by}"),
        Event::Overridden { environment, hold, by, reason } => {
            format!("{environment}: let past {hold} by {by}: {reason}")
        }
        Event::Proposed { place, commit } => {
            format!("{place}: proposed in the deployment repository as {}", commit.short())
        }
        Event::Merged { place, commit, by } => format!("{place}: merged by {by} as {}", commit.short()),
        Event::GatePassed { place, replaces } => match replaces {
            Some(flight) => format!("{place}: entered, in the place of flight {}", flight.short()),
            None => format!("{place}: entered, as the first"),
        },
        Event::Unchanged { place, serves } => {
            format!("{place}: stays as flight {} brought it, as nothing has changed", serves.short())
        }
        Event::Deployed { place, commit, policies } => {
            let asked = asked(policies);
            format!("{place}: committed to the deployment repository as {}{asked}", commit.short())
        }
        Event::MigrationStarted { place, args, point_of_no_return } => {
            let for_good = if *point_of_no_return { ", which can't be undone" } else { "" };
            format!("{place}: migration starts: {}{for_good}", args.join(" "))
        }
        Event::Migrated { place, failure: None, .. } => format!("{place}: migrated"),
        Event::Migrated { place, failure, by: None } => {
            format!("{place}: migration failed{}", because(failure.as_deref()))
        }
        Event::Migrated { place, failure, by: Some(by) } => {
            format!("{place}: migration ended by {by}{}", because(failure.as_deref()))
        }
        Event::Rollout { place, event } => format!("{place}: {}", rollout(event)),
        Event::Checked { place, failure: None } => format!("{place}: checks passed"),
        Event::Checked { place, failure } => {
            format!("{place}: check failed{}", because(failure.as_deref()))
        }
        Event::RollbackOrdered { place, to, by, reason, .. } => {
            let to = to.as_ref().map_or_else(String::new, |flight| format!(" to flight {}", flight.short()));
            format!("{place}: rollback{to} ordered by {by}: {reason}")
        }
        Event::Quarantined { place, digest, reason } => {
            format!("{place}: image {} in quarantine: {reason}", digest.short())
        }
        Event::QuarantineLifted { place, digest, by, reason } => {
            format!("{place}: quarantine of image {} lifted by {by}: {reason}", digest.short())
        }
        Event::Reverted { place, commit } => {
            format!("{place}: taken out of the deployment repository by {}", commit.short())
        }
        Event::Scaled { place, before, replicas, reason, by } => {
            let by = by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
            format!("{place}: scaled{by} from {before} to {}: {reason}", counted((*replicas).into(), "replica"))
        }
        Event::FlagSet { environment, .. }
        | Event::FlagUnset { environment, .. }
        | Event::FlagWatched { environment, .. } => format!("{environment}: {}", flagged(event)),
        Event::Opened(_)
        | Event::Configured { .. }
        | Event::Scanned(_)
        | Event::JobStarted { .. }
        | Event::JobFinished { .. }
        | Event::PipelineFinished { .. }
        | Event::ReleaseRecorded(_)
        | Event::AuthorNotified { .. }
        | Event::Ended { .. } => String::new(),
    }
}

/// What happened to a flag; nothing of other facts.
fn flagged(event: &Event) -> String {
    if let Event::FlagSet { flag, to, by, reason, .. } = event {
        return format!("flag {flag} set to {} by {by}: {reason}", setting(to));
    }
    if let Event::FlagUnset { flag, by, reason, .. } = event {
        return format!("flag {flag} as in Git again, by {by}: {reason}");
    }
    let Event::FlagWatched { flag, limit, evidence, .. } = event else { return String::new() };
    match limit {
        Some(limit) => format!("flag {flag} harms: more than {limit} of the requests fail ({})", seen(evidence)),
        None => format!("flag {flag} watched: {}", seen(evidence)),
    }
}

/// What a commit was looked through for, and what was let past.
pub(crate) fn scanned(report: &ScanReport) -> String {
    let mut text = counted(report.files, "file");
    if report.commits > 0 {
        text.extend([format!(" of {}", counted(report.commits, "commit"))]);
    }
    text.extend([format!(", {}", counted(report.packages, "package"))]);
    match report.database {
        Some(made) => text.extend([format!(" looked up in the advisories of {}", made.strftime("%Y-%m-%d"))]),
        None if report.packages > 0 => text.push_str(" not looked up"),
        None => {}
    }
    let found: Vec<String> = report.found.iter().map(|(severity, count)| format!("{count} {severity}")).collect();
    if !found.is_empty() {
        text.extend([format!("; let past {}", found.join(", "))]);
    }
    if report.excepted > 0 {
        text.extend([format!("; {}", counted(report.excepted, "exception"))]);
    }
    text
}

/// How many policies let a release in, behind what else is said.
fn asked(answers: &PolicyAnswers) -> String {
    let passed = match answers.passed.len() {
        0 => String::new(),
        count => format!(", {} passed", policies(count)),
    };
    match answers.violated.len() {
        0 => passed,
        count => format!("{passed}, {} violated", policies(count)),
    }
}

/// So many policies.
pub(crate) fn policies(count: usize) -> String {
    if count == 1 { "1 policy".to_owned() } else { format!("{count} policies") }
}

/// Which policies let a release in.
pub(crate) fn answered(answers: &PolicyAnswers) -> String {
    let names = |of: &BTreeSet<String>| of.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let passed = match answers.passed.len() {
        0 => "none passed".to_owned(),
        count => format!("{count} passed: {}", names(&answers.passed)),
    };
    match answers.violated.len() {
        0 => passed,
        count => format!("{passed}; {count} violated: {}", names(&answers.violated)),
    }
}

/// What a flag is set to.
pub(crate) fn setting(setting: &Setting) -> String {
    match setting {
        Setting::Variant(name) => name.clone(),
        Setting::Enabled => "enabled".to_owned(),
        Setting::Disabled => "disabled".to_owned(),
    }
}

fn rollout(event: &RolloutEvent) -> String {
    match event {
        RolloutEvent::Started(start) => match &start.caution {
            Some(caution) => format!("{} {caution}", started(start)),
            None => started(start),
        },
        RolloutEvent::StepEntered { step, weight, .. } => format!("step {} gets {weight} of the traffic", step + 1),
        RolloutEvent::Marked { step, mark } => {
            let Count { requests: of, failures, .. } = mark.candidate;
            let seen = requests(Counters { requests: of, failures, latency_us_sum: 0 });
            format!("step {} marked after {}: {seen}", step + 1, span_ms(mark.elapsed_ms))
        }
        RolloutEvent::StepHeld { step, verdict: held, metrics, .. } => {
            format!("step {} held: {}", step + 1, opinion(held, metrics))
        }
        RolloutEvent::StepPassed { step, evidence, metrics, by: Some(by) } => {
            format!("step {} let pass by {by}: {}{}", step + 1, seen(evidence), measured(metrics))
        }
        RolloutEvent::StepPassed { step, evidence, metrics, by: None } => {
            format!("step {} passed: {}{}", step + 1, seen(evidence), measured(metrics))
        }
        RolloutEvent::Failed { cause, evidence, serves_on: true, .. } => {
            format!("failed, and serves on past its point of no return: {cause} ({})", seen(evidence))
        }
        RolloutEvent::Failed { cause, evidence, .. } if evidence.candidate.requests > 0 => {
            format!("taken back: {cause} ({})", seen(evidence))
        }
        RolloutEvent::Failed { cause, .. } => format!("taken back: {cause}"),
        RolloutEvent::Promoted { candidate, .. } if candidate.requests == 0 => "has all traffic".to_owned(),
        RolloutEvent::Promoted { candidate, .. } => format!("has all traffic, after {}", requests(candidate.into())),
        RolloutEvent::Watched { evidence, metrics } => {
            format!("watched with all traffic: {}{}", seen(evidence), measured(metrics))
        }
        RolloutEvent::Withdrawn { candidate } => {
            format!(
                "out, after {} of which {} failed",
                counted(candidate.requests, "request"),
                count(candidate.failures)
            )
        }
    }
}

fn seen(evidence: &Sample) -> String {
    let of_users = requests((&evidence.candidate).into());
    match &evidence.synthetic {
        None => of_users,
        Some(synthetic) => format!("{of_users}; synthetic: {}", requests((&synthetic.candidate).into())),
    }
}

/// How many metrics were good, where there are any.
fn measured(metrics: &[MetricSummary]) -> String {
    let good = metrics.iter().filter(|metric| metric.verdict == MetricVerdict::Pass).count() as u64;
    match metrics.len() as u64 {
        0 => String::new(),
        all if all == good => format!(", {} good", counted(all, "metric")),
        all => format!(", {} of {} good", count(good), counted(all, "metric")),
    }
}

fn because(detail: Option<&str>) -> String {
    detail.map_or_else(String::new, |detail| format!(": {detail}"))
}

/// How a rollout begins.
fn started(start: &Start) -> String {
    match &start.strategy {
        Strategy::Canary { steps, .. } => format!("canary of {} starts", counted(steps.len() as u64, "step")),
        Strategy::Rolling { .. } => {
            format!("rolling update of {} starts", counted(start.replicas.into(), "replica"))
        }
        Strategy::BlueGreen { .. } => {
            format!("{} of the new version start beside the old", counted(start.replicas.into(), "replica"))
        }
        Strategy::Recreate => "the old version stops, the new one starts".to_owned(),
        Strategy::Return => format!("return to flight {} starts", start.candidate.short()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_says_what_is_missing() {
        let missing = |requests_missing, expected_in_s| {
            verdict(&Verdict::Inconclusive { requests_missing, expected_in_s, doubt: None })
        };
        assert_eq!(missing(43, Some(20)), "needs 43 more requests, in about 20 s");
        assert_eq!(missing(1, Some(600)), "needs 1 more request, in about 10 min");
        assert_eq!(missing(2000, None), "needs 2,000 more requests, and none arrives");
    }

    #[test]
    fn a_metric_that_is_in_the_way_is_named() {
        let metric = |verdict: &str, reason: &str| -> MetricSummary {
            let counts = serde_json::json!({"name": "depth", "verdict": verdict, "reason": reason,
                "good": 1, "failed": 0, "missed": 0});
            serde_json::from_value(counts).unwrap()
        };
        let (good, held) = (metric("pass", "1 measurement was good"), metric("inconclusive", "no data"));
        let missing = Verdict::Inconclusive { requests_missing: 1, expected_in_s: None, doubt: None };
        assert_eq!(opinion(&Verdict::Pass, &[good.clone(), held.clone()]), "metric depth: no data");
        assert_eq!(opinion(&Verdict::Pass, std::slice::from_ref(&good)), verdict(&Verdict::Pass));
        assert_eq!(
            opinion(&missing, std::slice::from_ref(&held)),
            "needs 1 more request, and none arrives; metric depth: no data"
        );
        assert_eq!(measured(&[good.clone(), held]), ", 1 of 2 metrics good");
        assert_eq!(measured(&[good]), ", 1 metric good");
    }

    /// Every event that was ever stored can be told, whatever happened in it.
    #[test]
    fn every_stored_event_has_a_sentence() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../model/tests/golden/events");
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let mut told = Vec::new();
        for file in files {
            let name = file.file_name().unwrap().to_str().unwrap();
            let event_type = name.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
            let data = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
            let view = EventView {
                sequence: 1,
                at: "2026-02-01T12:00:00Z".into(),
                flight: "a".repeat(32).parse().unwrap(),
                event_type,
                data,
            };
            let (tone, text) = event(&view);
            assert_ne!(text, view.event_type, "{name}");
            assert!(!text.is_empty() && !text.contains('\n'), "{name}");
            told.push(format!("{name} [{tone:?}] {text}"));
        }
        insta::assert_snapshot!("every_stored_event", told.join("\n"));
    }

    #[test]
    fn an_event_of_a_later_version_is_named() {
        let view = EventView {
            sequence: 1,
            at: String::new(),
            flight: "a".repeat(32).parse().unwrap(),
            event_type: "flight.teleported".into(),
            data: serde_json::Value::Null,
        };
        assert_eq!(event(&view), (Tone::Dim, "flight.teleported".to_owned()));
    }
}
