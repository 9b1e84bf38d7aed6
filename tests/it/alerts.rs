//! From a measurement to a person: rules fire, `alertmanager.yml` says who is told, and nobody is told twice.

use std::process::Command;

use serde_json::{Value, json};

use crate::observe;
use crate::world::mailbox::Mailbox;
use crate::world::prometheus::Exporter;
use crate::world::wait::until;
use crate::world::{Said, World, said, said_by_peer, text};

fn routing(url: &str) -> String {
    format!(
        "route: {{ receiver: team, group_by: [alertname], group_wait: 200ms, group_interval: 1s, repeat_interval: 1h }}\n\
         receivers:\n\
         - name: team\n  webhook_configs: [{{ url: '{url}' }}]\n"
    )
}

fn paged() -> (Exporter, Mailbox, World) {
    let (exporter, mailbox) = (Exporter::open(), Mailbox::open());
    exporter.set("a1", 3);
    let files = [
        ("prometheus.yml", &*observe::config(&exporter.address())),
        ("rules.yml", observe::RULES),
        ("alertmanager.yml", &*routing(&mailbox.url())),
    ];
    let arguments = ["--prometheus-config", "prometheus.yml", "--alertmanager-config", "alertmanager.yml"];
    let world = World::with_files(&files, &arguments);
    until("the exporter is scraped", || world.ask("queue_depth").pop());
    (exporter, mailbox, world)
}

/// What the team was told, by status.
fn told(mailbox: &Mailbox, status: &str) -> Vec<Value> {
    mailbox.all().into_iter().filter(|letter| letter["status"] == status).collect()
}

/// What amtool says, given this server as its Alertmanager. Nothing where it is not installed, which is a failure in CI.
fn amtool(world: &World, arguments: &[&str]) -> Option<Said> {
    let url = world.url().replace("http://", &format!("http://anyone:{}@", world.token()));
    let mut command = Command::new("amtool");
    command.arg(format!("--alertmanager.url={url}/alertmanager")).args(arguments).env("HOME", world.dir());
    said_by_peer("amtool", &mut command)
}

#[test]
fn a_symptom_reaches_the_team_once_whatever_restarts_and_so_does_its_end() {
    let (exporter, mailbox, mut world) = paged();
    exporter.set("b2", 5_120);
    let letter = until("the team is told", || told(&mailbox, "firing").pop());
    let alert = &letter["alerts"][0];
    assert_eq!((text(&letter, "receiver"), text(alert, "status")), ("team", "firing"));
    assert_eq!(text(&alert["annotations"], "summary"), "Queue b2 holds 5.12k of 1");
    assert_eq!(letter["groupLabels"], json!({"alertname": "QueueIsDeep"}));

    // A crash between the receiver's answer and its record would rightly tell it again.
    until("it is recorded", || world.text("/api/v1/journal/export").contains("notification.sent").then_some(()));
    world.kill();
    world.start();
    until("the alert fires again", || world.ask("ALERTS{alertstate='firing'}").pop());
    until("rules have been evaluated some times", || {
        let answer = world.ask("count_over_time(ALERTS{alertstate='firing'}[1m])").pop()?;
        answer.1.parse::<u64>().ok().filter(|count| *count > 8)
    });
    assert_eq!(told(&mailbox, "firing").len(), 1, "nobody is told again because of a restart");

    exporter.set("b2", 1);
    let letter = until("the team is told of the end", || told(&mailbox, "resolved").pop());
    assert_eq!(text(&letter["alerts"][0]["labels"], "commit"), "b2");
    // What is calculated from the journal, and those who follow it, are not disturbed by facts that are no flight's.
    for command in [&["journal", "verify"][..], &["status"], &["dora"], &["toil"], &["flight", "list"]] {
        let said = world.cli(command);
        assert_eq!(said.code, 0, "{command:?}: {}", said.stderr);
    }
    assert_eq!(world.text("/api/v1/events"), "", "no flight was opened");
    world.end();
}

#[test]
fn amtool_works_and_a_silence_keeps_the_team_from_being_told() {
    let (exporter, mailbox, world) = paged();
    let Some(said) = amtool(&world, &["silence", "add", "-a", "ann", "-c", "we know", "commit=c3"]) else { return };
    assert_eq!(said.code, 0, "{said:?}");
    let id = said.stdout.trim().to_owned();
    exporter.set("c3", 700);
    until("the alert is silenced", || {
        let said = amtool(&world, &["alert", "query", "--silenced"])?;
        said.stdout.contains("QueueIsDeep").then_some(())
    });
    assert!(told(&mailbox, "firing").is_empty());
    let said = amtool(&world, &["silence", "query"]).unwrap();
    assert!(said.stdout.contains(&id[..8]) && said.stdout.contains("we know"), "{said:?}");
    let said = amtool(&world, &["silence", "expire", &id]).unwrap();
    assert_eq!(said.code, 0, "{said:?}");
    let letter = until("the team is told", || told(&mailbox, "firing").pop());
    assert_eq!(text(&letter["alerts"][0]["labels"], "commit"), "c3");

    // An alert that somebody else posts is handled alike.
    let said = amtool(&world, &["alert", "add", "DiskFull", "severity=page", "--annotation=summary=full"]).unwrap();
    assert_eq!(said.code, 0, "{said:?}");
    until("the team is told of it", || {
        told(&mailbox, "firing").into_iter().find(|letter| letter["groupLabels"]["alertname"] == "DiskFull")
    });
    world.end();
}

#[test]
fn a_routing_that_can_not_be_used_keeps_the_server_from_starting() {
    let (_exporter, _mailbox, mut world) = paged();
    world.stop();
    std::fs::write(world.dir().join("alertmanager.yml"), "route: { receiver: nobody }\nreceivers: []\n").unwrap();
    let mut command = world.serve(&world.data(), std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
    let said = said(&mut command);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("alertmanager.yml:1") && said.stderr.contains("PG065"), "{}", said.stderr);
}
