//! Tickets of action items: opened once although the server is killed between the call and the fact, and closed with the item.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::world::repository::Repository;
use crate::world::wait::{pause, until};
use crate::world::{World, text};

/// Issues of a repository as GitHub keeps them, as far as they are asked for here.
#[derive(Default)]
struct State {
    issues: Vec<Value>,
    /// What was asked, but for what only looks.
    changes: Vec<String>,
    /// Whether a new issue is made and never answered for.
    is_held: bool,
}

struct GitHub {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl GitHub {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<Mutex<State>>::default();
        let kept = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let state = Arc::clone(&kept);
                std::thread::spawn(move || take(&stream.unwrap(), port, &state));
            }
        });
        Self { port, state }
    }

    fn issues(&self) -> Vec<Value> {
        self.state.lock().unwrap().issues.clone()
    }
}

fn take(mut stream: &TcpStream, port: u16, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line).unwrap() > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let mut held = false;
    let answer = {
        let mut state = state.lock().unwrap();
        if method != "GET" {
            state.changes.push(format!("{method} {target}"));
        }
        match (method, target) {
            ("GET", list) if list.starts_with("/repos/team/pad/issues?labels=prograde-ACT-1&state=all") => {
                json!(state.issues)
            }
            ("POST", "/repos/team/pad/issues") => {
                let number = state.issues.len() + 1;
                let url = format!("http://127.0.0.1:{port}/team/pad/issues/{number}");
                let issue = json!({"number": number, "html_url": url, "state": "open", "title": body["title"], "body": body["body"],
                    "labels": body["labels"]});
                state.issues.push(issue.clone());
                held = state.is_held;
                issue
            }
            ("PATCH", "/repos/team/pad/issues/1") => {
                state.issues[0]["state"] = body["state"].clone();
                state.issues[0]["state_reason"] = body["state_reason"].clone();
                state.issues[0].clone()
            }
            ("GET", "/repos/team/pad/issues/1") => state.issues[0].clone(),
            ("POST", "/repos/team/pad/issues/1/comments") => json!({"id": 1}),
            _ => json!({"message": "Not Found"}),
        }
    };
    if held {
        // Until the other side is gone.
        let _ = reader.read(&mut [0]);
        return;
    }
    let text = answer.to_string();
    let start = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", text.len());
    let _ = stream.write_all(format!("{start}{text}").as_bytes());
}

fn world(github: &GitHub) -> World {
    let trackers = format!(
        "version: 1\ntrackers:\n  - name: github\n    github: {{ repository: team/pad, url: 'http://127.0.0.1:{}' }}\n    token_file: token\n",
        github.port
    );
    let files = [("trackers.yaml", trackers.as_str()), ("token", "s3cret-token\n")];
    let world = World::with_files(&files, &["--trackers", "trackers.yaml"]);
    let repository = Repository::create(&world, "pad");
    world.ended(&repository.push("greeting=stable", "Serve"), "landed");
    let place = ["-s", "pad", "-e", "production", "--severity", "SEV2", "--by", "Bob Builder"];
    let said = world.cli(&[&["incident", "declare", "answers are wrong"][..], &place].concat());
    assert_eq!(said.code, 0, "{said:?}");
    world
}

fn add(world: &World) {
    let said = world.cli(&[
        "action",
        "add",
        "INC-1",
        "--title",
        "test with locks",
        "--owner",
        "Bob",
        "--due",
        "2099-03-01",
        "--kind",
        "prevent",
        "--by",
        "Ann",
    ]);
    assert_eq!(said.code, 0, "{said:?}");
}

