//! Silences.

use jiff::Timestamp;
use prograde_model::alert::{Dispatcher, Silence, SilenceError, SilenceState};
use prograde_model::matcher::Matcher;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, decode, filter, written};

/// How many matchers a silence may have.
const MATCHERS_MAX: usize = 100;
/// The longest name of a person, and the longest comment, in bytes.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// A silence as it is posted.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    #[serde(default)]
    id: Option<String>,
    matchers: Vec<Matcher>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    created_by: String,
    comment: String,
    #[serde(default)]
    ends_with_alerts: bool,
}

/// Sets a silence, or changes one.
pub(super) fn post(dispatcher: &Dispatcher, body: &[u8], new_id: &str, now: Timestamp) -> Result<Answer, Answer> {
    let wire: Wire = decode(body)?;
    if wire.matchers.len() > MATCHERS_MAX || wire.created_by.len().max(wire.comment.len()) > TEXT_BYTES_MAX {
        let why = format!("a silence has at most {MATCHERS_MAX} matchers, and {TEXT_BYTES_MAX} bytes of comment");
        return Err(Answer::failed(400, why));
    }
    let silence = Silence {
        id: wire.id.unwrap_or_default(),
        matchers: wire.matchers,
        starts_at: wire.starts_at,
        ends_at: wire.ends_at,
        updated_at: now,
        created_by: wire.created_by,
        comment: wire.comment,
        ends_with_alerts: wire.ends_with_alerts,
    };
    let (id, facts) = dispatcher.set_silence(silence, new_id, now).map_err(|error| refused(&error))?;
    Ok(Answer { facts, ..Answer::ok(json!({"silenceID": id})) })
}

fn refused(error: &SilenceError) -> Answer {
    let status = match error {
        SilenceError::NotFound(_) => 404,
        SilenceError::Everything | SilenceError::Times => 400,
        // As Alertmanager has it.
        SilenceError::Expired(_) => 500,
        SilenceError::TooMany(_) => 503,
    };
    Answer::failed(status, error.to_string())
}

/// All silences that are about what is asked for: those in force first, by when they end.
pub(super) fn list(dispatcher: &Dispatcher, query: &[(String, String)], now: Timestamp) -> Result<Answer, Answer> {
    let asked = filter::matchers(query)?;
    let about = |silence: &&Silence| {
        let values = silence.matchers.iter().map(|matcher| (matcher.name.as_str(), matcher.value()));
        Matcher::accept_all(&asked, &values.collect())
    };
    let mut found: Vec<&Silence> = dispatcher.silences().filter(about).collect();
    let rank = |silence: &Silence| match silence.state(now) {
        SilenceState::Active => (0, silence.ends_at.as_millisecond()),
        SilenceState::Pending => (1, silence.starts_at.as_millisecond()),
        // The latest first.
        SilenceState::Expired => (2, -silence.ends_at.as_millisecond()),
    };
    found.sort_by_key(|silence| rank(silence));
    Ok(Answer::ok(found.into_iter().map(|silence| shown(silence, now)).collect()))
}

/// One silence.
pub(super) fn one(dispatcher: &Dispatcher, id: &str, now: Timestamp) -> Result<Answer, Answer> {
    let silence = dispatcher.silence(id).ok_or_else(|| refused(&SilenceError::NotFound(id.to_owned())))?;
    Ok(Answer::ok(shown(silence, now)))
}

/// Ends a silence.
pub(super) fn end(dispatcher: &Dispatcher, id: &str, now: Timestamp) -> Result<Answer, Answer> {
    let fact = dispatcher.end_silence(id, now).map_err(|error| refused(&error))?;
    Ok(Answer::done(vec![fact]))
}

fn shown(silence: &Silence, now: Timestamp) -> Value {
    let mut shown = json!({
        "id": silence.id,
        "status": {"state": silence.state(now)},
        "updatedAt": written(silence.updated_at),
        "comment": silence.comment,
        "createdBy": silence.created_by,
        "endsAt": written(silence.ends_at),
        "matchers": silence.matchers,
        "startsAt": written(silence.starts_at),
    });
    if let Some(fields) = shown.as_object_mut().filter(|_| silence.ends_with_alerts) {
        fields.insert("endsWithAlerts".into(), true.into());
    }
    shown
}
