//! A site that is scraped and a receiver that is told, both of ours and of theirs: notes when each saw and said something.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use serde_json::Value;
use tokio::time::Instant;

/// The largest notification, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// When each side scraped each symptom first, and told of it first; a side is the first part of the path.
#[derive(Debug, Default)]
struct Notes {
    symptoms: usize,
    seen: BTreeMap<(String, usize), Instant>,
    told: BTreeMap<(String, usize), Instant>,
}

/// What is scraped and told. Its threads end with the process.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) address: SocketAddr,
    notes: Arc<Mutex<Notes>>,
    symptoms_max: usize,
}

impl Site {
    /// One that can show so many symptoms, and shows none yet.
    pub(super) fn start(symptoms_max: usize) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let this = Self { address: listener.local_addr()?, notes: Arc::default(), symptoms_max };
        let site = this.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let site = site.clone();
                // Whoever breaks off is not answered.
                std::thread::spawn(move || site.answer(&stream).ok());
            }
        });
        Ok(this)
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows one more symptom.
    pub(super) fn worsen(&self) {
        self.notes().symptoms += 1;
    }

    /// How many seconds lay between a side's scrape of each symptom and its word of it; none as long as any is missing.
    pub(super) fn delays(&self, side: &str) -> Option<Vec<f64>> {
        let notes = self.notes();
        let delay = |symptom| {
            let key = (side.to_owned(), symptom);
            Some(notes.told.get(&key)?.duration_since(*notes.seen.get(&key)?).as_secs_f64())
        };
        (0..self.symptoms_max).map(delay).collect()
    }

    fn answer(&self, stream: &TcpStream) -> anyhow::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let path = line.split(' ').nth(1).context("no path")?.to_owned();
        let mut length = 0;
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse::<usize>()?.min(BODY_BYTES_MAX);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let text = match path.trim_start_matches('/').split_once('/') {
            Some((side, "metrics")) => self.scraped(side),
            Some((side, _)) => self.hear(side, &body)?,
            None => String::new(),
        };
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\nconnection: close\r\n";
        Ok(write!(&mut &*stream, "{head}content-length: {}\r\n\r\n{text}", text.len())?)
    }

    fn scraped(&self, side: &str) -> String {
        let mut notes = self.notes();
        let now = Instant::now();
        for symptom in 0..notes.symptoms {
            notes.seen.entry((side.to_owned(), symptom)).or_insert(now);
        }
        let line = |symptom| format!("symptom{{number=\"{symptom}\"}} {}\n", u8::from(symptom < notes.symptoms));
        (0..self.symptoms_max).map(line).collect()
    }

    fn hear(&self, side: &str, body: &[u8]) -> anyhow::Result<String> {
        let now = Instant::now();
        let body: Value = serde_json::from_slice(body)?;
        let alerts = body.get("alerts").and_then(Value::as_array).context("no alerts")?;
        for alert in alerts {
            let number = alert.pointer("/labels/number").and_then(Value::as_str).context("no number")?;
            self.notes().told.entry((side.to_owned(), number.parse()?)).or_insert(now);
        }
        Ok(String::new())
    }
}
