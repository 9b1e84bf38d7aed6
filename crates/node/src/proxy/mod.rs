//! The L7 proxy in front of every Service port of the local node: HTTP/1.1 from the client to one ready replica of one
//! version, chosen by weight unless a rule says otherwise (`table`, `rules`).
//!
//! One thread accepts and hands each connection to the worker with the fewest; from then on the connection, the
//! requests on it and the upstream connections they use never leave that worker's thread, so nothing on the way of a
//! request takes a lock that another thread could hold, save to fetch a table that was set since. What workers share
//! are atomics: the route's position, the replicas' requests in flight and the versions' counters.
//!
//! hyper reads requests and writes answers. The other side, towards the replicas, is our own (`upstream`, `decode`,
//! `encode`): only so can a request be written again elsewhere without a copy having been kept, and is it certain
//! whether a byte was sent or received, which decides whether it may be.
//!
//! Invariants: a version of weight 0 gets no request but those of its audiences; a request sees one routing table; a request is counted once, for
//! the version that answered or failed it; a request that a replica may have acted on is sent again only where HTTP
//! says that this is harmless.

mod answer;
mod body;
mod client;
mod counters;
mod decode;
mod encode;
mod endpoint;
mod exchange;
mod forward;
mod headers;
mod listener;
mod mirror;
mod options;
mod outgoing;
mod pool;
mod request_key;
mod route;
mod rules;
mod service;
mod table;
#[cfg(test)]
mod tests;
mod trace_context;
mod tunnel;
mod upload;
mod upstream;
mod worker;

pub use counters::VersionCounters;
pub use endpoint::Endpoint;
pub use listener::Listener;
pub use options::{ProxyError, ProxyOptions};
pub use route::Route;
pub use service::Proxy;
pub use table::RouteVersion;
