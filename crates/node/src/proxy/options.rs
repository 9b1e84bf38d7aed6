//! The proxy's limits, all with a default that suits a service on the open internet.

use std::net::SocketAddr;
use std::time::Duration;

/// How the proxy works and what it puts up with. Start from [`ProxyOptions::default`].
#[derive(Debug, Clone)]
pub struct ProxyOptions {
    /// Threads that carry requests, at least 1. Default: the machine's processors, at most 8.
    pub workers: usize,
    /// Client connections open at the same time, over all listeners; more wait in the kernel's queue. Default 10 000.
    pub connections_max: usize,
    /// Bytes of a request line with its headers, and of an answer's; at least 8192. More is answered 431. Default 32 KiB.
    /// Either may have at most 100 headers.
    pub header_bytes_max: usize,
    /// From the opening of a connection, or the end of the last answer, to the end of the next request's headers; then
    /// the connection is closed. Also ends idle connections. Default 60 s.
    pub client_header_timeout: Duration,
    /// How long a client may take none of an answer that waits for it; then the connection is closed. Default 60 s.
    pub client_write_timeout: Duration,
    /// How long a client may send nothing of a body that is waited for; then 408. Default 60 s.
    pub client_body_timeout: Duration,
    /// How long a connection to a replica may take to open. Default 1 s.
    pub connect_timeout: Duration,
    /// From the request's last byte to the answer's headers; then 504, a failure of the version. Default 60 s.
    pub response_header_timeout: Duration,
    /// How long a replica may send nothing of a body it has begun; then the answer is broken off, a failure of the
    /// version. Default 300 s, for event streams.
    pub response_idle_timeout: Duration,
    /// How long an upgraded connection may be silent in both directions. Default 1 h.
    pub tunnel_idle_timeout: Duration,
    /// How long a client that asked for `100-continue` is kept waiting for the replica's word before its body is
    /// asked for anyway (RFC 9110, section 10.1.1). Default 1 s.
    pub continue_timeout: Duration,
    /// How long a connection to a replica is kept without a request; a shorter `Keep-Alive: timeout` of the replica
    /// wins. Default 60 s.
    pub upstream_idle_timeout: Duration,
    /// Up to which idle time a kept connection is trusted with a request that could not be sent again. Default 1 s.
    pub upstream_trust: Duration,
    /// Idle connections kept per replica and worker. Default 128.
    pub upstream_idle_max: usize,
    /// Copies of requests on their way at the same time, for each worker; a request beyond them is not copied.
    /// Default 64.
    pub mirror_max: usize,
    /// How long the body of a copy's answer is read, from its headers on; the rest is left unread, which is no failure.
    /// Default 60 s.
    pub mirror_body_timeout: Duration,
    /// Bytes of a copy's answer that are read; the rest is left unread, which is no failure. Default 16 MiB.
    pub mirror_bytes_max: usize,
    /// Whether a proxy that can be trusted is in front, so that its `X-Forwarded-Proto`, `X-Forwarded-Host` and
    /// `X-Prograde-Mirror` are kept. Otherwise they are replaced or taken off. Default no.
    pub behind_trusted_proxy: bool,
    /// The pseudonym to add to `Via` (RFC 9110, section 7.6.3), if any. Default none.
    pub via: Option<String>,
}

impl Default for ProxyOptions {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(1, |n| n.get().min(8)),
            connections_max: 10_000,
            header_bytes_max: 32 * 1024,
            client_header_timeout: Duration::from_mins(1),
            client_write_timeout: Duration::from_mins(1),
            client_body_timeout: Duration::from_mins(1),
            connect_timeout: Duration::from_secs(1),
            response_header_timeout: Duration::from_mins(1),
            response_idle_timeout: Duration::from_mins(5),
            tunnel_idle_timeout: Duration::from_hours(1),
            continue_timeout: Duration::from_secs(1),
            upstream_idle_timeout: Duration::from_mins(1),
            upstream_trust: Duration::from_secs(1),
            upstream_idle_max: 128,
            mirror_max: 64,
            mirror_body_timeout: Duration::from_mins(1),
            mirror_bytes_max: 16 * 1024 * 1024,
            behind_trusted_proxy: false,
            via: None,
        }
    }
}

/// Why the proxy can't start or listen.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// Another process, or another listener of this one, has the port.
    #[error("address {address} is already in use")]
    AddressInUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The address can't be listened on for another reason.
    #[error("can't listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A thread or its event loop could not be made.
    #[error("can't start a proxy thread")]
    Thread(#[source] std::io::Error),
    /// An option is out of its range.
    #[error("proxy option {option} must be {expected}")]
    Option {
        /// The field's name.
        option: &'static str,
        /// What would have been right.
        expected: &'static str,
    },
}
