//! Files as teams write them, and what their users get.

use super::*;

fn flags(source: &Value) -> Flags {
    Flags::read(source).unwrap_or_else(|found| panic!("{found:?}"))
}

fn file() -> Value {
    json!({
        "$schema": "https://flagd.dev/schema/v0/flags.json",
        "flags": {
            "banner": {
                "state": "ENABLED",
                "variants": {"on": true, "off": false},
                "defaultVariant": "off",
                "targeting": {"if": [{"$ref": "inside"}, "on", null]},
                "metadata": {"owner": "web"},
            },
            "colour": {
                "state": "ENABLED", "variants": {"red": "#f00", "blue": "#00f"}, "defaultVariant": "red",
                "targeting": {"fractional": [["red", 50], ["blue", 50]]},
            },
            "gone": {"state": "DISABLED", "variants": {"a": 1}, "defaultVariant": "a"},
            "open": {"state": "ENABLED", "variants": {"a": 1}},
            "shorthand": {
                "state": "ENABLED", "variants": {"true": 1, "false": 0}, "defaultVariant": "false",
                "targeting": {"==": [{"var": "region"}, "eu"]},
            },
        },
        "$evaluators": {"inside": {"ends_with": [{"var": "email"}, "@example.org"]}},
        "metadata": {"team": "shop", "owner": "all"},
    })
}

fn gets(key: &str, setting: Option<&Setting>, context: &Value) -> String {
    match flags(&file()).evaluate(key, setting, context.as_object().unwrap(), Timestamp::UNIX_EPOCH) {
        Ok(Evaluation { variant, value, reason }) => format!("{variant}={value} {}", reason.as_str()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn users_get_what_the_rules_say() {
    let (inside, outside) = (json!({"email": "ada@example.org"}), json!({"email": "bob@example.net"}));
    assert_eq!(gets("banner", None, &inside), "on=true TARGETING_MATCH");
    assert_eq!(gets("banner", None, &outside), "off=false DEFAULT");
    assert_eq!(gets("colour", None, &json!({})), "red=\"#f00\" DEFAULT");
    assert_eq!(gets("shorthand", None, &json!({"region": "eu"})), "true=1 TARGETING_MATCH");
    assert_eq!(gets("shorthand", None, &json!({"region": 7})), "false=0 TARGETING_MATCH");
    assert_eq!(gets("gone", None, &json!({})), "flag \"gone\" is disabled");
    assert_eq!(gets("open", None, &json!({})), "flag \"open\" leaves the default to the code");
    assert_eq!(gets("no", None, &json!({})), "there is no flag \"no\"");
}

#[test]
fn a_setting_goes_before_the_rule_and_is_no_more_than_the_flag_allows() {
    let context = json!({"email": "ada@example.org"});
    let variant = |name: &str| Setting::Variant(name.to_owned());
    assert_eq!(gets("banner", Some(&variant("off")), &context), "off=false STATIC");
    assert_eq!(gets("banner", Some(&variant("purple")), &context), "on=true TARGETING_MATCH");
    assert_eq!(gets("banner", Some(&Setting::Disabled), &context), "flag \"banner\" is disabled");
    assert_eq!(gets("gone", Some(&Setting::Enabled), &context), "a=1 STATIC");
    assert_eq!(gets("gone", Some(&variant("a")), &context), "a=1 STATIC", "a variant is there to be seen");
}

#[test]
fn metadata_of_the_flag_goes_before_that_of_the_file() {
    assert_eq!(Value::Object(flags(&file()).metadata("banner")), json!({"team": "shop", "owner": "web"}));
}

#[test]
fn what_is_stored_reads_as_the_same_flags() {
    let flags = flags(&file());
    let stored = serde_json::to_value(&flags).unwrap();
    assert!(!stored.to_string().contains("$ref"), "{stored}");
    assert_eq!(serde_json::from_value::<Flags>(stored).unwrap(), flags);
}

fn wrong(source: &Value) -> String {
    let found = Flags::read(source).unwrap_err();
    found.iter().map(|p| format!("{}: {}", p.path.join("."), p.message)).collect::<Vec<_>>().join("\n")
}

#[test]
fn everything_that_is_wrong_is_named_with_its_place() {
    let source = json!({
        "flags": {
            "a/b": {"state": "ENABLED", "variants": {"on": true}},
            "none": {"state": "on", "variants": {}, "default": "x"},
            "mixed": {"state": "ENABLED", "variants": {"on": true, "off": "false"}, "defaultVariant": "purple"},
            "rule": {
                "state": "ENABLED", "variants": {"on": true}, "targeting": {"if": [{"$ref": "no"}, "on"]},
                "metadata": {"list": []},
            },
            "outcome": {"state": "ENABLED", "variants": {"on": true}, "targeting": {"if": [true, "on", "of"]}},
            "share": {"state": "ENABLED", "variants": {"on": true}, "targeting": {"fractional": [["on", 1], ["of", 1]]}},
            "text": 7,
        },
        "evaluators": {},
    });
    insta::assert_snapshot!(wrong(&source));
    assert_eq!(wrong(&json!([])), ": expected a mapping with `flags`");
    assert_eq!(wrong(&json!({"flags": []})), "flags: `flags` is a list, expected a mapping");
    assert_eq!(wrong(&json!({})), ": missing field `flags`");
}

#[test]
fn evaluators_that_never_end_are_refused() {
    let with = |evaluators: Value| {
        wrong(&json!({
            "flags": {"f": {"state": "ENABLED", "variants": {"on": true}, "targeting": {"$ref": "a"}}},
            "$evaluators": evaluators,
        }))
    };
    let circle = with(json!({"a": {"!": {"$ref": "b"}}, "b": {"!": {"$ref": "a"}}}));
    assert_eq!(circle, "flags.f.targeting: evaluator \"a\" leads back to itself, or too far");
    let names = ["a", "b", "c", "d", "e", "g", "h"];
    let bomb: Map<String, Value> = names
        .windows(2)
        .map(|pair| (pair[0].to_owned(), json!({"or": vec![json!({"$ref": pair[1]}); 20]})))
        .chain([("h".to_owned(), json!({"!": 1}))])
        .collect();
    assert_eq!(with(Value::Object(bomb)), "flags.f.targeting: the rule has more than 20000 parts");
}

#[test]
fn a_file_may_not_have_flags_without_end() {
    let one = json!({"state": "ENABLED", "variants": {"on": true}});
    let many: Map<String, Value> = (0..501).map(|n| (format!("f{n}"), one.clone())).collect();
    assert_eq!(wrong(&json!({"flags": many})), "flags: there are 501 flags, more than the 500 that a file may have");
}
