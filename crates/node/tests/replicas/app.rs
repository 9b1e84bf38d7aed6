//! The program that replicas run: a small HTTP server whose behaviour its environment and its requests decide.

use std::convert::Infallible;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::process::{Signal, getpid, kill_process};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// What runs `serve` in this binary.
pub(crate) const ARGUMENTS: [&str; 5] = ["app::serve", "--exact", "--ignored", "--nocapture", "--test-threads=1"];

struct App {
    begun: Instant,
    ready_after: Duration,
    unready: AtomicBool,
    unhealthy: AtomicBool,
    busy: AtomicUsize,
}

fn setting(name: &str) -> Option<String> {
    std::env::var_os(name)?.into_string().ok()
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// Not a test: `APP` is set only by the fixture.
#[test]
#[ignore = "the replicas' own program"]
fn serve() {
    if setting("APP").is_none() {
        return;
    }
    if let Some(status) = setting("APP_EXIT") {
        std::io::stderr().write_all(b"cannot go on\n").unwrap();
        match status.as_str() {
            "kill" => kill_process(getpid(), Signal::KILL).unwrap(),
            status => std::process::exit(status.parse().unwrap()),
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run());
    std::process::exit(0);
}

async fn run() {
    let port: u16 = setting("PORT").unwrap().parse().unwrap();
    let ready_after = setting("APP_READY_AFTER_MS").map_or(0, |ms| ms.parse().unwrap());
    let app = Arc::new(App {
        begun: Instant::now(),
        ready_after: Duration::from_millis(ready_after),
        unready: AtomicBool::new(false),
        unhealthy: AtomicBool::new(false),
        busy: AtomicUsize::new(0),
    });
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    say(&format!("listening on {port}"));
    if let Some(file) = setting("APP_PID_FILE") {
        // Whole once it is there.
        let new = format!("{file}.new");
        std::fs::write(&new, getpid().as_raw_pid().to_string()).unwrap();
        std::fs::rename(new, file).unwrap();
    }
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let app = Arc::clone(&app);
                let service = service_fn(move |request| answer(Arc::clone(&app), request));
                let connection = http1::Builder::new().serve_connection(TokioIo::new(accepted.unwrap().0), service);
                connections.spawn(async move { connection.await.ok(); });
            }
            _ = terminate.recv() => {
                say("told to end");
                if setting("APP_IGNORE_TERM").is_none() {
                    break;
                }
            }
        }
    }
    drop(listener);
    sleep(Duration::from_millis(setting("APP_LINGER_MS").map_or(0, |ms| ms.parse().unwrap()))).await;
    while app.busy.load(Ordering::SeqCst) > 0 {
        sleep(Duration::from_millis(1)).await;
    }
}

async fn answer(app: Arc<App>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    app.busy.fetch_add(1, Ordering::SeqCst);
    let mut parts = request.uri().path().splitn(3, '/').skip(1);
    let (what, argument) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut status = StatusCode::OK;
    let mut body = format!("{} {}", getpid().as_raw_pid(), setting("PORT").unwrap());
    match what {
        "ready" if app.unready.load(Ordering::SeqCst) || app.begun.elapsed() < app.ready_after => {
            status = StatusCode::SERVICE_UNAVAILABLE;
        }
        "live" if app.unhealthy.load(Ordering::SeqCst) => status = StatusCode::INTERNAL_SERVER_ERROR,
        "unready" => app.unready.store(true, Ordering::SeqCst),
        "unhealthy" => app.unhealthy.store(true, Ordering::SeqCst),
        "work" => {
            say("at work");
            sleep(Duration::from_millis(argument.parse().unwrap())).await;
        }
        "slow" => sleep(Duration::from_millis(argument.parse().unwrap())).await,
        "say" => say(argument),
        // A child that keeps a processor busy, and ends by itself should nobody end it.
        "burn" => drop(Command::new("/bin/sh").args(["-c", "ulimit -t 20; while :; do :; done"]).spawn().unwrap()),
        "exit" => std::process::exit(argument.parse().unwrap()),
        "environment" => {
            let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
                format!("{}={}", name.display(), value.display())
            };
            body = std::env::vars_os().map(text).collect::<Vec<_>>().join("\n");
        }
        "directory" => body = std::env::current_dir().unwrap().display().to_string(),
        _ => {}
    }
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    app.busy.fetch_sub(1, Ordering::SeqCst);
    Ok(response)
}
