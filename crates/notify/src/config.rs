//! `alertmanager.yml`, as Alertmanager 0.25 reads it, strictly, and with all findings told at once.
//!
//! Receivers that we do not have are refused by name, and so is every setting that would be without effect. Four kinds of
//! receivers are ours alone: `matrix_configs`, `ntfy_configs`, `console_configs` and `oncall_configs`.
//!
//! Source: Alertmanager documentation, "Configuration".

mod document;
mod http;
mod interval;
mod mask;
mod reader;
mod receivers;
mod route;
mod secret;

#[cfg(test)]
mod tests;

use prograde_model::alert::Routing;
use prograde_model::diagnostic::{Diagnostic, Diagnostics};

pub use http::{Authorization, Http};
pub(crate) use receivers::SLACK_TEXTS;
pub use receivers::{
    Console, Email, Field, Kind, Login, MailTls, Matrix, Ntfy, Oncall, PagerDuty, Slack, Way, Webhook,
};
pub use secret::{Secret, SecretError};

/// The code of every finding but those below and those about YAML itself.
pub const CODE: &str = "PG0650";
/// The code of a receiver that we do not have.
pub const CODE_RECEIVER: &str = "PG0651";
/// The code of a setting that we do not have.
pub const CODE_SETTING: &str = "PG0652";

/// A configuration that can be used.
#[derive(Debug, Clone)]
pub struct Config {
    /// What decides who is told what.
    pub routing: Routing,
    /// How each receiver is told, by its name, in the order in which they are told.
    pub ways: Vec<(String, Vec<Way>)>,
    /// Patterns of files with templates, relative to the file's folder.
    pub templates: Vec<String>,
    /// The file as JSON, which is YAML as well, with `<secret>` for what nobody should see.
    pub shown: String,
}

/// Reads a configuration; `file` is only for messages.
pub fn parse(file: &str, text: &str) -> Result<Config, Diagnostics> {
    let documents = prograde_yaml::documents(file, text)?;
    let mut reader = reader::Reader::new(file);
    let [document] = documents.as_slice() else {
        let message = format!("the file has {} documents, expected one with `route` and `receivers`", documents.len());
        return Err(Diagnostic::file(CODE, file, message, "write `route:` and `receivers:`").into());
    };
    let config = document::read(&mut reader, document);
    reader.finish(config)
}
