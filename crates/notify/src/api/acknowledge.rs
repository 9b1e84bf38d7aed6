//! Taking a group on, which is ours alone.

use prograde_model::alert::{AlertEvent, Dispatcher};
use serde::Deserialize;

use super::{Answer, decode};

/// The longest name of a person, and the longest comment, in bytes.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// Who takes which group on.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire {
    group_key: String,
    by: String,
    #[serde(default)]
    comment: String,
    /// Whether it is to be repeated again instead.
    #[serde(default)]
    withdraw: bool,
}

/// Acknowledges a group, or withdraws that.
pub(super) fn post(dispatcher: &Dispatcher, body: &[u8]) -> Result<Answer, Answer> {
    let Wire { group_key: group, by, comment, withdraw } = decode(body)?;
    if by.is_empty() || by.len().max(comment.len()) > TEXT_BYTES_MAX {
        return Err(Answer::failed(400, format!("`by` must say who, in at most {TEXT_BYTES_MAX} bytes")));
    }
    if withdraw {
        return match dispatcher.acknowledgement(&group) {
            Some(_) => Ok(Answer::done(vec![AlertEvent::AcknowledgementWithdrawn { group, by }])),
            None => Err(Answer::failed(404, "nobody has acknowledged this group")),
        };
    }
    if !dispatcher.has_firing_group(&group) {
        return Err(Answer::failed(404, "there is no such group in which an alert fires"));
    }
    Ok(Answer::done(vec![AlertEvent::Acknowledged { group, by, comment }]))
}
