//! Finds secrets in the bytes of one file.

use std::sync::Arc;

use regex_automata::util::captures::Captures;
use regex_automata::{Anchored, Input};

use super::judge;
use super::rules::{Rule, Rules};

/// How much of a file is looked at to tell whether it is text.
const START_BYTES: usize = 8000;
/// The most hits in one file: past them it is a list of secrets, whatever else is in it.
const HITS_MAX: usize = 1000;
/// What a line says to have its secrets left alone.
const ALLOW: [&[u8]; 2] = [b"prograde:allow", b"gitleaks:allow"];

/// A secret within a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The rule, by its place among the rules.
    pub rule: usize,
    /// Where the secret begins, in bytes.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// Its line, from 1.
    pub line: u32,
}

/// Looks through files; one for each thread.
#[derive(Debug)]
pub struct Engine {
    rules: Arc<Rules>,
    captures: Vec<Captures>,
    /// For each rule the end of what it has found already.
    done: Vec<usize>,
}

impl Engine {
    /// A new one.
    pub fn new(rules: Arc<Rules>) -> Self {
        let captures = rules.all.iter().map(|rule| rule.regex.create_captures()).collect();
        let done = vec![0; rules.all.len()];
        Self { rules, captures, done }
    }

    /// The secrets in a file, in their order. `name` decides what is left to rules that are sure of what they find.
    pub fn scan(&mut self, name: &str, content: &[u8]) -> Vec<Hit> {
        if is_binary(content) {
            return Vec::new();
        }
        let made = judge::is_generated(name, content);
        let rules = Arc::clone(&self.rules);
        self.done.fill(0);
        let mut hits: Vec<Hit> = Vec::new();
        for keyword in rules.automaton.find_overlapping_iter(content) {
            let candidates = rules.of_keyword.get(keyword.pattern().as_usize()).map(Vec::as_slice).unwrap_or_default();
            for (at, written) in candidates {
                let Some(rule) = rules.all.get(*at) else { continue };
                let found = content.get(keyword.range()).unwrap_or_default();
                let skipped = (made && rule.generic) || self.done.get(*at).is_some_and(|done| keyword.start() < *done);
                if skipped
                    || !(rule.any_case || found == written.as_bytes())
                    || !judge::may_follow(rule, content, keyword.end())
                {
                    continue;
                }
                self.search(*at, rule, name, content, keyword.range(), &mut hits);
            }
            if hits.len() >= HITS_MAX {
                break;
            }
        }
        finished(&rules, content, hits)
    }

    fn search(
        &mut self,
        at: usize,
        rule: &Rule,
        name: &str,
        content: &[u8],
        keyword: std::ops::Range<usize>,
        hits: &mut Vec<Hit>,
    ) {
        let (Some(captures), Some(done)) = (self.captures.get_mut(at), self.done.get_mut(at)) else { return };
        let end = content.len().min(keyword.end + rule.after);
        let (mut start, anchored) = if rule.anchored {
            (keyword.start, Anchored::Yes)
        } else {
            (keyword.start.saturating_sub(rule.before).max(*done), Anchored::No)
        };
        while start < end {
            rule.regex.search_captures(&Input::new(content).range(start..end).anchored(anchored), captures);
            let Some(whole) = captures.get_match() else { return };
            let secret = (1..captures.group_len()).find_map(|group| captures.get_group(group));
            let span = secret.map_or(whole.range(), |span| span.start..span.end);
            *done = span.end.max(*done);
            let secret = content.get(span.clone()).unwrap_or_default();
            if judge::is_secret(&self.rules, rule, name, content, span.start, secret) {
                hits.push(Hit { rule: at, start: span.start, end: span.end, line: 0 });
            }
            if rule.anchored {
                return;
            }
            start = span.end.max(start + 1);
        }
    }
}

/// Gives lines, and leaves out what is allowed where it stands and what a surer rule has found as well.
fn finished(rules: &Rules, content: &[u8], mut hits: Vec<Hit>) -> Vec<Hit> {
    let unsure =
        |hit: &Hit| rules.all.get(hit.rule).is_some_and(|rule| rule.generic || rule.check != super::rules::Check::Form);
    hits.sort_by_key(|hit| (hit.start, unsure(hit), hit.rule));
    let sure: Vec<(usize, usize)> = hits.iter().filter(|hit| !unsure(hit)).map(|hit| (hit.start, hit.end)).collect();
    let mut last_end = 0;
    let mut kept: Vec<Hit> = Vec::new();
    let (mut counted_to, mut line) = (0, 1_u32);
    for mut hit in hits {
        let covered = unsure(&hit)
            && (hit.start < last_end || sure.iter().any(|(start, end)| *start < hit.end && hit.start < *end));
        let repeated = kept.last().is_some_and(|before| before.start == hit.start && before.end == hit.end);
        if covered || repeated || is_allowed(content, hit.start) {
            continue;
        }
        let between = content.get(counted_to..hit.start).unwrap_or_default();
        line = line.saturating_add(u32::try_from(memchr::memchr_iter(b'\n', between).count()).unwrap_or(u32::MAX));
        counted_to = hit.start.max(counted_to);
        hit.line = line;
        last_end = hit.end.max(last_end);
        kept.push(hit);
    }
    kept
}

fn is_allowed(content: &[u8], at: usize) -> bool {
    let start = content.get(..at).and_then(|before| memchr::memrchr(b'\n', before)).map_or(0, |end| end + 1);
    let end = content.get(at..).and_then(|after| memchr::memchr(b'\n', after)).map_or(content.len(), |end| at + end);
    // A line may be a whole file; what allows stands near.
    let line = content.get(start.max(at.saturating_sub(2000))..end.min(at + 4000)).unwrap_or_default();
    ALLOW.iter().any(|mark| memchr::memmem::find(line, mark).is_some())
}

fn is_binary(content: &[u8]) -> bool {
    memchr::memchr(0, content.get(..START_BYTES.min(content.len())).unwrap_or_default()).is_some()
}
