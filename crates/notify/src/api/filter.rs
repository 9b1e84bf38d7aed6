//! What a request asks to see.

use prograde_model::alert::{Mutes, matcher};
use prograde_model::labels::Labels;
use prograde_model::matcher::Matcher;
use prograde_model::pattern::Pattern;

use super::Answer;

/// How many matchers a request may have.
const MATCHERS_MAX: usize = 100;

/// Which alerts are asked for.
pub(super) struct Filter {
    matchers: Vec<Matcher>,
    receiver: Option<Pattern>,
    active: bool,
    silenced: bool,
    inhibited: bool,
}

impl Filter {
    pub(super) fn read(query: &[(String, String)]) -> Result<Self, Answer> {
        let receiver = query.iter().find(|(name, value)| name == "receiver" && !value.is_empty());
        let receiver = receiver.map(|(_, pattern)| Pattern::new(pattern)).transpose();
        let receiver =
            receiver.map_err(|error| Answer::failed(400, format!("failed to parse receiver param: {error}")))?;
        Ok(Self {
            matchers: matchers(query)?,
            receiver,
            active: flag(query, "active")?,
            silenced: flag(query, "silenced")?,
            inhibited: flag(query, "inhibited")?,
        })
    }

    /// Whether an alert with these labels, kept quiet by these, is asked for.
    pub(super) fn wants(&self, labels: &Labels, mutes: &Mutes) -> bool {
        let by_state = (self.active || !mutes.is_empty())
            && (self.silenced || mutes.silenced_by.is_empty())
            && (self.inhibited || mutes.inhibited_by.is_empty());
        by_state && Matcher::accept_all(&self.matchers, labels)
    }

    /// Whether what goes to this receiver is asked for.
    pub(super) fn wants_receiver(&self, name: &str) -> bool {
        self.receiver.as_ref().is_none_or(|pattern| pattern.is_match(name))
    }
}

/// The matchers of `filter`, each in a parameter of its own.
pub(super) fn matchers(query: &[(String, String)]) -> Result<Vec<Matcher>, Answer> {
    let texts: Vec<&String> = query.iter().filter(|(name, _)| name == "filter").map(|(_, text)| text).collect();
    if texts.len() > MATCHERS_MAX {
        return Err(Answer::failed(400, format!("there are more than {MATCHERS_MAX} filters")));
    }
    let read = texts.into_iter().map(|text| matcher(text));
    read.collect::<Result<_, _>>().map_err(|error| Answer::failed(400, error.to_string()))
}

/// A boolean of the query, true where it is left out.
fn flag(query: &[(String, String)], name: &str) -> Result<bool, Answer> {
    match query.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str()) {
        None | Some("true" | "1" | "t" | "T" | "TRUE" | "True") => Ok(true),
        Some("false" | "0" | "f" | "F" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(Answer::failed(422, format!("{name} in query must be of type boolean: {other:?}"))),
    }
}
