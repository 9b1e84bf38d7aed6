//! Placeholders in a query: `{{flight}}` and the like. What is filled in are names of letters, digits and `-`, and numbers,
//! so that no value can end a quoted string of the query.

use crate::ids::{CommitId, FlightId, Target};

/// What may stand between `{{` and `}}`.
pub const PLACEHOLDERS: [&str; 6] = ["service", "environment", "flight", "commit", "stable_flight", "step_s"];

/// What the placeholders stand for.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// Where the rollout goes on.
    pub target: &'a Target,
    /// The candidate.
    pub flight: &'a FlightId,
    /// The candidate's commit.
    pub commit: &'a CommitId,
    /// The version that serves beside it, if any; nothing is filled in without.
    pub stable: Option<&'a FlightId>,
    /// How long the step has lasted, in seconds.
    pub step_s: u64,
}

/// The text with its placeholders filled in. One that is not known stays as it is.
pub fn fill(text: &str, scene: &Scene<'_>) -> String {
    let mut filled = String::with_capacity(text.len());
    for part in parts(text) {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Placeholder { name, written } => match value(name, scene) {
                Some(value) => filled.push_str(&value),
                None => filled.push_str(written),
            },
        }
    }
    filled
}

fn value(name: &str, scene: &Scene<'_>) -> Option<String> {
    match name {
        "service" => Some(scene.target.service.to_string()),
        "environment" => Some(scene.target.environment.to_string()),
        "flight" => Some(scene.flight.to_string()),
        "commit" => Some(scene.commit.to_string()),
        "stable_flight" => Some(scene.stable.map(ToString::to_string).unwrap_or_default()),
        // A range of no length is an error in PromQL.
        "step_s" => Some(scene.step_s.max(1).to_string()),
        _ => None,
    }
}

/// The first placeholder that is not known, if any: its name as it is written.
pub(super) fn unknown(text: &str) -> Option<&str> {
    parts(text).find_map(|part| match part {
        Part::Placeholder { name, .. } if !PLACEHOLDERS.contains(&name) => Some(name),
        Part::Placeholder { .. } | Part::Text(_) => None,
    })
}

enum Part<'a> {
    Text(&'a str),
    Placeholder { name: &'a str, written: &'a str },
}

/// Text and placeholders in turn. What begins with `{{` and does not end is a placeholder up to the text's end.
fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(at) = rest.find("{{") else { return Some(Part::Text(std::mem::take(&mut rest))) };
        if at > 0 {
            let (before, after) = rest.split_at(at);
            rest = after;
            return Some(Part::Text(before));
        }
        let length = rest.find("}}").map_or(rest.len(), |end| end + 2);
        let (written, after) = rest.split_at(length);
        rest = after;
        let name = written.trim_start_matches('{').trim_end_matches('}').trim();
        Some(Part::Placeholder { name, written })
    })
}
