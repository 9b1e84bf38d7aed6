//! Why a cluster did not do what it was asked.

use std::time::Duration;

use serde_json::Value;

/// How much of an answer is told.
const MESSAGE_CHARS_MAX: usize = 2_000;
/// Shorter values are not looked for in messages: they stand in every text.
const SECRET_BYTES_MIN: usize = 4;

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The API server says no.
    #[error("{message}")]
    Answer {
        /// The status of HTTP.
        status: u16,
        /// The reason in one word, as the API has it.
        reason: String,
        /// The reason as people read it.
        message: String,
        /// How long the server wants to be left alone.
        after: Option<Duration>,
    },
    /// It can't be reached, or broke off.
    #[error("the API server does not answer: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("the API server does not answer within {} s", .0.as_secs())]
    Slow(Duration),
    /// Its answer is too large.
    #[error("the API server's answer has more than {0} bytes")]
    TooLarge(usize),
    /// What it says can't be read.
    #[error("the API server's answer can't be read: {0}")]
    Strange(String),
    /// It does not know a kind.
    #[error("the cluster does not know the kind {0}")]
    UnknownKind(String),
    /// What was to be sent can't be.
    #[error("{0}")]
    Unusable(String),
}

impl Refused {
    /// An answer of the API server that is no success.
    pub(crate) fn answer(status: u16, body: &[u8]) -> Self {
        let parsed: Option<Value> = serde_json::from_slice(body).ok();
        let text = |name: &str| {
            let found = parsed.as_ref().and_then(|body| body.get(name)).and_then(Value::as_str);
            found.unwrap_or_default().chars().take(MESSAGE_CHARS_MAX).collect::<String>()
        };
        let after = parsed.as_ref().and_then(|body| body.pointer("/details/retryAfterSeconds")).and_then(Value::as_u64);
        let message = match text("message") {
            none if none.is_empty() => format!("the API server answers with HTTP status {status}"),
            message => message,
        };
        Self::Answer { status, reason: text("reason"), message, after: after.map(Duration::from_secs) }
    }

    /// Whether the same request may have a better answer soon.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Answer { status, .. } => *status == 429 || *status >= 500,
            Self::Unreachable(_) | Self::Slow(_) => true,
            Self::TooLarge(_) | Self::Strange(_) | Self::UnknownKind(_) | Self::Unusable(_) => false,
        }
    }

    /// Whether the answer has this status.
    pub fn is(&self, wanted: u16) -> bool {
        matches!(self, Self::Answer { status, .. } if *status == wanted)
    }

    /// How long the server wants to be left alone.
    pub(crate) fn after(&self) -> Option<Duration> {
        if let Self::Answer { after, .. } = self { *after } else { None }
    }

    /// The same without the values of a secret that was sent.
    pub(crate) fn without(self, sent: &Value) -> Self {
        if sent.get("kind").and_then(Value::as_str) != Some("Secret") {
            return self;
        }
        let Self::Answer { status, reason, mut message, after } = self else { return self };
        for part in ["data", "stringData"] {
            let values = sent.get(part).and_then(Value::as_object).into_iter().flat_map(serde_json::Map::values);
            for value in values {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                if text.len() >= SECRET_BYTES_MIN {
                    message = message.replace(&text, "(hidden)");
                }
            }
        }
        Self::Answer { status, reason, message, after }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_reason_is_the_servers() {
        let body = br#"{"kind":"Status","message":"cpu: must be positive","reason":"Invalid","details":{"retryAfterSeconds":3}}"#;
        let refused = Refused::answer(422, body);
        assert_eq!(refused.to_string(), "cpu: must be positive");
        assert_eq!(refused.after(), Some(Duration::from_secs(3)));
        assert!(refused.is(422) && !refused.is_passing());
        assert!(Refused::answer(429, b"").is_passing() && Refused::answer(503, b"<html>").is_passing());
        assert_eq!(Refused::answer(502, b"\xff").to_string(), "the API server answers with HTTP status 502");
    }

    #[test]
    fn a_secret_is_not_told() {
        let sent = json!({"kind": "Secret", "stringData": {"a": "hunter2", "b": 12345, "c": "x"}});
        let refused = Refused::answer(400, br#"{"message":"bad value hunter2 or 12345 x"}"#).without(&sent);
        assert_eq!(refused.to_string(), "bad value (hidden) or (hidden) x");
    }
}
