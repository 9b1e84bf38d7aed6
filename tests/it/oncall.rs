//! From an alert to a person: whoever is on call is told, the next one when nobody answers, and nobody once somebody has.

use hmac::{Hmac, KeyInit as _, Mac as _};
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::observe::escaped;
use crate::world::mailbox::Mailbox;
use crate::world::processes::signal;
use crate::world::wait::until;
use crate::world::{World, said, text};

const ROTA: &str = "\
version: 1
people:
  ann: { receiver: ann }
  bob: { receiver: bob }
schedules:
  - name: primary
    time_zone: UTC
    layers: [{ name: all, from: 2020-01-01T00:00, every: 1w, people: [ann] }]
  - name: secondary
    time_zone: UTC
    layers: [{ name: all, from: 2020-01-01T00:00, every: 1w, people: [bob] }]
escalations:
  pad:
    repeat: 0
    steps: [{ schedules: [primary], wait: 3s }, { schedules: [secondary], wait: 1h }]
";

fn routing(ann: &str, bob: &str) -> String {
    format!(
        "route: {{ receiver: pagers, group_by: [alertname], group_wait: 100ms, group_interval: 500ms, repeat_interval: 1h }}\n\
         receivers:\n\
         - name: pagers\n  oncall_configs: [{{ escalation: pad }}]\n\
         - name: ann\n  webhook_configs: [{{ url: '{ann}' }}]\n\
         - name: bob\n  webhook_configs: [{{ url: '{bob}' }}]\n"
    )
}

const ARGUMENTS: [&str; 4] = ["--alertmanager-config", "alertmanager.yml", "--oncall", "oncall.yaml"];

fn on_call(rota: &str) -> (Mailbox, Mailbox, World) {
    let (ann, bob) = (Mailbox::open(), Mailbox::open());
    let files = [("alertmanager.yml", &*routing(&ann.url(), &bob.url())), ("oncall.yaml", rota)];
    let world = World::with_files(&files, &ARGUMENTS);
    (ann, bob, world)
}

/// What a person was told of pages, by status.
fn told(mailbox: &Mailbox, status: &str) -> Vec<Value> {
    mailbox.all().into_iter().filter(|letter| letter["status"] == status).collect()
}

fn fire(world: &World, ends: bool) {
    let mut alert =
        json!({"labels": {"alertname": "Slow", "severity": "page"}, "annotations": {"summary": "orders take 4 s"}});
    if ends {
        let known = &world.get("/alertmanager/api/v2/alerts")[0];
        alert["startsAt"] = known["startsAt"].clone();
        alert["endsAt"] = known["updatedAt"].clone();
    }
    let (status, answer) = world.post("/alertmanager/api/v2/alerts", &json!([alert]));
    assert_eq!(status, 200, "{answer}");
}

fn page(world: &World, name: &str) -> Value {
    world.get(&format!("/api/v1/pages/{name}"))
}

