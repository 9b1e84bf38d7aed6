//! Images are kept up to date by the server itself: a tag that is pushed becomes a commit, and the commit flies.

use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::world::peer::Peer;
use crate::world::repository::Repository;
use crate::world::wait::until;
use crate::world::{Said, World, processes, said, text};

/// The objects for an image in namespace `f`: of a name, with more in the automation's `git`.
fn objects(name: &str, image: &str, git: &str) -> String {
    let object = |kind: &str, spec: &str| {
        format!(
            "apiVersion: image.toolkit.fluxcd.io/v1\nkind: {kind}\nmetadata: {{ name: {name}, namespace: f }}\nspec:\n{spec}---\n"
        )
    };
    let repository = object("ImageRepository", &format!("  image: {image}\n  interval: 1s\n"));
    let policy = "  imageRepositoryRef: { name: NAME }\n  policy: { semver: { range: '*' } }\n  digestReflectionPolicy: IfNotPresent\n";
    let automation = format!(
        "  interval: 1s\n  sourceRef: {{ kind: GitRepository, name: fleet }}\n  update: {{ path: apps/NAME }}\n  git:\n    commit:\n      \
         author: {{ name: Bot, email: bot@example.org }}\n      messageTemplate: 'Update {{{{ len .Changed.Changes }}}} image'\n{git}"
    );
    let of = |spec: &str| spec.replace("NAME", name);
    [repository, object("ImagePolicy", &of(policy)), object("ImageUpdateAutomation", &of(&automation))].concat()
}

fn marked(name: &str, image: &str) -> String {
    format!("spec:\n  image: {image} # {{\"$imagepolicy\": \"f:{name}\"}}\n")
}

/// What `docker login` leaves.
fn login(world: &World) -> String {
    let shown = json!({ "username": "prograde", "password": world.token() });
    json!({ "auths": { world.listen().to_string(): shown } }).to_string()
}

/// Builds an image of a text, and pushes it to the registry of a world.
fn build(world: &World, name: &str, content: &str) {
    build_for(world, &world.listen().to_string(), name, content);
}

/// Builds an image of a text, and pushes it to a registry.
fn build_for(world: &World, registry: &str, name: &str, content: &str) {
    std::fs::write(world.dir().join("motd"), content).unwrap();
    std::fs::write(world.dir().join("auth.json"), login(world)).unwrap();
    let file = format!("{}:/etc/motd", world.dir().join("motd").display());
    let tag = format!("{registry}/{name}");
    let mut command = world.command();
    command.args(["image", "build", "--file", &file, "--tag", &tag, "--push"]).stdin(Stdio::null());
    command.arg("--layout").arg(world.dir().join("layout")).arg("--auth-file").arg(world.dir().join("auth.json"));
    let built = said(&mut command);
    assert_eq!(built.code, 0, "{built:?}");
}

/// Gives an image of the server's own registry another tag, whether it may be pulled or not.
fn tag(world: &World, repository: &str, digest: &str, tag: &str) {
    let (_, hex) = digest.split_once(':').unwrap();
    let manifest = std::fs::read(world.data().join("registry/blobs/sha256").join(hex)).unwrap();
    let address = format!("{}/v2/{repository}/manifests/{tag}", world.url());
    let kind = serde_json::from_slice::<Value>(&manifest).unwrap()["mediaType"].as_str().unwrap().to_owned();
    let request = ureq::put(address).header("authorization", format!("Bearer {}", world.token()));
    assert_eq!(request.header("content-type", kind).send(&manifest).unwrap().status(), 201);
}

fn view(world: &World) -> Value {
    world.get("/api/v1/images/automations")[0].clone()
}

/// The automation of a name, as it stands.
fn automation(world: &World, name: &str) -> Value {
    let view = view(world);
    let all = view["automations"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|one| one["name"] == name).unwrap_or_default()
}

/// Fetches until a file has a text; the commit that it is of.
fn comes(repository: &Repository, branch: &str, file: &str, part: &str) -> String {
    until("the commit is there", || {
        let commit = repository.pull(branch)?;
        let found = std::fs::read_to_string(repository.path(file)).unwrap_or_default();
        found.contains(part).then_some(commit)
    })
}

fn shown(world: &World) -> Said {
    world.cli(&["image", "automations"])
}

