//! Several services in one flight: `web` comes after `orders`.

use serde_json::{Value, json};

use crate::world::load::Load;
use crate::world::repository::{Repository, deployments};
use crate::world::wait::until;
use crate::world::{World, text};

/// Requests a second to each service.
const RATE: u32 = 300;

const SERVICES: &str = "services:
  - name: web
    after: [orders]
    image: { artifact: web, binary: app }
  - name: orders
    image: { artifact: orders, binary: app }
    manifests: deploy/orders
";

/// The fixture's service, twice in one repository.
fn shop(world: &World) -> Repository {
    let repository = Repository::create(world, "shop");
    let read = |path: &str| std::fs::read_to_string(repository.path(path)).unwrap();
    let files = ["base", "overlays/test", "overlays/production"].into_iter().flat_map(|folder| {
        let names = if folder == "base" {
            &["kustomization", "deployment", "service"][..]
        } else {
            &["kustomization", "deployment"]
        };
        names.iter().map(move |name| format!("{folder}/{name}.yaml"))
    });
    for file in files {
        let text = read(&format!("deploy/{file}"));
        for name in ["orders", "web"] {
            repository.write(&format!("deploy/{name}/{file}"), &text.replace("shop", name));
        }
        repository.remove(&format!("deploy/{file}"));
    }
    repository.edit("prograde.yaml", "image:\n  artifact: app\n  binary: app\nmanifests: deploy\n", SERVICES);
    let workflow = read(".github/workflows/ci.yml");
    let (head, build) = workflow.split_once("  build:\n").unwrap();
    let of = |name: &str| {
        let job = build
            .replace("name: app", &format!("name: {name}"))
            .replace("cat behaviour", &format!("cat {name}.behaviour"));
        format!("  {name}:\n{job}")
    };
    repository.write(".github/workflows/ci.yml", &format!("{head}{}{}", of("orders"), of("web")));
    repository
}

/// Commits what the two services are like.
fn push(repository: &Repository, orders: &str, web: &str, message: &str) -> String {
    repository.write("orders.behaviour", orders);
    repository.write("web.behaviour", web);
    repository.push(&format!("greeting={message}"), message)
}

/// What happened in production, in words such as `passed web`.
fn told(flight: &Value) -> Vec<String> {
    let facts = flight["events"].as_array().unwrap().iter().filter(|fact| fact["data"]["environment"] == "production");
    let word = |fact: &Value| text(fact, "type").rsplit('.').next().unwrap().to_owned();
    facts.map(|fact| format!("{} {}", word(fact), fact["data"]["service"].as_str().unwrap_or("-"))).collect()
}

fn position(told: &[String], what: &str) -> usize {
    told.iter().position(|word| word == what).unwrap_or_else(|| panic!("no {what:?} in {told:?}"))
}

fn load(world: &World, service: &str, greeting: &str) -> Load {
    let load = Load::start(world.address(service, "production"), RATE);
    until("users are answered", || (load.tally().of(greeting).good > 50).then_some(()));
    load
}

