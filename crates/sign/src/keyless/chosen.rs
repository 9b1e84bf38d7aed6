//! Which services sign: chosen from a Sigstore signing configuration, version 0.2.
//!
//! Source: `SigningConfig` and `ServiceSelector` in `protos/sigstore_trustroot.proto` of
//! <https://github.com/sigstore/protobuf-specs>.

use std::net::Ipv4Addr;
use std::path::Path;

use jiff::Timestamp;
use sigstore_verify::trust_root::{ServiceConfiguration, ServiceEndpoint, ServiceSelector, SigningConfig};

use super::KeylessError;
use crate::codes;
use crate::limits::{CONFIG_BYTES_MAX, SERVICES_MAX};

/// The services that are asked, by their addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Services {
    pub(super) authority: String,
    pub(super) logs: Vec<Log>,
    pub(super) clocks: Vec<String>,
}

/// A log, by the version of its API and its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Log {
    /// Rekor.
    First(String),
    /// Rekor on tiles, which proves no times.
    Second(String),
}

impl Log {
    pub(super) fn url(&self) -> &str {
        match self {
            Self::First(url) | Self::Second(url) => url,
        }
    }
}

impl Services {
    /// Reads a signing configuration and chooses what holds now.
    pub fn read(path: &Path, now: Timestamp) -> Result<Self, KeylessError> {
        Self::parse(&path.display().to_string(), &super::read(path, CONFIG_BYTES_MAX, codes::SIGNING_CONFIG)?, now)
    }

    /// The same from its text.
    pub fn parse(what: &str, text: &str, now: Timestamp) -> Result<Self, KeylessError> {
        Self::choose(text, now).map_err(|why| KeylessError::Config { what: what.to_owned(), why })
    }

    fn choose(text: &str, now: Timestamp) -> Result<Self, String> {
        let config = SigningConfig::from_json(text).map_err(|error| error.to_string())?;
        let authorities = holding(&config.ca_urls, now, 1);
        let authority = authorities.first().ok_or("no certificate authority of API version 1 in `caUrls` holds now")?;
        // The highest version alone, also if there are fewer of it than are asked for.
        let (first, second) = (holding(&config.rekor_tlog_urls, now, 1), holding(&config.rekor_tlog_urls, now, 2));
        let (known, log): (_, fn(String) -> Log) =
            if second.is_empty() { (first, Log::First) } else { (second, Log::Second) };
        if known.is_empty() && !config.rekor_tlog_urls.is_empty() {
            return Err("no log of API version 1 or 2 in `rekorTlogUrls` holds now".to_owned());
        }
        let logs: Vec<Log> = selected("rekorTlog", &known, &config.rekor_tlog_config)?.into_iter().map(log).collect();
        let clocks = selected("tsa", &holding(&config.tsa_urls, now, 1), &config.tsa_config)?;
        // A log of version 1 promises a time.
        if clocks.is_empty() && !logs.iter().any(|log| matches!(log, Log::First(_))) {
            let why = "a certificate holds for minutes, and only a timestamp proves that they were the right ones";
            return Err(format!("no timestamp authority of API version 1 in `tsaUrls` holds now; {why}"));
        }
        Ok(Self { authority: address(&authority.url)?, logs, clocks })
    }

    /// All addresses, the certificate authority's first: it alone is sent the identity token.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        let logs = self.logs.iter().map(Log::url);
        std::iter::once(self.authority.as_str()).chain(logs).chain(self.clocks.iter().map(String::as_str))
    }
}

fn holding(all: &[ServiceEndpoint], now: Timestamp, version: u32) -> Vec<&ServiceEndpoint> {
    all.iter().filter(|one| one.major_api_version == version && one.valid_for.contains(now)).collect()
}

/// As many as are asked for, at most one of each operator.
fn selected(name: &str, known: &[&ServiceEndpoint], asked: &ServiceConfiguration) -> Result<Vec<String>, String> {
    let mut operators = Vec::new();
    let mut all = Vec::new();
    for one in known {
        let operator = one.operator.as_deref().unwrap_or(&one.url);
        if !operators.contains(&operator) {
            operators.push(operator);
            all.push(address(&one.url)?);
        }
    }
    let count = match asked.selector {
        ServiceSelector::Any => all.len().min(1),
        ServiceSelector::All => all.len(),
        ServiceSelector::Exact => {
            let count = asked
                .count
                .filter(|count| *count > 0)
                .ok_or(format!("`{name}Config` asks for EXACT and no `count`"))?;
            count as usize
        }
        other @ (ServiceSelector::Undefined | _) => {
            return Err(format!("`{name}Config` asks for {other:?}; known are ANY, ALL and EXACT"));
        }
    };
    if count > all.len() || count > SERVICES_MAX {
        let most = all.len().min(SERVICES_MAX);
        return Err(format!(
            "`{name}Config` asks for {count} services of different operators, and {most} can be asked"
        ));
    }
    all.truncate(count);
    Ok(all)
}

