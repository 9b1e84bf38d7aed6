//! What a service prints is shown, and followed.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::Signal;

use crate::world::repository::Repository;
use crate::world::wait::until;
use crate::world::{World, http, processes, text};

#[test]
fn logs() {
    let world = World::new();
    let repository = Repository::create(&world, "echo");
    let flight = world.ended(&repository.push("greeting=hello", "Greet"), "landed");
    let shown = until("both replicas' first lines are kept", || {
        let shown = world.cli(&["logs", "echo", "--json"]);
        assert_eq!(shown.code, 0, "{shown:?}");
        (shown.stdout.lines().count() == 2).then_some(shown)
    });
    for line in shown.stdout.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((text(&line, "line"), text(&line, "stream")), ("hello serves in production", "stdout"));
        assert_eq!(line["flight"], flight["id"]);
    }
    let of_test = world.cli(&["logs", "echo", "--environment", "test"]);
    assert!(of_test.stdout.contains("hello serves in test"), "{of_test:?}");
    let nowhere = world.cli(&["logs", "nobody"]);
    assert!(nowhere.code == 2 && nowhere.stderr.contains("PG0502"), "{nowhere:?}");

    let mut follow = world.command();
    let mut following = follow
        .args(["logs", "echo", "--follow", "--tail", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    // Asked often enough, since following may start after the first request.
    let (address, process) = (world.address("echo", "production"), following.id());
    let asking = std::thread::spawn(move || {
        until("the follower has ended", || {
            let (status, _) = http::get(address, "/say/roger").unwrap();
            assert_eq!(status, 200);
            (!std::path::Path::new(&format!("/proc/{process}/exe")).exists()).then_some(())
        });
    });
    let line = lines.next().unwrap().unwrap();
    assert!(line.ends_with("roger"), "{line}");
    processes::signal(process, Signal::INT);
    let status = following.wait().unwrap();
    assert_eq!(status.code(), Some(3), "cancelled");
    asking.join().unwrap();
    world.end();
}
