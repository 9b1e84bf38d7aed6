//! Sentences that judge persons rather than say what happened.
//!
//! Found by form: words that judge by what was known later or look for a culprit, and names of people beside verbs that
//! blame. What stands in code, in comments and in addresses is not read.

use std::collections::BTreeSet;

use crate::diagnostic::Diagnostic;

/// The code of all findings.
pub const CODE: &str = "PG0703";

/// What to write instead of a judgment in hindsight.
const HINDSIGHT: &str =
    "write what was done, what was known then, and what in the system would have made the other way the easy one";
/// What to write instead of an error that people make.
const ERROR: &str =
    "that is where the question begins: write what made the action look right, and what let it reach users";
/// What to write instead of what people are said to be.
const CHARACTER: &str =
    "say nothing of what people are: write what they saw, what they did, and what the system did with it";
/// What to write instead of what people did not do.
const OMISSION: &str = "write what happened, and what would have reminded anybody or done it by itself";
/// What to write instead of a name.
const NAME: &str = "write the role or the change instead of the name, and what in the system let it reach users";

/// Words that judge, and what to write instead.
const PHRASES: [(&str, &str); 32] = [
    ("should have", HINDSIGHT),
    ("should've", HINDSIGHT),
    ("shouldn't have", HINDSIGHT),
    ("should not have", HINDSIGHT),
    ("ought to have", HINDSIGHT),
    ("could have easily", HINDSIGHT),
    ("could easily have", HINDSIGHT),
    ("would have been obvious", HINDSIGHT),
    ("human error", ERROR),
    ("operator error", ERROR),
    ("user error", ERROR),
    ("human mistake", ERROR),
    ("human failure", ERROR),
    ("to blame", ERROR),
    ("at fault", ERROR),
    ("'s fault", ERROR),
    ("his fault", ERROR),
    ("her fault", ERROR),
    ("their fault", ERROR),
    ("careless", CHARACTER),
    ("carelessly", CHARACTER),
    ("carelessness", CHARACTER),
    ("negligent", CHARACTER),
    ("negligence", CHARACTER),
    ("sloppy", CHARACTER),
    ("incompetent", CHARACTER),
    ("incompetence", CHARACTER),
    ("irresponsible", CHARACTER),
    ("forgot to", OMISSION),
    ("neglected to", OMISSION),
    ("didn't bother", OMISSION),
    ("did not bother", OMISSION),
];

/// What blames the person whose name stands right before it, or after `by` behind it.
const VERBS: [&str; 22] = [
    "broke",
    "broken",
    "caused",
    "forgot",
    "failed",
    "missed",
    "ignored",
    "overlooked",
    "neglected",
    "erred",
    "blundered",
    "wrongly",
    "mistakenly",
    "mistake",
    "error",
    "fault",
    "oversight",
    "botched",
    "ruined",
    "introduced",
    "didn't",
    "not",
];
/// How many words may stand between a name and the verb.
const BETWEEN_MAX: usize = 2;
/// Parts of names that are shorter are words of their own too often.
const NAME_CHARS_MIN: usize = 3;
/// How many findings are told.
const FINDINGS_MAX: usize = 200;

/// All sentences that blame. `names` are those of the people who were there or wrote what was changed.
pub fn lint(file: &str, text: &str, names: &BTreeSet<String>) -> Vec<Diagnostic> {
    let names = parts(names);
    let mut found = Vec::new();
    for sentence in sentences(&readable(text)) {
        let low: Vec<String> = sentence.words.iter().map(|word| word.low.clone()).collect();
        phrases(file, &sentence, &low, &mut found);
        blamed(file, &sentence, &low, &names, &mut found);
        if found.len() >= FINDINGS_MAX {
            break;
        }
    }
    found.sort_by_key(|one: &Diagnostic| (one.line, one.column));
    found
}

/// A word and where it stands.
#[derive(Debug, Clone)]
struct Word {
    /// In lower case, without marks around it.
    low: String,
    line: u32,
    column: u32,
}

/// Words up to a full stop or the end of a paragraph.
#[derive(Debug, Clone, Default)]
struct Sentence {
    words: Vec<Word>,
}

/// Names and their parts, in lower case.
fn parts(names: &BTreeSet<String>) -> BTreeSet<String> {
    let each = names.iter().flat_map(|name| name.split_whitespace());
    let low = each.map(|part| part.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase());
    low.filter(|part| part.chars().count() >= NAME_CHARS_MIN).collect()
}

