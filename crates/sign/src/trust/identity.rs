//! Identities that count: who a certificate has to name, and who has to say so.

use jiff::Timestamp;
use regex::{Regex, RegexBuilder};

use super::{Bounds, Untrusted};
use crate::keyless::{Certified, KeylessError};
use crate::limits::{PATTERN_BYTES_MAX, PATTERN_MEMORY_MAX};
use crate::reference::Repository;

/// What an issuer or a subject has to be.
#[derive(Debug, Clone)]
pub struct Wanted(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Exactly(String),
    Whole(Regex),
}

impl Wanted {
    /// This text and no other.
    pub fn exactly(text: &str) -> Result<Self, KeylessError> {
        if text.is_empty() || text.len() > PATTERN_BYTES_MAX {
            let why = format!("an identity or issuer has 1 to {PATTERN_BYTES_MAX} bytes");
            return Err(KeylessError::Pattern(why));
        }
        Ok(Self(Kind::Exactly(text.to_owned())))
    }

    /// A text that an expression matches from its beginning to its end. cosign takes it where the expression matches anywhere
    /// in it, so that `@example.com` counts for `eve@example.com.evil.net`.
    pub fn whole(expression: &str) -> Result<Self, KeylessError> {
        let wrong = |why: String| KeylessError::Pattern(format!("the expression can't be used: {why}"));
        if expression.is_empty() || expression.len() > PATTERN_BYTES_MAX {
            return Err(wrong(format!("it has 1 to {PATTERN_BYTES_MAX} bytes")));
        }
        let build = |text: &str| RegexBuilder::new(text).size_limit(PATTERN_MEMORY_MAX).build();
        // Alone first, so that what is no expression by itself, such as `a)|(b`, does not become one within the group.
        let alone = build(expression).and_then(|_| build(&format!(r"\A(?:{expression})\z")));
        Ok(Self(Kind::Whole(alone.map_err(|error| wrong(error.to_string()))?)))
    }

    fn fits(&self, text: &str) -> bool {
        match &self.0 {
            Kind::Exactly(wanted) => wanted == text,
            Kind::Whole(expression) => expression.is_match(text),
        }
    }
}

/// Identities that count.
#[derive(Debug, Clone)]
pub struct TrustedIdentity {
    pub(super) name: String,
    pub(super) issuer: Wanted,
    pub(super) subject: Wanted,
    pub(super) bounds: Bounds,
}

impl TrustedIdentity {
    /// One that counts always and everywhere.
    pub fn new(name: &str, issuer: Wanted, subject: Wanted) -> Self {
        Self { name: name.to_owned(), issuer, subject, bounds: Bounds::default() }
    }

    /// Its name in the trust file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a certificate names it.
    pub fn is(&self, certified: &Certified) -> bool {
        self.issuer.fits(&certified.issuer) && self.subject.fits(&certified.subject)
    }

    /// Whether what it signed counts. When it signed is proven, so that is compared, and nobody's record is needed.
    pub fn check(&self, repository: &Repository, bound: bool, times: (Timestamp, Timestamp)) -> Result<(), Untrusted> {
        let who = || format!("identity `{}`", self.name);
        self.bounds.check(who, repository, bound, times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_match_the_whole() {
        let check = |expression: &str, text: &str, want: bool| {
            assert_eq!(Wanted::whole(expression).unwrap().fits(text), want, "{expression} {text}");
        };
        check(".*@example[.]com", "eve@example.com", true);
        check("@example[.]com", "eve@example.com", false);
        check(".*@example[.]com", "eve@example.com.evil.net", false);
        check("a|ab", "ab", true);
        check("a|b", "ac", false);
        check("^a$", "a", true);
        check("(?m)^a$", "b\na", false);
        check("a", "a\n", false);
        check("(?i)A", "a", true);
        for bad in ["", "(", "a)|(b", "(?x)a #", "(a{1000}){1000}", &"a".repeat(2_000)] {
            assert!(Wanted::whole(bad).is_err(), "{bad}");
        }
        assert!(Wanted::exactly("").is_err());
        assert!(!Wanted::exactly("a.c").unwrap().fits("abc"));
    }
}
