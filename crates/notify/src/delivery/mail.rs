//! Mails, over SMTP.
//!
//! Source: RFC 5321 (SMTP), RFC 3207 (STARTTLS), RFC 5322 (messages); Alertmanager documentation, "Configuration",
//! `email_config`.

use std::path::Path;
use std::time::{Duration, SystemTime};

use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Mailboxes, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Message, SmtpTransport, Transport as _};
use prograde_model::alert::Failure;
use sha2::{Digest as _, Sha256};

use super::outgoing::secret;
use super::{Letter, cut};
use crate::config::Email;

/// The longest subject, in characters, and other headers.
const HEADER_MAX: usize = 500;
/// The longest text, in characters; mail servers commonly take 10 MB.
const TEXT_MAX: usize = 1_000_000;
/// A conversation with a mail server has about so many turns, each of which is waited for by itself.
const TURNS: u32 = 4;

/// Sends a mail.
pub(super) fn send(letter: &Letter<'_>, email: &Email, timeout: Duration) -> Result<(), Failure> {
    let (envelope, message) = message(letter, email)?;
    let folder = &letter.delivery.folder;
    let mut transport = SmtpTransport::builder_dangerous(&email.host)
        .port(email.port)
        .hello_name(ClientId::Domain(email.hello.clone()))
        .tls(tls(email, folder)?)
        .timeout(Some(timeout / TURNS));
    if let Some(login) = &email.login {
        let password = secret(&login.password, folder)?;
        transport = transport
            .credentials(Credentials::new(login.username.clone(), password))
            .authentication(vec![Mechanism::Plain, Mechanism::Login]);
    }
    transport.build().send_raw(&envelope, &message.formatted()).map(drop).map_err(|error| told(&error))
}

/// A failure in the server's words, or in the library's; neither holds what we showed to log in.
fn told(error: &lettre::transport::smtp::Error) -> Failure {
    let mut why = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        let text = source.to_string();
        if !why.contains(&text) {
            why = format!("{why}: {text}");
        }
        cause = source.source();
    }
    if error.is_permanent() { Failure::Lasting { why } } else { Failure::Passing { why, retry_after: None } }
}

fn tls(email: &Email, folder: &Path) -> Result<Tls, Failure> {
    let name = email.tls.server_name.clone().unwrap_or_else(|| email.host.clone());
    let skips = email.tls.insecure_skip_verify;
    let mut parameters =
        TlsParameters::builder(name).dangerous_accept_invalid_certs(skips).dangerous_accept_invalid_hostnames(skips);
    if let Some(file) = &email.tls.ca_file {
        let unusable =
            |why: String| Failure::Lasting { why: format!("the certificate in {file} can't be used: {why}") };
        let pem = std::fs::read(folder.join(file)).map_err(|error| unusable(error.to_string()))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| unusable(error.to_string()))?;
        parameters = parameters.add_root_certificate(certificate);
    }
    let parameters = parameters.build();
    let parameters = parameters.map_err(|error| Failure::Lasting { why: format!("TLS can't be set up: {error}") })?;
    Ok(if email.is_wrapped() {
        Tls::Wrapper(parameters)
    } else if email.require_tls {
        Tls::Required(parameters)
    } else {
        Tls::Opportunistic(parameters)
    })
}

/// The mail, and between whom it goes. Its id is made of what is said and when it was decided, so that a second attempt is
/// known for what it is.
fn message(letter: &Letter<'_>, email: &Email) -> Result<(Envelope, Message), Failure> {
    let lasting = |why: String| Failure::Lasting { why };
    let (to, from) = (letter.text("to")?, letter.text("from")?);
    let to: Mailboxes = to.parse().map_err(|error| lasting(format!("`to` is no list of addresses: {error}")))?;
    let from: Mailbox = from.parse().map_err(|error| lasting(format!("`from` is no address: {error}")))?;
    let receivers: Vec<_> = to.iter().map(|mailbox| mailbox.email.clone()).collect();
    let envelope = Envelope::new(Some(from.email.clone()), receivers);
    let envelope = envelope.map_err(|error| lasting(format!("`to` names nobody: {error}")))?;
    let notification = letter.notification;
    let unique = format!("{:?} {} {}", notification.key, letter.way, notification.at);
    let id = format!("<{}@{}>", hex::encode(Sha256::digest(unique.as_bytes())), from.email.domain());
    let mut builder = Message::builder().from(from).message_id(Some(id)).date(SystemTime::from(notification.at));
    for mailbox in to {
        builder = builder.to(mailbox);
    }
    for (name, _) in &email.headers {
        let text = one_line(letter.text(&format!("headers.{name}"))?);
        let header = HeaderName::new_from_ascii(name.clone());
        let header = header.map_err(|error| lasting(format!("`{name}` is no header's name: {error}")))?;
        builder = builder.raw_header(HeaderValue::new(header, text));
    }
    let (text, html) = (cut(letter.text("text")?, TEXT_MAX), cut(letter.html("html")?, TEXT_MAX));
    let built = match (text.is_empty(), html.is_empty()) {
        (false, false) => builder.multipart(MultiPart::alternative_plain_html(text, html)),
        (true, false) => builder.singlepart(SinglePart::html(html)),
        (_, true) => builder.singlepart(SinglePart::plain(text)),
    };
    Ok((envelope, built.map_err(|error| lasting(format!("the mail can't be written: {error}")))?))
}

/// A header is one line, whatever it was filled in with.
fn one_line(text: String) -> String {
    cut(text, HEADER_MAX).split(|c: char| c.is_control()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}
