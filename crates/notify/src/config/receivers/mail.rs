//! Receivers that are mailboxes.
//!
//! Source: Alertmanager documentation, "Configuration", `email_config`.

use prograde_yaml::Node;

use super::{Reader, Secret, http, text_or};

/// The port at which TLS begins with the connection (RFC 8314, section 3.3); at all others it is asked for with STARTTLS.
const PORT_TLS: u16 = 465;
const PORT_RANGE: &str = "expected a host and a port, such as `mail.example.com:587`";

/// A mail is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Email {
    /// Addresses, separated by commas.
    pub to: String,
    /// The sender's address.
    pub from: String,
    /// The server's name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What we call ourselves there.
    pub hello: String,
    /// Who we are, if the server is told.
    pub login: Option<Login>,
    /// Whether the mail is not sent without TLS.
    pub require_tls: bool,
    /// Which certificates are believed.
    pub tls: MailTls,
    /// Headers, the subject among them, by their names.
    pub headers: Vec<(String, String)>,
    /// The text; none if it is empty.
    pub text: String,
    /// The text as HTML; none if it is empty.
    pub html: String,
}

/// A user of a mail server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Their name.
    pub username: String,
    /// Their password.
    pub password: Secret,
}

/// Which certificates of a mail server are believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MailTls {
    /// A file with the certificate of an authority that is believed besides the system's.
    pub ca_file: Option<String>,
    /// The name that the certificate must have instead of the host's.
    pub server_name: Option<String>,
    /// Whether any certificate is believed.
    pub insecure_skip_verify: bool,
}

/// What mails take from `global`.
#[derive(Default)]
pub(in crate::config) struct MailGlobal {
    from: Option<String>,
    smarthost: Option<(String, u16)>,
    hello: Option<String>,
    username: Option<String>,
    password: Option<Secret>,
    require_tls: Option<bool>,
    tls: MailTls,
}

impl Email {
    /// Whether TLS begins with the connection.
    pub(crate) fn is_wrapped(&self) -> bool {
        self.port == PORT_TLS
    }

    pub(super) fn read(reader: &mut Reader<'_>, node: &Node, global: &MailGlobal) -> Option<Self> {
        const FIELDS: [&str; 16] = [
            "send_resolved",
            "to",
            "from",
            "smarthost",
            "hello",
            "auth_username",
            "auth_password",
            "auth_password_file",
            "auth_secret",
            "auth_secret_file",
            "auth_identity",
            "require_tls",
            "tls_config",
            "html",
            "text",
            "headers",
        ];
        if !reader.mapping(node, "a mailbox", &FIELDS) {
            return None;
        }
        reader.refuse(node, &AUTH_REFUSED);
        let to = super::needed(reader, node, "to", "a mailbox");
        let needs = |reader: &mut Reader<'_>, field: &str| {
            let hint = format!("add `{field}` here, or `smtp_{field}` to `global`");
            reader.report(node, format!("a mailbox must have `{field}`"), &hint);
        };
        let from = reader.text(node, "from").or_else(|| global.from.clone());
        if from.is_none() {
            needs(reader, "from");
        }
        let server = smarthost(reader, node, "smarthost").or_else(|| global.smarthost.clone());
        if server.is_none() && Reader::field(node, "smarthost").is_none() {
            needs(reader, "smarthost");
        }
        let username = reader.text(node, "auth_username").or_else(|| global.username.clone());
        let username = username.filter(|username| !username.is_empty());
        let password = http::secret(reader, node, "auth_password").or_else(|| global.password.clone());
        if username.is_some() && password.is_none() {
            needs(reader, "auth_password");
        }
        let headers = headers(reader, node);
        let tls = Reader::field(node, "tls_config").map_or_else(|| global.tls.clone(), |tls| read_tls(reader, tls));
        let require_tls = reader.flag(node, "require_tls").or(global.require_tls).unwrap_or(true);
        let hello = reader.text(node, "hello").or_else(|| global.hello.clone());
        let (host, port) = server?;
        Some(Self {
            text: text_or(reader, node, "text", ""),
            html: text_or(reader, node, "html", r#"{{ template "email.default.html" . }}"#),
            to: to?,
            from: from?,
            host,
            port,
            hello: hello.filter(|hello| !hello.is_empty()).unwrap_or_else(|| "localhost".to_owned()),
            login: username.zip(password).map(|(username, password)| Login { username, password }),
            require_tls,
            tls,
            headers,
        })
    }
}