fn item(world: &World) -> Value {
    let said = world.cli(&["action", "list", "--all", "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    serde_json::from_str::<Value>(&said.stdout).unwrap()[0].clone()
}

#[test]
fn a_kill_between_the_call_and_the_fact_opens_no_second_ticket() {
    let github = GitHub::open();
    let mut world = world(&github);
    github.state.lock().unwrap().is_held = true;
    add(&world);
    until("the ticket is opened", || (github.issues().len() == 1).then_some(()));
    assert!(item(&world).get("filed").is_none(), "nothing is recorded yet");
    world.kill();
    github.state.lock().unwrap().is_held = false;
    world.start();
    let filed = until("the ticket is known", || item(&world).get("filed").cloned());
    assert_eq!((text(&filed, "tracker"), text(&filed, "ticket")), ("github", "1"));
    let issue = github.issues()[0].clone();
    assert_eq!((text(&issue, "title"), &issue["labels"]), ("test with locks", &json!(["prograde-ACT-1"])));
    for told in ["Owner: Bob", "Due: 2099-03-01", "Kind: prevent", "INC-1 (answers are wrong)", "ACT-1", &world.url()] {
        assert!(text(&issue, "body").contains(told), "{told}: {issue}");
    }
    let said = world.cli(&["action", "list"]);
    assert!(said.stdout.contains(&format!("http://127.0.0.1:{}/team/pad/issues/1", github.port)), "{said:?}");
    let said = world.cli(&["action", "file", "ACT-1", "--by", "Ann"]);
    assert!(said.code == 1 && said.stderr.contains("has a ticket"), "{said:?}");

    // The item closes the ticket.
    let said = world.cli(&["action", "done", "ACT-1", "--note", "commit abc", "--by", "Ann"]);
    assert_eq!(said.code, 0, "{said:?}");
    until("the ticket is closed", || (github.issues()[0]["state"] == "closed").then_some(()));
    until("that is recorded", || (item(&world)["filed"]["closed"] == true).then_some(()));
    let changes = github.state.lock().unwrap().changes.clone();
    let expected =
        ["POST /repos/team/pad/issues", "PATCH /repos/team/pad/issues/1", "POST /repos/team/pad/issues/1/comments"];
    assert_eq!(changes, expected);
    let journal = world.text("/api/v1/journal/export");
    assert!(journal.contains("action.filed") && !journal.contains("s3cret") && !world.log().contains("s3cret"));
    world.end();
}

#[test]
fn a_ticket_that_is_closed_closes_the_item() {
    let github = GitHub::open();
    let mut world = world(&github);
    add(&world);
    until("the ticket is known", || item(&world).get("filed").cloned());
    world.stop();
    {
        let mut state = github.state.lock().unwrap();
        state.issues[0]["state"] = "closed".into();
        state.issues[0]["state_reason"] = "not_planned".into();
    }
    // Each start looks at once; else it is every five minutes.
    world.start();
    let item = until("the item is dropped", || Some(item(&world)).filter(|item| item["state"] == "dropped"));
    assert!(text(&item, "reason").contains("its ticket was closed") && item["by"] == "github", "{item}");
    pause(Duration::from_secs(5));
    assert_eq!(github.state.lock().unwrap().changes, ["POST /repos/team/pad/issues"]);
    world.end();
}

#[test]
fn what_goes_wrong_is_shown() {
    let trackers = "version: 1\ntrackers:\n  - name: github\n    github: { repository: team/pad, url: 'http://127.0.0.1:1' }\n    token_file: token\n";
    let world =
        World::with_files(&[("trackers.yaml", trackers), ("token", "s3cret")], &["--trackers", "trackers.yaml"]);
    let repository = Repository::create(&world, "pad");
    world.ended(&repository.push("greeting=stable", "Serve"), "landed");
    let said = world.cli(&[
        "incident",
        "declare",
        "wrong",
        "-s",
        "pad",
        "-e",
        "production",
        "--severity",
        "SEV2",
        "--by",
        "Bob",
    ]);
    assert_eq!(said.code, 0, "{said:?}");
    add(&world);
    until("it is shown", || world.cli(&["action", "list"]).stdout.contains("github: not reached").then_some(()));
    let said = world.cli(&["action", "file", "ACT-1", "--tracker", "nowhere", "--by", "Ann"]);
    assert!(said.code == 2 && said.stderr.contains("there is no tracker \"nowhere\""), "{said:?}");
    world.end();
}
