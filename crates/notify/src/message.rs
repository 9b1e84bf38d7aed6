//! Texts of notifications: what templates are given, and the templates that are there by themselves.
//!
//! Source: Alertmanager documentation, "Notification template reference".

mod data;
mod functions;

use std::collections::BTreeMap;
use std::path::Path;

use prograde_model::diagnostic::{Diagnostic, Diagnostics};
use prograde_template::{Call, Error, Escape, Limits, Templates, Value};

use crate::config::{Config, Kind, SLACK_TEXTS};

pub use data::{Data, PageLink, WireAlert};
pub use functions::functions;

/// The code of a template that can't be used.
pub const CODE: &str = "PG0653";

/// The templates that configurations build on, by the names that Alertmanager has for them.
const DEFAULTS: &str = include_str!("message/default.tmpl");

/// How many files with templates are read.
const FILES_MAX: usize = 1_000;

/// All texts of a configuration, ready to be filled in.
#[derive(Debug)]
pub struct Messages {
    templates: Templates,
    names: BTreeMap<String, String>,
}

impl Messages {
    /// Reads the texts of a configuration, and the files with templates that it names. `file` is the configuration's own
    /// name, `folder` where it lies.
    pub fn new(config: &Config, file: &str, folder: &Path) -> Result<Self, Diagnostics> {
        let functions = functions();
        let mut found = Vec::new();
        let mut templates = Templates::new();
        let wrong = |file: &str, error: &Error| {
            let (line, column) = (u32::try_from(error.line), u32::try_from(error.column));
            let place = Diagnostic::file(CODE, file, error.message.clone(), "");
            place.at(line.unwrap_or_default(), column.unwrap_or_default())
        };
        if let Err(error) = templates.add("default.tmpl", DEFAULTS, &functions, &[]) {
            found.push(wrong("default.tmpl", &error));
        }
        for pattern in &config.templates {
            match files(folder, pattern) {
                Ok(files) => {
                    for (name, text) in files {
                        if let Err(error) = templates.add(&name, &text, &functions, &[]) {
                            found.push(wrong(&name, &error));
                        }
                    }
                }
                Err(why) => found.push(Diagnostic::file(CODE, file, why, "correct `templates`")),
            }
        }
        let mut names = BTreeMap::new();
        for (receiver, way, field, text) in texts(config) {
            let name = name(receiver, way, &field);
            if let Err(error) = templates.add(&name, text, &functions, &[]) {
                let message = format!("`{field}` of {way} of receiver `{receiver}`: {}", error.message);
                found.push(Diagnostic::file(CODE, file, message, "correct the template"));
            }
            // An empty text does not replace a template of its name, and there is nothing to fill in.
            if !text.is_empty() {
                names.insert(name.clone(), name);
            }
        }
        if found.is_empty() { Ok(Self { templates, names }) } else { Err(Diagnostics(found)) }
    }

    /// The text of a receiver's field, filled in.
    pub fn fill(&self, receiver: &str, way: &str, field: &str, data: &Value) -> Result<String, Error> {
        self.filled(receiver, way, field, data, Escape::Nothing)
    }

    /// The same for a text that is HTML.
    pub fn fill_html(&self, receiver: &str, way: &str, field: &str, data: &Value) -> Result<String, Error> {
        self.filled(receiver, way, field, data, Escape::Html)
    }

    fn filled(&self, receiver: &str, way: &str, field: &str, data: &Value, escape: Escape) -> Result<String, Error> {
        let Some(name) = self.names.get(&name(receiver, way, field)) else { return Ok(String::new()) };
        let functions = functions();
        let call =
            Call { data: data.clone(), variables: &[], functions: &functions, limits: Limits::default(), escape };
        self.templates.execute(name, &call)
    }
}

fn name(receiver: &str, way: &str, field: &str) -> String {
    format!("{field} of {way} of {receiver}")
}

/// Every text of a configuration that is a template: the receiver, the way, the field and the text.
fn texts(config: &Config) -> Vec<(&str, &str, String, &str)> {
    let mut all = Vec::new();
    for (receiver, ways) in &config.ways {
        for way in ways {
            let of_way = of_kind(&way.kind);
            all.extend(of_way.into_iter().map(|(field, text)| (receiver.as_str(), way.name.as_str(), field, text)));
        }
    }
    all
}