/// The headers that are set, the subject first unless another is set.
fn headers(reader: &mut Reader<'_>, node: &Node) -> Vec<(String, String)> {
    let mut headers = vec![("Subject".to_owned(), r#"{{ template "email.default.subject" . }}"#.to_owned())];
    let mut has_subject = false;
    for (name, text, place) in reader.pairs(node, "headers") {
        if let Some(why) = wrong_header(&name) {
            reader.report(place, format!("`{name}` {why}"), "take it out");
        }
        let place_of = headers.iter().position(|(other, _)| other.eq_ignore_ascii_case(&name));
        match place_of {
            // The default subject gives way; nothing else stands there yet.
            Some(0) if !has_subject && name.eq_ignore_ascii_case("subject") => {
                headers.remove(0);
                has_subject = true;
            }
            Some(_) => reader.report(place, format!("the header `{name}` is set twice"), "keep one"),
            None => {}
        }
        headers.push((name, text));
    }
    headers
}

/// What is not had of ways to log in.
const AUTH_REFUSED: [(&str, &str); 3] = [
    ("auth_secret", "CRAM-MD5 is not spoken: use `auth_password` over TLS"),
    ("auth_secret_file", "CRAM-MD5 is not spoken: use `auth_password_file` over TLS"),
    ("auth_identity", "take it out: the user is who logs in"),
];

impl MailGlobal {
    pub(in crate::config) const FIELDS: [&str; 12] = [
        "smtp_from",
        "smtp_hello",
        "smtp_smarthost",
        "smtp_auth_username",
        "smtp_auth_password",
        "smtp_auth_password_file",
        "smtp_auth_secret",
        "smtp_auth_secret_file",
        "smtp_auth_identity",
        "smtp_require_tls",
        "smtp_tls_config",
        "smtp_force_implicit_tls",
    ];

    pub(in crate::config) fn read(reader: &mut Reader<'_>, node: &Node) -> Self {
        reader.refuse(
            node,
            &[
                ("smtp_auth_secret", AUTH_REFUSED[0].1),
                ("smtp_auth_secret_file", AUTH_REFUSED[1].1),
                ("smtp_auth_identity", AUTH_REFUSED[2].1),
                ("smtp_force_implicit_tls", "use port 465, where TLS begins with the connection"),
            ],
        );
        Self {
            from: reader.text(node, "smtp_from"),
            smarthost: smarthost(reader, node, "smtp_smarthost"),
            hello: reader.text(node, "smtp_hello"),
            username: reader.text(node, "smtp_auth_username"),
            password: http::secret(reader, node, "smtp_auth_password"),
            require_tls: reader.flag(node, "smtp_require_tls"),
            tls: Reader::field(node, "smtp_tls_config").map_or_else(MailTls::default, |tls| read_tls(reader, tls)),
        }
    }
}

fn smarthost(reader: &mut Reader<'_>, node: &Node, field: &str) -> Option<(String, u16)> {
    let text = reader.text(node, field)?;
    let split = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let found = split.map(|(host, port)| (host.trim_start_matches('[').trim_end_matches(']').to_owned(), port));
    let found = found.filter(|(host, port)| !host.is_empty() && *port > 0);
    if found.is_none() {
        reader.report(node.get(field).unwrap_or(node), format!("{PORT_RANGE} in `{field}`"), "correct it");
    }
    found
}

fn read_tls(reader: &mut Reader<'_>, node: &Node) -> MailTls {
    const CLIENT: &str = "log in with `auth_username` and `auth_password`";
    const VERSION: &str = "take it out: TLS 1.2 and 1.3 are spoken";
    reader.mapping(
        node,
        "`tls_config`",
        &["ca_file", "server_name", "insecure_skip_verify", "cert_file", "key_file", "min_version", "max_version"],
    );
    let refused = [("cert_file", CLIENT), ("key_file", CLIENT), ("min_version", VERSION), ("max_version", VERSION)];
    reader.refuse(node, &refused);
    MailTls {
        ca_file: reader.text(node, "ca_file"),
        server_name: reader.text(node, "server_name"),
        insecure_skip_verify: reader.flag(node, "insecure_skip_verify").unwrap_or(false),
    }
}

/// Why a header can't be set (RFC 5322, section 2.2): it is no name, or we say what stands in it.
fn wrong_header(name: &str) -> Option<&'static str> {
    const OURS: [&str; 8] =
        ["to", "from", "date", "message-id", "mime-version", "content-type", "content-transfer-encoding", "bcc"];
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    if !is_name {
        return Some("is no header's name");
    }
    OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)).then_some("is a header that can't be set here")
}
