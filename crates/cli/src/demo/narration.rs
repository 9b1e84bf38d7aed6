//! The journal's facts in words: a verb and what it was done to. Facts that tell a reader nothing have none.

use std::time::Duration;

use prograde_model::event::{Event, JobConclusion, JobRecord, Outcome};
use prograde_model::judge::{Evidence, Verdict};
use prograde_model::rollout::RolloutEvent;
use prograde_model::runtime::Counters;

/// The verb, which begins a line, and the rest.
pub(crate) type Words = (&'static str, String);

/// What happened, if it is worth a line.
pub(crate) fn words(event: &Event) -> Option<Words> {
    let words = match event {
        Event::Opened(opened) => ("Opened", format!("a flight for {} {:?}", opened.commit.short(), opened.subject)),
        Event::JobFinished { job, result } => job_words(job, result),
        Event::PipelineFinished { succeeded: false, detail } => {
            ("Failed", format!("in the pipeline: {}", first_line(detail.as_deref().unwrap_or("a job failed"))))
        }
        Event::ReleaseRecorded(release) => {
            ("Imaged", format!("sha256:{}, {}", release.digest.short(), megabytes(release.size_bytes)))
        }
        Event::Deployed { environment, commit } => {
            ("Committed", format!("{} to the deployment repository: it should run in {environment}", commit.short()))
        }
        Event::Rollout { environment, event } => return rollout_words(environment.as_str(), event),
        Event::Checked { environment, failure: None } => ("Checked", format!("{environment}: good")),
        Event::Checked { environment, failure: Some(failure) } => ("Checked", format!("{environment}: {failure}")),
        Event::RollbackOrdered { environment, by, reason, .. } => {
            ("Ordered", format!("a rollback of {environment} by {by}: {reason}"))
        }
        Event::Quarantined { environment, digest, .. } => {
            ("Quarantined", format!("sha256:{} in {environment}", digest.short()))
        }
        Event::Reverted { environment, commit } => {
            ("Reverted", format!("the deployment repository's {environment} with commit {}", commit.short()))
        }
        Event::AuthorNotified { channels, failures } if failures.is_empty() => {
            ("Notified", format!("the author by {}", channels.join(", ")))
        }
        Event::AuthorNotified { failures, .. } => ("Failed", format!("to notify the author: {}", failures.join(", "))),
        Event::Ended { outcome } => outcome_words(outcome),
        Event::Configured { .. }
        | Event::JobStarted { .. }
        | Event::PipelineFinished { .. }
        | Event::Approved { .. }
        | Event::GatePassed { .. }
        | Event::QuarantineLifted { .. } => return None,
    };
    Some(words)
}

fn job_words(job: &str, result: &JobRecord) -> Words {
    let took = seconds(Duration::from_millis(result.duration_ms));
    match result.conclusion {
        JobConclusion::Success => ("Ran", format!("{job} in {took}")),
        JobConclusion::Failure => {
            ("Failed", format!("{job}: {}", first_line(result.detail.as_deref().unwrap_or_default())))
        }
        JobConclusion::Cancelled => ("Cancelled", job.to_owned()),
        JobConclusion::Skipped => ("Skipped", job.to_owned()),
    }
}

fn rollout_words(environment: &str, event: &RolloutEvent) -> Option<Words> {
    let words = match event {
        RolloutEvent::StepEntered { weight, .. } => ("Shifted", format!("{weight} of {environment}'s traffic")),
        RolloutEvent::StepHeld { verdict, .. } => ("Holding", format!("in {environment}: {}", missing(verdict))),
        RolloutEvent::StepPassed { step, evidence } => {
            ("Passed", format!("step {}: {}", step + 1, judged_on(evidence)))
        }
        RolloutEvent::Failed { cause, evidence } if evidence.candidate == Counters::default() => {
            ("Stopped", format!("in {environment}: {cause}"))
        }
        RolloutEvent::Failed { cause, evidence } => {
            ("Stopped", format!("in {environment}: {cause} ({})", judged_on(evidence)))
        }
        RolloutEvent::Promoted { .. } => ("Promoted", format!("in {environment}: it serves all traffic")),
        RolloutEvent::Withdrawn { candidate } => {
            ("Withdrew", format!("it from {environment}, after {} requests in all", candidate.requests))
        }
        RolloutEvent::Started(_) => return None,
    };
    Some(words)
}

fn outcome_words(outcome: &Outcome) -> Words {
    match outcome {
        Outcome::Landed => ("Landed", "it serves everywhere".to_owned()),
        Outcome::Refused { diagnostics } => {
            ("Refused", diagnostics.first().map(|d| first_line(&d.to_string()).to_owned()).unwrap_or_default())
        }
        Outcome::Rejected { reason } => ("Rejected", first_line(reason).to_owned()),
        Outcome::Stopped { environment, reason } => ("Stopped", format!("before {environment}: {reason}")),
        Outcome::RolledBack { environment, reason } => ("Rolled back", format!("from {environment}: {reason}")),
        Outcome::Aborted { by, reason } => ("Aborted", format!("by {by}: {reason}")),
        Outcome::Superseded { by } => ("Superseded", format!("by flight {}", by.short())),
    }
}

/// What the judge waits for.
pub(crate) fn missing(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Pass => "the judge is satisfied, the bake time is not over".to_owned(),
        Verdict::Fail { limit } => format!("more than {limit} of the requests fail"),
        Verdict::Inconclusive { requests_missing, expected_in_s: Some(s) } => {
            format!("the judge waits for {requests_missing} more requests, about {s} s")
        }
        Verdict::Inconclusive { requests_missing, expected_in_s: None } => {
            format!("the judge waits for {requests_missing} more requests, and none come")
        }
        Verdict::Error { reason } => reason.clone(),
    }
}