fn of_kind(kind: &Kind) -> Vec<(String, &str)> {
    let numbered = |list: &str, index: usize, field: &str| format!("{list}.{index}.{field}");
    match kind {
        Kind::Webhook(_) | Kind::Oncall(_) => Vec::new(),
        Kind::Email(email) => {
            let own = [("to", &email.to), ("from", &email.from), ("text", &email.text), ("html", &email.html)];
            let headers = email.headers.iter().map(|(name, text)| (format!("headers.{name}"), text.as_str()));
            own.into_iter().map(|(name, text)| (name.to_owned(), text.as_str())).chain(headers).collect()
        }
        Kind::Console(console) => vec![("text".into(), &console.text)],
        Kind::Slack(slack) => {
            let fields = slack.fields.iter().enumerate().flat_map(|(index, field)| {
                [
                    (numbered("fields", index, "title"), field.title.as_str()),
                    (numbered("fields", index, "value"), field.value.as_str()),
                ]
            });
            let texts = slack.texts.iter().map(|(name, text)| ((*name).to_owned(), text.as_str()));
            texts.chain([("channel".to_owned(), slack.channel.as_str())]).chain(fields).collect()
        }
        Kind::PagerDuty(pager) => {
            let [class, component, group] = &pager.class;
            let own = [
                ("description", &pager.description),
                ("severity", &pager.severity),
                ("client", &pager.client),
                ("client_url", &pager.client_url),
                ("source", &pager.source),
                ("class", class),
                ("component", component),
                ("group", group),
            ];
            let details = pager.details.iter().map(|(name, text)| (format!("details.{name}"), text.as_str()));
            let images = pager.images.iter().enumerate().flat_map(|(index, image)| {
                let fields = ["src", "href", "alt"].into_iter().zip(image);
                fields.map(move |(field, text)| (numbered("images", index, field), text.as_str()))
            });
            let links = pager.links.iter().enumerate().flat_map(|(index, link)| {
                let fields = ["href", "text"].into_iter().zip(link);
                fields.map(move |(field, text)| (numbered("links", index, field), text.as_str()))
            });
            let own = own.into_iter().map(|(name, text)| (name.to_owned(), text.as_str()));
            own.chain(details).chain(images).chain(links).collect()
        }
        Kind::Matrix(matrix) => vec![("text".into(), &matrix.text), ("html".into(), &matrix.html)],
        Kind::Ntfy(ntfy) => {
            let own = [
                ("title", &ntfy.title),
                ("text", &ntfy.text),
                ("priority", &ntfy.priority),
                ("tags", &ntfy.tags),
                ("click", &ntfy.click),
            ];
            own.into_iter().map(|(name, text)| (name.to_owned(), text.as_str())).collect()
        }
    }
}

/// The names of Slack's texts that stand in the attachment.
pub(crate) fn is_in_attachment(field: &str) -> bool {
    SLACK_TEXTS.iter().any(|(name, _, attached)| *name == field && *attached)
}

/// The files that a pattern names, by their names, in order. Only the last part of a path may have `*` and `?`.
fn files(folder: &Path, pattern: &str) -> Result<Vec<(String, String)>, String> {
    let path = folder.join(pattern);
    let last = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let parent = path.parent().unwrap_or(folder);
    if parent.to_string_lossy().contains(['*', '?', '[']) || last.contains('[') {
        return Err(format!("`{pattern}`: only the last part of a pattern may have `*` and `?`"));
    }
    let read = |path: &Path| {
        let size = std::fs::metadata(path).map(|data| data.len());
        if size.is_ok_and(|size| size > prograde_template::TEXT_BYTES_MAX as u64) {
            return Err(format!("{} is larger than {} bytes", path.display(), prograde_template::TEXT_BYTES_MAX));
        }
        std::fs::read_to_string(path).map_err(|error| format!("{} can't be read: {error}", path.display()))
    };
    if !last.contains(['*', '?']) {
        return Ok(vec![(pattern.to_owned(), read(&path)?)]);
    }
    // As in Alertmanager, a pattern that nothing matches is no error.
    let Ok(entries) = std::fs::read_dir(parent) else { return Ok(Vec::new()) };
    let mut names: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    names.retain(|path| {
        path.is_file() && path.file_name().and_then(|name| name.to_str()).is_some_and(|name| is_like(last, name))
    });
    names.sort();
    if names.len() > FILES_MAX {
        return Err(format!("`{pattern}` names {} files, more than the {FILES_MAX} that are read", names.len()));
    }
    names.iter().map(|path| Ok((path.to_string_lossy().into_owned(), read(path)?))).collect()
}

/// Whether a name is as a pattern with `*` and `?` says.
fn is_like(pattern: &str, name: &str) -> bool {
    let mut escaped = String::new();
    for c in pattern.chars() {
        match c {
            '*' => escaped.push_str("(?s).*"),
            '?' => escaped.push_str("(?s)."),
            c if c.is_alphanumeric() => escaped.push(c),
            c => escaped.extend(format!("\\x{{{:x}}}", u32::from(c)).chars()),
        }
    }
    prograde_model::pattern::Pattern::new(&escaped).is_ok_and(|pattern| pattern.is_match(name))
}
