//! `http_config`: how a receiver is talked to.

use prograde_yaml::Node;

use super::reader::Reader;
use super::secret::Secret;

const FIELDS: [&str; 10] = [
    "basic_auth",
    "authorization",
    "bearer_token",
    "bearer_token_file",
    "oauth2",
    "tls_config",
    "follow_redirects",
    "enable_http2",
    "proxy_url",
    "proxy_connect_header",
];

/// What is not had, with the way out.
const REFUSED: [(&str, &str); 3] = [
    ("oauth2", "use `authorization` with a token in `credentials_file` that something else renews"),
    ("tls_config", "add the receiver's authority to the system's certificates, or put a proxy in front of it"),
    ("proxy_connect_header", "take it out"),
];

/// How a receiver is talked to over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// What is shown to it, if anything.
    pub authorization: Option<Authorization>,
    /// Whether an answer that names another address is followed.
    pub follow_redirects: bool,
    /// The proxy to ask, if not the one that the environment names.
    pub proxy_url: Option<Secret>,
}

/// The `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorization {
    /// A user and a password.
    Basic {
        /// The user.
        username: String,
        /// The password; empty if none.
        password: Option<Secret>,
    },
    /// A word such as `Bearer`, and what follows it.
    Other {
        /// The word.
        scheme: String,
        /// What follows it.
        credentials: Secret,
    },
}

impl Default for Http {
    fn default() -> Self {
        Self { authorization: None, follow_redirects: true, proxy_url: None }
    }
}

/// Reads `http_config` of a receiver; where it has none, that of `global` holds.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node, global: &Http) -> Http {
    let Some(http) = Reader::field(node, "http_config") else { return global.clone() };
    if !reader.mapping(http, "`http_config`", &FIELDS) {
        return global.clone();
    }
    reader.refuse(http, &REFUSED);
    let ways = ["basic_auth", "authorization", "bearer_token", "bearer_token_file"];
    let used: Vec<&str> = ways.into_iter().filter(|name| Reader::field(http, name).is_some()).collect();
    if used.len() > 1 {
        reader.report(http, format!("only one of {} can be used", used.join(" and ")), "keep one");
    }
    let bearer = secret(reader, http, "bearer_token");
    let bearer = bearer.map(|credentials| Authorization::Other { scheme: "Bearer".into(), credentials });
    let basic = Reader::field(http, "basic_auth").map(|basic| basic_auth(reader, basic));
    let other = Reader::field(http, "authorization").and_then(|other| authorization(reader, other));
    // HTTP/2 is an affair of the connection; what is sent is the same.
    reader.flag(http, "enable_http2");
    Http {
        authorization: basic.or(other).or(bearer),
        follow_redirects: reader.flag(http, "follow_redirects").unwrap_or(true),
        proxy_url: reader.url(http, "proxy_url").map(Secret::Inline),
    }
}

fn basic_auth(reader: &mut Reader<'_>, node: &Node) -> Authorization {
    reader.mapping(node, "`basic_auth`", &["username", "password", "password_file"]);
    let username = reader.text(node, "username").unwrap_or_default();
    Authorization::Basic { username, password: secret(reader, node, "password") }
}

fn authorization(reader: &mut Reader<'_>, node: &Node) -> Option<Authorization> {
    reader.mapping(node, "`authorization`", &["type", "credentials", "credentials_file"]);
    let scheme = reader.text(node, "type").map(|scheme| scheme.trim().to_owned()).filter(|scheme| !scheme.is_empty());
    let scheme = scheme.unwrap_or_else(|| "Bearer".into());
    if scheme.eq_ignore_ascii_case("basic") {
        let place = node.get("type").unwrap_or(node);
        reader.report(place, "`authorization` can't be of the type `Basic`", "use `basic_auth`");
    }
    let credentials = secret(reader, node, "credentials")?;
    Some(Authorization::Other { scheme, credentials })
}

/// A secret in a field, or in the file that the field with `_file` at its end names; not in both.
pub(super) fn secret(reader: &mut Reader<'_>, node: &Node, field: &str) -> Option<Secret> {
    let file_field = format!("{field}_file");
    let inline = reader.text(node, field).filter(|text| !text.is_empty());
    let file = reader.text(node, &file_field).filter(|text| !text.is_empty());
    if inline.is_some() && file.is_some() {
        let place = node.get(&file_field).unwrap_or(node);
        reader.report(place, format!("only one of `{field}` and `{file_field}` can be used"), "keep one");
    }
    inline.map(Secret::Inline).or_else(|| file.map(|path| Secret::File(path.into())))
}

/// The same for an address that is as good as a secret.
pub(super) fn secret_url(reader: &mut Reader<'_>, node: &Node, field: &str) -> Option<Secret> {
    let found = secret(reader, node, field)?;
    if matches!(found, Secret::Inline(_)) {
        reader.url(node, field)?;
    }
    Some(found)
}
