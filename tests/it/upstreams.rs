//! Repositories on a Git host are followed: what is pushed there flies here, and whatever happens to the host, what is here stays.

use std::fs;
use std::path::Path;
use std::process::Command;

use hmac::{Hmac, KeyInit as _, Mac as _};
use rustix::process::Signal;
use serde_json::Value;
use sha2::Sha256;

use crate::world::repository::Repository;
use crate::world::wait::until;
use crate::world::{World, processes, text};

const SECRET: &str = "a secret of both";

/// Posts to the webhook of `echo`, as a host does; the status of the answer.
fn tell(world: &World, header: (&str, &str), body: &str) -> u16 {
    let request = ureq::post(format!("{}/webhooks/git/echo", world.url())).header(header.0, header.1);
    request.config().http_status_as_error(false).build().send(body).unwrap().status().as_u16()
}

fn signed(secret: &str, body: &str) -> String {
    let mut code = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    code.update(body.as_bytes());
    ["sha256=", &hex::encode(code.finalize().into_bytes())].concat()
}

fn wake(world: &World) {
    assert_eq!(tell(world, ("X-Gitlab-Token", SECRET), "{}"), 202);
}

fn upstream(world: &World) -> Value {
    world.get("/api/v1/upstreams")[0].clone()
}

/// Wakes the follower until it has said something about what keeps it.
fn trouble(world: &World, part: &str) -> String {
    until("the trouble is told", || {
        wake(world);
        let view = upstream(world);
        view["trouble"].as_str().filter(|trouble| trouble.contains(part)).map(str::to_owned)
    })
}

fn at(world: &World, commit: &str) {
    until("the commit is here", || {
        let view = upstream(world);
        (view["head"] == commit && view["trouble"].is_null()).then_some(())
    });
}

fn git(dir: &Path, arguments: &[&str]) -> String {
    git_at(dir, arguments, None)
}

/// The same, by a machine whose clock says so.
fn git_at(dir: &Path, arguments: &[&str], clock: Option<&str>) -> String {
    let mut command = Command::new("git");
    command.envs(clock.into_iter().flat_map(|clock| [("GIT_COMMITTER_DATE", clock), ("GIT_AUTHOR_DATE", clock)]));
    command.args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]).args(arguments).current_dir(dir);
    let out = command.output().unwrap();
    assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

#[test]
fn what_is_pushed_to_a_host_flies_here_once_it_says_so() {
    let host = World::new();
    let file = format!(
        "version: 1\nupstreams:\n- {{ service: echo, url: '{}/git/echo.git', user: prograde, token_file: host.token, webhook_secret_file: secret, poll: 1h }}\n",
        host.url()
    );
    let files = [("upstreams.yaml", file.as_str()), ("host.token", host.token()), ("secret", SECRET)];
    let world = World::with_files(&files, &["--upstreams", "upstreams.yaml"]);
    let said = trouble(&world, "");
    assert!(!said.contains(host.token()), "{said}");

    let repository = Repository::create(&host, "echo");
    repository.remove("prograde.yaml");
    let first = repository.push("greeting=first", "Serve");
    let body = "{\"ref\": \"refs/heads/main\"}";
    for (header, secret, answer) in [
        ("X-Hub-Signature-256", signed("another", body), 401),
        ("X-Hub-Signature-256", "sha256=00".to_owned(), 401),
        ("X-Gitlab-Token", "another".to_owned(), 401),
        ("X-Nothing", String::new(), 401),
        ("X-Hub-Signature-256", signed(SECRET, body), 202),
    ] {
        assert_eq!(tell(&world, (header, &secret), body), answer, "{header}");
    }
    at(&world, &first);
    assert_eq!(text(&world.flight_of(&first), "service"), "echo");

    // Its commits come from there alone.
    let here = Repository::again(&host, "echo");
    here.commit_behaviour("greeting=second", "Serve something else");
    let (url, header) =
        (format!("{}/git/echo.git", world.url()), format!("http.extraHeader=Authorization: Bearer {}", world.token()));
    let pushed = Command::new("git")
        // The empty one takes the host's header away.
        .args(["-c", "http.extraHeader=", "-c", &header, "push", &url, "HEAD:refs/heads/main"])
        .current_dir(here.path(""))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&pushed.stderr).into_owned();
    assert!(!pushed.status.success() && said.contains("this repository follows"), "{said}");
    let listed = world.cli(&["upstream", "list"]);
    assert!(listed.code == 0 && listed.stdout.contains(&first[..8]), "{listed:?}");

    // The token is withdrawn, and another one written into its file.
    fs::write(world.dir().join("host.token"), "withdrawn-5c1e").unwrap();
    here.send();
    let said = trouble(&world, "could not ask");
    assert!(!said.contains("withdrawn-5c1e") && !said.contains(host.token()), "{said}");
    assert_eq!(upstream(&world)["head"], first.as_str());
    fs::write(world.dir().join("host.token"), host.token()).unwrap();
    wake(&world);
    let second = here.head();
    at(&world, &second);
    assert_eq!(text(&world.flight_of(&second), "service"), "echo");
    world.end();
    host.end();
}

