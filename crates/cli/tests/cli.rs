//! The binary as a user or a script meets it: exit statuses, what goes to stdout and what to stderr.
#![cfg(test)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A directory of one test's own, in which the binary finds nothing of this machine's user.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_prograde"));
        command.args(args).current_dir(self.path()).env_clear();
        command.env("HOME", self.path()).env("PATH", env!("PATH")).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// A real server on a port of its own; killed with its replicas' supervisor when the test ends early.
struct Running {
    child: Child,
    url: String,
}

impl Running {
    fn start(place: &Place) -> Self {
        let mut child = place
            .command(&["serve", "--listen", "127.0.0.1:0", "--json", "--log-format", "json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Ok(said) = serde_json::from_str::<serde_json::Value>(&line) else {
            let mut log = String::new();
            child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
            panic!("the server did not start: {log}");
        };
        Self { child, url: said["url"].as_str().unwrap().to_owned() }
    }

    /// SIGTERM, as a service manager sends it.
    fn stop(mut self) -> i32 {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

/// Answers every connection with one fixed text, as something that is no Prograde server does.
fn stranger(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = [0; 4096];
            let _ended = connection.read(&mut request).and_then(|_| connection.write_all(answer.as_bytes()));
        }
    });
    url
}

#[test]
fn help_is_a_page_for_each_command() {
    let place = Place::new();
    for (name, args) in [
        ("help", vec!["--help"]),
        ("help_serve", vec!["serve", "--help"]),
        ("help_status", vec!["status", "--help"]),
        ("help_flight_show", vec!["flight", "show", "--help"]),
        ("help_flight_watch", vec!["flight", "watch", "--help"]),
        ("help_approve", vec!["approve", "--help"]),
        ("help_abort", vec!["abort", "--help"]),
        ("help_rollback", vec!["rollback", "--help"]),
        ("help_logs", vec!["logs", "--help"]),
        ("help_quarantine_lift", vec!["quarantine", "lift", "--help"]),
        ("help_journal_verify", vec!["journal", "verify", "--help"]),
        ("help_check", vec!["check", "--help"]),
        ("help_init", vec!["init", "--help"]),
    ] {
        let ran = place.run(&args);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{name}");
        assert!(name == "help" || ran.out.contains("Examples:"), "{name}");
        insta::assert_snapshot!(name, ran.out.replace(place.path().to_str().unwrap(), "[HOME]"));
    }
}

#[test]
fn bad_arguments_are_explained() {
    let place = Place::new();
    for (args, expected) in [
        (&["flght", "list"][..], "'flight'"),
        (&["flight", "show", "xyz"], "first four or more digits"),
        (&["flight", "show", "../../etc"], "first four or more digits"),
        (&["logs", "Pad!"], "\"Pad!\" is not a service name"),
        (&["abort", "3f2a91bc"], "--reason"),
        (&["flight", "show", "3f2a", "--timeout", "1h"], "--wait"),
        (&["flight", "show", "3f2a", "--wait", "--timeout", "soon"], "is not a duration"),
        (&["serve", "--listen", "7878"], "invalid socket address"),
        (&["status", "--server", "localhost:7878"], "PG0907"),
        (&["explain", "PG9999"], "there is no error code"),
    ] {
        let ran = place.run(args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}");
        assert!(ran.err.contains(expected), "{args:?}\n{}", ran.err);
    }
}

