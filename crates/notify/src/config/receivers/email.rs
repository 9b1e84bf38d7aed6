//! Mail.

use prograde_yaml::Node;

use super::{Reader, Secret, http, text_or};

/// A mail is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Email {
    /// To whom, separated by commas.
    pub to: String,
    /// From whom.
    pub from: String,
    /// The server's name.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// What we are called when greeting it.
    pub hello: String,
    /// A user and a password, if the server wants them.
    pub login: Option<(String, Secret)>,
    /// Whether nothing is sent unless it is encrypted.
    pub require_tls: bool,
    /// Headers beside those that every mail has; `Subject` is one of them.
    pub headers: Vec<(String, String)>,
    /// The text for who reads HTML; empty for none.
    pub html: String,
    /// The plain text; empty for none.
    pub text: String,
}

/// The mail server and what it is told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Smtp {
    from: Option<String>,
    smarthost: Option<(String, u16)>,
    hello: Option<String>,
    username: Option<String>,
    password: Option<Secret>,
    require_tls: Option<bool>,
}

/// What is not had of mail, with the way out.
const REFUSED: [(&str, &str); 5] = [
    ("auth_secret", "use `auth_password`: CRAM-MD5 is not offered"),
    ("smtp_auth_secret", "use `smtp_auth_password`: CRAM-MD5 is not offered"),
    ("auth_identity", "take it out: the user is whom it is sent as"),
    ("smtp_auth_identity", "take it out: the user is whom it is sent as"),
    ("tls_config", "add the server's authority to the system's certificates"),
];

impl Smtp {
    /// Of `global`.
    pub(in crate::config) fn global(reader: &mut Reader<'_>, node: &Node) -> Self {
        reader.refuse(node, &REFUSED);
        Self::read(reader, node, "smtp_")
    }

    fn read(reader: &mut Reader<'_>, node: &Node, prefix: &str) -> Self {
        let auth = |name: &str| format!("{prefix}auth_{name}");
        let field = |name: &str| format!("{prefix}{name}");
        Self {
            from: reader.text(node, &field("from")).filter(|text| !text.is_empty()),
            smarthost: smarthost(reader, node, &field("smarthost")),
            hello: reader.text(node, &field("hello")).filter(|text| !text.is_empty()),
            username: reader.text(node, &auth("username")).filter(|text| !text.is_empty()),
            password: http::secret(reader, node, &auth("password")),
            require_tls: reader.flag(node, &field("require_tls")),
        }
    }
}

fn smarthost(reader: &mut Reader<'_>, node: &Node, field: &str) -> Option<(String, u16)> {
    let text = reader.text(node, field).filter(|text| !text.is_empty())?;
    let split = text.rsplit_once(':').map(|(host, port)| (host.trim_matches(['[', ']']), port.parse()));
    match split {
        Some((host, Ok(port))) if !host.is_empty() => Some((host.to_owned(), port)),
        Some(_) | None => {
            let message = format!("`{text}` in `{field}` is not a host and a port");
            reader.report(node.get(field).unwrap_or(node), message, "write such as mail.example.org:587");
            None
        }
    }
}

impl Email {
    pub(super) fn read(reader: &mut Reader<'_>, node: &Node, global: &Smtp) -> Option<Self> {
        const FIELDS: [&str; 15] = [
            "send_resolved",
            "to",
            "from",
            "hello",
            "smarthost",
            "auth_username",
            "auth_password",
            "auth_password_file",
            "auth_secret",
            "auth_identity",
            "require_tls",
            "html",
            "text",
            "headers",
            "tls_config",
        ];
        if !reader.mapping(node, "a mail receiver", &FIELDS) {
            return None;
        }
        reader.refuse(node, &REFUSED);
        let own = Smtp::read(reader, node, "");
        let to = super::needed(reader, node, "to", "a mail receiver");
        let smarthost = own.smarthost.or_else(|| global.smarthost.clone());
        if smarthost.is_none() && Reader::field(node, "smarthost").is_none() {
            reader.report(node, "there is no mail server", "add `smarthost` here, or `smtp_smarthost` to `global`");
        }
        let from = own.from.or_else(|| global.from.clone());
        if from.is_none() {
            reader.report(node, "there is no sender", "add `from` here, or `smtp_from` to `global`");
        }
        let password = own.password.or_else(|| global.password.clone());
        let username = own.username.or_else(|| global.username.clone());
        let headers = headers(reader, node);
        let html = text_or(reader, node, "html", r#"{{ template "email.default.html" . }}"#);
        let (host, port) = smarthost?;
        Some(Self {
            to: to?,
            from: from?,
            host,
            port,
            hello: own.hello.or_else(|| global.hello.clone()).unwrap_or_else(|| "localhost".into()),
            login: username.zip(password),
            require_tls: own.require_tls.or(global.require_tls).unwrap_or(true),
            headers,
            html,
            text: text_or(reader, node, "text", ""),
        })
    }
}

/// Headers by their names as mail has them: the case of letters is no difference.
fn headers(reader: &mut Reader<'_>, node: &Node) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, text, place) in reader.pairs(node, "headers") {
        if headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
            reader.report(place, format!("the header `{name}` is there twice"), "take one out");
        }
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
        if !is_name {
            reader.report(place, format!("`{name}` is not a header's name"), "use letters, digits and `-`");
        }
        headers.push((name, text));
    }
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("subject")) {
        headers.push(("Subject".into(), r#"{{ template "email.default.subject" . }}"#.into()));
    }
    headers
}
