//! From harm to what is learned from it: incidents, what is suspected, what ends them, and what releases wait for after.

use serde_json::{Value, json};

use crate::world::load::Load;
use crate::world::repository::{AUTHOR, Repository};
use crate::world::wait::until;
use crate::world::{Said, World, said, text};

/// What a command printed as JSON.
#[track_caller]
fn json_of(said: &Said) -> Value {
    assert_eq!(said.code, 0, "{said:?}");
    serde_json::from_str(&said.stdout).unwrap()
}

#[track_caller]
fn done(said: &Said) {
    assert_eq!(said.code, 0, "{said:?}");
}

fn incident(world: &World) -> Value {
    json_of(&world.cli(&["incident", "show", "INC-1", "--json"]))
}

/// A world in which a release that is bad in a way that no judge sees has all traffic.
fn hurt(arguments: &[&str]) -> (World, Repository, Load, Value, Value) {
    let world = World::with_files(&[], arguments);
    let repository = Repository::create(&world, "echo");
    let stable = world.ended(&repository.push("greeting=stable", "Serve"), "landed");
    let load = Load::start(world.address("echo", "production"), 400);
    let commit = repository.push("greeting=worse", "Serve worse");
    let bad = world.ended(&commit, "landed");
    (world, repository, load, stable, bad)
}

fn declare(world: &World) {
    let place = ["-s", "echo", "-e", "production", "--severity", "SEV2", "--by", "Bob Builder"];
    let said = world.cli(&[&["incident", "declare", "answers are wrong"][..], &place].concat());
    assert_eq!((said.code, said.stdout.as_str()), (0, "INC-1\n"), "{said:?}");
}

#[test]
fn a_runbook_is_gone_through_for_an_incident_and_its_timeline_tells_of_it() {
    let (world, _repository, _load, _stable, _bad) = hurt(&[]);
    declare(&world);
    let runbook = "---\ndrill_every: 90d\nparameters: { replica: { default: '1' } }\n---\n# Answers are wrong\n\n## Look\n\n\
                   ```sh\nhead -c 20000 /dev/zero | tr '\\0' '\\033'\necho\necho looked at $replica\n```\n\n## Mend\n\n```sh dry-run\necho would mend\n```\n\n\
                   ```sh no-record\necho 'a secret'; touch mended\n```\n\n```sh check\ntest -e mended\n```\n\n\
                   ## Never ends\n\n```sh timeout=1s\nsleep 1000 & sleep 1000\n```\n";
    let cli = |arguments: &[&str]| said(world.command().current_dir(world.dir()).args(arguments));
    std::fs::create_dir(world.dir().join("runbooks")).unwrap();
    std::fs::write(world.dir().join("runbooks/answers.md"), runbook).unwrap();
    done(&cli(&["runbook", "check"]));
    let run = |more: &[&str]| cli(&[&["runbook", "run", "runbooks/answers.md", "--by", "ann"], more].concat());
    let rehearsed = run(&["--dry-run"]);
    assert!(rehearsed.code == 0 && rehearsed.stderr.contains("would mend"), "{rehearsed:?}");
    assert!(!world.dir().join("mended").exists(), "a rehearsal changes nothing");
    assert!(run(&[]).stderr.contains("there is no terminal to ask on"));

    let said = run(&["--incident", "INC-1", "--set", "replica=2; exit 9", "--yes"]);
    assert!(said.code == 1 && said.stderr.contains("looked at 2; exit 9"), "a parameter is no command: {said:?}");
    assert!(said.stderr.contains("PG0692") && said.stderr.contains("did not end in 1 s"), "{said:?}");
    let timeline = cli(&["incident", "timeline", "INC-1"]).stdout;
    for told in
        ["R-1 begun: Answers are wrong", "step 1, Look: done", "looked at 2", "step 2, Mend: done", "R-1 given up"]
    {
        assert!(timeline.contains(told), "{told}: {timeline}");
    }
    assert!(!timeline.contains("a secret"), "{timeline}");
    assert!(!world.text("/api/v1/journal/export").contains("\"output\":\"a secret"), "what it printed is not kept");
    let due = cli(&["runbook", "drills"]);
    assert!(due.code == 1 && due.stderr.contains("PG0691"), "{due:?}");

    let mended = runbook.split_once("## Never ends").unwrap().0;
    std::fs::write(world.dir().join("runbooks/answers.md"), mended).unwrap();
    done(&run(&["--drill", "--yes"]));
    done(&cli(&["runbook", "drills"]));
    let runs = json_of(&cli(&["runbook", "runs", "--json"]));
    assert_eq!(runs[1]["ended"][1], "completed", "{runs}");
    let toil = json_of(&cli(&["toil", "--json"]));
    assert_eq!((text(&toil[0], "person"), &toil[0]["ran_step"]), ("ann", &json!(5)), "{toil}");
    world.end();
}

