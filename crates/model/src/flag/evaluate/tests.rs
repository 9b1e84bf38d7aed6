//! Every operation, against what jsonlogic.com and flagd's documentation say, and against those who mean harm.

use super::*;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use serde_json::json;

fn given(rule: &Value, context: &Value) -> Result<Value, TooMuch> {
    let rule = Rule::read(rule).unwrap_or_else(|wrong| panic!("{wrong:?}"));
    let flagd = json!({"flagKey": "banner", "timestamp": 1_767_225_600});
    evaluate(&rule, "banner", context.as_object().unwrap(), &flagd).map(Cow::into_owned)
}

#[track_caller]
fn check(rule: &Value, expected: &Value) {
    let context = json!({
        "email": "ada@example.org", "age": 36, "nothing": null, "empty": "", "roles": ["admin", "dev"],
        "user": {"region": "eu", "tags": [{"name": "a"}, {"name": "b"}]}, "targetingKey": "ada",
    });
    assert_eq!(given(rule, &context).unwrap(), *expected, "{rule}");
}

#[test]
fn parts_of_the_context() {
    check(&json!({"var": "email"}), &json!("ada@example.org"));
    check(&json!({"var": ["user.region"]}), &json!("eu"));
    check(&json!({"var": "user.tags.1.name"}), &json!("b"));
    check(&json!({"var": ["city", "Paris"]}), &json!("Paris"));
    check(&json!({"var": ["nothing", "something"]}), &json!("something"));
    check(&json!({"var": {"cat": ["user.", "region"]}}), &json!("eu"));
    check(&json!({"var": "$flagd.flagKey"}), &json!("banner"));
    check(&json!({"<": [{"var": "$flagd.timestamp"}, 1_767_225_601]}), &json!(true));
    for path in ["", "email.x", "roles.x", "roles.9", "user.", ".user", "no.such"] {
        check(&json!({"var": path}), &json!(null));
    }
    check(&json!({"missing": ["email", "city", "empty"]}), &json!(["city", "empty"]));
    check(&json!({"missing_some": [1, ["email", "city"]]}), &json!([]));
    check(&json!({"missing_some": [2, ["email", "city"]]}), &json!(["city"]));
}

#[test]
fn conditions() {
    check(&json!({"if": [false, "a", 1, "b", "c"]}), &json!("b"));
    check(&json!({"if": [false, "a", [], "b", "c"]}), &json!("c"));
    check(&json!({"if": [false, "a"]}), &json!(null));
    check(&json!({"if": []}), &json!(null));
    check(&json!({"?:": [true, "a", "b"]}), &json!("a"));
    check(&json!({"and": [1, "x", 0, "y"]}), &json!(0));
    check(&json!({"or": [0, "", "x"]}), &json!("x"));
    check(&json!({"!": {"in": ["@example.com", {"var": "email"}]}}), &json!(true));
    check(&json!({"!!": [{"var": "city"}]}), &json!(false));
    // What is not chosen is not evaluated, and can't fail or cost anything.
    check(&json!({"if": [true, "a", {"/": [1, 0]}]}), &json!("a"));
}

#[test]
fn comparisons_and_numbers() {
    for (rule, expected) in [
        (json!({"==": [1, "1"]}), json!(true)),
        (json!({"===": [1, "1"]}), json!(false)),
        (json!({"!=": [1, "1"]}), json!(false)),
        (json!({"!==": [1, "1"]}), json!(true)),
        (json!({"<": [1, {"var": "age"}, 100]}), json!(true)),
        (json!({"<=": [36, {"var": "age"}, 35]}), json!(false)),
        (json!({">": [{"var": "age"}, "35"]}), json!(true)),
        (json!({">=": [{"var": "email"}, 1]}), json!(false)),
        (json!({"max": [1, 3, 2]}), json!(3)),
        (json!({"min": [1, -3, 2]}), json!(-3)),
        (json!({"+": [1, "2", 0.5]}), json!(3.5)),
        (json!({"+": "3.25"}), json!(3.25)),
        (json!({"-": [5]}), json!(-5)),
        (json!({"-": [5, 2]}), json!(3)),
        (json!({"*": [2, 3, 4]}), json!(24)),
        (json!({"/": [1, 0]}), json!(null)),
        (json!({"%": [7, 4]}), json!(3)),
        (json!({"%": [7, 0]}), json!(null)),
        (json!({"*": [1e200, 1e200]}), json!(null)),
    ] {
        check(&rule, &expected);
    }
}

