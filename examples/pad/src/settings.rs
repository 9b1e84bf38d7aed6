//! Settings, all from environment variables. A value that can't be used stops the program before it listens.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::faults::Faults;

/// All settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `PAD_HOST` and `PORT`: where to listen.
    pub address: SocketAddr,
    /// `PAD_DRAIN_SECONDS`: after a stop signal, how long requests are still accepted while `/readyz` says no.
    pub drain: Duration,
    /// `PAD_SHUTDOWN_SECONDS`: after that, how long requests in flight may take to end.
    pub shutdown: Duration,
    /// `PAD_COMMIT`: the commit that was deployed, as `/version` tells it.
    pub commit: Option<String>,
    /// `PAD_ERROR_SHARE`, `PAD_LATENCY_SHARE`, `PAD_LATENCY_MS`, `PAD_CRASH_AT_START`.
    pub faults: Faults,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080),
            drain: Duration::from_secs(1),
            shutdown: Duration::from_secs(20),
            commit: None,
            faults: Faults::default(),
        }
    }
}

/// A setting that can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadSetting {
    /// The variable.
    pub name: &'static str,
    /// What it holds.
    pub value: String,
    /// What it may hold.
    pub expected: &'static str,
}

impl std::fmt::Display for BadSetting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={:?} can't be used: expected {}", self.name, self.value, self.expected)
    }
}

impl std::error::Error for BadSetting {}

impl Settings {
    /// The settings that these variables give; all others are ignored.
    pub fn from_variables(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, BadSetting> {
        let variables: BTreeMap<OsString, OsString> = variables.into_iter().collect();
        let read = Reader { variables: &variables };
        let usual = Self::default();
        let host = read.parsed("PAD_HOST", "an IP address such as 127.0.0.1", |t| t.parse().ok())?;
        let port = read.parsed("PORT", "a port from 0 to 65535 (0 takes any free one)", |t| t.parse().ok())?;
        let crash = read.parsed("PAD_CRASH_AT_START", "true or false", |t| t.parse().ok())?;
        Ok(Self {
            address: SocketAddr::new(host.unwrap_or(usual.address.ip()), port.unwrap_or(usual.address.port())),
            drain: read.seconds("PAD_DRAIN_SECONDS")?.unwrap_or(usual.drain),
            shutdown: read.seconds("PAD_SHUTDOWN_SECONDS")?.unwrap_or(usual.shutdown),
            commit: read.parsed("PAD_COMMIT", "a commit id: 7 to 64 lower-case hex digits", commit)?,
            faults: Faults {
                error_share: read.share("PAD_ERROR_SHARE")?.unwrap_or(usual.faults.error_share),
                latency_share: read.share("PAD_LATENCY_SHARE")?.unwrap_or(usual.faults.latency_share),
                latency: read
                    .parsed("PAD_LATENCY_MS", "whole milliseconds from 0 to 60000", milliseconds)?
                    .unwrap_or(usual.faults.latency),
                crash_at_start: crash.unwrap_or(usual.faults.crash_at_start),
            },
        })
    }
}

struct Reader<'a> {
    variables: &'a BTreeMap<OsString, OsString>,
}

impl Reader<'_> {
    fn parsed<T>(
        &self,
        name: &'static str,
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, BadSetting> {
        let Some(value) = self.variables.get(&OsString::from(name)) else { return Ok(None) };
        let parsed = value.to_str().and_then(parse);
        parsed.map(Some).ok_or_else(|| BadSetting { name, value: value.to_string_lossy().into_owned(), expected })
    }

    fn share(&self, name: &'static str) -> Result<Option<f64>, BadSetting> {
        self.parsed(name, "a share from 0 to 1", |t| t.parse().ok().filter(|s| (0.0..=1.0).contains(s)))
    }

    fn seconds(&self, name: &'static str) -> Result<Option<Duration>, BadSetting> {
        self.parsed(name, "seconds from 0 to 300", |t| {
            t.parse().ok().filter(|s| (0.0..=300.0).contains(s)).map(Duration::from_secs_f64)
        })
    }
}

fn milliseconds(text: &str) -> Option<Duration> {
    text.parse().ok().filter(|ms| *ms <= 60_000).map(Duration::from_millis)
}

fn commit(text: &str) -> Option<String> {
    let valid =
        (7..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    valid.then(|| text.to_owned())
}
