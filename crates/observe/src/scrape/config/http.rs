//! How a target is spoken to, as `prometheus.yml` says it.

use std::path::{Path, PathBuf};

use prograde_yaml::Node;

use super::reader::Reader;
use super::{Credentials, HttpSettings, Secret, Tls};

/// The fields of a job and of an Alertmanager that are about HTTP.
pub(super) const FIELDS: [&str; 9] = [
    "basic_auth",
    "authorization",
    "oauth2",
    "bearer_token",
    "bearer_token_file",
    "proxy_url",
    "tls_config",
    "follow_redirects",
    "enable_http2",
];
const TLS_FIELDS: [&str; 6] =
    ["ca_file", "cert_file", "key_file", "server_name", "insecure_skip_verify", "min_version"];

impl Reader<'_> {
    pub(super) fn http(&mut self, node: &Node, folder: &Path) -> HttpSettings {
        self.refuse(node, "oauth2", "have a token written into a file and name it in `authorization.credentials_file`");
        self.refuse(node, "proxy_url", "name targets that are reached directly");
        // Targets are spoken to in HTTP/1.1, whatever it says.
        self.boolean(node, "enable_http2", true);
        HttpSettings {
            credentials: self.credentials(node, folder),
            tls: self.tls(node, folder),
            follow_redirects: self.boolean(node, "follow_redirects", true),
        }
    }

    fn credentials(&mut self, node: &Node, folder: &Path) -> Option<Credentials> {
        let basic = self.basic(node, folder);
        let token = self.authorization(node, folder);
        let bearer = self.secret(node, "bearer_token", "bearer_token_file", folder);
        let bearer = bearer.map(|token| Credentials::Token { scheme: "Bearer".to_owned(), token });
        let given: Vec<Credentials> = [basic, token, bearer].into_iter().flatten().collect();
        if given.len() > 1 {
            let place = node.get("authorization").or_else(|| node.get("basic_auth")).unwrap_or(node);
            let message = "at most one of `basic_auth`, `authorization` and `bearer_token` can be used";
            self.report(place, message, "take the others out");
        }
        given.into_iter().next()
    }

    fn basic(&mut self, node: &Node, folder: &Path) -> Option<Credentials> {
        let basic = node.get("basic_auth")?;
        if !self.mapping(basic, "`basic_auth`", &[&["username", "password", "password_file"]]) {
            return None;
        }
        let username = self.text(basic, "username").unwrap_or_default();
        let password = self.secret(basic, "password", "password_file", folder);
        Some(Credentials::Basic { username, password: password.unwrap_or(Secret::Text(String::new())) })
    }

    fn authorization(&mut self, node: &Node, folder: &Path) -> Option<Credentials> {
        let place = node.get("authorization")?;
        if !self.mapping(place, "`authorization`", &[&["type", "credentials", "credentials_file"]]) {
            return None;
        }
        let scheme = self.text(place, "type").unwrap_or_default().trim().to_owned();
        let scheme = if scheme.is_empty() { "Bearer".to_owned() } else { scheme };
        if scheme.eq_ignore_ascii_case("basic") {
            self.report(place, "`authorization` can't be `basic`", "use `basic_auth`");
        }
        let token = self.secret(place, "credentials", "credentials_file", folder);
        token.map(|token| Credentials::Token { scheme, token })
    }

    /// A text or the file that holds it.
    fn secret(&mut self, node: &Node, text: &str, file: &str, folder: &Path) -> Option<Secret> {
        let given = self.text(node, text).filter(|text| !text.is_empty());
        let path = self.path(node, file, folder);
        match (given, path) {
            (Some(_), Some(_)) => {
                let place = node.get(file).unwrap_or(node);
                self.report(place, format!("either `{text}` or `{file}` can be used"), "take one out");
                None
            }
            (Some(given), None) => Some(Secret::Text(given)),
            (None, Some(path)) => Some(Secret::File(path)),
            (None, None) => None,
        }
    }

    pub(super) fn path(&mut self, node: &Node, field: &str, folder: &Path) -> Option<PathBuf> {
        self.text(node, field).filter(|path| !path.is_empty()).map(|path| folder.join(path))
    }

    fn tls(&mut self, node: &Node, folder: &Path) -> Tls {
        let Some(place) = node.get("tls_config").filter(|tls| !matches!(tls.value, prograde_yaml::Value::Null)) else {
            return Tls::default();
        };
        if !self.mapping(place, "`tls_config`", &[&TLS_FIELDS]) {
            return Tls::default();
        }
        if let Some(version) = self.text(place, "min_version")
            && !["TLS12", "TLS13", "TLS10", "TLS11"].contains(&version.as_str())
        {
            let value = place.get("min_version").unwrap_or(place);
            self.report(value, format!("unknown version `{version}`"), "known are TLS12 and TLS13");
        }
        // 1.2 is the oldest version that is spoken; what asks for less gets more.
        if place.get("min_version").and_then(Node::as_str) == Some("TLS13") {
            self.refuse(place, "min_version", "have the target itself insist on TLS 1.3");
        }
        let identity = match (self.path(place, "cert_file", folder), self.path(place, "key_file", folder)) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                self.report(place, "a certificate needs its key", "name both `cert_file` and `key_file`");
                None
            }
        };
        Tls {
            ca_file: self.path(place, "ca_file", folder),
            identity,
            server_name: self.text(place, "server_name").filter(|name| !name.is_empty()),
            insecure_skip_verify: self.boolean(place, "insecure_skip_verify", false),
        }
    }
}