#[test]
fn a_bad_release_is_suspected_taken_back_and_learned_from_whatever_is_killed() {
    let (mut world, repository, load, stable, bad) = hurt(&["--public-status"]);
    declare(&world);
    let suspects = json_of(&world.cli(&["incident", "suspects", "INC-1", "--json"]));
    let first = &suspects[0];
    assert_eq!((&first["flight"], &first["commit"], &first["kind"]), (&bad["id"], &bad["commit"], &json!("release")));
    assert_eq!((text(first, "author"), first["in_force"].as_bool()), (AUTHOR.0, Some(true)));
    assert_eq!(text(first, "diff"), format!("git diff {}..{}", text(&stable, "commit"), text(&bad, "commit")));
    let percents: Vec<u64> =
        first["steps"].as_array().unwrap().iter().map(|s| s["percent"].as_u64().unwrap()).collect();
    assert_eq!(percents, [1, 10, 100]);
    assert_eq!(text(first, "mitigation"), "prograde rollback echo --environment production --reason INC-1");
    let shown = world.cli(&["incident", "show", "INC-1"]);
    assert!(
        shown.stdout.contains("prograde rollback echo") && shown.stderr.contains("mitigate INC-1 --rollback"),
        "{shown:?}"
    );
    done(&world.cli(&["incident", "note", "INC-1", "it says\nworse", "--by", "Bob Builder"]));
    done(&world.cli(&["incident", "publish", "INC-1", "We <b>look</b>.", "--by", "Bob Builder"]));

    // What was ordered is carried out and recorded, though nobody was there to see how it went.
    done(&world.cli(&["incident", "mitigate", "INC-1", "--rollback", "--by", "Bob Builder"]));
    world.kill();
    world.start();
    until("the harm has ended", || incident(&world)["mitigated_at"].is_string().then_some(()));
    assert_eq!(world.serves_alone("echo", "production")["flight"], stable["id"]);
    assert_eq!(text(&world.ended(text(&bad, "commit"), "rolled_back"), "detail"), "INC-1: answers are wrong");
    let again = world.cli(&["incident", "mitigate", "INC-1", "--rollback", "--by", "Bob Builder"]);
    assert!(again.code == 1 && again.stderr.contains("PG0704"), "{again:?}");

    resolve_at_once(&world);
    let page = ureq::get(format!("{}/status", world.url())).call().unwrap().body_mut().read_to_string().unwrap();
    assert!(page.contains("answers are wrong") && page.contains("We &lt;b&gt;look&lt;/b&gt;."), "{page}");
    assert!(!page.contains("Bob") && !page.contains(&text(&bad, "commit")[..8]), "only what is public: {page}");

    assert_timeline(&world, &bad);
    learn(&world, &bad);
    world.kill();
    world.start();
    assert!(incident(&world)["postmortem"].is_string());
    wait_for_action(&world, &repository);
    load.stop();
    world.end();
}