#[test]
fn texts_and_lists() {
    for (rule, expected) in [
        (json!({"cat": ["a", 1, null, {"var": "age"}]}), json!("a136")),
        (json!({"substr": ["jsonlogic", 4]}), json!("logic")),
        (json!({"substr": ["jsonlogic", -5]}), json!("logic")),
        (json!({"substr": ["jsonlogic", 1, 3]}), json!("son")),
        (json!({"substr": ["jsonlogic", 4, -2]}), json!("log")),
        (json!({"substr": ["äöü", 1, 1]}), json!("ö")),
        (json!({"substr": ["a", 99, 99]}), json!("")),
        (json!({"substr": ["a", -1e300, 1e300]}), json!("a")),
        (json!({"in": ["Spring", "Springfield"]}), json!(true)),
        (json!({"in": ["admin", {"var": "roles"}]}), json!(true)),
        (json!({"in": [1, "123"]}), json!(false)),
        (json!({"in": ["a", {"var": "no"}]}), json!(false)),
        (json!({"merge": [[1], 2, [3, 4]]}), json!([1, 2, 3, 4])),
        (json!({"map": [[1, 2], {"*": [{"var": ""}, 2]}]}), json!([2, 4])),
        (json!({"filter": [{"var": "user.tags"}, {"==": [{"var": "name"}, "b"]}]}), json!([{"name": "b"}])),
        (json!({"reduce": [[1, 2, 3], {"+": [{"var": "current"}, {"var": "accumulator"}]}, 0]}), json!(6)),
        (json!({"all": [[1, 2], {">": [{"var": ""}, 0]}]}), json!(true)),
        (json!({"all": [[], true]}), json!(false)),
        (json!({"some": [{"var": "roles"}, {"==": [{"var": ""}, "dev"]}]}), json!(true)),
        (json!({"none": [{"var": "no"}, true]}), json!(true)),
        (json!({"starts_with": [{"var": "email"}, "ada@"]}), json!(true)),
        (json!({"ends_with": [{"var": "email"}, "@example.com"]}), json!(false)),
        (json!({"starts_with": [{"var": "age"}, "3"]}), json!(null)),
        (json!({"sem_ver": ["1.2.0", ">=", "1.1"]}), json!(true)),
        (json!({"fractional": [{"var": "email"}, ["on", 1]]}), json!("on")),
        (json!({"fractional": [["on", {"-": [1, 1]}], [{"if": [true, "off", "on"]}, 1]]}), json!("off")),
    ] {
        check(&rule, &expected);
    }
}

#[test]
fn an_expensive_context_is_given_up() {
    let letters: Vec<&str> = vec!["x"; 10_000];
    let doubling = json!({"reduce": [{"var": "l"}, {"cat": [{"var": "accumulator"}, {"var": "accumulator"}]}, "x"]});
    assert_eq!(given(&doubling, &json!({"l": letters})), Err(TooMuch));
    let doubling = json!({"reduce": [{"var": "l"}, {"merge": [{"var": "accumulator"}, {"var": "accumulator"}]}, [1]]});
    assert_eq!(given(&doubling, &json!({"l": letters})), Err(TooMuch));
    let cubed = json!({"map": [{"var": "l"}, {"in": ["y", {"var": ""}]}]});
    let nested: Vec<Value> = (0..400).map(|_| json!(vec!["x"; 400])).collect();
    assert_eq!(given(&cubed, &json!({"l": nested})), Err(TooMuch));
    let copied = json!({"map": [{"var": "l"}, {"var": ""}]});
    assert_eq!(given(&copied, &json!({"l": vec!["x".repeat(50_000); 10]})), Err(TooMuch));
}

fn leaf() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec!["a", "b", "a.b", "", "$flagd.flagKey", "targetingKey", "current", "0"]);
    prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
        names.prop_map(|name| json!({"var": name})),
    ]
}

fn any_rule() -> impl Strategy<Value = Value> {
    let names = vec![
        "if",
        "and",
        "or",
        "==",
        "===",
        "<",
        ">=",
        "+",
        "-",
        "*",
        "/",
        "%",
        "cat",
        "substr",
        "in",
        "merge",
        "missing",
        "missing_some",
        "starts_with",
        "ends_with",
        "sem_ver",
        "fractional",
        "map",
        "filter",
        "reduce",
        "all",
        "!",
        "max",
    ];
    leaf().prop_recursive(5, 40, 4, move |inner| {
        let list = prop::collection::vec(inner, 0..4);
        prop_oneof![
            list.clone().prop_map(Value::Array),
            (prop::sample::select(names.clone()), list).prop_map(|(name, operands)| json!({ name: operands })),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever the rule and the context, an evaluation ends with the same answer each time.
    #[test]
    fn nothing_breaks_it(rule in any_rule(), a in leaf(), b in prop::collection::vec(leaf(), 0..5)) {
        let Ok(rule) = Rule::read(&rule) else { return Ok(()) };
        let context = json!({"a": a, "b": b, "targetingKey": "ada"});
        let answer = || evaluate(&rule, "f", context.as_object().unwrap(), &Value::Null).map(Cow::into_owned);
        prop_assert_eq!(answer(), answer());
        let made = answer().map_or(0, |value| size(&value));
        prop_assert!(made <= STEPS_MAX, "{made}");
    }
}