#[test]
fn a_tag_that_is_pushed_here_becomes_a_commit_that_flies() {
    let mut world = World::new();
    let echo = Repository::create(&world, "echo");
    echo.enter_at_once();
    let first = world.ended(&echo.push("greeting=first", "Serve"), "landed");
    let second = world.ended(&echo.push("greeting=second", "Serve worse"), "landed");
    let back = ["rollback", "echo", "--environment", "production", "--by", "Ada", "--reason", "worse"];
    assert_eq!(world.cli(&back).code, 0);
    until("it is in quarantine", || (world.get("/api/v1/quarantine")[0]["digest"] == second["digest"]).then_some(()));
    let (good, bad) = (text(&first, "digest"), text(&second, "digest"));
    tag(&world, "echo", good, "1.0.0");

    let (fleet, image) = (Repository::create(&world, "fleet"), format!("{}/echo", world.listen()));
    fleet.enter_at_once();
    let suspended = objects("other", &image, "")
        .replace("  interval: 1s\n  sourceRef", "  suspend: true\n  interval: 1s\n  sourceRef");
    fleet.write("flux.yaml", &objects("echo", &image, ""));
    fleet.write("other.yaml", &suspended);
    let (ours, theirs) = (marked("echo", &format!("{image}:0.1.0")), marked("other", &format!("{image}:0.1.0")));
    fleet.write("apps/echo/deploy.yaml", &ours);
    fleet.write("apps/other/deploy.yaml", &theirs);
    fleet.push("greeting=fleet", "Begin");
    let made = comes(&fleet, "main", "apps/echo/deploy.yaml", &format!("{image}:1.0.0@{good} # {{"));
    assert_eq!(fleet.log("main"), ["Bot <bot@example.org> Update 1 image", "Ada Example <ada@example.org> Begin"]);
    assert_eq!(std::fs::read_to_string(fleet.path("apps/other/deploy.yaml")).unwrap(), theirs);
    // It flies as if it had been pushed.
    assert_eq!(world.ended(&made, "landed")["service"], "fleet");

    // What is in quarantine is passed over, whatever its tag.
    let policy = |world: &World| view(world)["policies"][0].clone();
    let before = text(&policy(&world), "looked_at").to_owned();
    tag(&world, "echo", bad, "1.1.0");
    until("it was looked at again", || (text(&policy(&world), "looked_at") > before.as_str()).then_some(()));
    assert_eq!(text(&policy(&world), "tag"), "1.0.0");
    tag(&world, "echo", good, "1.2.0");
    let made = comes(&fleet, "main", "apps/echo/deploy.yaml", &format!("{image}:1.2.0@{good} # {{"));
    assert_eq!(fleet.log("main").len(), 3);
    until("the commit is shown", || (automation(&world, "echo")["last_commit"] == made).then_some(()));
    assert_eq!(automation(&world, "other")["suspended"], true);
    let said = shown(&world);
    assert!(said.code == 0 && said.stdout.contains(&made[..8]) && said.stdout.contains("1.2.0@sha256:"), "{said:?}");

    // A crash loses nothing, also not who has made which commit; and there is nothing to be done twice.
    world.ended(&made, "landed");
    world.kill();
    world.start();
    until("it is known again", || (automation(&world, "echo")["last_commit"] == made).then_some(()));
    assert_eq!((fleet.pull("main").unwrap(), fleet.log("main").len()), (made, 3));
    world.end();
}