/// Of two people who say at once that it is over, one is told that the other has.
fn resolve_at_once(world: &World) {
    let order = |by: &str| json!({"by": by, "order": {"do": "resolve", "cause": format!("{by} says so")}});
    let answers: Vec<(u16, Value)> = std::thread::scope(|scope| {
        let ask = |by| scope.spawn(move || world.post("/api/v1/incidents/INC-1/order", &order(by)));
        [ask("Ann"), ask("Bob")].map(|asked| asked.join().unwrap()).into()
    });
    let mut codes: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
    codes.sort_unstable();
    assert_eq!(codes, [200, 409], "{answers:?}");
    let refused = answers.iter().find(|(status, _)| *status == 409).unwrap();
    let by = incident(world)["resolved_by"].as_str().unwrap().to_owned();
    assert!(
        text(&refused.1, "code") == "PG0700" && text(&refused.1, "message").ends_with(&format!("by {by}")),
        "{refused:?}"
    );
}

fn assert_timeline(world: &World, bad: &Value) {
    let timeline = json_of(&world.cli(&["incident", "timeline", "INC-1", "--json"]));
    let told: Vec<(&str, &str)> =
        timeline.as_array().unwrap().iter().map(|e| (text(e, "kind"), text(e, "text"))).collect();
    let short = &text(bad, "id")[..8];
    let place = |kind: &str, part: &str| {
        let found = told.iter().position(|(of, text)| *of == kind && text.contains(part));
        found.unwrap_or_else(|| panic!("no {kind} {part:?} in {told:#?}"))
    };
    let order = [
        place("flight", &format!("{short}: 1% of the traffic")),
        place("incident", "INC-1 declared SEV2 by Bob Builder"),
        place("note", "it says\nworse"),
        place("incident", &format!("flight {short} of echo is taken back")),
        place("flight", &format!("{short}: to be taken back")),
        place("incident", "mitigated: "),
        place("incident", "resolved: "),
    ];
    assert!(order.is_sorted(), "{told:#?}");
}

