//! Names of hosts, and addresses with them.
//!
//! Source: Go, documentation of `net`, `SplitHostPort`; Prometheus 2.42, `template/template.go`.

use std::net::IpAddr;

/// `host:port` or `[host]:port` in two; `None` if it is neither.
fn split(text: &str) -> Option<(&str, &str)> {
    let (before, port) = text.rsplit_once(':')?;
    let host = match before.strip_prefix('[') {
        Some(bracketed) => bracketed.strip_suffix(']')?,
        None if before.contains(':') => return None,
        None => before,
    };
    let is_plain = |part: &str| !part.contains(['[', ']']);
    (is_plain(host) && is_plain(port)).then_some((host, port))
}

/// The host, without its port if it has one.
pub(super) fn without_port(text: &str) -> &str {
    split(text).map_or(text, |(host, _)| host)
}

/// The host's own name, with its port if it has one. An address stays whole.
pub(super) fn without_domain(text: &str) -> String {
    let (host, port) = split(text).unwrap_or((text, ""));
    if host.parse::<IpAddr>().is_ok() {
        return text.to_owned();
    }
    let name = host.split('.').next().unwrap_or_default();
    match port {
        "" => name.to_owned(),
        port if name.contains(':') => format!("[{name}]:{port}"),
        port => format!("{name}:{port}"),
    }
}

/// The path of an address, such as `/prometheus`.
pub(super) fn path(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = after_scheme.find('/').and_then(|at| after_scheme.get(at..)).unwrap_or_default();
    path.split(['?', '#']).next().unwrap_or_default()
}
