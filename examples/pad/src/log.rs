//! Logs: one JSON object a line on standard output, once the program has called [`start`].

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use serde_json::{Map, Value, json};

static STARTED: AtomicBool = AtomicBool::new(false);

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The course of things.
    Info,
    /// Something is not as it should be, and is dealt with.
    Warn,
    /// A request or the process failed.
    Error,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Writes one line; `fields` is a JSON object whose members are added to it.
pub fn line(level: Level, message: &str, fields: Value) {
    if !STARTED.load(Ordering::Relaxed) {
        return;
    }
    let mut line = Map::new();
    line.insert("ts".into(), json!(humantime::format_rfc3339_millis(SystemTime::now()).to_string()));
    line.insert("level".into(), json!(level.as_str()));
    line.insert("msg".into(), json!(message));
    if let Value::Object(fields) = fields {
        line.extend(fields);
    }
    let mut text = Value::Object(line).to_string();
    text.push('\n');
    // Nobody is left to tell when standard output is gone, and a service does not stop for its log.
    drop(std::io::stdout().lock().write_all(text.as_bytes()));
}

/// From now on lines are written, and a panic is one of them instead of text on standard error.
pub fn start() {
    STARTED.store(true, Ordering::Relaxed);
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("a value that is not text");
        let at = panic.location().map(ToString::to_string);
        line(Level::Error, "panic", json!({ "panic": message, "at": at }));
    }));
}