/// An address that something may be sent to, without a slash at its end.
fn address(url: &str) -> Result<String, String> {
    let url = url.trim_end_matches('/');
    if is_address(url) { Ok(url.to_owned()) } else { Err(wrong(url)) }
}

fn wrong(url: &str) -> String {
    let url: String = url.chars().take(100).collect();
    format!("the address `{url}` can't be used: expected is `https://HOST`, or `http://` on this machine")
}

/// Whether something secret may be sent to an address: by `https`, or to this machine.
pub fn is_address(url: &str) -> bool {
    let plain = url.len() < 2_000 && url.bytes().all(|byte| byte.is_ascii_graphic() && !b"@\\\"<>`".contains(&byte));
    let Some((scheme, rest)) = url.split_once("://").filter(|_| plain) else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let here = || host == "localhost" || host == "::1" || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback());
    match scheme {
        "https" => !host.is_empty(),
        "http" => here(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }

    fn service(url: &str, version: u32, operator: &str, until: &str) -> String {
        format!(
            r#"{{"url":"{url}","majorApiVersion":{version},"operator":"{operator}","validFor":{{"start":"2026-01-01T00:00:00Z","end":"{until}"}}}}"#
        )
    }

    fn config(logs: &[String], log_rule: &str, clocks: &[String], clock_rule: &str) -> String {
        let authorities = [
            service("https://old.example.com", 1, "a", "2026-02-01T00:00:00Z"),
            service("https://ca.example.com/", 1, "a", "2027-01-01T00:00:00Z"),
        ];
        format!(
            r#"{{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","caUrls":[{}],"rekorTlogUrls":[{}],"rekorTlogConfig":{log_rule},"tsaUrls":[{}],"tsaConfig":{clock_rule}}}"#,
            authorities.join(","),
            logs.join(","),
            clocks.join(","),
        )
    }

    #[test]
    fn what_holds_is_chosen() {
        let good = "2027-01-01T00:00:00Z";
        let logs = [
            service("https://v1.example.com", 1, "a", good),
            service("https://log1.example.com", 2, "a", good),
            service("https://log2.example.com", 2, "a", good),
            service("https://log3.example.com", 2, "b", good),
        ];
        let clocks = [service("https://tsa.example.com/api/v1/timestamp", 1, "a", good)];
        let chosen = Services::parse(
            "it",
            &config(&logs, r#"{"selector":"EXACT","count":2}"#, &clocks, r#"{"selector":"ANY"}"#),
            now(),
        );
        let chosen = chosen.unwrap();
        let want = ["https://ca.example.com", "https://log1.example.com", "https://log3.example.com"];
        assert_eq!(chosen.addresses().take(3).collect::<Vec<_>>(), want);
        assert_eq!(chosen.clocks, ["https://tsa.example.com/api/v1/timestamp"]);
        let check = |logs: &[String], rule: &str, clocks: &[String], want: &str| {
            let error = Services::parse("it", &config(logs, rule, clocks, r#"{"selector":"ALL"}"#), now()).unwrap_err();
            assert!(error.to_string().contains(want) && error.code() == codes::SIGNING_CONFIG, "{error}");
        };
        let alone = Services::parse("it", &config(&logs[..1], "{}", &[], "{}"), now()).unwrap();
        assert_eq!(alone.logs, [Log::First("https://v1.example.com".to_owned())]);
        check(&[service("https://v3.example.com", 3, "a", good)], "{}", &clocks, "version 1 or 2");
        check(&logs, r#"{"selector":"EXACT","count":3}"#, &clocks, "asks for 3 services");
        check(&logs, r#"{"selector":"EXACT"}"#, &clocks, "no `count`");
        check(&logs, r#"{"selector":"SERVICE_SELECTOR_UNDEFINED"}"#, &clocks, "asks for Undefined");
        check(&logs, r#"{"selector":"ANY"}"#, &[], "no timestamp authority");
        check(&[service("http://log.example.com", 2, "a", good)], r#"{"selector":"ANY"}"#, &clocks, "can't be used");
        check(&logs, r#"{"selector":"SOME"}"#, &clocks, "SOME");
    }

    #[test]
    fn secrets_go_by_https_or_nowhere() {
        for good in [
            "https://a.example.com",
            "https://a:8443/x?y=1",
            "http://localhost:1",
            "http://127.0.0.9:80/x",
            "http://[::1]:3",
        ] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "a.example.com",
            "http://a.example.com",
            "http://localhost.example.com",
            "http://127.0.0.1@evil.example.com",
            "ftp://localhost",
            "https://",
            "https://a b",
            "http://[::2]",
            "https://a\nb",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
