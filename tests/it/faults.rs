//! What goes wrong around the server: it says what and where, and loses nothing.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::world::load::Load;
use crate::world::repository::{Repository, deployments};
use crate::world::wait::until;
use crate::world::{Said, World, http, said, text};

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A report with its code, its words and something to do.
#[track_caller]
fn assert_report(said: &Said, exit: i32, code: &str, words: &[&str]) {
    assert_eq!(said.code, exit, "{said:?}");
    assert!(said.stderr.contains(&format!("error[{code}]")), "{said:?}");
    for word in words {
        assert!(said.stderr.contains(word), "{word:?} is missing in {said:?}");
    }
}

#[test]
fn a_port_in_use_and_a_directory_in_use_are_told_apart() {
    let world = World::new();
    let directory = world.data();
    let second = said(&mut world.serve(&world.data(), local(prograde_ports::free())));
    assert_report(&second, 2, "PG0302", &["in use by another server", directory.to_str().unwrap(), "--data-dir"]);
    assert_eq!(world.get("/api/v1/status")["sequence"], 0, "the first one goes on");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap();
    let refused = said(&mut world.serve(&world.dir().join("other"), port));
    assert_report(&refused, 2, "PG0306", &[&port.to_string(), "is in use", "--listen"]);
    world.end();
}

#[test]
fn a_journal_that_was_altered_is_not_served_and_says_where() {
    let mut world = World::new();
    let repository = Repository::create(&world, "altered");
    world.ended(&repository.push("greeting=hello", "Greet"), "landed");
    let good = world.cli(&["journal", "verify"]);
    assert_eq!(good.code, 0, "{good:?}");
    world.stop();
    let file = world.data().join("journal.db");
    let sound = fs::read(&file).unwrap();
    alter(&file, "UPDATE event SET payload = replace(payload, 'success', 'failure') WHERE sequence = 5");
    let found = world.cli(&["journal", "verify", "--offline"]);
    assert_report(&found, 1, "PG0305", &["event 5"]);
    let refused = said(&mut world.serve(&world.data(), local(prograde_ports::free())));
    assert_report(&refused, 2, "PG0305", &["event 5", "journal verify --offline"]);

    fs::write(&file, sound).unwrap();
    world.start();
    world.serves_alone("altered", "production");
    world.end();
}

/// Changes one event, and takes the triggers away for that which would not let it be done.
fn alter(journal: &Path, sql: &str) {
    let journal = rusqlite::Connection::open(journal).unwrap();
    let mut query = journal.prepare("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").unwrap();
    let triggers: Vec<(String, String)> =
        query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    for (name, _) in &triggers {
        journal.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
    }
    assert_eq!(journal.execute(sql, []).unwrap(), 1, "{sql}");
    for (_, text) in &triggers {
        journal.execute_batch(text).unwrap();
    }
}

/// Whether the flight waits for approval in its second environment.
fn waits(flight: &Value) -> bool {
    flight["environments"][1]["missing"].as_array().is_some_and(|missing| !missing.is_empty())
}

#[test]
fn a_repository_that_is_gone_keeps_no_other_service_from_flying() {
    let world = World::new();
    let (lost, other) = (Repository::create(&world, "lost"), Repository::create(&world, "other"));
    lost.edit("prograde.yaml", "approvals: 0", "approvals: 1");
    let approve = |commit: &str| {
        let waiting = world.flight_when(commit, "waits", waits);
        assert_eq!(world.cli(&["approve", text(&waiting, "id"), "--by", "Ada"]).code, 0);
    };
    let first = lost.push("greeting=lost", "Serve");
    approve(&first);
    world.ended(&first, "landed");
    let users = Load::start(world.address("lost", "production"), 400);
    let on_the_way = lost.push("greeting=late", "Serve late");
    world.flight_when(&on_the_way, "waits", waits);
    fs::remove_dir_all(world.data().join("repos/lost.git")).unwrap();

    world.ended(&other.push("greeting=other", "Serve"), "landed");
    approve(&on_the_way);
    let rejected = world.ended(&on_the_way, "rejected");
    assert!(text(&rejected, "detail").contains("no repository"), "{rejected:#}");
    // The author's copy brings it back.
    let back = lost.push("greeting=back", "Come back");
    approve(&back);
    let back = world.ended(&back, "landed");
    assert_eq!(world.serves_alone("lost", "production")["flight"], back["id"]);
    assert_eq!(users.stop().failed(), 0);
    assert_eq!(world.cli(&["journal", "verify"]).code, 0);
    world.end();
}

