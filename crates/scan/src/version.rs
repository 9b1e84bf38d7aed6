//! Which of two versions is the later one, as each ecosystem itself decides it.
//!
//! Invariant: every ordering is total over the versions that it accepts, and what it does not accept is an error, never
//! a guess. Numbers are compared as digits, so that no length of them overflows.

mod alpine;
mod debian;
mod gem;
mod maven;
mod pep440;
mod semver;

use std::cmp::Ordering;

use crate::ecosystem::Kind;

pub use pep440::normalised_name;

/// The longest version that is compared, in bytes.
const BYTES_MAX: usize = 512;

/// A text that is no version in its ecosystem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no version of {kind}")]
pub struct NoVersion {
    /// The text, cut.
    pub text: String,
    /// The ecosystem.
    pub kind: &'static str,
}

/// How a version stands to another.
pub fn compare(kind: Kind, left: &str, right: &str) -> Result<Ordering, NoVersion> {
    let refused = |text: &str| NoVersion { text: text.chars().take(60).collect(), kind: kind.name() };
    for text in [left, right] {
        if text.len() > BYTES_MAX || text.trim().is_empty() {
            return Err(refused(text));
        }
    }
    let (left, right) = (left.trim(), right.trim());
    match kind {
        Kind::CratesIo | Kind::Npm | Kind::Go => both(left, right, semver::parse, refused),
        Kind::PyPi => both(left, right, pep440::parse, refused),
        Kind::Maven => Ok(maven::parse(left).cmp(&maven::parse(right))),
        Kind::RubyGems => both(left, right, gem::parse, refused),
        Kind::Debian | Kind::Ubuntu => both(left, right, debian::parse, refused),
        Kind::Alpine => both(left, right, alpine::parse, refused),
    }
}

/// Whether a text is a version.
pub fn is_version(kind: Kind, text: &str) -> bool {
    compare(kind, text, text).is_ok()
}

/// How two semantic versions stand to each other: the ordering of OSV's ranges of type `SEMVER`.
pub fn compare_semver(left: &str, right: &str) -> Result<Ordering, NoVersion> {
    compare(Kind::Go, left, right)
}

fn both<'a, V: Ord>(
    left: &'a str,
    right: &'a str,
    parse: impl Fn(&'a str) -> Option<V>,
    refused: impl Fn(&str) -> NoVersion,
) -> Result<Ordering, NoVersion> {
    let left_parsed = parse(left).ok_or_else(|| refused(left))?;
    let right_parsed = parse(right).ok_or_else(|| refused(right))?;
    Ok(left_parsed.cmp(&right_parsed))
}

/// Digits in order of the numbers that they are.
fn by_number(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

/// A number of any length.
#[derive(Debug, Clone, Copy, Eq)]
struct Number<'a>(&'a str);

impl Number<'_> {
    fn is_zero(self) -> bool {
        self.0.bytes().all(|b| b == b'0')
    }
}

impl PartialEq for Number<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Ord for Number<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        by_number(self.0, other.0)
    }
}

