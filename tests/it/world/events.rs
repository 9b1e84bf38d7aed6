//! The journal as it grows, over HTTP.

use std::io::{BufRead, BufReader};

use serde_json::Value;
use ureq::BodyReader;

use super::World;

/// Events as the server sends them; ends when the server does.
pub(crate) struct Events(BufReader<BodyReader<'static>>);

impl Iterator for Events {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        // A server that is killed leaves half a line, or an error.
        self.0.read_line(&mut line).ok().filter(|read| *read > 0)?;
        serde_json::from_str(&line).ok()
    }
}

impl World {
    /// All events after a sequence, and those to come.
    pub(crate) fn follow(&self, after: u64) -> Events {
        let url = format!("{}/api/v1/events?after={after}&follow=true", self.url());
        let answer = self.agent.get(url).header("authorization", self.bearer()).call().unwrap();
        assert_eq!(answer.status(), 200);
        Events(BufReader::new(answer.into_body().into_reader()))
    }
}

/// An event's type, and in which environment and step it happened, or about which job.
pub(crate) fn label(event: &Value) -> String {
    let mut label = event["type"].as_str().unwrap().to_owned();
    for field in ["environment", "job"] {
        if let Some(value) = event["data"][field].as_str() {
            label = format!("{label} {value}");
        }
    }
    match event["data"]["step"].as_u64() {
        Some(step) => format!("{label} {step}"),
        None => label,
    }
}