#[test]
fn clocks_that_differ_and_old_messages_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let (bare, work) = (dir.path().join("echo.git"), dir.path().join("work"));
    git(dir.path(), &["init", "--quiet", "--bare", "--initial-branch=main", "echo.git"]);
    git(dir.path(), &["clone", "--quiet", "echo.git", "work"]);
    let push = |content: &str, clock: &str| {
        fs::write(work.join("file"), content).unwrap();
        git(&work, &["add", "."]);
        git_at(&work, &["commit", "--quiet", "--message", content], Some(clock));
        git(&work, &["push", "--quiet", "origin", "HEAD:main"]);
        git(&work, &["rev-parse", "HEAD"])
    };
    let file = format!(
        "version: 1\nupstreams:\n- {{ service: echo, url: '{}', webhook_secret_file: secret, poll: 1h }}\n",
        bare.display()
    );
    let first = push("first", "2039-12-31T23:00:00Z");
    let files = [("upstreams.yaml", file.as_str()), ("secret", SECRET)];
    let world = World::with_files(&files, &["--upstreams", "upstreams.yaml"]);
    at(&world, &first);
    // A message of tomorrow, of the year 1999, and one that has come before: each makes the server ask, and nothing more.
    for (content, clock, time) in
        [("second", "1999-01-01T00:00:00Z", 915_148_800), ("third", "2039-12-31T22:00:00Z", 2_208_985_200_i64)]
    {
        let commit = push(content, clock);
        let body = format!(
            "{{\"ref\": \"refs/heads/main\", \"after\": \"{first}\", \"repository\": {{\"pushed_at\": {time}}}}}"
        );
        for _ in 0..2 {
            let request = ureq::post(format!("{}/webhooks/git/echo", world.url()))
                .header("Date", "Fri, 01 Jan 1999 00:00:00 GMT")
                .header("X-Hub-Signature-256", signed(SECRET, &body));
            assert_eq!(request.send(&body).unwrap().status(), 202);
        }
        at(&world, &commit);
        assert_eq!(text(&world.flight_of(&commit), "commit"), commit);
    }
    world.end();
}

#[test]
fn whatever_happens_to_the_host_what_is_here_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (bare, work) = (dir.path().join("echo.git"), dir.path().join("work"));
    git(dir.path(), &["init", "--quiet", "--bare", "--initial-branch=main", "echo.git"]);
    git(dir.path(), &["clone", "--quiet", "echo.git", "work"]);
    let push = |content: &str, arguments: &[&str]| {
        fs::write(work.join("file"), content).unwrap();
        git(&work, &["add", "."]);
        git(&work, &["commit", "--quiet", "--message", content]);
        git(&work, &[&["push", "--quiet", "origin"], arguments].concat());
        git(&work, &["rev-parse", "HEAD"])
    };
    let file = |more: &str| {
        format!(
            "version: 1\nupstreams:\n- {{ service: echo, url: '{}', webhook_secret_file: secret, poll: 5s{more} }}\n",
            bare.display()
        )
    };
    let first = push("first", &["HEAD:main"]);
    let files = [("upstreams.yaml", file("")), ("secret", SECRET.to_owned())];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let world = World::with_files(&files, &["--upstreams", "upstreams.yaml"]);
    at(&world, &first);
    let second = push("second", &["HEAD:main"]);
    wake(&world);
    at(&world, &second);

    // The host is away, and comes back.
    fs::rename(&bare, dir.path().join("away.git")).unwrap();
    trouble(&world, "echo.git");
    assert_eq!(upstream(&world)["head"], second.as_str());
    let listed = world.cli(&["upstream", "list"]);
    assert_eq!(listed.code, 1, "{listed:?}");
    fs::rename(dir.path().join("away.git"), &bare).unwrap();
    wake(&world);
    at(&world, &second);

    // The branch is deleted, and made again.
    git(&work, &["push", "--quiet", "origin", "HEAD:refs/heads/other"]);
    git(&bare, &["symbolic-ref", "HEAD", "refs/heads/other"]);
    git(&work, &["push", "--quiet", "origin", ":main"]);
    trouble(&world, "has no branch `main`");
    git(&work, &["push", "--quiet", "origin", "HEAD:main"]);
    wake(&world);
    at(&world, &second);

    // The history is rewritten; somebody says that it is meant.
    git(&work, &["reset", "--quiet", "--hard", &first]);
    let other = push("another second", &["--force", "HEAD:main"]);
    let said = trouble(&world, "rewritten");
    assert!(said.contains(&other) && said.contains(&second), "{said}");
    assert_eq!(upstream(&world)["head"], second.as_str());
    assert!(world.get("/api/v1/flights").as_array().unwrap().iter().all(|flight| flight["commit"] != other.as_str()));
    fs::write(world.dir().join("upstreams.yaml"), file(&format!(", accept: {other}"))).unwrap();
    processes::signal(world.pid(), Signal::HUP);
    at(&world, &other);
    assert_eq!(text(&world.flight_of(&other), "commit"), other);
    world.end();
}