impl PartialOrd for Number<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn digits_only(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The versions of each line stand in rising order.
    fn check(kind: Kind, rising: &str) {
        let all: Vec<&str> = rising.split_whitespace().collect();
        for (at, left) in all.iter().enumerate() {
            for (other, right) in all.iter().enumerate() {
                let found = compare(kind, left, right).unwrap();
                assert_eq!(found, at.cmp(&other), "{left} and {right} of {}", kind.name());
            }
        }
    }

    fn same(kind: Kind, left: &str, right: &str) {
        assert_eq!(compare(kind, left, right), Ok(Ordering::Equal), "{left} and {right} of {}", kind.name());
    }

    #[test]
    fn semantic_versions() {
        check(
            Kind::Npm,
            "1.0.0-0 1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0 1.0.1 1.2.0 1.10.0 2.0.0",
        );
        check(
            Kind::Go,
            "v0.0.0-20180101000000-abcdefabcdef v0.0.0-20190101000000-aaaaaaaaaaaa v1.0.0 v2.0.0+incompatible",
        );
        check(Kind::CratesIo, "0.9.9 99999999999999999999.0.0 100000000000000000000.0.0");
        same(Kind::Go, "v1.0.0+incompatible", "1.0.0");
        same(Kind::Go, "v1", "1.0.0");
        for bad in ["", "x", "1.0.0-", "1..0", "1.0.0.0", "1.0.0-a..b", "latest", "-1.0.0"] {
            assert!(!is_version(Kind::Npm, bad), "{bad:?}");
        }
    }

    #[test]
    fn python_versions() {
        check(
            Kind::PyPi,
            "1.0.dev1 1.0a1.dev1 1.0a1 1.0b1 1.0rc1 1.0 1.0+abc 1.0+abc.5 1.0+5 1.0.post1.dev1 1.0.post1 1.1 1.10 1!0.1",
        );
        for (left, right) in [
            ("1.0", "1.0.0"),
            ("1.0-1", "1.0.post1"),
            ("v1.0Alpha1", "1.0a1"),
            ("1.0preview2", "1.0rc2"),
            ("1.0.r4", "1.0.post4"),
            ("1_0".replace('_', ".").as_str(), "1"),
            ("1.0-ALPHA", "1a0"),
        ] {
            same(Kind::PyPi, left, right);
        }
        for bad in ["1.0x", "abc", "1.0.0-foo", "1.0++1", "!1", "1.0+"] {
            assert!(!is_version(Kind::PyPi, bad), "{bad:?}");
        }
    }

    #[test]
    fn maven_versions() {
        // The examples of Maven's own reference of the POM, "Version Order Specification".
        check(Kind::Maven, "1-alpha 1-beta 1-milestone 1-rc 1-snapshot 1 1-sp 1-foo2 1-foo10 1-1 1.1 1.2 1.10");
        check(Kind::Maven, "2.0-alpha-1 2.0-alpha-2 2.0-beta-1 2.0-rc1 2.0-SNAPSHOT 2.0 2.0.1 2.0.1-xyz 2.0.1-123 2.1");
        for (left, right) in [
            ("1.0", "1"),
            ("1.ga", "1-ga"),
            ("1-ga", "1"),
            ("1.0.0.Final", "1"),
            ("1-cr1", "1-rc1"),
            ("1-a1", "1-alpha-1"),
            ("1.0.RC2", "1.0-RC2"),
        ] {
            same(Kind::Maven, left, right);
        }
    }

    #[test]
    fn gem_versions() {
        check(Kind::RubyGems, "1.0.a 1.0.a.2 1.0.a10 1.0.b1 1.0.rc1 1.0 1.0.1 1.9 1.10");
        for (left, right) in [("1", "1.0.0"), ("1.0-x", "1.0.pre.x"), ("1.a.0", "1.a")] {
            same(Kind::RubyGems, left, right);
        }
        for bad in ["a", "1..2", "1.2 3", "1_2"] {
            assert!(!is_version(Kind::RubyGems, bad), "{bad:?}");
        }
    }

    #[test]
    fn distributions_versions() {
        check(Kind::Debian, "1.0~~ 1.0~rc1-1 1.0-1~deb11u1 1.0-1 1.0-1+b1 1.0-1.1 1.0+dfsg-1 1.0.1-1 1.10 1:0.1");
        for (left, right) in [("0:1.0-0", "1.0"), ("1.00", "1.0"), ("1.0-0", "1.0")] {
            same(Kind::Debian, left, right);
        }
        check(
            Kind::Alpine,
            "1.0_alpha1 1.0_beta 1.0_pre1 1.0_rc1 1.0 1.0-r1 1.0-r10 1.0_git20200101 1.0_p1 1.0a 1.0b 1.0.1 1.1 1.10 2",
        );
        check(Kind::Alpine, "1.01 1.1");
        for bad in ["a:1", "1.0 1", "1:2:3 4"] {
            assert!(!is_version(Kind::Debian, bad), "{bad:?}");
        }
        for bad in ["v1", "1.0-x1", "1.0_foo", "1..0"] {
            assert!(!is_version(Kind::Alpine, bad), "{bad:?}");
        }
    }

    #[test]
    fn hostile_versions_are_refused_or_compared() {
        let long = "1.".repeat(10_000);
        for kind in Kind::ALL {
            assert!(!is_version(*kind, &long));
            for text in ["1-1-1-1-1-1-1-1-1", &"-".repeat(500), &"1a".repeat(250), &"é".repeat(200)] {
                let _any = compare(*kind, text, "1");
            }
        }
    }
}
