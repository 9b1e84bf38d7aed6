//! What no text may do: take for ever, exhaust memory or the stack, or panic.

use prograde_template::{Limits, TEXT_BYTES_MAX};
use proptest::prelude::*;

use super::data::{fill, fill_within};
use super::generator;

fn refused(text: &str, why: &str) {
    let error = fill(text).unwrap_err();
    assert!(error.message.contains(why), "{error}");
}

#[test]
fn what_would_take_too_much_is_refused() {
    refused(&" ".repeat(TEXT_BYTES_MAX + 1), "more than the");
    refused(r#"{{define "r"}}{{template "r" .}}{{end}}{{template "r" .}}"#, "200 deep");
    refused(&format!("{}{}", "{{if .}}".repeat(101), "{{end}}".repeat(101)), "nested more than 100");
    refused(&format!("{{{{{}1{}}}}}", "(".repeat(101), ")".repeat(101)), "nested more than 100");
    refused(
        r#"{{define "b"}}{{range 50}}{{range 50}}{{range 50}}{{range 50}}{{end}}{{end}}{{end}}{{end}}{{end}}{{template "b"}}"#,
        "steps",
    );
    refused("{{range 9223372036854775807}}{{end}}", "steps");
    refused("{{range 2000000}}x{{end}}", "steps");
    refused(&format!("{{{{range 200000}}}}{}{{{{end}}}}", "x".repeat(16)), "gives more than 1048576 bytes");
    refused(r#"{{$x := "0123456789"}}{{range 100}}{{$x = print $x $x}}{{end}}"#, "1048576 bytes");
    refused(r#"{{printf "%2000000d" 1}}"#, "1000000");
    refused(r#"{{printf "%*d" 2000000 1}}"#, "1000000");
    refused(r#"{{printf "%900000d%900000d" 1 1}}"#, "1048576 bytes");
    let short = Limits { output_bytes_max: 10, ..Limits::default() };
    assert_eq!(fill_within("0123456789", short).unwrap(), "0123456789");
    assert!(fill_within("0123456789!", short).is_err());
}

#[test]
fn the_deepest_that_is_allowed_fits_the_stack() {
    let nested = |count| format!("{}x{}", "{{if .}}".repeat(count), "{{end}}".repeat(count));
    assert_eq!(fill(&nested(100)).unwrap(), "x");
    let inner = format!("{}(template){}", "{{with .}}".repeat(99), "{{end}}".repeat(99))
        .replace("(template)", r#"{{template "r" .}}"#);
    let text = format!(r#"{{{{define "r"}}}}{inner}{{{{end}}}}{{{{template "r" .}}}}"#);
    refused(&text, "200 deep");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gives_an_answer(text in ".{0,80}") {
        drop(fill(&text));
        drop(fill(&format!("{{{{{text}}}}}")));
    }

    #[test]
    fn any_pieces_give_an_answer_that_is_the_same_again(text in generator::soup()) {
        prop_assert_eq!(fill(&text), fill(&text));
    }

    /// A place that an error names is in the text.
    #[test]
    fn errors_name_a_place_in_the_text(text in generator::soup()) {
        if let Err(error) = fill(&text) {
            let line = text.split('\n').nth(error.line - 1);
            prop_assert!(line.is_some_and(|line| error.column <= line.chars().count() + 1), "{}", error);
        }
    }

    #[test]
    fn any_verb_gives_an_answer(text in generator::printf(), cut in 0_usize..30) {
        let end = text.char_indices().nth(text.chars().count().saturating_sub(cut)).map_or(text.len(), |(at, _)| at);
        drop(fill(&text[..end]));
    }
}
