//! The head of a request as a replica gets it: hop-by-hop headers end here (RFC 9110, section 7.6.1), and the replica is
//! told who asked.
//!
//! The client's headers are looked at once and written once; they are never changed, so that the same request can be
//! written again for another replica.

use std::net::SocketAddr;

use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Version};

use super::answer::Refusal;
use super::encode::Framing;
use super::mirror::MARK;
use super::options::ProxyOptions;
use super::trace_context::{self, TraceIds, TraceParent};

/// What is the same for all requests of a client's connection.
#[derive(Debug)]
pub(super) struct Origin {
    /// The client's address, as `X-Forwarded-For` has it.
    client: String,
    /// The listener's, as the `Host` of a request that needs none.
    listener: HeaderValue,
}

impl Origin {
    pub(super) fn new(client: SocketAddr, listener: SocketAddr) -> Self {
        let listener = HeaderValue::try_from(listener.to_string());
        Self {
            client: client.ip().to_canonical().to_string(),
            // An address is always a valid value.
            listener: listener.unwrap_or(HeaderValue::from_static("localhost")),
        }
    }
}

/// What a request's headers say about the request itself.
#[derive(Debug)]
pub(super) struct Survey {
    host: HeaderValue,
    /// The protocol to change to, where `Connection` says `upgrade`.
    pub(super) upgrade: Option<HeaderValue>,
    /// Whether the client waits for `100 Continue` before it sends its body (RFC 9110, section 10.1.1).
    pub(super) expects_continue: bool,
    /// Whether the client takes trailers.
    trailers: bool,
    /// The headers that `Connection` names.
    named: Vec<HeaderName>,
    /// In place of the client's, which is missing or bad.
    traceparent: Option<TraceParent>,
}

impl Survey {
    /// Looks at a request, and refuses one that is unclear about where it is to go.
    pub(super) fn of(parts: &Parts, origin: &Origin, trace_ids: &TraceIds) -> Result<Self, Refusal> {
        let mut survey = Self {
            host: origin.listener.clone(),
            upgrade: None,
            expects_continue: false,
            trailers: false,
            named: Vec::new(),
            traceparent: None,
        };
        let (mut hosts, mut traces, mut upgrades) = (0, 0, false);
        for (name, value) in &parts.headers {
            match name.as_str() {
                "host" => {
                    hosts += 1;
                    survey.host.clone_from(value);
                }
                "connection" => upgrades |= survey.connection(value),
                "upgrade" => survey.upgrade = Some(value.clone()),
                "te" => {
                    survey.trailers |= tokens(value.as_bytes()).any(|token| token.eq_ignore_ascii_case(b"trailers"));
                }
                "expect" => survey.expects_continue = value.as_bytes().eq_ignore_ascii_case(b"100-continue"),
                // Two of them are as bad as a bad one.
                "traceparent" => traces += if trace_context::is_valid(value.as_bytes()) { 1 } else { 2 },
                _ => {}
            }
        }
        if hosts > 1 || (hosts == 0 && parts.version == Version::HTTP_11) {
            return Err(Refusal::Host);
        }
        survey.target(parts)?;
        survey.upgrade.take_if(|_| !upgrades);
        survey.traceparent = (traces != 1).then(|| trace_ids.next());
        Ok(survey)
    }

    /// Notes what a `Connection` header names; true for an upgrade.
    fn connection(&mut self, value: &HeaderValue) -> bool {
        let mut upgrades = false;
        for token in tokens(value.as_bytes()) {
            if token.eq_ignore_ascii_case(b"upgrade") {
                upgrades = true;
            } else if let Ok(name) = HeaderName::from_bytes(token) {
                // Most are `close` and `keep-alive`, which need no entry.
                if is_passed_on(name.as_str()) {
                    self.named.push(name);
                }
            }
        }
        upgrades
    }

    /// Checks the target's form, and takes the host from it where it has one (RFC 9112, section 3.2).
    fn target(&mut self, parts: &Parts) -> Result<(), Refusal> {
        if parts.method == Method::CONNECT {
            return Err(Refusal::Connect);
        }
        let path = parts.uri.path_and_query().map(PathAndQuery::as_str).ok_or(Refusal::Target)?;
        if let Some(authority) = parts.uri.authority() {
            // The target's host wins over the header's; its user name is nobody's business.
            let host = authority.as_str().rsplit('@').next().unwrap_or_default();
            self.host = HeaderValue::from_str(host).map_err(|_| Refusal::Host)?;
            return if parts.uri.scheme().is_some() { Ok(()) } else { Err(Refusal::Target) };
        }
        if !(path.starts_with('/') || (path == "*" && parts.method == Method::OPTIONS)) {
            return Err(Refusal::Target);
        }
        // What has no place in a host is there to be taken for something else by somebody further on.
        if self.host.as_bytes().iter().any(|b| b" \t,/@?#".contains(b)) { Err(Refusal::Host) } else { Ok(()) }
    }