/// What happened is drafted, looked through, and published.
fn learn(world: &World, bad: &Value) {
    let file = world.dir().join("postmortem.md");
    let name = file.to_str().unwrap();
    done(&world.cli(&["postmortem", "draft", "INC-1", "--out", name]));
    let draft = std::fs::read_to_string(&file).unwrap();
    assert!(draft.contains(text(bad, "commit")) && draft.contains(text(bad, "id")), "{draft}");
    assert!(!draft.contains(AUTHOR.0), "a cause is no person: {draft}");
    done(&world.cli(&["postmortem", "lint", name, "--incident", "INC-1"]));
    let lines = draft.lines().count();
    std::fs::write(&file, format!("{draft}\nAda broke it.\nIt should have been seen.\n")).unwrap();
    let said = world.cli(&["postmortem", "lint", name, "--incident", "INC-1"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stdout.contains(&format!("{name}:{}:1: a person is named", lines + 2)), "{said:?}");
    assert!(said.stdout.contains(&format!("{name}:{}:4: \"should have\"", lines + 3)), "{said:?}");
    let refused = world.cli(&["postmortem", "publish", "INC-1", name, "--by", "Ann"]);
    assert!(refused.code == 1 && refused.stderr.contains("PG0703"), "{refused:?}");
    std::fs::write(&file, &draft).unwrap();
    done(&world.cli(&["postmortem", "publish", "INC-1", name, "--by", "Ann"]));
    let again = world.cli(&["postmortem", "publish", "INC-1", name, "--by", "Ann"]);
    assert!(again.code == 1 && again.stderr.contains("PG0700"), "{again:?}");
}

/// A release waits until what was to be done is done.
fn wait_for_action(world: &World, repository: &Repository) {
    let item = ["--title", "look at answers", "--owner", "Bob", "--due", "2999-01-31", "--kind", "detect", "--gate"];
    let added = world.cli(&[&["action", "add", "INC-1", "--by", "Ann"][..], &item].concat());
    assert_eq!((added.code, added.stdout.as_str()), (0, "ACT-1\n"), "{added:?}");
    let commit = repository.push("greeting=better", "Serve better");
    let held = |flight: &Value| flight["environments"][1]["holds"][0]["id"] == "action/ACT-1";
    let waiting = world.flight_when(&commit, "waits for the action item", held);
    let reason = text(&waiting["environments"][1]["holds"][0], "reason");
    assert_eq!(reason, "ACT-1 of INC-1 is not done: look at answers (Bob, due 2999-01-31)");
    let ranked = json_of(&world.cli(&["action", "list", "--ranked", "--json"]));
    assert_eq!((&ranked[0]["id"], &ranked[0]["incidents"]), (&json!("ACT-1"), &json!(1)), "{ranked}");
    done(&world.cli(&["action", "done", "ACT-1", "--note", "it is looked at", "--by", "Bob"]));
    world.ended(&commit, "landed");
    let months = json_of(&world.cli(&["incident", "trend", "--since", "1d", "--json"]));
    let last = months.as_array().unwrap().last().unwrap();
    assert_eq!((&last["incidents"], &last["actions_done"]), (&json!(1), &json!(1)), "{months}");
    for command in [&["journal", "verify"][..], &["status"], &["dora"], &["toil"], &["flight", "list"]] {
        done(&world.cli(command));
    }
}

#[test]
fn what_can_not_be_is_refused_with_a_code_and_changes_nothing() {
    let (world, _repository, load, ..) = hurt(&[]);
    let unknown = world.cli(&["incident", "show", "INC-1"]);
    assert!(unknown.code == 2 && unknown.stderr.contains("PG0701"), "{unknown:?}");
    let nowhere = world.cli(&["incident", "declare", "lost", "-s", "echo", "-e", "moon", "--by", "Ann"]);
    assert!(nowhere.code == 2 && nowhere.stderr.contains("PG0502"), "{nowhere:?}");
    declare(&world);
    let before = incident(&world);
    let huge = "x".repeat(16 * 1024 + 1);
    for (note, why) in [(huge.as_str(), "1 to 16384 bytes"), ("a\u{1b}[2J", "control characters"), (" ", "1 to 16384")]
    {
        let order = json!({"by": "Ann", "order": {"do": "note", "text": note}});
        let (status, body) = world.post("/api/v1/incidents/INC-1/order", &order);
        assert_eq!((status, text(&body, "code")), (400, "PG0702"), "{body}");
        assert!(text(&body, "message").contains(why), "{body}");
    }
    let flood = json!({"by": "Ann", "order": {"do": "note", "text": "x".repeat(100_000)}});
    assert_eq!(world.post("/api/v1/incidents/INC-1/order", &flood).0, 400);
    for order in [json!({"do": "explode"}), json!({"do": "note"}), json!({"do": "unpublish", "text": 1}), json!(null)] {
        let (status, body) = world.post("/api/v1/incidents/INC-1/order", &json!({"by": "Ann", "order": order}));
        assert_eq!((status, text(&body, "code")), (400, "PG0504"), "{body}");
    }
    let back = world.cli(&["incident", "stage", "INC-1", "triage", "--by", "Ann"]);
    assert!(back.code == 1 && back.stderr.contains("PG0700") && back.stderr.contains("past triage"), "{back:?}");
    let dry = world.cli(&["incident", "mitigate", "INC-1", "--rollback", "--by", "Ann", "--dry-run"]);
    assert!(dry.code == 0 && dry.stdout.contains("would run: prograde rollback echo"), "{dry:?}");
    assert_eq!(incident(&world), before, "nothing of it was recorded");
    assert_eq!(ureq::get(format!("{}/status", world.url())).call().unwrap_err().to_string(), "http status: 401");
    let dir = world.dir().join("page");
    done(&world.cli(&["status-page", "--out", dir.to_str().unwrap()]));
    let page: Value = serde_json::from_str(&std::fs::read_to_string(dir.join("status.json")).unwrap()).unwrap();
    assert_eq!((&page["incidents"], &page["services"][0]["state"]), (&json!([]), &json!("operational")), "{page}");
    assert!(std::fs::read_to_string(dir.join("index.html")).unwrap().contains("All services are operational"));
    load.stop();
    world.end();
}
