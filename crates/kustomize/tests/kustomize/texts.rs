//! One object whose values are written in all the ways that YAML has: styles, folds, comments, tags, anchors, documents that end
//! without a line break. The same seed makes the same case.

use std::fmt::Write as _;

use prograde_kustomize::{FileTree, Options, Renderer};

use crate::grammar::Dice;

const TEXTS: [&str; 43] = [
    "a",
    "foo bar",
    "a #c",
    "yes",
    "No",
    "on",
    "null",
    "~",
    "1",
    "010",
    "0o17",
    "0x1F",
    "1e3",
    "1.50",
    ".5",
    "-1",
    "+3",
    "1_000",
    "12:30",
    "2020-01-01",
    "2020-01-01T10:00:00Z",
    "true",
    "<<",
    "=",
    "a%b",
    "é",
    "日本",
    "\u{1F600}",
    "tr ",
    "..",
    "...x",
    "---x",
    "a:b",
    ".inf",
    "0b11",
    "1e400",
    "100m",
    "1Gi",
    "-a",
    "a-",
    "http://x/y?z=1#f",
    "wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww",
    "long long long long long long long long long long long long long long long long long long long long long",
];
const LINES: [&str; 10] = ["x", "y z", "", "", " ind", "- a", "# c", "é", "k: v", "  deep"];
const TAGGED: [&str; 14] = [
    "",
    "!!str 1",
    "!!int \"3\"",
    "!!float 2",
    "!!bool \"true\"",
    "!!null ''",
    "!!binary aGk=",
    "! 12",
    "! '12'",
    "~",
    "&n v",
    "!!str",
    "{a: , b: c}",
    "[{a: }, b]",
];

fn scalar(dice: &mut Dice, indent: usize) -> String {
    let text = dice.pick(&TEXTS);
    let pad = " ".repeat(indent + 1 + usize::try_from(dice.roll(3)).unwrap());
    match dice.roll(10) {
        0 | 1 => text.to_owned(),
        2 => format!("\"{text}\""),
        3 => format!("'{text}'"),
        4..=6 => {
            let mut lines = vec!["x"];
            lines.extend((0..dice.roll(5)).map(|_| dice.pick(&LINES)));
            let head =
                format!("{}{}{}", dice.pick(&["|", ">"]), dice.pick(&["", "-", "+"]), dice.pick(&["", "", " # c"]));
            let lines: Vec<String> = lines
                .into_iter()
                .map(|line| if line.is_empty() { String::new() } else { format!("{pad}{line}") })
                .collect();
            format!("{head}\n{}{}", lines.join("\n"), dice.pick(&["", "\n", "\n\n"]))
        }
        7 => format!("one\n{pad}two{}", dice.pick(&["", "\n\n  five"]).replace("  ", &pad)),
        8 => format!("\"one{}\n{pad}  two\\\n{pad}three\"", dice.pick(&["", " ", "\n"])),
        _ => dice.pick(&TAGGED).to_owned(),
    }
}

fn mapping(dice: &mut Dice, indent: usize, depth: usize) -> String {
    let mut out = String::new();
    for at in 0..=dice.roll(3) {
        if dice.one_in(8) {
            out.push_str("# full\n");
        }
        let key = dice.pick(&["k", "'s ", "a.b/c-", "é", "K "]);
        let end = if key.starts_with('\'') { "'" } else { "" };
        let pad = " ".repeat(indent);
        let value = match dice.roll(if depth == 0 { 1 } else { 4 }) {
            0 | 1 => format!(" {}", scalar(dice, indent)),
            2 => {
                let items: Vec<String> =
                    (0..=dice.roll(2)).map(|_| format!("{pad}- {}", scalar(dice, indent))).collect();
                format!("{}\n{}", dice.pick(&["", "  # é: x"]), items.join("\n"))
            }
            _ => format!("{}\n{}", dice.pick(&["", " #"]), mapping(dice, indent + 2, depth - 1).trim_end_matches('\n')),
        };
        writeln!(out, "{pad}{key}{at}{end}:{value}").unwrap();
    }
    out
}

/// The case of a seed; what is rendered is `top`.
pub(crate) fn case(seed: u64) -> FileTree {
    let mut dice = Dice::new(seed);
    let mut text =
        format!("apiVersion: example.org/v1\nkind: Text\nmetadata:\n  name: a\nspec:\n{}", mapping(&mut dice, 2, 3));
    match dice.roll(6) {
        0 => text.truncate(text.trim_end_matches('\n').len()),
        1 => text.push_str("...\n"),
        2 => text.push_str("---\n"),
        3 => text.push_str("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n"),
        4 => text = text.replace('\n', "\r\n"),
        _ => {}
    }
    let mut kustomization = String::from("resources: [text.yaml]\n");
    if dice.one_in(3) {
        // What a patch of this kind changes is read from JSON again.
        kustomization.push_str("patches: [{target: {kind: Text}, patch: '[{\"op\": \"add\", \"path\": \"/spec/more\", \"value\": 1.5}]'}]\n");
    }
    FileTree::from_files([("top/text.yaml", text), ("top/kustomization.yaml", kustomization)]).unwrap()
}

#[test]
fn what_kustomize_does_not_print_keeps_its_texts() {
    let object =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  text: >\n    x\n     deep\n  empty: {k: }\n";
    let tree = FileTree::from_files([("kustomization.yaml", "resources: [a.yaml]"), ("a.yaml", object)]).unwrap();
    let data = |options: Options| {
        let rendering = Renderer::with(&tree, options).render("").unwrap();
        rendering.to_json().unwrap()[0]["data"].clone()
    };
    let plain = Options { keeps_texts: true, ..Options::default() };
    assert_eq!(data(plain), serde_json::json!({"text": "x\n deep\n", "empty": {"k": null}}));
    assert_eq!(data(Options::default()), serde_json::json!({"text": "x\n\n deep\n", "empty": {"k": ""}}));
    let read = prograde_kustomize::documents("a.yaml", object).unwrap()[0].to_json().unwrap();
    assert_eq!(read["data"], data(plain));
}
