//! Rules as data: the files in `rules/` of this crate, and a team's own in the same form.

use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use prograde_model::Diagnostic;
use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use serde::Deserialize;

use crate::codes;
use crate::severity::Severity;

/// How much is searched before a keyword where a rule says nothing.
const BEFORE: usize = 64;
/// How much is searched after a keyword where a rule says nothing.
const AFTER: usize = 512;
/// The most that a rule may have searched around a keyword.
const WINDOW_MAX: usize = 16 * 1024;
/// The largest compiled expression, in bytes.
const REGEX_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The most rules.
const RULES_MAX: usize = 5000;

const PROVIDERS: &str = include_str!("../../rules/providers.toml");
const GENERAL: &str = include_str!("../../rules/general.toml");
const KNOWN: &str = include_str!("../../rules/known.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rule: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    values: Vec<String>,
    placeholders: Vec<String>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub(super) id: String,
    title: String,
    severity: Severity,
    keywords: Vec<String>,
    regex: String,
    #[serde(default)]
    entropy: f64,
    before: Option<usize>,
    after: Option<usize>,
    #[serde(default)]
    runs: bool,
    #[serde(default)]
    generic: bool,
    #[serde(default)]
    check: Check,
    #[serde(rename = "match", default)]
    #[cfg_attr(not(test), expect(dead_code, reason = "examples are for whoever reads a rule, and for tests"))]
    pub(super) matching: Vec<String>,
    #[serde(default)]
    #[cfg_attr(not(test), expect(dead_code, reason = "examples are for whoever reads a rule, and for tests"))]
    pub(super) clean: Vec<String>,
}

/// What else is looked at, beyond the expression and the entropy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// Nothing: the form is telling enough.
    #[default]
    Form,
    /// It may not be a placeholder.
    Token,
    /// It may not be a placeholder, or stand for this machine or an example.
    Password,
    /// It has to look drawn at random, and to be a value and not a name.
    Assigned,
}

/// A rule that can be used.
#[derive(Debug)]
pub struct Rule {
    /// Its id.
    pub id: String,
    /// What it finds.
    pub title: String,
    /// How bad that is.
    pub severity: Severity,
    pub(super) keywords: Vec<String>,
    pub(super) any_case: bool,
    pub(super) regex: Regex,
    pub(super) entropy: f64,
    pub(super) anchored: bool,
    pub(super) before: usize,
    pub(super) after: usize,
    pub(super) runs: bool,
    pub(super) generic: bool,
    pub(super) check: Check,
}

/// All rules and the automaton over their keywords.
#[derive(Debug)]
pub struct Rules {
    /// The rules.
    pub all: Vec<Rule>,
    pub(super) automaton: AhoCorasick,
    /// For each keyword the rules that have it, and how it is written there.
    pub(super) of_keyword: Vec<Vec<(usize, String)>>,
    pub(super) values: BTreeSet<String>,
    pub(super) placeholders: AhoCorasick,
}

impl Rules {
    /// The rules that come with the program.
    pub fn built_in() -> Result<Self, Diagnostic> {
        Self::with(&[])
    }

    /// The same and a team's own: each a file's name and text. A rule with the id of another takes its place.
    pub fn with(own: &[(String, String)]) -> Result<Self, Diagnostic> {
        let mut written: Vec<(String, Written)> = Vec::new();
        for (name, text) in [("providers.toml", PROVIDERS), ("general.toml", GENERAL)] {
            written.extend(parse(name, text)?.into_iter().map(|rule| (name.to_owned(), rule)));
        }
        for (name, text) in own {
            for rule in parse(name, text)? {
                written.retain(|(_, other)| other.id != rule.id);
                written.push((name.clone(), rule));
            }
        }
        if written.len() > RULES_MAX {
            return Err(bad("", format!("there are more than {RULES_MAX} rules")));
        }
        let known: Known = toml::from_str(KNOWN).map_err(|error| bad("known.toml", error.message().to_owned()))?;
        let all = written.into_iter().map(|(file, rule)| compiled(&file, rule)).collect::<Result<Vec<_>, _>>()?;
        Self::assembled(all, known)
    }

    fn assembled(all: Vec<Rule>, known: Known) -> Result<Self, Diagnostic> {
        let mut keywords: Vec<String> = Vec::new();
        let mut of_keyword: Vec<Vec<(usize, String)>> = Vec::new();
        for (at, rule) in all.iter().enumerate() {
            for keyword in &rule.keywords {
                let lower = keyword.to_ascii_lowercase();
                let place = keywords.iter().position(|other| *other == lower).unwrap_or_else(|| {
                    keywords.push(lower);
                    of_keyword.push(Vec::new());
                    keywords.len() - 1
                });
                if let Some(rules) = of_keyword.get_mut(place) {
                    rules.push((at, keyword.clone()));
                }
            }
        }
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::DFA))
            .build(&keywords)
            .map_err(|error| bad("", error.to_string()))?;
        let placeholders = AhoCorasick::builder().ascii_case_insensitive(true).build(&known.placeholders);
        let placeholders = placeholders.map_err(|error| bad("known.toml", error.to_string()))?;
        Ok(Self { all, automaton, of_keyword, values: known.values.into_iter().collect(), placeholders })
    }
}

fn bad(file: &str, why: impl Into<String>) -> Diagnostic {
    Diagnostic::file(codes::SECRET_RULES, file, why, "see docs/guides/scanning.md for the form of rules")
}

fn parse(file: &str, text: &str) -> Result<Vec<Written>, Diagnostic> {
    let read: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(0, |span| crate::package::Lines::of(text).at(span.start));
        bad(file, error.message().to_owned()).at(line, 0)
    })?;
    Ok(read.rule)
}

/// All rules as they are written, for tests of their examples.
#[cfg(test)]
pub(super) fn written() -> Vec<Written> {
    [PROVIDERS, GENERAL].iter().flat_map(|text| parse("rules", text).unwrap()).collect()
}

fn compiled(file: &str, rule: Written) -> Result<Rule, Diagnostic> {
    let refused = |why: String| bad(file, format!("the rule `{}`: {why}", rule.id));
    if rule.keywords.is_empty() || rule.keywords.iter().any(|keyword| keyword.len() < 2) {
        return Err(refused("it needs keywords of two characters or more".to_owned()));
    }
    let (before, after) = (rule.before.unwrap_or(BEFORE), rule.after.unwrap_or(AFTER));
    if before + after > WINDOW_MAX {
        return Err(refused(format!("`before` and `after` are more than {WINDOW_MAX} together")));
    }
    let regex = Regex::builder()
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .configure(Regex::config().utf8_empty(false).nfa_size_limit(Some(REGEX_BYTES_MAX)))
        .build(&rule.regex)
        .map_err(|error| refused(error.to_string()))?;
    // An expression that begins with what the keyword is begins where the keyword stands.
    let begins = rule.regex.starts_with(r"\b(") && !rule.regex.starts_with(r"\b(?");
    Ok(Rule {
        any_case: rule.regex.contains("(?i)"),
        anchored: rule.before.is_none() && (begins || rule.generic),
        id: rule.id,
        title: rule.title,
        severity: rule.severity,
        keywords: rule.keywords,
        regex,
        entropy: rule.entropy,
        before,
        after,
        runs: rule.runs,
        generic: rule.generic,
        check: rule.check,
    })
}
