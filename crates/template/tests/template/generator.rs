//! Templates out of a grammar, and such with slips.

use proptest::prelude::*;

fn one_of(words: &'static [&'static str]) -> BoxedStrategy<String> {
    prop::sample::select(words).prop_map(str::to_owned).boxed()
}

fn operand() -> BoxedStrategy<String> {
    let leaf = one_of(&[
        ".",
        "$",
        ".n",
        ".neg",
        ".zero",
        ".f",
        ".big",
        ".s",
        ".uni",
        ".html",
        ".empty",
        ".space",
        ".list",
        ".words",
        ".none",
        ".labels",
        ".labels.job",
        ".labels.gone",
        ".nested.a.b",
        ".nested.a.c",
        ".nested.x",
        ".rec",
        ".rec.Name",
        ".rec.Tags",
        ".rec.Gone",
        ".recs",
        ".pairs",
        ".pairs.Names",
        ".pairs.a",
        ".nothing",
        ".yes",
        ".no",
        "$.s",
        "$.n",
        "true",
        "false",
        "nil",
        "0",
        "1",
        "-3",
        "2.5",
        "1e3",
        "0x1F",
        "'x'",
        "\"text\"",
        "`raw`",
        "\"\"",
        "\"%v|%v\"",
        "\"é\\n\"",
        "$x",
        "$y",
    ]);
    leaf.prop_recursive(2, 8, 3, |inner| {
        let call = (function(), prop::collection::vec(inner, 0..4));
        call.prop_map(|(function, arguments)| format!("({function} {})", arguments.join(" "))).boxed()
    })
    .boxed()
}

fn function() -> BoxedStrategy<String> {
    one_of(&[
        "and",
        "or",
        "not",
        "len",
        "index",
        "slice",
        "print",
        "println",
        "html",
        "js",
        "urlquery",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "up",
        "call counter",
        ".pairs.Join",
        "printf \"%v\"",
        "printf \"%5d|%-5s\"",
        "printf \"%q %x\"",
        "fail",
    ])
}

fn pipeline() -> BoxedStrategy<String> {
    let call = (function(), prop::collection::vec(operand(), 0..4));
    let call = call.prop_map(|(function, arguments)| format!("{function} {}", arguments.join(" ")));
    let command = prop_oneof![operand(), call];
    let stages =
        prop::collection::vec(one_of(&["len", "print", "printf \"%v\"", "up", "not", "index .words", "html"]), 0..2);
    (command, stages)
        .prop_map(|(command, stages)| std::iter::once(command).chain(stages).collect::<Vec<_>>().join(" | "))
        .boxed()
}

/// A template that is mostly right.
pub(crate) fn template() -> BoxedStrategy<String> {
    let open = || one_of(&["{{ ", "{{", "{{- "]);
    let close = || one_of(&[" }}", "}}", " -}}"]);
    let action = (open(), pipeline(), close()).prop_map(|(open, inner, close)| format!("{open}{inner}{close}"));
    let text = one_of(&["text ", " ", "\n", "a  b", "{{/* note */}}", "{{- /* note */ -}}", "é"]);
    let set =
        (one_of(&["$x := ", "$y := ", "$x = "]), pipeline()).prop_map(|(set, value)| format!("{{{{{set}{value}}}}}"));
    prop_oneof![3 => action, 2 => text, 1 => set]
        .prop_recursive(3, 24, 4, move |inner| {
            let head = prop_oneof![
                2 => pipeline().prop_map(|pipeline| format!("if {pipeline}")),
                2 => pipeline().prop_map(|pipeline| format!("with {pipeline}")),
                1 => pipeline().prop_map(|pipeline| format!("with $x := {pipeline}")),
                2 => one_of(&["range .list", "range .words", "range $x := .labels", "range $x, $y := .recs", "range .n",
                    "range $y, $x := .pairs", "range .none", "range $x, $y := .none", "range $x := .nothing", "range .s"]),
            ];
            let body = prop::collection::vec(inner, 0..4).prop_map(|nodes| nodes.concat());
            let jump = one_of(&["", "", "", "{{break}}", "{{continue}}", "{{if .}}{{break}}{{end}}"]);
            let otherwise = prop::option::of(body.clone());
            (head, body, jump, otherwise).prop_map(|(head, body, jump, otherwise)| {
                let otherwise = otherwise.map(|otherwise| format!("{{{{else}}}}{otherwise}")).unwrap_or_default();
                format!("{{{{{head}}}}}{body}{jump}{otherwise}{{{{end}}}}")
            })
        })
        .prop_map(|body| format!("{{{{$x := 1}}}}{{{{$y := \"why\"}}}}{body}"))
        .boxed()
}

/// Pieces of templates in any order.
pub(crate) fn soup() -> BoxedStrategy<String> {
    let piece = one_of(&[
        "{{",
        "}}",
        "{{-",
        "-}}",
        " ",
        "\n",
        ".",
        ".s",
        "$",
        "$x",
        ":=",
        "=",
        "|",
        "(",
        ")",
        "\"a\"",
        "`r`",
        "'c'",
        "'",
        "\"",
        "if",
        "else",
        "end",
        "range",
        "with",
        "define \"t\"",
        "template \"t\"",
        "block \"t\" .",
        "break",
        "continue",
        "nil",
        "true",
        "print",
        "len",
        "1",
        "1.5",
        "-",
        "0x",
        "1_0",
        ",",
        "/*",
        "*/",
        "text",
        "é",
        "\\",
        "{",
        "}",
        "+1",
        ".5",
        "1i",
        "{{end}}",
        "{{if .s}}",
        "{{else}}",
        "{{range .words}}",
        "{{.}}",
        "{{$x := 1}}",
    ]);
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat()).boxed()
}

/// A text with verbs for a few values.
pub(crate) fn printf() -> BoxedStrategy<String> {
    let flags = one_of(&["", "", "", "+", "-", "0", " ", "-0", "+0", "#"]);
    let width = one_of(&["", "", "1", "6", "12"]);
    let precision = one_of(&["", "", ".", ".0", ".1", ".3", ".12"]);
    let verb =
        one_of(&["v", "d", "s", "q", "x", "X", "t", "f", "F", "e", "E", "g", "G", "c", "U", "o", "b", "O", "z", "%"]);
    let directive = (flags, width, precision, verb)
        .prop_map(|(flags, width, precision, verb)| format!("%{flags}{width}{precision}{verb}"));
    let value = one_of(&[
        ".n",
        ".neg",
        ".zero",
        ".f",
        ".big",
        ".s",
        ".uni",
        ".empty",
        ".space",
        ".list",
        ".words",
        ".none",
        ".labels",
        ".nested",
        ".rec",
        ".recs",
        ".pairs",
        ".nothing",
        ".yes",
        "123456789",
        "1.0e-7",
        "123456.789",
        "0.1",
        "-1.5e300",
        "100.0",
        "1e6",
        "\"\\u200b\\u00a0\\u0301\"",
    ]);
    let directives = prop::collection::vec(directive, 1..4).prop_map(|directives| directives.join("|"));
    (directives, prop::collection::vec(value, 0..4))
        .prop_map(|(template, values)| format!("{{{{ printf `{template}` {} }}}}", values.join(" ")))
        .boxed()
}