#[test]
fn a_broken_repository_is_told_and_keeps_no_other_service_from_flying() {
    let world = World::new();
    let (broken, other) = (Repository::create(&world, "broken"), Repository::create(&world, "other"));
    world.ended(&broken.push("greeting=broken", "Serve"), "landed");
    let objects = world.data().join("repos/broken.git/objects");
    fs::rename(&objects, world.dir().join("objects")).unwrap();
    world.ended(&other.push("greeting=other", "Serve"), "landed");
    until("the log tells of it", || world.log().contains("the repository can't be read").then_some(()));
    let (status, _) = http::get(world.address("broken", "production"), "/").unwrap();
    assert_eq!(status, 200);
    let commit = broken.commit_behaviour("greeting=mended", "Mend");
    let refused = broken.try_send();
    assert!(!refused.status.success() && world.log().contains("a request failed"), "{refused:?}");

    fs::rename(world.dir().join("objects"), &objects).unwrap();
    broken.send();
    let _users = Load::start(world.address("broken", "production"), 400);
    world.ended(&commit, "landed");
    world.end();
}

/// A world whose data lies on a file system of its own, made without being root: in name spaces of its own. `None` where
/// the system does not allow that.
fn on_a_disk_of(size: &str) -> Option<World> {
    let mount = format!("mount -t tmpfs -o size={size} tmpfs \"$0\" && exec \"$@\"");
    let probe = Command::new("unshare").args(["-Urm", "sh", "-c", &mount, "/mnt", "true"]).output();
    probe.is_ok_and(|output| output.status.success()).then(|| {
        let words = |data: &Path| ["unshare", "-Urm", "sh", "-c", &mount, data.to_str().unwrap()].map(str::to_owned);
        World::wrapped(|data| words(data).to_vec())
    })
}

#[test]
fn a_server_does_not_start_on_a_full_disk_and_says_so() {
    for size in ["4k", "32k"] {
        let Some(world) = on_a_disk_of(size) else {
            return left_out("a_server_does_not_start_on_a_full_disk_and_says_so");
        };
        let refused = said(&mut world.serve(&world.data(), local(prograde_ports::free())));
        assert_report(&refused, 2, "PG0304", &["no space is left", "make space"]);
    }
}

#[test]
fn a_full_disk_stops_nothing_that_runs_and_loses_nothing() {
    let Some(mut world) = on_a_disk_of("64m") else {
        return left_out("a_full_disk_stops_nothing_that_runs_and_loses_nothing");
    };
    world.start();
    let repository = Repository::create(&world, "echo");
    world.ended(&repository.push("greeting=first", "Serve"), "landed");
    let disk = format!("/proc/{}/root{}", world.pid(), world.data().display());
    fill(&format!("{disk}/filler"));

    repository.commit_behaviour("greeting=second", "Serve more");
    let push = repository.try_send();
    assert!(!push.status.success(), "{push:?}");
    let (status, body) = http::get(world.address("echo", "production"), "/").unwrap();
    assert!(status == 200 && body.starts_with("first "), "{status} {body}");
    assert_eq!(world.get("/api/v1/flights").as_array().unwrap().len(), 1);

    fs::remove_file(format!("{disk}/filler")).unwrap();
    let _users = Load::start(world.address("echo", "production"), 400);
    world.ended(&repository.push("greeting=second", "Serve more"), "landed");
    assert_eq!(deployments(&world).len(), 4);
    assert_eq!(world.get("/api/v1/status")["targets"].as_array().unwrap().len(), 2);
    let (status, verified) = world.post("/api/v1/journal/verify", &json!({}));
    assert!(status == 200 && text(&verified, "head_hash").len() == 64, "{verified}");
    world.stop();
}

fn fill(path: &str) {
    use std::io::Write as _;
    let mut file = fs::File::create(path).unwrap();
    for block in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![0; block]).is_ok() {}
    }
}

#[expect(clippy::print_stderr, reason = "who reads the output of the tests has to know")]
fn left_out(what: &str) {
    eprintln!("left out, since there are no user name spaces here: {what}");
}
