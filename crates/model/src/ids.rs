//! Names that can't hold nonsense: each is checked once, when it is made, and trusted from then on.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a text is not the name it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}: {expected}")]
pub struct InvalidName {
    /// What the text was taken for, such as `digest`.
    pub what: &'static str,
    /// The text, cut to 100 characters.
    pub text: String,
    /// What would have been right.
    pub expected: &'static str,
}

impl InvalidName {
    pub(crate) fn new(what: &'static str, text: &str, expected: &'static str) -> Self {
        Self { what, text: text.chars().take(100).collect(), expected }
    }
}

/// A name that is a word and a number that counts up from 1, such as `INC-1`.
macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident, $what:literal, $word:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $name(u32);

        impl $name {
            /// The one with a number, from 1.
            pub fn new(number: u32) -> Self {
                Self(number)
            }

            /// Its number.
            pub fn number(self) -> u32 {
                self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::ids::InvalidName;
            fn from_str(text: &str) -> Result<Self, $crate::ids::InvalidName> {
                let wrong = || $crate::ids::InvalidName::new($what, text, $expected);
                let (word, number) = text.split_once('-').ok_or_else(wrong)?;
                let plain = word.eq_ignore_ascii_case($word)
                    && number.bytes().all(|b| b.is_ascii_digit())
                    && !number.starts_with('0');
                number.parse().ok().filter(|_| plain).map(Self).ok_or_else(wrong)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::ids::InvalidName;
            fn try_from(text: String) -> Result<Self, $crate::ids::InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!($word, "-{}"), self.0)
            }
        }
    };
}
pub(crate) use numbered;

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $expected:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err(InvalidName::new($what, text, $expected)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// RFC 1123 label, as Kubernetes names its objects: lower case letters, digits and `-`, at most 63.
fn is_dns_label(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

checked_text!(
    /// The name of a set of applications, an RFC 1123 label.
    SetName,
    "name of a set",
    "1 to 63 lower-case letters, digits and `-`, beginning and ending with a letter or digit",
    is_dns_label
);

checked_text!(
    /// A flight's id: an OpenTelemetry trace id, 32 lower-case hex digits, never all zero (W3C Trace Context, section 3.2.2.3).
    FlightId,
    "flight id",
    "32 lower-case hex digits, not all zero",
    |t| t.len() == 32 && is_lower_hex(t) && t.bytes().any(|b| b != b'0')
);

checked_text!(
    /// A Git commit: the full SHA-1 or SHA-256 object name.
    CommitId,
    "commit id",
    "40 or 64 lower-case hex digits",
    |t| (t.len() == 40 || t.len() == 64) && is_lower_hex(t)
);

checked_text!(
    /// An OCI content digest, `sha256:` and 64 hex digits (OCI image specification, descriptor.md, section "Digests").
    Digest,
    "digest",
    "`sha256:` and 64 lower-case hex digits",
    |t| t.strip_prefix("sha256:").is_some_and(|h| h.len() == 64 && is_lower_hex(h))
);

checked_text!(
    /// What a team deploys; also the name of its repository and of its Kubernetes objects.
    ServiceName,
    "service name",
    "lower-case letters, digits and `-`, at most 63, starting and ending with a letter or digit",
    is_dns_label
);

checked_text!(
    /// A named target such as `production`.
    EnvironmentName,
    "environment name",
    "lower-case letters, digits and `-`, at most 63, starting and ending with a letter or digit",
    is_dns_label
);

checked_text!(
    /// What a canary's step is measured by, such as `queue-depth`.
    MetricName,
    "metric name",
    "lower-case letters, digits and `-`, at most 63, starting and ending with a letter or digit",
    is_dns_label
);

impl FlightId {
    /// A flight id from 16 random bytes; `None` when all are zero, which W3C Trace Context forbids.
    pub fn from_random(bytes: [u8; 16]) -> Option<Self> {
        format!("{:032x}", u128::from_be_bytes(bytes)).parse().ok()
    }

    /// The first eight digits: enough to tell flights apart on a terminal.
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

impl CommitId {
    /// The first eight digits, as Git abbreviates.
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

impl Digest {
    /// The digest of which these are the bytes.
    pub fn from_sha256(bytes: [u8; 32]) -> Self {
        let mut text = String::with_capacity(7 + 64);
        text.push_str("sha256:");
        for nibble in bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
            text.extend(char::from_digit(nibble.into(), 16));
        }
        Self(text)
    }

    /// The hex digits after `sha256:`.
    pub fn hex(&self) -> &str {
        self.0.get(7..).unwrap_or_default()
    }

    /// The first twelve hex digits, as registries abbreviate.
    pub fn short(&self) -> &str {
        self.0.get(7..19).unwrap_or_default()
    }
}

/// A share of traffic in whole percent, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u8", into = "u8")]
#[schemars(with = "u8", extend("maximum" = 100))]
pub struct Weight(u8);

impl Weight {
    /// Whether it is none of the traffic.
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// No traffic.
    pub const ZERO: Self = Self(0);
    /// All traffic.
    pub const ALL: Self = Self(100);

    /// A weight, if `percent` is at most 100.
    pub fn new(percent: u8) -> Result<Self, InvalidName> {
        if percent <= 100 {
            Ok(Self(percent))
        } else {
            Err(InvalidName::new("weight", &percent.to_string(), "a whole number of percent from 0 to 100"))
        }
    }

    /// The whole percent.
    pub fn percent(self) -> u8 {
        self.0
    }

    /// What is left for the other version: 100 less this.
    #[must_use]
    pub fn rest(self) -> Self {
        Self(100 - self.0)
    }
}

impl TryFrom<u8> for Weight {
    type Error = InvalidName;
    fn try_from(percent: u8) -> Result<Self, InvalidName> {
        Self::new(percent)
    }
}

impl From<Weight> for u8 {
    fn from(weight: Weight) -> u8 {
        weight.0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// One service in one environment: where releases enter and traffic arrives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// The environment.
    pub environment: EnvironmentName,
    /// The service.
    pub service: ServiceName,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.environment, self.service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_when_made_and_when_read() {
        assert!("pad".parse::<ServiceName>().is_ok());
        for bad in ["", "-pad", "pad-", "Pad", "p_d", "../pad", &"p".repeat(64)] {
            assert!(bad.parse::<ServiceName>().is_err(), "{bad}");
        }
        assert!("0".repeat(32).parse::<FlightId>().is_err());
        assert!("a".repeat(32).parse::<FlightId>().is_ok());
        assert!(serde_json::from_str::<Digest>(r#""sha256:short""#).is_err());
        assert!(serde_json::from_str::<Weight>("101").is_err());
        assert_eq!(Weight::new(1).unwrap().rest().percent(), 99);
    }

    #[test]
    fn a_rejected_name_says_what_was_expected() {
        let error = "Pad!".parse::<ServiceName>().unwrap_err().to_string();
        assert!(error.contains("\"Pad!\" is not a service name: lower-case letters"), "{error}");
    }
}