/// The text with code, comments and addresses blanked out, every line as long as before.
fn readable(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let (mut fence, mut comment) = (None::<&str>, false);
    for line in text.lines() {
        let begin = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| begin.starts_with(mark));
        if fence.is_some() || mark.is_some() {
            fence = match (fence, mark) {
                (None, mark) => mark,
                (Some(open), Some(mark)) if open == mark => None,
                (open @ Some(_), _) => open,
            };
            kept.push('\n');
            continue;
        }
        blank_line(line, &mut comment, &mut kept);
        kept.push('\n');
    }
    kept
}

fn blank_line(line: &str, comment: &mut bool, kept: &mut String) {
    let (mut rest, mut code) = (line, false);
    while let Some(c) = rest.chars().next() {
        if *comment {
            if let Some(after) = rest.strip_prefix("-->") {
                *comment = false;
                kept.push_str("   ");
                rest = after;
                continue;
            }
        } else if let Some(after) = rest.strip_prefix("<!--") {
            *comment = true;
            kept.push_str("    ");
            rest = after;
            continue;
        } else if c == '`' {
            code = !code;
        }
        let hidden = *comment || code || c == '`';
        kept.push(if hidden { ' ' } else { c });
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
}

fn sentences(text: &str) -> Vec<Sentence> {
    let mut found = Vec::new();
    let mut open = Sentence::default();
    for (line, number) in text.lines().zip(1..) {
        // Headings, items of lists and rows of tables are sentences of their own.
        let begins = line.trim_start().starts_with(['#', '-', '*', '|', '>']);
        if (line.trim().is_empty() || begins) && !open.words.is_empty() {
            found.push(std::mem::take(&mut open));
        }
        let mut column = 1;
        for part in line.split_inclusive([' ', '\t', '|']) {
            let length = u32::try_from(part.chars().count()).unwrap_or(u32::MAX);
            let text = part.trim_matches(|c: char| !c.is_alphanumeric());
            if !text.is_empty() && !part.contains("://") {
                let skipped = part.chars().take_while(|c| !c.is_alphanumeric()).count();
                let at = u32::try_from(skipped).unwrap_or(0).saturating_add(column);
                // Apostrophes are typed in two ways.
                open.words.push(Word { low: text.to_lowercase().replace('\u{2019}', "'"), line: number, column: at });
            }
            if part.trim_end().ends_with(['.', '!', '?', '|']) && !open.words.is_empty() {
                found.push(std::mem::take(&mut open));
            }
            column = column.saturating_add(length);
        }
    }
    found.push(open);
    found
}

fn phrases(file: &str, sentence: &Sentence, low: &[String], found: &mut Vec<Diagnostic>) {
    for (phrase, hint) in PHRASES {
        let wanted: Vec<&str> = phrase.split(' ').collect();
        for (at, window) in low.windows(wanted.len()).enumerate() {
            let fits = window.iter().zip(&wanted).all(|(word, wanted)| match wanted.strip_prefix("'s") {
                Some("") => word.ends_with("'s"),
                Some(_) | None => word == wanted,
            });
            if let (true, Some(word)) = (fits, sentence.words.get(at)) {
                let message = format!("{phrase:?} judges people");
                found.push(Diagnostic::file(CODE, file, message, hint).at(word.line, word.column));
            }
        }
    }
}

/// Names right before a verb that blames, or behind one and `by` or `of`.
fn blamed(file: &str, sentence: &Sentence, low: &[String], names: &BTreeSet<String>, found: &mut Vec<Diagnostic>) {
    let is_verb = |word: &String| VERBS.contains(&word.as_str());
    let mut last = None;
    for (at, word) in low.iter().enumerate() {
        let name = word.strip_suffix("'s").unwrap_or(word);
        if !names.contains(name) || last.is_some_and(|last| last + 1 == at) {
            continue;
        }
        // A name of several words is one name.
        let end = at + low.iter().skip(at).take_while(|next| names.contains(next.as_str())).count().max(1);
        let verb = low.iter().skip(end).take(BETWEEN_MAX + 1).find(|word| is_verb(word));
        let by = at.checked_sub(1).and_then(|before| low.get(before)).is_some_and(|word| word == "by" || word == "of");
        let before = low.iter().take(at.saturating_sub(1)).rev().take(BETWEEN_MAX + 1).find(|word| by && is_verb(word));
        last = Some(end - 1);
        if let (Some(verb), Some(word)) = (verb.or(before), sentence.words.get(at)) {
            let message = format!("a person is named beside {verb:?}");
            found.push(Diagnostic::file(CODE, file, message, NAME).at(word.line, word.column));
        }
    }
}