    /// Writes the head. Names and values are of types that hold no line ends, so nothing can be slipped in.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        parts: &Parts,
        framing: Framing,
        origin: &Origin,
        options: &ProxyOptions,
    ) {
        let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        for piece in [parts.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
            out.extend_from_slice(piece.as_bytes());
        }
        field(out, "host", self.host.as_bytes());
        let mut seen = Seen::default();
        for (name, value) in &parts.headers {
            let passed_on = match name.as_str() {
                "x-forwarded-for" => {
                    seen.forwarded_for = true;
                    false
                }
                "x-forwarded-proto" => {
                    seen.forwarded_proto = options.behind_trusted_proxy;
                    options.behind_trusted_proxy
                }
                "x-forwarded-host" => {
                    seen.forwarded_host = options.behind_trusted_proxy;
                    options.behind_trusted_proxy
                }
                // A state belongs to the parent that it came with.
                "traceparent" | "tracestate" => self.traceparent.is_none(),
                // Only the proxy says what is a copy.
                MARK => options.behind_trusted_proxy,
                "content-length" => framing != Framing::Chunked,
                "expect" => framing != Framing::None,
                other => is_passed_on(other) && !self.named.contains(name),
            };
            if passed_on {
                field(out, name.as_str(), value.as_bytes());
            }
        }
        self.write_own(out, parts, framing, &seen, origin, options);
        out.extend_from_slice(b"\r\n");
    }

    /// Writes the headers that are the proxy's to say.
    fn write_own(
        &self,
        out: &mut Vec<u8>,
        parts: &Parts,
        framing: Framing,
        seen: &Seen,
        origin: &Origin,
        options: &ProxyOptions,
    ) {
        if let Some(protocol) = &self.upgrade {
            field(out, "connection", b"upgrade");
            field(out, "upgrade", protocol.as_bytes());
        }
        if self.trailers {
            field(out, "te", b"trailers");
        }
        if framing == Framing::Chunked {
            field(out, "transfer-encoding", b"chunked");
        }
        // The client's own claim of an address is kept in front of ours, as everybody does; only the last is certain.
        out.extend_from_slice(b"x-forwarded-for: ");
        if seen.forwarded_for {
            for value in parts.headers.get_all("x-forwarded-for") {
                out.extend_from_slice(value.as_bytes());
                out.extend_from_slice(b", ");
            }
        }
        out.extend_from_slice(origin.client.as_bytes());
        out.extend_from_slice(b"\r\n");
        if !seen.forwarded_proto {
            field(out, "x-forwarded-proto", b"http");
        }
        if !seen.forwarded_host {
            field(out, "x-forwarded-host", self.host.as_bytes());
        }
        if let Some(traceparent) = &self.traceparent {
            field(out, "traceparent", traceparent);
        }
        if let Some(via) = via(parts.version, options) {
            field(out, "via", via.as_bytes());
        }
    }
}

/// Which of the proxy's headers a client has sent, and may keep.
#[derive(Default)]
struct Seen {
    forwarded_for: bool,
    forwarded_proto: bool,
    forwarded_host: bool,
}

/// Whether a header concerns more than this connection. `Host` is not among them, as it is written first.
pub(super) fn is_passed_on(name: &str) -> bool {
    !matches!(
        name,
        "host"
            | "connection"
            | "close"
            | "keep-alive"
            | "upgrade"
            | "te"
            | "transfer-encoding"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
    )
}

/// The entry in `Via` for a message received in `version`, where one is wanted.
pub(super) fn via(version: Version, options: &ProxyOptions) -> Option<String> {
    let protocol = if version == Version::HTTP_10 { "1.0" } else { "1.1" };
    options.via.as_ref().map(|pseudonym| format!("{protocol} {pseudonym}"))
}

/// The elements of a list (RFC 9110, section 5.6.1).
pub(super) fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// Writes a header.
pub(super) fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for piece in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(piece);
    }
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
