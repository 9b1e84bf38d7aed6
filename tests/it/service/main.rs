//! The service that flies in the tests: a small HTTP server whose behaviour is written at the end of its own file.
//!
//! The pipeline copies this program and appends one line of settings to it, so that another behaviour is another digest
//! without a compiler being run. The settings: `greeting=WORD`, `failures=PERCENT` of `GET /`, `well=COUNT` of requests
//! before it fails, `crash=PLACE`, the environment in which it ends at once, and `check=WORD`, with which it fails when it is
//! started with the argument `check`. With the argument `migrate` it fails in the environment of `unmigratable=PLACE`. The
//! variable `FAILURES_PERCENT`, from its
//! manifests, is heeded where the settings say nothing.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What the line of settings begins with.
const MARK: &[u8] = b"\nit-service: ";

struct Behaviour {
    greeting: String,
    failures_percent: u64,
    well: u64,
    asked: AtomicU64,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say("stderr", &format!("ended: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let settings = settings()?;
    let value = |name: &str| settings.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let number = |name: &str| value(name).and_then(|text| text.parse().ok());
    let place = variable("PLACE")?;
    if std::env::args().nth(1).as_deref() == Some("check") {
        return check(value("check"));
    }
    let greeting = value("greeting").unwrap_or("hello");
    if std::env::args().nth(1).as_deref() == Some("migrate") {
        return migrate(greeting, &place, value("unmigratable"));
    }
    if value("crash") == Some(&place) {
        return Err(io::Error::other(format!("crashes in {place}, as it was told")));
    }
    let behaviour = Arc::new(Behaviour {
        greeting: greeting.to_owned(),
        failures_percent: number("failures").or_else(|| variable("FAILURES_PERCENT").ok()?.parse().ok()).unwrap_or(0),
        well: number("well").unwrap_or(0),
        asked: AtomicU64::new(0),
    });
    let port = variable("PORT")?.parse().map_err(io::Error::other)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    enter(&format!("serve {greeting} {place}"))?;
    say("stdout", &format!("{} serves in {place}", behaviour.greeting));
    for stream in listener.incoming() {
        let (stream, behaviour) = (stream?, Arc::clone(&behaviour));
        std::thread::spawn(move || {
            // A client that goes away in the middle is no news.
            drop(answer_all(&stream, &behaviour));
        });
    }
    Ok(())
}

/// Looks at the candidate, which must have been told; says what the settings say of it.
fn check(told: Option<&str>) -> io::Result<()> {
    TcpStream::connect(variable("PROGRADE_CANDIDATE")?)?;
    told.map_or(Ok(()), |word| Err(io::Error::other(format!("the check says {word}"))))
}

/// Enters itself into the ledger, and takes as long as there is a file `hold` beside that.
#[expect(clippy::disallowed_methods, reason = "nothing here is asynchronous")]
fn migrate(greeting: &str, place: &str, unmigratable: Option<&str>) -> io::Result<()> {
    enter(&format!("migrate {greeting} {place}"))?;
    while variable("LEDGER").is_ok_and(|ledger| Path::new(&ledger).with_extension("hold").exists()) {
        std::thread::sleep(Duration::from_millis(10));
    }
    if unmigratable == Some(place) {
        return Err(io::Error::other(format!("there is no table orders in {place}")));
    }
    say("stdout", "migrated");
    Ok(())
}

/// A line in the file that the variable `LEDGER` names, where it does: what was done first stands first.
fn enter(line: &str) -> io::Result<()> {
    let Ok(ledger) = variable("LEDGER") else { return Ok(()) };
    File::options().create(true).append(true).open(ledger)?.write_all(format!("{line}\n").as_bytes())
}

/// What stands after the mark in the last bytes of this program's own file.
fn settings() -> io::Result<String> {
    let program = fs::read("/proc/self/exe")?;
    let tail = program.get(program.len().saturating_sub(512)..).unwrap_or_default();
    let at = tail.windows(MARK.len()).rposition(|window| window == MARK);
    let line = at.and_then(|at| tail.get(at + MARK.len()..)).unwrap_or_default();
    Ok(String::from_utf8_lossy(line).trim().to_owned())
}

fn variable(name: &str) -> io::Result<String> {
    let value = std::env::vars().find(|(key, _)| key == name).map(|(_, value)| value);
    value.ok_or_else(|| io::Error::other(format!("{name} is not set")))
}

/// Answers the requests of one connection.
fn answer_all(stream: &TcpStream, behaviour: &Behaviour) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or("/").to_owned();
        // The headers; no request here has a body.
        while line.trim() != "" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
        }
        let (status, body) = answer(&path, behaviour);
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n");
        (&mut &*stream).write_all(format!("{head}{body}").as_bytes())?;
    }
}

fn answer(path: &str, behaviour: &Behaviour) -> (&'static str, String) {
    let whoami = || format!("{} {}\n", behaviour.greeting, std::process::id());
    if let Some(word) = path.strip_prefix("/say/") {
        say("stdout", word);
        return ("200 OK", whoami());
    }
    match path {
        "/metrics" => {
            ("200 OK", format!("# TYPE asked_total counter\nasked_total {}\n", behaviour.asked.load(Ordering::Relaxed)))
        }
        "/healthz" => ("200 OK", "well\n".to_owned()),
        "/" => {
            // Evenly spread: of any hundred requests in a row, just so many fail.
            let asked = behaviour.asked.fetch_add(1, Ordering::Relaxed);
            let turn = asked % 100;
            let fails = asked >= behaviour.well
                && (turn + 1) * behaviour.failures_percent / 100 > turn * behaviour.failures_percent / 100;
            (if fails { "500 Internal Server Error" } else { "200 OK" }, whoami())
        }
        _ => ("404 Not Found", "no such path\n".to_owned()),
    }
}

/// A line of output. A reader that went away must not end the service.
fn say(stream: &str, line: &str) {
    let line = format!("{line}\n");
    drop(if stream == "stderr" {
        io::stderr().write_all(line.as_bytes())
    } else {
        io::stdout().write_all(line.as_bytes())
    });
}
