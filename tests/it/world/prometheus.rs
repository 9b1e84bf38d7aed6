//! The team's Prometheus, and the exporter that it scrapes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::peer::Peer;

/// Queue depths by commit, as an exporter tells them. It stays there until the tests end.
#[derive(Clone)]
pub(crate) struct Exporter {
    port: u16,
    depths: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Exporter {
    pub(crate) fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let depths = Arc::<Mutex<BTreeMap<String, u32>>>::default();
        let told = Arc::clone(&depths);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A scraper that goes away in the middle is no news.
                drop(tell(&stream.unwrap(), &told.lock().unwrap()));
            }
        });
        Self { port, depths }
    }

    /// Where it is scraped.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Says how deep a commit's queue is from now on.
    pub(crate) fn set(&self, commit: &str, depth: u32) {
        self.depths.lock().unwrap().insert(commit.to_owned(), depth);
    }
}

fn tell(stream: &TcpStream, depths: &BTreeMap<String, u32>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let samples = depths.iter().map(|(commit, depth)| format!("queue_depth{{commit=\"{commit}\"}} {depth}\n"));
    let body: String = samples.collect();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    (&mut &*stream).write_all(format!("{head}{body}").as_bytes())
}

/// A Prometheus of its own, which ends with this value.
pub(crate) struct Prometheus {
    peer: Peer,
    pub(crate) exporter: Exporter,
}

impl Prometheus {
    /// Starts it and waits until it listens. `None` where it is not installed, which is a failure in CI.
    pub(crate) fn start() -> Option<Self> {
        Self::with("")
    }

    /// The same with more in its configuration.
    pub(crate) fn with(more: &str) -> Option<Self> {
        let exporter = Exporter::open();
        let config = format!(
            "global: {{ scrape_interval: 500ms, scrape_timeout: 500ms }}\n\
             scrape_configs: [{{ job_name: pad, static_configs: [{{ targets: ['127.0.0.1:{}'] }}] }}]\n{more}",
            exporter.port
        );
        let arguments = ["--config.file=config.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0"];
        let peer = Peer::start("prometheus", &config, &arguments)?;
        Some(Self { peer, exporter })
    }

    /// Where it is found.
    pub(crate) fn url(&self) -> &str {
        &self.peer.url
    }
}
