//! What incidents and action items are called: a word and a number that counts up from 1.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::InvalidName;

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident, $what:literal, $word:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
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

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let wrong = || InvalidName::new($what, text, $expected);
                let (word, number) = text.split_once('-').ok_or_else(wrong)?;
                let plain = word.eq_ignore_ascii_case($word)
                    && number.bytes().all(|b| b.is_ascii_digit())
                    && !number.starts_with('0');
                number.parse().ok().filter(|_| plain).map(Self).ok_or_else(wrong)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($word, "-{}"), self.0)
            }
        }
    };
}

numbered!(
    /// An incident's name, such as `INC-1`.
    IncidentId,
    "incident",
    "INC",
    "`INC-` and a number, such as `INC-1`"
);

numbered!(
    /// An action item's name, such as `ACT-1`.
    ActionId,
    "action item",
    "ACT",
    "`ACT-` and a number, such as `ACT-1`"
);
