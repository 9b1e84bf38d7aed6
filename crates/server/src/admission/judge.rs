//! What policies say to a question, as an answer that whoever asked can act on.
//!
//! Invariant: what breaks a policy that is enforced, or can't be told of it, is not let in.

use std::collections::BTreeMap;

use prograde_model::ids::Digest;
use prograde_policy::{
    Action, Given, Policy, PolicyResult, PolicySet, Request, RuleResult, Signature, SignedBy, Stage, Status, patch,
};
use serde_json::Value;

use super::review::{Answer, Operation, Review};

/// How many violations are told at once.
const TOLD_MAX: usize = 20;
/// How many warnings are shown. With the length of each they stay below the 4096 bytes from which Kubernetes cuts them.
const WARNINGS_MAX: usize = 15;
/// How long one may be, in bytes.
const WARNING_BYTES_MAX: usize = 250;
/// How long one violation may be, in bytes.
const MESSAGE_BYTES_MAX: usize = 2_000;

/// Who knows what policies ask about images.
pub(super) trait Images {
    /// Whether somebody vouches for one.
    fn signed(&self, asked: &SignedBy) -> Signature;
    /// The digest that a tag has now.
    fn digest(&self, image: &str) -> Result<Digest, String>;
}

/// Whether the object may be as it is.
pub(super) fn validate(
    set: &PolicySet,
    review: &Review,
    request: &Request<'_>,
    images: &dyn Images,
) -> (Answer, Vec<String>) {
    let mut given = Given::default();
    let asked = set.asks_at(Stage::Validate, request, &given);
    given.verified = asked.into_iter().map(|asked| (asked.clone(), images.signed(&asked))).collect();
    let results = set.evaluate_at(Stage::Validate, request, &given);
    let enforced = |result: &RuleResult| result.action == Action::Enforce && result.status != Status::Warn;
    answer(set, review, &results, &enforced)
}

/// What mutation makes of the object, as a patch.
pub(super) fn mutate(
    set: &PolicySet,
    review: &Review,
    request: &Request<'_>,
    images: &dyn Images,
    seed: Option<u64>,
) -> (Answer, Vec<String>) {
    let Some(object) = review.object().filter(|_| review.operation != Operation::Delete) else {
        return (Answer::default(), Vec::new());
    };
    let mut given = Given::default();
    given.outside.seed = seed;
    let mut results = set.evaluate_at(Stage::Mutate, request, &given);
    // What was not changed as it should be is refused, whether or not the policy refuses else.
    let enforced = |result: &RuleResult| result.status != Status::Warn;
    let (mut answer, broken) = answer(set, review, &results, &enforced);
    if answer.refused.is_some() {
        return (answer, broken);
    }
    let changed =
        results.iter_mut().rev().flat_map(|one| one.results.iter_mut().rev()).find_map(|one| one.patched.take());
    let changed = changed.unwrap_or_else(|| object.clone());
    let pins = set.pins(&Request { object: Some(std::borrow::Cow::Borrowed(&changed)), ..request.clone() });
    let changed = pinned(changed, pins, images, &mut answer.warnings);
    answer.patch = patch::diff(&review.as_sent(object), &review.as_sent(&changed));
    (answer, broken)
}

/// The object with digests behind the tags of images. One that can't be found out is left, and refused when the object is
/// judged.
fn pinned(mut object: Value, pins: BTreeMap<String, String>, images: &dyn Images, warnings: &mut Vec<String>) -> Value {
    for (place, image) in pins {
        match (images.digest(&image), object.pointer_mut(&place)) {
            (Ok(digest), Some(Value::String(text))) => text.extend(["@", digest.as_str()]),
            (Err(why), _) => warnings.push(line(&format!("{image}: its digest can't be found out: {why}"))),
            (Ok(_), _) => {}
        }
    }
    object
}

/// What results mean, and which rules are broken.
fn answer(
    set: &PolicySet,
    review: &Review,
    results: &[PolicyResult],
    enforced: &dyn Fn(&RuleResult) -> bool,
) -> (Answer, Vec<String>) {
    let (mut refused, mut told, mut broken) = (Vec::new(), Vec::new(), Vec::new());
    for one in results {
        let Some(policy) = set.policies.get(one.policy) else { continue };
        for result in one.results.iter().filter(|result| is_broken(result.status)) {
            let rule = named(policy, result);
            if enforced(result) {
                refused.push(violation(&rule, policy, result));
                broken.push(rule);
            } else {
                told.push(line(&format!("{rule}: {}", result.message)));
            }
        }
    }
    refused.dedup();
    told.dedup();
    if told.len() > WARNINGS_MAX {
        let more = told.len() - WARNINGS_MAX + 1;
        told.truncate(WARNINGS_MAX - 1);
        told.push(format!("and {more} more"));
    }
    let refused = (!refused.is_empty()).then(|| (403, summary(review, refused)));
    (Answer { refused, warnings: told, patch: Vec::new() }, broken)
}

fn is_broken(status: Status) -> bool {
    match status {
        Status::Fail | Status::Error | Status::Warn => true,
        Status::Pass | Status::Skip => false,
    }
}

fn named(policy: &Policy, result: &RuleResult) -> String {
    let place = if policy.namespace().is_empty() { String::new() } else { format!("{}/", policy.namespace()) };
    let rule = if result.rule.is_empty() { String::new() } else { format!("/{}", result.rule) };
    format!("{place}{}{rule}", policy.name())
}

fn violation(rule: &str, policy: &Policy, result: &RuleResult) -> String {
    let untold = if result.status == Status::Error { "it can't be told: " } else { "" };
    let message = cut(format!("{rule}: {untold}{}", result.message.trim()), MESSAGE_BYTES_MAX);
    let comply = policy.annotation("prograde.dev/comply").map(|comply| format!("\n  comply: {}", comply.trim()));
    message + &comply.unwrap_or_default()
}

fn summary(review: &Review, refused: Vec<String>) -> String {
    let count = refused.len();
    let mut lines: Vec<String> = refused.into_iter().take(TOLD_MAX).collect();
    if count > TOLD_MAX {
        lines.push(format!("and {} more", count - TOLD_MAX));
    }
    if let [one] = lines.as_slice() {
        return one.clone();
    }
    let verb = review.operation.as_str();
    format!("{count} rules of policies refuse this {verb}:\n{}", lines.join("\n"))
}

/// A text without ends of lines and other signs that no header takes, of a bounded length.
fn line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    cut(plain, WARNING_BYTES_MAX)
}

fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let end = (0..=bytes_max - 3).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
        text.push('…');
    }
    text
}
