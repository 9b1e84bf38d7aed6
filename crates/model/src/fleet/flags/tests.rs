//! Flags from the commit that declares them to the judge that takes a setting back.

use serde_json::{Map, Value, json};

use super::*;
use crate::testing::{Ill, Story, id, production, target, two_environments};

fn declared(default: &str) -> Value {
    json!({"flags": {"banner": {
        "state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": default,
    }}})
}

fn on() -> Setting {
    Setting::Variant("on".into())
}

/// A place where a flight serves, with a watch of that length.
fn serving(watch: &str) -> Story {
    let mut environments = production();
    environments[0]["watch"] = watch.into();
    let mut story = Story::new(&environments);
    story.declare(&declared("off")).push('a').run();
    story
}

fn gets(story: &Story) -> String {
    let at = target("production");
    let Some(flags) = story.fleet.flags(&at) else { return "nothing".into() };
    let setting = story.fleet.toggle(&at, "banner").map(|toggle| &toggle.to);
    match flags.evaluate("banner", setting, &Map::new(), story.now) {
        Ok(evaluation) => evaluation.variant,
        Err(error) => error.to_string(),
    }
}

fn flag_facts(story: &Story) -> Vec<String> {
    let facts = story.journal.iter().map(|recorded| recorded.event.encode());
    let of_flags = facts.filter(|(name, _)| name.starts_with("flag."));
    of_flags.map(|(name, data)| format!("{name} {}", data["by"].as_str().unwrap_or("-"))).collect()
}

#[test]
fn the_flags_of_the_flight_that_serves_are_evaluated() {
    let mut story = Story::new(&two_environments(0));
    story.declare(&declared("off")).push('a');
    assert_eq!(gets(&story), "nothing", "nobody serves yet");
    story.run();
    assert_eq!(gets(&story), "off");
    story.declare(&declared("on")).push('b');
    let production = crate::testing::target("production");
    story.until('b', &crate::flight::Stage::At(production, crate::entry::Standing::Rolling));
    assert_eq!(gets(&story), "off", "a canary is given the stable version's");
    story.run();
    assert_eq!(gets(&story), "on", "a default in Git flies like any commit");
    story.roll_back('b', "production", None).unwrap();
    story.run();
    assert_eq!(gets(&story), "off", "and is taken back like one");
}

#[test]
fn a_setting_holds_until_it_is_unset() {
    let mut story = serving("0s");
    story.flag("production", "banner", Some(&on())).unwrap();
    assert_eq!(gets(&story), "on", "at once");
    story.push('b').run();
    assert_eq!(story.fleet.current(&target("production")), Some(&id('b')));
    assert_eq!(gets(&story), "on", "whichever flight serves");
    story.declare(&json!({"flags": {}})).push('c').run();
    assert_eq!(gets(&story), "there is no flag \"banner\"");
    story.flag("production", "banner", None).unwrap();
    story.declare(&declared("off")).push('d').run();
    assert_eq!(gets(&story), "off");
    assert_eq!(flag_facts(&story), ["flag.set ann", "flag.unset ann"], "without a watch nothing is judged");
}

#[test]
fn orders_that_mean_nothing_are_refused() {
    let mut story = serving("0s");
    let mut refused = |flag: &str, to: Option<&Setting>| story.flag("production", flag, to).unwrap_err().to_string();
    assert_eq!(refused("no", Some(&on())), "there is no flag \"no\" in production");
    let purple = Setting::Variant("purple".into());
    assert_eq!(refused("banner", Some(&purple)), "flag \"banner\" has no variant \"purple\", only off, on");
    assert_eq!(refused("banner", None), "flag \"banner\" is not set in production: it is as Git says");
    story.flag("production", "banner", Some(&on())).unwrap();
    let again = story.flag("production", "banner", Some(&on())).unwrap_err();
    assert_eq!(again.to_string(), "flag \"banner\" is set so already in production, by ann");
}

#[test]
fn what_harms_goes_back_to_what_it_was() {
    let mut story = serving("5m");
    story.flag("production", "banner", Some(&Setting::Disabled)).unwrap();
    story.flag("production", "banner", Some(&on())).unwrap();
    assert_eq!(gets(&story), "on");
    story.fall_ill('a');
    for _ in 0..60 {
        story.step();
    }
    assert_eq!(gets(&story), "flag \"banner\" is disabled");
    // The second change ended the first one's watch; what the judge did is not watched, or it would never end.
    let facts = ["flag.set ann", "flag.watched -", "flag.set ann", "flag.watched -", "flag.set judge"];
    assert_eq!(flag_facts(&story), facts);
    assert_eq!(story.fleet.flag_watches().count(), 0);
}

#[test]
fn what_was_bad_before_is_not_the_flag_s_fault() {
    let mut environments = production();
    environments[0]["watch"] = "1m".into();
    let mut story = Story::new(&environments);
    // It has failed ever since it serves, and there is nothing to go back to.
    story.declare(&declared("off")).push_ill('a', Ill::Requests).run();
    for _ in 0..30 {
        story.step();
    }
    story.flag("production", "banner", Some(&on())).unwrap();
    for _ in 0..70 {
        story.step();
    }
    assert_eq!(flag_facts(&story), ["flag.set ann", "flag.watched -"]);
    assert_eq!(gets(&story), "on", "it stays once its watch is over");
}

#[test]
fn another_version_ends_the_watch() {
    let mut story = serving("5m");
    story.flag("production", "banner", Some(&on())).unwrap();
    story.push('b');
    for _ in 0..60 {
        story.step();
    }
    assert_eq!(story.fleet.current(&target("production")), Some(&id('b')));
    assert_eq!(story.fleet.flag_watches().count(), 0);
    story.fall_ill('b');
    for _ in 0..60 {
        story.step();
    }
    assert_eq!((flag_facts(&story), gets(&story)), (vec!["flag.set ann".to_owned()], "on".to_owned()));
}
