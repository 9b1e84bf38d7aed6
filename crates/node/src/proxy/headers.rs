//! What happens to headers on the way: hop-by-hop ones end here (RFC 9110, section 7.6.1), and a replica is told who
//! asked.

use std::net::SocketAddr;

use http::header::{
    CONNECTION, EXPECT, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

use super::answer::Refusal;
use super::options::ProxyOptions;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What is the same for all requests of a client's connection.
#[derive(Debug)]
pub(super) struct Origin {
    /// The client's address, as `X-Forwarded-For` has it.
    pub(super) client: HeaderValue,
    /// The listener's, as the `Host` of a request that needs none.
    pub(super) listener: SocketAddr,
}

impl Origin {
    pub(super) fn new(client: SocketAddr, listener: SocketAddr) -> Self {
        let text = client.ip().to_canonical().to_string();
        Self { client: HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("unknown")), listener }
    }
}

/// What hop-by-hop headers asked for before they were removed.
#[derive(Debug, Default)]
pub(super) struct Hop {
    /// The protocol to change to, where `Connection` says `upgrade`.
    pub(super) upgrade: Option<HeaderValue>,
    /// Whether the body may have trailers.
    pub(super) trailers: bool,
}

/// Turns a client's request into the one that a replica gets.
pub(super) fn to_replica(parts: &mut Parts, origin: &Origin, options: &ProxyOptions) -> Result<Hop, Refusal> {
    let host = normalise_target(parts, origin)?;
    let hop = strip_hop_by_hop(&mut parts.headers);
    let headers = &mut parts.headers;
    if hop.trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocol) = &hop.upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    }
    forwarded(headers, &host, origin, options);
    headers.insert(HOST, host);
    via(headers, parts.version, options);
    parts.version = Version::HTTP_11;
    Ok(hop)
}

/// Turns a replica's answer into the one that the client gets. The protocol of a `101` is kept by the caller.
pub(super) fn to_client(headers: &mut HeaderMap, options: &ProxyOptions) -> Hop {
    let hop = strip_hop_by_hop(headers);
    via(headers, Version::HTTP_11, options);
    hop
}

/// Leaves a target in origin form or `*`, and returns the host that is asked for (RFC 9112, sections 3.2 and 3.3).
fn normalise_target(parts: &mut Parts, origin: &Origin) -> Result<HeaderValue, Refusal> {
    if parts.method == Method::CONNECT {
        return Err(Refusal::Connect);
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next().cloned();
    if hosts.next().is_some() || (host.is_none() && parts.version == Version::HTTP_11) {
        return Err(Refusal::Host);
    }
    if let Some(authority) = parts.uri.authority() {
        let (Some(path), Some(_)) = (parts.uri.path_and_query(), parts.uri.scheme()) else {
            return Err(Refusal::Target);
        };
        // The target's host wins over the header's; its user name is nobody's business.
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        let host = HeaderValue::from_str(host).map_err(|_| Refusal::Host)?;
        parts.uri = Uri::from(path.clone());
        return Ok(host);
    }
    match parts.uri.path_and_query().map(PathAndQuery::as_str) {
        Some("*") if parts.method != Method::OPTIONS => return Err(Refusal::Target),
        Some(target) if target == "*" || target.starts_with('/') => {}
        Some(_) | None => return Err(Refusal::Target),
    }
    match host {
        Some(host) if host.as_bytes().iter().any(|b| matches!(b, b' ' | b',' | b'/' | b'@' | b'\t')) => {
            Err(Refusal::Host)
        }
        Some(host) => Ok(host),
        None => HeaderValue::try_from(origin.listener.to_string()).map_err(|_| Refusal::Host),
    }
}

/// Removes what concerns only this connection, and what `Connection` names.
fn strip_hop_by_hop(headers: &mut HeaderMap) -> Hop {
    let mut hop = Hop::default();
    if headers.contains_key(CONNECTION) {
        let mut upgrades = false;
        let mut named: Vec<HeaderName> = Vec::new();
        for token in headers.get_all(CONNECTION).iter().flat_map(tokens) {
            match HeaderName::from_bytes(token) {
                Ok(name) if name == UPGRADE => upgrades = true,
                // A client must not take away what says where a request goes.
                Ok(name) if name == HOST => {}
                Ok(name) => named.push(name),
                Err(_) => {}
            }
        }
        if upgrades {
            hop.upgrade = headers.get(UPGRADE).cloned();
        }
        headers.remove(CONNECTION);
        hop.trailers = has_trailers(headers);
        for name in named {
            headers.remove(name);
        }
    } else {
        hop.trailers = has_trailers(headers);
    }
    for name in [UPGRADE, TE, TRANSFER_ENCODING, KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION]
    {
        headers.remove(name);
    }
    hop
}

fn has_trailers(headers: &HeaderMap) -> bool {
    headers.get_all(TE).iter().flat_map(tokens).any(|token| token.eq_ignore_ascii_case(b"trailers"))
}

fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// Tells the replica who asked. The client's own claim of an address is kept in front of ours, as everybody does; the
/// last address is the only one that can be relied on.
fn forwarded(headers: &mut HeaderMap, host: &HeaderValue, origin: &Origin, options: &ProxyOptions) {
    let client = match join(headers, &X_FORWARDED_FOR) {
        Some(mut all) => {
            all.extend_from_slice(b", ");
            all.extend_from_slice(origin.client.as_bytes());
            HeaderValue::from_bytes(&all).unwrap_or_else(|_| origin.client.clone())
        }
        None => origin.client.clone(),
    };
    headers.insert(X_FORWARDED_FOR, client);
    if !options.behind_trusted_proxy || !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    if !options.behind_trusted_proxy || !headers.contains_key(X_FORWARDED_HOST) {
        headers.insert(X_FORWARDED_HOST, host.clone());
    }
}

/// All values of a list header as one.
fn join(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let mut values = headers.get_all(name).iter();
    let mut all = values.next()?.as_bytes().to_vec();
    for value in values {
        all.extend_from_slice(b", ");
        all.extend_from_slice(value.as_bytes());
    }
    Some(all)
}

fn via(headers: &mut HeaderMap, received: Version, options: &ProxyOptions) {
    let Some(pseudonym) = &options.via else { return };
    let protocol = if received == Version::HTTP_10 { "1.0" } else { "1.1" };
    if let Ok(value) = HeaderValue::try_from(format!("{protocol} {pseudonym}")) {
        headers.append(VIA, value);
    }
}

/// Whether the client waits for `100 Continue` before it sends its body (RFC 9110, section 10.1.1).
pub(super) fn expects_continue(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// The seconds for which a replica says it keeps an idle connection (RFC 2068, section 19.7.1.1).
pub(super) fn keep_alive_timeout(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(KEEP_ALIVE)?;
    tokens(value).find_map(|token| std::str::from_utf8(token).ok()?.strip_prefix("timeout=")?.trim().parse().ok())
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