/// Follows an address without the server's token, as whoever was told does.
pub(crate) fn visit(url: &str, form: Option<&str>) -> (u16, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let answer = match form {
        None => agent.get(url).call(),
        Some(form) => agent.post(url).header("content-type", "application/x-www-form-urlencoded").send(form),
    };
    let mut answer = answer.unwrap();
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

#[test]
fn nobody_answers_so_the_next_one_is_told_and_takes_it_by_the_address_in_the_message() {
    let (ann, bob, mut world) = on_call(ROTA);
    fire(&world, false);
    let letter = until("ann is told", || told(&ann, "firing").pop());
    assert_eq!((text(&letter["page"], "id"), text(&letter["page"], "person")), ("P-1", "ann"));
    assert_eq!(text(&letter["page"], "title"), "Slow: orders take 4 s");
    until("it is recorded", || world.text("/api/v1/journal/export").contains("page.reached").then_some(()));
    // The process dies while nobody has answered yet: the page goes on where it was.
    world.kill();
    world.start();
    let letter = until("bob is told", || told(&bob, "firing").pop());
    assert_eq!(told(&ann, "firing").len(), 1, "ann is not told again");
    let url = text(&letter["page"], "acknowledgeURL").to_owned();

    let (status, shown) = visit(&url, None);
    assert!(
        status == 200 && shown.contains("P-1 waits for somebody") && shown.contains("Acknowledge as bob"),
        "{shown}"
    );
    assert_eq!(text(&page(&world, "P-1"), "state"), "open", "looking changes nothing");
    let (path, query) = url.split_once('?').unwrap();
    let forged = query.replace("person=bob", "person=ann");
    assert_eq!(visit(path, Some(&forged)).0, 403);
    assert_eq!(visit(&format!("{path}?{forged}"), None).0, 403);
    let (status, shown) = visit(path, Some(query));
    assert!(status == 200 && shown.contains("P-1 is yours, bob"), "{shown}");
    let (status, shown) = visit(path, Some(query));
    assert!(status == 409 && shown.contains("bob has acknowledged the page already"), "{shown}");
    let groups = world.get("/alertmanager/api/v2/alerts/groups");
    assert!(groups.to_string().contains("page P-1"), "the alerts are acknowledged too: {groups}");

    fire(&world, true);
    until("both know that it is over", || {
        (told(&ann, "resolved").len() == 1 && told(&bob, "resolved").len() == 1).then_some(())
    });
    assert_eq!(text(&page(&world, "P-1"), "state"), "resolved");
    let said = world.cli(&["page", "rate", "P-1", "--noise", "--comment", "nobody was hurt", "--by", "bob"]);
    assert_eq!(said.code, 0, "{said:?}");
    let said = world.cli(&["page", "show", "P-1"]);
    assert!(said.stdout.contains("by bob") && said.stdout.contains("noise"), "{}", said.stdout);
    world.end();
}

#[test]
fn a_page_is_taken_put_off_and_tried_out_from_the_command_line() {
    let (ann, bob, world) = on_call(&ROTA.replace("wait: 3s", "wait: 1h"));
    let said = world.cli(&["page", "test", "--by", "cem", "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let letter = until("ann is told", || told(&ann, "firing").pop());
    assert_eq!(letter["page"]["test"], true);
    let said = world.cli(&["page", "list"]);
    assert!(said.stdout.contains("P-1") && said.stdout.contains("open"), "{}", said.stdout);
    for (command, expected) in [
        (&["page", "snooze", "P-1", "--for", "1h", "--by", "ann"][..], "snoozed"),
        (&["page", "ack", "P-1", "--by", "ann"], "acknowledged"),
        (&["page", "resolve", "P-1", "--by", "ann"], "resolved"),
    ] {
        let said = world.cli(command);
        assert_eq!(said.code, 0, "{said:?}");
        assert_eq!(text(&page(&world, "P-1"), "state"), expected);
    }
    let said = world.cli(&["page", "ack", "P-1", "--by", "bob"]);
    assert!(said.code != 0 && said.stderr.contains("the page is resolved"), "{said:?}");
    let said = world.cli(&["page", "ack", "P-9", "--by", "bob"]);
    assert!(said.code != 0 && said.stderr.contains("there is no page P-9"), "{said:?}");
    let said = world.cli(&["page", "raise", "the antenna does not turn", "--escalation", "ground", "--by", "ann"]);
    assert!(
        said.code != 0 && said.stderr.contains("there is no escalation \"ground\"; `oncall.yaml` has pad"),
        "{said:?}"
    );
    let said = world.cli(&["oncall", "who"]);
    assert!(said.stdout.contains("primary") && said.stdout.contains("ann"), "the server says who: {said:?}");
    let calendar = world.text("/api/v1/oncall/primary.ics");
    assert!(calendar.starts_with("BEGIN:VCALENDAR") && calendar.contains("SUMMARY:ann"), "{calendar}");
    until("ann knows that it is over", || told(&ann, "resolved").pop());
    assert!(bob.all().is_empty(), "bob was never needed");
    world.end();
}

#[test]
fn somebody_takes_over_by_command_is_paged_and_gives_it_back() {
    let (ann, bob, mut world) = on_call(ROTA);
    let run = |world: &World, arguments: &[&str]| {
        let said = world.cli(arguments);
        assert_eq!(said.code, 0, "{said:?}");
        said
    };
    let rehearsed = run(&world, &["oncall", "override", "primary", "bob", "--for", "4h", "--by", "ann", "--dry-run"]);
    assert_eq!(rehearsed.stdout, "would change primary as ann: bob takes over\n");
    let why = "ann is at the dentist";
    let said = run(&world, &["oncall", "override", "primary", "bob", "--for", "4h", "--reason", why, "--by", "ann"]);
    assert!(said.stderr.contains("C-1: bob takes over"), "{said:?}");
    let who = |world: &World| run(world, &["oncall", "who", "--json"]);
    let on_call = |said: &str| {
        let said: Value = serde_json::from_str(said).unwrap();
        text(&said["schedules"][0]["on_call"], "person").to_owned()
    };
    assert_eq!(on_call(&who(&world).stdout), "bob");
    world.kill();
    world.start();
    assert_eq!(on_call(&who(&world).stdout), "bob", "it outlives the server");
    run(&world, &["page", "raise", "the antenna does not turn", "--by", "cem"]);
    until("bob is told", || told(&bob, "firing").pop());
    assert!(told(&ann, "firing").is_empty(), "ann is at the dentist");

    let listed = run(&world, &["oncall", "changes"]);
    assert!(listed.stdout.contains("C-1") && listed.stdout.contains(why), "{}", listed.stdout);
    run(&world, &["oncall", "withdraw", "C-1", "--by", "bob"]);
    assert_eq!(on_call(&who(&world).stdout), "ann");
    let range = ["--from", "2030-01-07T00:00", "--until", "2030-01-08T00:00", "--by", "ann"];
    let swapped = run(&world, &[&["oncall", "swap", "primary", "ann", "bob"], &range[..]].concat());
    assert!(swapped.stderr.contains("ann and bob take each other's shifts"), "{swapped:?}");
    let shown = run(&world, &["oncall", "show", "primary", "--from", "2030-01-07T12:00:00Z", "--days", "1"]);
    assert!(shown.stdout.contains("bob") && shown.stdout.contains("swap"), "{}", shown.stdout);
    for (arguments, code, says) in [
        (&["oncall", "withdraw", "C-1", "--by", "ann"][..], 1, "C-1 was withdrawn by bob"),
        (&["oncall", "override", "primary", "eve", "--for", "1h"], 2, "nobody named \"eve\"; there are ann, bob"),
        (&["oncall", "override", "night", "bob", "--for", "1h"], 2, "no schedule \"night\"; there are primary"),
        (&["oncall", "override", "primary", "bob", "--until", "2020-01-01T00:00"], 1, "that is past"),
        (&["oncall", "override", "primary", "bob"], 2, "--until"),
    ] {
        let said = world.cli(arguments);
        assert!(said.code == code && said.stderr.contains(says), "{said:?}");
    }
    run(&world, &["journal", "verify"]);
    world.end();
}

#[test]
fn who_can_not_be_told_keeps_the_server_from_starting() {
    let (_ann, _bob, mut world) = on_call(ROTA);
    world.stop();
    let cases = [
        (ROTA.replace("{ receiver: ann }", "{}"), "oncall.yaml:3", "ann is paged, and has no `receiver`"),
        (
            ROTA.replace("{ receiver: ann }", "{ receiver: pagers }"),
            "oncall.yaml:3",
            "no receiver \"pagers\" that tells a person",
        ),
        (ROTA.replace("  pad:", "  ground:"), "alertmanager.yml", "escalation \"pad\", which is not declared"),
    ];
    for (rota, place, why) in cases {
        std::fs::write(world.dir().join("oncall.yaml"), rota).unwrap();
        let said = said(&mut world.serve(&world.data(), std::net::SocketAddr::from(([127, 0, 0, 1], 0))));
        assert_eq!(said.code, 2, "{said:?}");
        assert!(
            said.stderr.contains(place) && said.stderr.contains(why) && said.stderr.contains("PG0672"),
            "{}",
            said.stderr
        );
    }
}

#[test]
fn files_are_read_again_and_pages_under_way_go_by_what_they_say_then() {
    let (ann, bob, world) = on_call(ROTA);
    // A file that can't be used changes nothing, and says where it is wrong.
    std::fs::write(world.dir().join("oncall.yaml"), ROTA.replace("people: [bob]", "people: [cem]")).unwrap();
    let (status, refused) = world.post("/alertmanager/-/reload", &json!({}));
    assert_eq!((status, text(&refused, "code")), (400, "PG0672"), "{refused}");
    assert!(text(&refused, "message").contains("oncall.yaml:11:") && text(&refused, "message").contains("cem"));
    fire(&world, false);
    until("ann is told", || told(&ann, "firing").pop());
    until("bob is told", || told(&bob, "firing").pop());

    // Ann moves, and bob stands in for her: the next page goes where the files say now.
    let elsewhere = Mailbox::open();
    std::fs::write(world.dir().join("alertmanager.yml"), routing(&elsewhere.url(), &bob.url())).unwrap();
    std::fs::write(world.dir().join("oncall.yaml"), ROTA.replace("wait: 3s", "wait: 2h")).unwrap();
    let (status, answer) = world.post("/alertmanager/-/reload", &json!({}));
    assert_eq!(status, 200, "{answer}");
    let raised = world.cli(&["page", "raise", "Disks are full", "--by", "bob"]);
    assert_eq!(raised.code, 0, "{raised:?}");
    until("ann is told elsewhere", || told(&elsewhere, "firing").pop());
    assert_eq!(world.get("/api/v1/oncall")["escalations"]["pad"]["steps"][0]["wait"], "2h");

    // A signal does the same.
    std::fs::write(world.dir().join("oncall.yaml"), ROTA.replace("wait: 3s", "wait: 5h")).unwrap();
    signal(world.pid(), Signal::HUP);
    until("the file is read again", || {
        (world.get("/api/v1/oncall")["escalations"]["pad"]["steps"][0]["wait"] == "5h").then_some(())
    });
    world.end();
}

/// Sends what Slack sends, signed with a secret as Slack signs.
#[expect(clippy::disallowed_methods, reason = "the server's clock is the machine's")]
fn from_slack(world: &World, secret: &str, body: &str) -> (u16, String) {
    let now = jiff::Timestamp::now().as_second().to_string();
    let signed = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(format!("v0:{now}:{body}"));
    let signature = format!("v0={}", hex::encode(signed.finalize().into_bytes()));
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = agent.post(format!("{}/chat/slack", world.url()));
    let request = request.header("x-slack-request-timestamp", now).header("x-slack-signature", signature);
    let mut answer = request.header("content-type", "application/x-www-form-urlencoded").send(body).unwrap();
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

#[test]
fn a_page_is_taken_by_a_press_in_slack_and_ended_by_a_command() {
    let (room, answers) = (Mailbox::open(), Mailbox::open());
    let rota = ROTA.replace("ann: { receiver: ann }", "ann: { receiver: ann, slack: U012AB3CD }");
    let rota = format!("{rota}chat: {{ slack: {{ signing_secret_file: slack-secret }} }}\n");
    let routing = routing("http://127.0.0.1:9/", "http://127.0.0.1:9/").replace(
        "webhook_configs: [{ url: 'http://127.0.0.1:9/' }]",
        &format!("slack_configs: [{{ api_url: '{}' }}]", room.url()),
    );
    let files = [("alertmanager.yml", &*routing), ("oncall.yaml", &*rota), ("slack-secret", "hunter2\n")];
    let world = World::with_files(&files, &ARGUMENTS);
    fire(&world, false);
    let letter = until("the room is told", || room.all().pop());
    let buttons = &letter["attachments"][1]["blocks"][0]["elements"];
    assert_eq!((text(&buttons[0], "action_id"), text(&buttons[0], "value")), ("acknowledge", "P-1"));

    let press = json!({"type": "block_actions", "user": {"id": "U012AB3CD", "username": "ann.smith"},
        "actions": [{"action_id": "acknowledge", "value": "P-1"}], "response_url": answers.url()});
    let press = format!("payload={}", escaped(&press.to_string()));
    let (status, answer) = from_slack(&world, "guessed", &press);
    assert!(status == 401 && answer.contains("not signed"), "{status} {answer}");
    assert_eq!(text(&page(&world, "P-1"), "state"), "open");
    assert_eq!(from_slack(&world, "hunter2", &press), (200, String::new()));
    let answer = until("the room hears of it", || answers.all().pop());
    assert_eq!(text(&answer, "text"), "P-1 is ann's: Slow: orders take 4 s");
    let taken = page(&world, "P-1");
    assert_eq!((text(&taken, "state"), text(&taken, "acknowledged_by")), ("acknowledged", "ann"));

    // Whoever is not known is who Slack says; a second one is told who was first.
    let command = |text: &str| format!("user_id=U9&user_name=mel&command=%2Fpage&text={}", escaped(text));
    let (status, answer) = from_slack(&world, "hunter2", &command("ack P-1"));
    assert!(status == 200 && answer.contains("ann has acknowledged the page already"), "{answer}");
    let (_, answer) = from_slack(&world, "hunter2", &command(""));
    assert!(answer.contains("P-1 (ann's): Slow: orders take 4 s"), "{answer}");
    let (_, answer) = from_slack(&world, "hunter2", &command("resolve P-1"));
    assert!(answer.contains("P-1 is over, says mel"), "{answer}");
    assert_eq!(text(&page(&world, "P-1"), "state"), "resolved");
    assert!(!world.log().contains("hunter2"));
    world.end();
}