#[test]
fn a_group_comes_in_order_and_goes_back_together() {
    let world = World::new();
    let repository = shop(&world);
    let first = world.ended(&push(&repository, "greeting=o1", "greeting=w1", "Serve"), "landed");
    let order = told(&first);
    assert!(position(&order, "promoted orders") < position(&order, "started web"), "{order:?}");
    let (orders, web) = (load(&world, "orders", "o1"), load(&world, "web", "w1"));

    // Only `web` changes: `orders` stays, with the same processes.
    let second = world.ended(&push(&repository, "greeting=o1", "greeting=w2", "Change web"), "landed");
    assert_eq!(told(&second)[..2], ["unchanged orders", "passed web"]);
    assert_eq!(world.serves_alone("orders", "production")["flight"], first["id"]);
    assert_eq!(world.serves_alone("web", "production")["flight"], second["id"]);
    assert_eq!(orders.tally().of("o1").pids.len(), 2, "nobody started it anew");

    // Both change, and `web` is bad: what had come before it goes back as well.
    let commit = push(&repository, "greeting=o3", "greeting=w3 failures=30", "Break web");
    let third = world.ended(&commit, "rolled_back");
    assert!(text(&third, "detail").starts_with("web: step 1 failed"), "{third:#}");
    let order = told(&third);
    assert!(position(&order, "promoted orders") < position(&order, "failed web"), "{order:?}");
    assert!(position(&order, "withdrawn web") < position(&order, "rollback_ordered orders"), "{order:?}");
    assert_eq!(world.serves_alone("orders", "production")["flight"], first["id"]);
    assert_eq!(world.serves_alone("web", "production")["flight"], second["id"]);
    let seen = orders.tally().all();
    until("users are served as before", || (orders.tally().all() > seen + 200).then_some(()));
    let (orders, web) = (orders.stop(), web.stop());
    assert_eq!((orders.failed(), web.failed()), (0, web.of("w3").bad), "{orders:?} {web:?}");
    assert!(orders.of("o3").good > 0 && web.of("w3").bad > 0, "both served users: {orders:?} {web:?}");

    let written = deployments(&world);
    let of_third: Vec<_> =
        written.iter().filter(|entry| entry.trailer("Prograde-Flight") == third["id"].as_str()).collect();
    let production =
        of_third.iter().filter(|entry| entry.trailer("Prograde-Target").unwrap().starts_with("production"));
    let actions: Vec<_> =
        production.map(|e| (e.trailer("Prograde-Action").unwrap(), e.trailer("Prograde-Target").unwrap())).collect();
    let expected = [
        ("revert", "production/orders"),
        ("revert", "production/web"),
        ("deploy", "production/web"),
        ("deploy", "production/orders"),
    ];
    assert_eq!(actions, expected, "the newest first");
    let held = world.cli(&["quarantine", "list", "--json"]);
    assert!(held.stdout.contains("\"web\"") && !held.stdout.contains("\"orders\""), "{held:?}");
    let shown = world.cli(&["flight", "show", text(&third, "id")]);
    assert!(shown.stdout.contains("production/web") && shown.stdout.contains("production/orders"), "{shown:?}");
    world.end();
}

#[test]
fn people_take_a_group_back_and_a_name_has_one_owner() {
    let world = World::new();
    let repository = shop(&world);
    // Nobody comes, so nothing is judged.
    let canary = "strategy: canary\n    gate:\n      approvals: 0\n    steps:\n      - { weight: 1, bake: 1s }\n      \
                  - { weight: 10, bake: 1s }\n      - { weight: 100, bake: 1s }\n";
    repository.edit("prograde.yaml", canary, "strategy: rolling\n");
    let first = world.ended(&push(&repository, "greeting=o1", "greeting=w1", "Serve"), "landed");
    let commit = push(&repository, "greeting=o2", "greeting=w2", "Serve better");
    let second = world.ended(&commit, "landed");
    let order = ["rollback", "orders", "--environment", "production", "--by", "Ada", "--reason", "orders are lost"];
    let said = world.cli(&order);
    assert_eq!(said.code, 0, "{said:?}");
    let back = world.ended(&commit, "rolled_back");
    let order = told(&back);
    assert!(position(&order, "rollback_ordered web") < position(&order, "rollback_ordered orders"), "{order:?}");
    for service in ["orders", "web"] {
        assert_eq!(world.serves_alone(service, "production")["flight"], first["id"]);
        assert_eq!(world.serves_alone(service, "test")["flight"], second["id"], "only production was taken back");
    }
    let held = order.iter().filter(|word| word.starts_with("set ")).collect::<Vec<_>>();
    assert_eq!(held, ["set orders"], "what was named is to blame");

    let other = Repository::create(&world, "web");
    let refused = world.ended(&other.push("greeting=mine", "Take the name"), "refused");
    assert!(text(&refused, "detail").contains("the repository of shop deploys a service web already"), "{refused:#}");
    assert_eq!(refused["environments"], json!([]));
    world.end();
}
