//! The program itself: its signals, its exit status, its log.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

const BOUND: Duration = Duration::from_secs(30);

/// The program with no fault and no other variable than these.
fn command(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pad"));
    command.env_clear().stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.envs([("PAD_HOST", "127.0.0.1"), ("PORT", "0"), ("PAD_DRAIN_SECONDS", "0"), ("PAD_ERROR_SHARE", "0")]);
    command.envs([("PAD_LATENCY_SHARE", "0"), ("PAD_CRASH_AT_START", "false")]);
    command.envs(variables.iter().copied());
    command
}

/// Runs it to its end: exit code and log lines.
async fn run(variables: &[(&str, &str)]) -> (Option<i32>, Vec<Value>) {
    let output = timeout(BOUND, command(variables).output()).await.expect("it ends").unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "all output is in the log");
    let log = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), log.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

async fn next_line(log: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> Value {
    let mut line = String::new();
    timeout(BOUND, log.read_line(&mut line)).await.expect("a line comes").unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

async fn signalled(child: &mut Child, signal: &str) -> ExitStatus {
    let script = format!("kill -{signal} {}", child.id().unwrap());
    assert!(Command::new("sh").args(["-c", &script]).status().await.unwrap().success());
    timeout(BOUND, child.wait()).await.expect("it ends").unwrap()
}

#[tokio::test]
async fn it_serves_until_a_signal_and_logs_in_json() {
    for signal in ["TERM", "INT"] {
        let mut child = command(&[]).spawn().unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap());
        let listening = next_line(&mut log).await;
        assert_eq!((&listening["level"], &listening["msg"]), (&"info".into(), &"listening".into()));

        let mut stream = TcpStream::connect(listening["address"].as_str().unwrap()).await.unwrap();
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let request = format!(
            "GET /status/404?token=abc HTTP/1.1\r\nhost: pad\r\nconnection: close\r\ntraceparent: 00-{trace}-b7ad6b7169203331-01\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(BOUND, stream.read_to_string(&mut answer)).await.expect("an answer").unwrap();
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");

        let line = next_line(&mut log).await;
        assert_eq!((&line["msg"], &line["path"]), (&"request".into(), &"/status/404".into()), "no query in the log");
        assert_eq!((&line["status"], &line["route"]), (&404.into(), &"/status/{code}".into()));
        assert_eq!((&line["trace_id"], &line["parent_span_id"]), (&trace.into(), &"b7ad6b7169203331".into()));
        assert_eq!(line["span_id"].as_str().map(str::len), Some(16));

        assert_eq!(signalled(&mut child, signal).await.code(), Some(0));
        assert_eq!(next_line(&mut log).await["msg"], "draining");
        assert_eq!(next_line(&mut log).await["msg"], "stopped");
    }
}

#[tokio::test]
async fn a_bad_setting_ends_it_with_status_2() {
    let (code, log) = run(&[("PAD_ERROR_SHARE", "150%")]).await;
    assert_eq!(code, Some(2));
    assert_eq!(log[0]["error"], "PAD_ERROR_SHARE=\"150%\" can't be used: expected a share from 0 to 1");
}

#[tokio::test]
async fn a_taken_port_ends_it_with_status_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, log) = run(&[("PORT", &taken.local_addr().unwrap().port().to_string())]).await;
    assert_eq!(code, Some(1));
    assert_eq!(log[0]["msg"], "can't serve");
}

#[tokio::test]
async fn it_crashes_at_its_start_when_asked_to() {
    let (code, log) = run(&[("PAD_CRASH_AT_START", "true")]).await;
    assert_eq!(code, Some(101));
    assert_eq!((&log[0]["level"], &log[0]["msg"]), (&"error".into(), &"panic".into()));
}