#[test]
fn no_server_is_told_apart_from_one_that_does_not_answer() {
    let place = Place::new();
    let ran = place.run(&["status"]);
    assert_eq!(ran.code, 2);
    assert_eq!(ran.out, "");
    let home = place.path().to_str().unwrap();
    insta::assert_snapshot!(ran.err.replace(home, "[HOME]"), @r"
    error[PG0902]: no server runs on [HOME]/.local/share/prograde
      hint: start one with `prograde serve`, or name one with `--server URL`
    ");
    let closed = prograde_ports::free();
    let ran = Ran::from(
        place
            .command(&["status", "--json"])
            .env("PROGRADE_URL", format!("http://127.0.0.1:{closed}"))
            .env("PROGRADE_TOKEN", "t")
            .output()
            .unwrap(),
    );
    assert_eq!(ran.code, 2);
    let report: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(report["error"]["code"], "PG0901");
    assert_eq!(report["error"]["exit"], 2);
}

#[test]
fn an_answer_of_something_else_is_no_crash() {
    let place = Place::new();
    for (answer, code) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "PG0904"),
        ("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", "PG0904"),
        ("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", "PG0904"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{", "PG0904"),
        ("SSH-2.0-OpenSSH_9.6\r\n", "PG0901"),
    ] {
        let ran = place.run(&["status", "--server", &stranger(answer), "--token", "secret-of-ours"]);
        assert_eq!(ran.code, 2, "{answer}");
        assert!(ran.err.contains(code), "{answer}\n{}", ran.err);
        assert!(!ran.err.contains("secret-of-ours"));
    }
}

#[test]
fn a_refusal_of_the_server_decides_the_exit_status() {
    let place = Place::new();
    let answer = json("409 Conflict", r#"{"code":"PG0503","message":"it has ended","hint":"look"}"#);
    let ran = place.run(&[
        "abort",
        "3f2a91bc",
        "--reason",
        "r",
        "--by",
        "Ada",
        "--server",
        &stranger(answer),
        "--token",
        "t",
    ]);
    assert_eq!(ran.code, 1);
    insta::assert_snapshot!(ran.err, @r"
    error[PG0503]: it has ended
      hint: look
    ");
}

#[test]
fn a_server_is_started_asked_and_stopped() {
    let place = Place::new();
    let server = Running::start(&place);

    let ran = place.run(&["status"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    assert!(ran.err.contains("runs yet") && ran.err.contains(&server.url), "{}", ran.err);
    let ran = place.run(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((status["sequence"].as_u64(), ran.err.as_str()), (Some(0), ""));
    let ran = place.run(&["flight", "list", "--json"]);
    assert_eq!((ran.code, ran.out.trim()), (0, "[]"));

    let ran = place.run(&["flight", "show", "3f2a91bc"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("PG0502"), "{}", ran.err);
    let ran = place.run(&["approve", "3f2a91bc", "--by", "Ada", "--dry-run"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    let ran = Ran::from(place.command(&["status"]).env("PROGRADE_TOKEN", "wrong").output().unwrap());
    assert_eq!(ran.code, 4);
    assert!(ran.err.contains("PG0501") && !ran.err.contains("wrong"), "{}", ran.err);

    let ran = place.run(&["journal", "verify"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.starts_with("good: 0 events"), "{}", ran.out);
    let second = place.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.code, 2);
    assert!(second.err.contains("PG0302"), "{}", second.err);

    assert_eq!(server.stop(), 0);
    let ran = place.run(&["status"]);
    assert!(ran.err.contains("PG0902"), "{}", ran.err);
    let ran = place.run(&["journal", "verify", "--offline"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(place.run(&["journal", "export", "--offline"]).code, 0);
}

/// An answer of HTTP with a JSON body.
fn json(status: &str, body: &str) -> &'static str {
    Box::leak(format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_boxed_str())
}

#[test]
fn a_flight_that_is_waited_for_too_long_is_pending() {
    let place = Place::new();
    let id = "3f2a91bc".repeat(4);
    let flight = |ended: &str, stage: &str| {
        format!(
            r#"{{"id":"{id}","service":"pad","commit":"{}","subject":"s","author":"a","stage":"{stage}","environment":null,
            "detail":"","opened_at":"2026-02-01T11:56:00Z","ended_at":{ended},"digest":null,"jobs":[],"environments":[],
            "notices":[],"stage_ms":{{}},"events":[]}}"#,
            "a".repeat(40)
        )
    };
    for (ended, stage, code) in [
        ("null", "building", 5),
        ("\"2026-02-01T11:59:00Z\"", "landed", 0),
        ("\"2026-02-01T11:59:00Z\"", "rolled_back", 1),
    ] {
        let url = stranger(json("200 OK", &flight(ended, stage)));
        let ran =
            place.run(&["flight", "show", "3f2a91bc", "--wait", "--timeout", "0s", "--server", &url, "--token", "t"]);
        assert_eq!(ran.code, code, "{stage}\n{}", ran.err);
        assert!(ran.out.contains(&id), "{stage}\n{}", ran.out);
        assert_eq!(ran.err.contains("PG0908"), code == 5, "{stage}\n{}", ran.err);
    }
}

#[test]
fn an_interrupt_ends_the_waiting() {
    let place = Place::new();
    let server = Running::start(&place);
    let mut watching = place.command(&["flight", "watch"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(watching.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("for the next push"), "{line}");
    assert!(Command::new("kill").arg("-INT").arg(watching.id().to_string()).status().unwrap().success());
    assert_eq!(watching.wait().unwrap().code(), Some(3));
    line.clear();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("PG0910"), "{line}");
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_journal_that_is_none_is_not_taken_for_one() {
    let place = Place::new();
    fs::write(place.path().join("journal.db"), "this is a diary\n".repeat(100)).unwrap();
    let ran = place.run(&["journal", "verify", "--offline", "--data-dir", "."]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("PG0303") && ran.err.contains("is not a journal"), "{}", ran.err);
}

#[test]
fn a_repository_is_begun_and_checked() {
    let place = Place::new();
    let ran = place.run(&["check"]);
    assert_eq!(ran.code, 2);
    assert!(ran.out.contains("error: prograde.yaml: the file is missing [PG0103]"), "{}", ran.out);

    let ran = place.run(&["init", "--service", "pad"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let ran = place.run(&["init", "--service", "pad"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("PG0906"), "{}", ran.err);

    let file = place.path().join("prograde.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("weight: 100", "weight: 5")).unwrap();
    let ran = place.run(&["check"]);
    assert_eq!(ran.code, 2);
    insta::assert_snapshot!(ran.out, @r"
    error: prograde.yaml:19:11: weight 5% does not rise above 10%, the step before [PG0102]
      hint: let each step's weight rise; a canary that should go back is rolled back
    error: prograde.yaml:16:5: the last step has 5%, expected 100% [PG0102]
      hint: end with `{ weight: 100, bake: 5m }`
    error: .github/workflows: the repository has no workflow [PG0105]
      hint: add a workflow with `on: push` that uploads the built program with actions/upload-artifact
    ");
    let ran = place.run(&["check", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(found["errors"][0]["line"], 19, "{found:#}");
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pad")
}

#[test]
fn the_example_is_good() {
    let place = Place::new();
    let ran = place.run(&["check", example().to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let ran = place.run(&["check", "--json", example().to_str().unwrap()]);
    let found: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(found["errors"].as_array().unwrap().len(), 0);
}

#[test]
fn what_is_generated_from_the_definition_is_whole() {
    let place = Place::new();
    for (shell, needle) in [("bash", "_prograde()"), ("zsh", "#compdef prograde"), ("fish", "complete -c prograde")] {
        let ran = place.run(&["completions", shell]);
        assert_eq!(ran.code, 0);
        assert!(ran.out.contains(needle) && ran.out.contains("rollback"), "{shell}");
    }
    assert_eq!(place.run(&["man", "man1"]).code, 0);
    let page = fs::read_to_string(place.path().join("man1/prograde-flight-show.1")).unwrap();
    assert!(page.starts_with(".ie") && page.contains("timeout"), "{page}");
    assert!(!place.path().join("man1/prograde-reference.1").exists());
    assert!(place.run(&["man"]).out.contains(".TH"));
    let ran = place.run(&["schema"]);
    let schema: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(schema["title"], "prograde.yaml");
    assert!(place.run(&["explain", "pg0102"]).out.starts_with("# PG0102: "));
    assert!(place.run(&["explain"]).out.contains("PG0901"));
}

#[test]
fn reference_pages_are_written_and_compared() {
    let place = Place::new();
    let check = ["reference", "--out", "pages", "--check"];
    let ran = place.run(&check);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("PG0909") && ran.err.contains("cli.md"), "{}", ran.err);
    assert_eq!(place.run(&["reference", "--out", "pages"]).code, 0);
    assert_eq!(place.run(&check).code, 0);
    let pages = place.path().join("pages");
    fs::write(pages.join("events.md"), "edited").unwrap();
    let ran = place.run(&check);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("events.md") && !ran.err.contains("cli.md"), "{}", ran.err);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new();
    let mut child = place.command(&["explain"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[test]
fn colour_is_for_terminals_and_for_who_asks() {
    let place = Place::new();
    assert!(!place.run(&["explain"]).out.contains('\x1b'));
    assert!(place.run(&["explain", "--color", "always"]).out.contains('\x1b'));
    assert!(!place.run(&["explain", "--color", "never"]).out.contains('\x1b'));
    for name in ["NO_COLOR", "XDG_DATA_HOME", "USER"] {
        let ran = Ran::from(place.command(&["explain"]).env(name, "").output().unwrap());
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "an empty {name} is one that is not set");
    }
}
