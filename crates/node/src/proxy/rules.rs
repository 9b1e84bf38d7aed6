//! How requests are told apart beyond the weights: whose they are, and which of them are copied.
//!
//! Invariant: the same request by the same rules goes to the same version on every worker, after a restart of the
//! server, and on another machine. Nothing about users is remembered, so nothing has to be carried over.

use std::hash::Hasher as _;

use http::HeaderMap;
use prograde_model::runtime::{Mirror, RequestKey, Routing};
use prograde_model::{FlightId, Target, Weight};
use sha2::{Digest as _, Sha256};
use siphasher::sip::SipHasher13;

use super::request_key::Key;
use super::table::{Draw, RouteVersion};

/// Sets services apart: who is among the first to get a new version of one is not so for all of them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Salt(u64, u64);

impl Salt {
    /// The first half of the SHA-256 of the target's name, as two numbers.
    pub(super) fn new(target: &Target) -> Self {
        let hash = Sha256::digest(target.to_string());
        let mut bytes = hash.iter().copied().map(u64::from);
        let mut number = || bytes.by_ref().take(8).fold(0, |number, byte| number << 8 | byte);
        Self(number(), number())
    }

    /// Where a user stands in [0, 2^64): SipHash-1-3 (Aumasson and Bernstein, 2012) of what it is known by.
    fn point(self, value: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write(value);
        hasher.finish()
    }
}

/// A [`Routing`] made for the versions of one table.
#[derive(Debug)]
pub(super) struct Rules {
    audiences: Vec<Audience>,
    sticky: Option<Sticky>,
    pub(super) mirror: Option<Mirror>,
}

#[derive(Debug)]
struct Audience {
    key: Key,
    value: Box<[u8]>,
    version: FlightId,
}

#[derive(Debug)]
struct Sticky {
    key: Key,
    salt: Salt,
    /// The versions with a weight, in their order, also those that can't serve now: who is theirs does not change
    /// because of a replica that comes and goes.
    ranges: Vec<(Weight, FlightId)>,
    weights: u64,
}

/// A user, as far as the rules know one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct User<'a> {
    /// The version whose user it is.
    pub(super) version: &'a FlightId,
    /// Where it stands among all users.
    pub(super) point: u64,
}

impl Rules {
    /// `None` when there is nothing to tell apart. A key that no request can have tells nothing apart.
    pub(super) fn new(routing: &Routing, versions: &[RouteVersion], salt: Salt) -> Option<Box<Self>> {
        let audiences = routing.audiences.iter().filter_map(|audience| {
            let value = audience.value.as_bytes().into();
            Some(Audience { key: Key::new(&audience.key)?, value, version: audience.version.clone() })
        });
        let audiences: Vec<Audience> = audiences.collect();
        let sticky = routing.sticky.as_ref().and_then(|key| Sticky::new(key, versions, salt));
        let mirror = routing.mirror.clone().filter(|mirror| mirror.share > Weight::ZERO);
        let is_empty = audiences.is_empty() && sticky.is_none() && mirror.is_none();
        (!is_empty).then(|| Box::new(Self { audiences, sticky, mirror }))
    }

    /// The version that the first audience which a request belongs to is sent to.
    pub(super) fn audience(&self, headers: &HeaderMap) -> Option<&FlightId> {
        // Neighbours mostly look at the same place, which then is searched once.
        let mut last: Option<(&Key, Option<&[u8]>)> = None;
        for audience in &self.audiences {
            let value = match last {
                Some((key, value)) if *key == audience.key => value,
                Some(_) | None => audience.key.value(headers),
            };
            if value == Some(&*audience.value) {
                return Some(&audience.version);
            }
            last = Some((&audience.key, value));
        }
        None
    }

    /// The user that a request comes from.
    pub(super) fn user(&self, headers: &HeaderMap) -> Option<User<'_>> {
        self.sticky.as_ref()?.user(headers)
    }
}

impl Sticky {
    fn new(key: &RequestKey, versions: &[RouteVersion], salt: Salt) -> Option<Self> {
        let weighted = versions.iter().filter(|version| version.weight > Weight::ZERO);
        let ranges: Vec<_> = weighted.map(|version| (version.weight, version.revision.clone())).collect();
        let weights = ranges.iter().map(|(weight, _)| u64::from(weight.percent())).sum();
        Some(Self { key: Key::new(key)?, salt, ranges, weights })
    }

    /// The user, with the version whose range its point lies in: the first one's is at the bottom, the last one's at the top. An
    /// empty value is nobody's.
    fn user(&self, headers: &HeaderMap) -> Option<User<'_>> {
        let value = self.key.value(headers).filter(|value| !value.is_empty())?;
        let point = self.salt.point(value);
        let mut left = Draw(point).scaled(self.weights);
        for (weight, version) in &self.ranges {
            let weight = u64::from(weight.percent());
            if left < weight {
                return Some(User { version, point });
            }
            left -= weight;
        }
        None
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