#[test]
fn another_registry_is_scanned_and_a_branch_of_its_own_follows() {
    let registry = World::new();
    let world = World::with_files(&[("auth.json", &login(&registry))], &["--auth-file", "auth.json"]);
    let (fleet, image) = (Repository::create(&world, "fleet"), format!("{}/tools", registry.listen()));
    fleet.remove("prograde.yaml");
    fleet.write("flux.yaml", &objects("tools", &image, "    push: { branch: image-updates }\n"));
    fleet.write("apps/tools/deploy.yaml", &marked("tools", &format!("{image}:1.0.0")));
    fleet.write("broken.yaml", &objects("broken", &image, "").replace("interval: 1s", "intervall: 1s"));
    let begun = fleet.push("", "Begin");
    // What is wrong is told with its place, and keeps nothing else waiting.
    let trouble = until("it is told what is wrong", || {
        let view = view(&world);
        let found = view["policies"].as_array()?.iter().find(|one| one["name"] == "tools")?["trouble"]["text"].clone();
        Some((found.as_str()?.to_owned(), view["trouble"]["text"].as_str()?.to_owned()))
    });
    assert!(trouble.0.contains("flux.yaml:") && trouble.0.contains("the tags of"), "{trouble:?}");
    assert!(trouble.1.contains("broken.yaml:") && trouble.1.contains("intervall"), "{trouble:?}");
    let said = shown(&world);
    assert!(said.code == 1 && said.stderr.contains("fleet f/tools: flux.yaml:"), "{said:?}");

    build(&registry, "tools:1.2.0", "one");
    let made = comes(&fleet, "image-updates", "apps/tools/deploy.yaml", &format!("{image}:1.2.0@sha256:"));
    assert_eq!(
        fleet.log("image-updates"),
        ["Bot <bot@example.org> Update 1 image", "Ada Example <ada@example.org> Begin"]
    );
    assert_eq!((fleet.pull("main"), world.get("/api/v1/flights")), (Some(begun), json!([])));
    // It follows what is pushed.
    fleet.commit("Go on");
    fleet.send();
    until("the branch follows", || {
        let found = fleet.pull("image-updates").filter(|commit| *commit != made);
        found.filter(|_| fleet.log("image-updates")[1].ends_with("Go on"))
    });
    // What somebody else has put there stays.
    fleet.commit("Mine");
    fleet.send_to("image-updates");
    build(&registry, "tools:1.3.0", "two");
    let told = until("it is told", || automation(&world, "tools")["trouble"]["text"].as_str().map(str::to_owned));
    assert!(told.contains("`image-updates` has commits of somebody else"), "{told}");
    assert!(fleet.pull("image-updates").is_some() && fleet.log("image-updates")[0].ends_with("Mine"));
    fleet.send_to("main");
    comes(&fleet, "image-updates", "apps/tools/deploy.yaml", &format!("{image}:1.3.0@sha256:"));
    assert!(fleet.log("image-updates")[1].ends_with("Mine"), "{:?}", fleet.log("image-updates"));
    until("all is well", || automation(&world, "tools")["trouble"].is_null().then_some(()));
    world.end();
    registry.end();
}

#[test]
fn who_pushes_at_the_same_time_loses_nothing() {
    const PUSHES: u32 = 25;
    const TAGS: u32 = 6;
    let world = World::new();
    let (fleet, image) = (Repository::create(&world, "fleet"), format!("{}/tools", world.listen()));
    fleet.remove("prograde.yaml");
    fleet.write("flux.yaml", &objects("tools", &image, ""));
    fleet.write("apps/tools/deploy.yaml", &marked("tools", &format!("{image}:0.0.0")));
    fleet.push("", "Begin");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..PUSHES {
                until("the push is taken", || {
                    fleet.pull("main")?;
                    fleet.write(&format!("notes/{number}.txt"), "mine");
                    fleet.commit(&format!("Note {number}"));
                    fleet.try_send().status.success().then_some(())
                });
            }
        });
        for number in 1..=TAGS {
            build(&world, &format!("tools:1.0.{number}"), &number.to_string());
        }
    });
    comes(&fleet, "main", "apps/tools/deploy.yaml", &format!("{image}:1.0.{TAGS}@sha256:"));
    let log = fleet.log("main");
    for number in 0..PUSHES {
        assert_eq!(log.iter().filter(|line| line.ends_with(&format!("Note {number}"))).count(), 1, "{log:#?}");
        assert!(fleet.path(&format!("notes/{number}.txt")).exists(), "{number}");
    }
    assert!(log.iter().filter(|line| line.starts_with("Bot ")).count() <= TAGS as usize, "{log:#?}");
    world.end();
}

