//! What Sprig's documentation says the functions give.

use crate::data::{Data, Params};
use crate::template::{Filler, Missing, Mode, Scope};

fn check(text: &str, expected: &str) {
    let json = r#"{"s":"Hello World","l":["b","a","b"],"m":{"x":1,"y":{"z":"deep"}},"n":3}"#;
    let Data::Map(params) = Data::from_json(&serde_json::from_str(json).unwrap()) else { panic!() };
    let params: Params = params;
    let filled = Filler::new(Mode::Go(Missing::Invalid)).fill(text, &Scope::new(&params));
    assert_eq!(filled.unwrap_or_else(|why| format!("error: {why}")), expected, "{text}");
}

#[test]
fn texts() {
    check("{{ .s | upper }} {{ .s | lower | title }} {{ untitle .s }}", "HELLO WORLD Hello World hello world");
    check("{{ trimPrefix \"Hello \" .s }}{{ trimSuffix \"ld\" .s }}{{ trimAll \"$\" \"$5$\" }}", "WorldHello Wor5");
    check("{{ .s | replace \" \" \"-\" | trunc 7 }}|{{ trunc -5 .s }}|{{ substr 0 5 .s }}", "Hello-W|World|Hello");
    check("{{ repeat 3 \"ab\" }} {{ nospace \" a b \" }} {{ initials \"First Try\" }}", "ababab ab FT");
    check("{{ quote .s .n }} {{ squote .s }} {{ cat \"a\" 1 \"b\" }}", "\"Hello World\" \"3\" 'Hello World' a 1 b");
    check("{{ indent 2 \"a\\nb\" }}|{{ nindent 1 \"a\" }}", "  a\n  b|\n a");
    check(
        "{{ snakecase \"FirstName\" }} {{ kebabcase \"FirstName\" }} {{ camelcase \"http_server\" }}",
        "first_name first-name HttpServer",
    );
    check("{{ join \"-\" .l }} {{ (splitList \"/\" \"a/b/c\") | last }} {{ (split \"$\" \"a$b\")._1 }}", "b-a-b c b");
    check(
        "{{ default \"d\" \"\" }}{{ default \"d\" .s }}{{ empty 0 }}{{ coalesce 0 \"\" 7 }}{{ ternary 1 2 true }}",
        "dHello Worldtrue71",
    );
    check("{{ sha256sum \"a\" | trunc 8 }} {{ adler32sum \"a\" }} {{ abbrev 8 .s }}", "ca978112 6422626 Hello...");
    check("{{ contains \"World\" .s }} {{ hasPrefix \"He\" .s }} {{ hasSuffix \"x\" .s }}", "true true false");
}

#[test]
fn names() {
    check("{{ normalize \"My_App.Name!\" }}", "my-app.name");
    check(
        "{{ slugify \"feat/a_really+long_pull_request_name_to_test_argo_slugification_and_branch_name_shortening_feature\" }}",
        "feat-a-really-long-pull-request-name-to-test-argo",
    );
    check(
        "{{ \"feat/areallylongpullrequestnametotestargoslugificationandbranchnameshorteningfeature\" | slugify 49 false }}",
        "feat-areallylongpullrequestnametotestargoslugific",
    );
    check("{{ \"feat/testwithsmarttruncateenabledramdomlonglistofcharacters\" | slugify 50 true }}", "feat");
    check(
        "{{ base \"a/b/c.txt\" }} {{ dir \"a/b/c\" }} {{ ext \"x.tar.gz\" }} {{ clean \"a/../b/./c\" }}",
        "c.txt a/b .gz b/c",
    );
}

#[test]
fn numbers() {
    check("{{ add 1 2 3 }} {{ sub 5 2 }} {{ mul 2 3 4 }} {{ div 7 2 }} {{ mod 7 2 }} {{ add1 .n }}", "6 3 24 3 1 4");
    check("{{ max 1 5 3 }} {{ min 4 2 }} {{ floor 1.9 }} {{ ceil 1.1 }} {{ round 123.5555 3 }}", "5 2 1 2 123.556");
    check(
        "{{ until 3 }} {{ untilStep 3 6 2 }} {{ seq 3 }} {{ seq 0 2 6 }} {{ int \"42\" }} {{ atoi \"x\" }}",
        "[0 1 2] [3 5] 1 2 3 0 2 4 6 42 0",
    );
    check("{{ div 1 0 }}", "error: `div`: integer divide by zero in `{{ div 1 0 }}`");
}

#[test]
fn lists_and_dicts() {
    check(
        "{{ list 1 2 3 | first }}{{ rest (list 1 2 3) }}{{ .l | uniq }}{{ sortAlpha .l }}{{ has \"a\" .l }}",
        "1[2 3][b a][a b b]true",
    );
    check("{{ append .l \"c\" | reverse }} {{ without .l \"b\" }} {{ concat .l (list 1) }}", "[c b a b] [a] [b a b 1]");
    check(
        "{{ $d := dict \"a\" 1 }}{{ $_ := set $d \"b\" 2 }}{{ $d.b }} {{ keys $d }} {{ hasKey $d \"z\" }} {{ get $d \"a\" }}",
        "2 [a b] false 1",
    );
    check(
        "{{ dig \"m\" \"y\" \"z\" \"none\" . }} {{ dig \"m\" \"q\" \"none\" . }} {{ pluck \"x\" .m }}",
        "deep none [1]",
    );
    check(
        "{{ (merge (dict \"a\" 1) (dict \"a\" 2 \"b\" 3)).b }} {{ (mergeOverwrite (dict \"a\" 1) (dict \"a\" 2)).a }}",
        "3 2",
    );
    check("{{ kindOf .l }} {{ kindOf .m }} {{ kindIs \"string\" .s }} {{ typeOf .n }}", "slice map true float64");
}

#[test]
fn encodings() {
    check(
        "{{ b64enc \"hi\" }} {{ b64dec \"aGk=\" }} {{ b32enc \"hi\" }} {{ b32dec \"NBUQ====\" }}",
        "aGk= hi NBUQ==== hi",
    );
    check("{{ toJson .m }} {{ (fromJson \"{\\\"a\\\":[1]}\").a }}", "{\"x\":1,\"y\":{\"z\":\"deep\"}} [1]");
    check("{{ toYaml .m }}", "x: 1\n\"y\":\n  z: deep");
    check("{{ (fromYaml \"a: {b: c}\").a.b }} {{ (urlParse \"https://u@h:1/p?q#f\").host }}", "c h:1");
    check(
        "{{ regexMatch \"^a+$\" \"aaa\" }} {{ regexReplaceAll \"a(x*)b\" \"-ab-axxb-\" \"${1}W\" }} {{ regexFind \"[a-z]+\" \"12ab\" }}",
        "true -W-xxW- ab",
    );
    check("{{ regexSplit \"z+\" \"pizza\" -1 }} {{ regexFindAll \"[2,4]\" \"124\" -1 }}", "[pi a] [2 4]");
    check("{{ semverCompare \"^1.2.0\" \"1.3.0\" }} {{ (semver \"1.2.3-alpha\").Prerelease }}", "true alpha");
}