fn judged_on(evidence: &Evidence) -> String {
    let Counters { requests, failures, .. } = evidence.candidate;
    format!("{failures} of {requests} requests failed in {}", seconds(Duration::from_millis(evidence.elapsed_ms)))
}

/// Such as `4.2 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Such as `4.2 MB`.
fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use prograde_model::rollout::Cause;

    use super::*;

    fn said(event: &Event) -> String {
        words(event).map(|(verb, text)| format!("{verb} {text}")).unwrap_or_default()
    }

    fn rollout(event: RolloutEvent) -> Event {
        Event::Rollout { environment: "production".parse().unwrap(), event }
    }

    #[test]
    fn a_stop_names_its_evidence_where_there_is_any() {
        let cause = Cause::Judged { step: 0, limit: "1%".parse().unwrap() };
        let candidate = Counters { requests: 21, failures: 5, latency_us_sum: 1 };
        let evidence = Evidence { candidate, elapsed_ms: 1_840, ..Evidence::default() };
        insta::assert_snapshot!(
            said(&rollout(RolloutEvent::Failed { cause, evidence })),
            @"Stopped in production: step 1 failed: more than 1% of the requests fail (5 of 21 requests failed in 1.8 s)"
        );
        let cause = Cause::Crashing { restarts: 3, detail: Some("exit status 101".into()) };
        insta::assert_snapshot!(
            said(&rollout(RolloutEvent::Failed { cause, evidence: Evidence::default() })),
            @"Stopped in production: its replicas crash: 3 restarts (exit status 101)"
        );
    }

    #[test]
    fn a_hold_says_what_is_missing() {
        let verdict = Verdict::Inconclusive { requests_missing: 23, expected_in_s: Some(5) };
        let held = RolloutEvent::StepHeld { step: 0, verdict, evidence: Evidence::default() };
        insta::assert_snapshot!(
            said(&rollout(held)),
            @"Holding in production: the judge waits for 23 more requests, about 5 s"
        );
    }

    #[test]
    fn a_job_that_failed_is_one_line() {
        let fact = serde_json::json!({
            "job": "ci.yml/test",
            "result": {"conclusion": "failure", "duration_ms": 10, "detail": "step Test failed\nmore\n"},
        });
        let event = Event::decode("pipeline.job_finished", 1, fact).unwrap();
        assert_eq!(said(&event), "Failed ci.yml/test: step Test failed");
    }
}
