//! How often and how far apart a notification is tried that does not get through.
//!
//! Waits double from half a second up to a minute, each shortened by up to a half at random, so that receivers which were
//! down are not met by everybody at once. The random number is an argument.

use jiff::SignedDuration;

/// How one attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It may get through later: nobody answered, or the receiver said that it can't now.
    Passing {
        /// Why.
        why: String,
        /// How long the receiver wants to be left alone (RFC 9110, `Retry-After`).
        retry_after: Option<SignedDuration>,
    },
    /// It never will: the receiver does not want it as it is.
    Lasting {
        /// Why.
        why: String,
    },
}

impl Failure {
    /// What the answer of an HTTP server means; `None` for a success.
    pub fn of_status(status: u16, body: &str, retry_after: Option<SignedDuration>) -> Option<Self> {
        let said: String = body.trim().chars().take(200).collect();
        let why = if said.is_empty() { format!("status {status}") } else { format!("status {status}: {said}") };
        match status {
            200..=299 => None,
            408 | 425 | 429 | 500..=599 => Some(Self::Passing { why, retry_after }),
            _ => Some(Self::Lasting { why }),
        }
    }

    /// Why it failed.
    pub fn why(&self) -> &str {
        match self {
            Self::Passing { why, .. } | Self::Lasting { why } => why,
        }
    }
}

/// What to do after an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// Try again after so long.
    After(SignedDuration),
    /// Give up.
    GiveUp,
}

/// The policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The first wait.
    pub first: SignedDuration,
    /// The longest wait, but for one that the receiver asked for.
    pub longest: SignedDuration,
    /// How many attempts are made at most.
    pub attempts_max: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self { first: SignedDuration::from_millis(500), longest: SignedDuration::from_mins(1), attempts_max: 1_000 }
    }
}

impl Retry {
    /// What follows on the failure of the given attempt, counted from 1, with so much time left. `random` is any number.
    pub fn next(&self, attempt: u32, failure: &Failure, left: SignedDuration, random: u64) -> Attempt {
        let Failure::Passing { retry_after, .. } = failure else { return Attempt::GiveUp };
        if attempt >= self.attempts_max {
            return Attempt::GiveUp;
        }
        let doubled = 2_i32.checked_pow(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let whole = self.first.checked_mul(doubled).unwrap_or(self.longest).min(self.longest);
        let half = whole.as_millis() / 2;
        let drawn = i128::from(random) % (half + 1);
        let millis = i64::try_from(whole.as_millis() - drawn).unwrap_or(i64::MAX);
        let wait = SignedDuration::from_millis(millis).max(retry_after.unwrap_or_default());
        // A wait that ends after the deadline leaves no time to try.
        if wait < left { Attempt::After(wait) } else { Attempt::GiveUp }
    }
}