#[test]
fn a_repository_that_follows_a_host_is_committed_to_there() {
    let host = World::with_files(&[], &["--image-automations", "none"]);
    let follow = |more: &str| {
        format!(
            "version: 1\nupstreams:\n- {{ service: fleet, url: '{}/git/fleet.git', user: prograde, token_file: host.token, poll: 1h{more} }}\n",
            host.url()
        )
    };
    let (fleet, file) = (Repository::create(&host, "fleet"), follow(""));
    fleet.remove("prograde.yaml");
    fleet.push("", "Begin");
    let files = [("upstreams.yaml", file.as_str()), ("host.token", host.token())];
    let mut world = World::with_files(&files, &["--upstreams", "upstreams.yaml"]);
    let (image, other) = (format!("{}/tools", world.listen()), format!("{}/gears", world.listen()));
    build(&world, "tools:1.0.0", "one");
    build(&world, "gears:1.0.0", "one");
    let beside = "    checkout: { ref: { branch: main } }\n    push: { branch: image-updates }\n";
    fleet.write("flux.yaml", &[objects("tools", &image, ""), objects("gears", &other, beside)].concat());
    fleet.write("apps/tools/deploy.yaml", &marked("tools", &format!("{image}:0.1.0")));
    fleet.write("apps/gears/deploy.yaml", &marked("gears", &format!("{other}:0.1.0")));
    fleet.push("", "Automate");
    processes::signal(world.pid(), Signal::HUP);
    let told = until("it is told", || automation(&world, "tools")["trouble"]["text"].as_str().map(str::to_owned));
    assert!(told.contains("write `image_updates: true`") && told.contains(&host.url()), "{told}");

    // Once it may, both the branch that is followed and another are committed to, there and here.
    std::fs::write(world.dir().join("upstreams.yaml"), follow(", image_updates: true")).unwrap();
    processes::signal(world.pid(), Signal::HUP);
    let made = comes(&fleet, "main", "apps/tools/deploy.yaml", &format!("{image}:1.0.0@sha256:"));
    assert_eq!(
        fleet.log("main")[..2],
        ["Bot <bot@example.org> Update 1 image", "Ada Example <ada@example.org> Automate"]
    );
    until("the commit is here", || (world.get("/api/v1/upstreams")[0]["head"] == made).then_some(()));
    until("the commit is shown", || (automation(&world, "tools")["last_commit"] == made).then_some(()));
    let first = comes(&fleet, "image-updates", "apps/gears/deploy.yaml", &format!("{other}:1.0.0@sha256:"));
    assert_eq!(fleet.log("image-updates")[1..], fleet.log("main"));

    // What somebody has pushed there meanwhile is not known here; nothing of it is lost.
    fleet.pull("main").unwrap();
    fleet.push("", "Mine");
    build(&world, "tools:1.1.0", "two");
    comes(&fleet, "main", "apps/tools/deploy.yaml", &format!("{image}:1.1.0@sha256:"));
    assert!(fleet.log("main")[1].ends_with("Mine"), "{:?}", fleet.log("main"));
    let next = until("the branch follows", || fleet.pull("image-updates").filter(|commit| *commit != first));
    assert_eq!(fleet.log("image-updates")[1..], fleet.log("main"));

    // A crash between the commit here and on the host.
    world.kill();
    fleet.force(&first, "image-updates");
    world.start();
    until("it is there again", || fleet.pull("image-updates").filter(|commit| *commit == next));

    // What somebody else has put onto the branch stays.
    fleet.commit("Theirs");
    fleet.send_to("image-updates");
    build(&world, "gears:1.1.0", "two");
    let told = until("it is told", || automation(&world, "gears")["trouble"]["text"].as_str().map(str::to_owned));
    assert!(told.contains("`image-updates` has commits of somebody else"), "{told}");
    assert!(fleet.pull("image-updates").is_some() && fleet.log("image-updates")[0].ends_with("Theirs"));
    assert!(!world.log().contains(host.token()), "{}", world.log());
    world.end();
    host.end();
}

#[test]
fn another_registry_tells_of_what_is_pushed() {
    const SECRET: &str = "shown-by-the-registry";
    let world = World::with_files(&[("secret", SECRET)], &["--image-webhook-secret", "secret"]);
    let address = format!("{}/webhooks/images", world.url());
    let Some(registry) = Peer::registry_that_tells(prograde_ports::free(), &address, SECRET) else { return };
    let (fleet, image) = (Repository::create(&world, "fleet"), format!("{}/tools", registry.host()));
    fleet.remove("prograde.yaml");
    // By itself it looks once an hour.
    fleet.write("flux.yaml", &objects("tools", &image, "").replace("interval: 1s", "interval: 1h"));
    fleet.write("apps/tools/deploy.yaml", &marked("tools", &format!("{image}:1.0.0")));
    fleet.push("", "Begin");
    until("it was looked once", || {
        let trouble = view(&world)["policies"][0]["trouble"]["text"].clone();
        trouble.as_str().is_some_and(|text| text.contains("the tags of")).then_some(())
    });
    build_for(&world, registry.host(), "tools:1.2.0", "one");
    comes(&fleet, "main", "apps/tools/deploy.yaml", &format!("{image}:1.2.0@sha256:"));

    let post = |path: &str, header: (&str, &str)| {
        let request = ureq::post(format!("{address}{path}")).header(header.0, header.1);
        request.config().http_status_as_error(false).build().send("{}").unwrap().status().as_u16()
    };
    for (path, header, answer) in [
        ("", ("authorization", SECRET), 202),
        ("", ("authorization", "Bearer another"), 401),
        ("", ("x-nothing", ""), 401),
        ("/shown-by-the-registry", ("x-nothing", ""), 202),
        ("/another", ("authorization", SECRET), 401),
    ] {
        assert_eq!(post(path, header), answer, "{path} {header:?}");
    }
    assert!(!world.log().contains(SECRET), "{}", world.log());
    world.end();
}
