//! Replicas follow the requests, and a rollout is not disturbed by that.

use serde_json::Value;

use crate::world::World;
use crate::world::load::Load;
use crate::world::repository::{Repository, deployments};
use crate::world::text;
use crate::world::wait::until;

const AUTOSCALER: &str = "\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: echo
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: echo }
  maxReplicas: 6
  metrics:
    - type: Pods
      pods:
        metric: { name: http_requests_per_second }
        target: { type: AverageValue, averageValue: 100 }
  behavior:
    scaleDown: { stabilizationWindowSeconds: 5 }
";
const STEPS: &str = "      - { weight: 1, bake: 1s }
      - { weight: 10, bake: 1s }
";

/// How the number of replicas in production changed under a flight: when, from, to and why.
fn scaled(flight: &Value) -> Vec<(u64, u64, u64, String)> {
    let events = flight["events"].as_array().unwrap().iter();
    let of_production =
        events.filter(|event| event["type"] == "environment.scaled" && event["data"]["environment"] == "production");
    let told = of_production.map(|event| {
        let number = |field: &str| event["data"][field].as_u64().unwrap();
        let sequence = event["sequence"].as_u64().unwrap();
        (sequence, number("before"), number("replicas"), text(&event["data"], "reason").to_owned())
    });
    told.collect()
}

fn started(flight: &Value) -> &Value {
    let of_production =
        |event: &&Value| event["type"] == "rollout.started" && event["data"]["environment"] == "production";
    flight["events"].as_array().unwrap().iter().find(of_production).unwrap()
}

fn replicas(world: &World) -> u64 {
    world.serves_alone("echo", "production")["replicas"].as_u64().unwrap()
}

#[test]
fn replicas_follow_the_requests() {
    let world = World::new();
    let repository = Repository::create(&world, "echo");
    let overlay = "deploy/overlays/production";
    repository.edit(
        &format!("{overlay}/kustomization.yaml"),
        "  - ../../base\n",
        "  - ../../base\n  - autoscaler.yaml\n",
    );
    repository.write(&format!("{overlay}/autoscaler.yaml"), AUTOSCALER);
    repository.edit("prograde.yaml", STEPS, "      - { weight: 50, bake: 10s }\n");
    let first = repository.push("greeting=old", "Serve");
    world.ended(&first, "landed");

    let load = Load::start(world.address("echo", "production"), 300);
    until("there are more replicas", || (replicas(&world) > 2).then_some(()));
    let (_, _, _, why) = scaled(&world.flight_of(&first)).last().unwrap().clone();
    assert!(why.contains("requests a second for each replica, wanted 100"), "{why}");

    // Most users go while both versions serve. The stable one may have to take all of them back, so it stays as it is.
    let second = repository.push("greeting=new", "Serve anew");
    let halfway = |flight: &Value| flight["environments"][1]["weight"] == 50;
    let flight = world.flight_when(&second, "has half of the users", halfway);
    let data = &started(&flight)["data"];
    assert!(data["replicas"].as_u64().unwrap() > 2, "not what the manifest says: {data:#}");
    assert_eq!(data["replicas"], data["stable_replicas"], "as many as serve now");
    assert_eq!(load.stop().failed(), 0);
    let load = Load::start(world.address("echo", "production"), 40);
    let flight = world.ended(&second, "landed");
    let (begun, before) = (started(&flight)["sequence"].as_u64().unwrap(), scaled(&world.flight_of(&first)));
    assert!(before.iter().all(|(at, from, to, _)| *at < begun || to > from), "{before:#?}");

    until("there is one replica again", || (replicas(&world) == 1).then_some(()));
    assert!(scaled(&world.flight_of(&second)).iter().any(|(_, from, to, _)| to < from));
    assert_eq!(load.stop().failed(), 0, "and nobody noticed");
    assert_eq!(deployments(&world).len(), 4, "Git says nothing of it: two flights in two environments");
    world.end();
}
