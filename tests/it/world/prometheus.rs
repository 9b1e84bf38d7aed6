//! The team's Prometheus, and the exporter that it scrapes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::wait::until;

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
    child: Child,
    _dir: TempDir,
    pub(crate) url: String,
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
        let dir = tempfile::Builder::new().prefix("prograde-it-prometheus-").tempdir().unwrap();
        let config = format!(
            "global: {{ scrape_interval: 500ms, scrape_timeout: 500ms }}\n\
             scrape_configs: [{{ job_name: pad, static_configs: [{{ targets: ['127.0.0.1:{}'] }}] }}]\n{more}",
            exporter.port
        );
        fs::write(dir.path().join("prometheus.yml"), config).unwrap();
        let log = dir.path().join("log");
        let mut command = Command::new("prometheus");
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0"]);
        command.current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::null());
        let child = match command.stderr(File::create(&log).unwrap()).spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let ci = std::env::vars().any(|(name, value)| name == "CI" && value == "true");
                assert!(!ci, "prometheus is missing: run scripts/test-peers.sh");
                left_out();
                return None;
            }
            Err(error) => panic!("prometheus can't be started: {error}"),
        };
        let mut this = Self { child, _dir: dir, url: String::new(), exporter };
        this.url = until("prometheus listens", || {
            let log = fs::read_to_string(&log).unwrap();
            let line = log.lines().find(|line| line.contains("Listening on"))?;
            let address = line.split("address=").nth(1)?.split_whitespace().next()?;
            Some(format!("http://{address}"))
        });
        Some(this)
    }
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests should know which they did not run")]
fn left_out() {
    eprintln!("left out: prometheus is not installed");
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
