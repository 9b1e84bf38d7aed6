//! The choice of a tag.
//!
//! Source: Flux 2.7, documentation, "Image Policies".

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use prograde_model::pattern::Pattern;
use serde::Serialize;

use crate::image::objects::{ImagePolicy, Order};
use crate::semver::Version;

/// The most tags that are looked at.
pub const TAGS_MAX: usize = 100_000;

/// A tag of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tag {
    /// Its name.
    pub name: String,
    /// What it stands for, where that is known.
    pub digest: Option<String>,
}

/// What was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// The tag.
    pub tag: Tag,
    /// Why each of the others was not, in the order in which they were given.
    pub others: Vec<(String, Reason)>,
}

/// Why a tag was not chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The repository's exclusion list has it.
    Excluded,
    /// The policy's filter does not match it.
    Filtered,
    /// Another tag gives the same text to compare, and came later.
    Repeated,
    /// It is no semantic version with three numbers.
    NoVersion,
    /// It is outside of the range.
    OutOfRange,
    /// The digest that it stands for is in quarantine.
    Quarantined,
    /// Another one comes after it.
    Earlier,
}

impl Reason {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Excluded => "the repository's exclusion list has it",
            Self::Filtered => "the filter does not match it",
            Self::Repeated => "another tag is compared by the same text",
            Self::NoVersion => "it is no semantic version",
            Self::OutOfRange => "it is outside of the range",
            Self::Quarantined => "its digest is in quarantine",
            Self::Earlier => "another one comes after it",
        }
    }
}

/// Why nothing was chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoChoice {
    /// There are too many.
    #[error("there are {0} tags, more than the {TAGS_MAX} that are looked at")]
    TooMany(usize),
    /// Flux gives up here too.
    #[error("`{0}` is no number, which a numerical policy needs of every tag that the filter lets through")]
    NoNumber(String),
    /// None may be chosen.
    #[error("none of the {} tags may be chosen", .0.len())]
    None(Vec<(String, Reason)>),
}

/// A tag with the text by which it is compared.
struct Candidate<'a> {
    tag: &'a Tag,
    text: String,
}

/// Chooses one of the tags. A tag whose digest is in quarantine is never chosen.
pub fn choose(
    policy: &ImagePolicy,
    exclusions: &[Pattern],
    tags: &[Tag],
    quarantined: &BTreeSet<String>,
) -> Result<Choice, NoChoice> {
    if tags.len() > TAGS_MAX {
        return Err(NoChoice::TooMany(tags.len()));
    }
    let mut reasons: BTreeMap<&str, Reason> = BTreeMap::new();
    let candidates = filtered(policy, exclusions, tags, quarantined, &mut reasons);
    let best = match &policy.order {
        Order::Semver(range) => {
            let mut best: Option<(Version, &Tag)> = None;
            for candidate in &candidates {
                let version = three_numbers(&candidate.text);
                let reason = match version {
                    None => Reason::NoVersion,
                    Some(version) if !range.holds(&version) => Reason::OutOfRange,
                    Some(version) => {
                        if best.as_ref().is_none_or(|(best, _)| version.precedence(best) == Ordering::Greater) {
                            best = Some((version, candidate.tag));
                        }
                        Reason::Earlier
                    }
                };
                reasons.insert(&candidate.tag.name, reason);
            }
            best.map(|(_, tag)| tag)
        }
        Order::Alphabetical(descends) => {
            let compared = |left: &&Candidate<'_>, right: &&Candidate<'_>| left.text.cmp(&right.text);
            let all = candidates.iter();
            if *descends { all.min_by(compared) } else { all.max_by(compared) }.map(|candidate| candidate.tag)
        }
        Order::Numerical(descends) => numerical(&candidates, *descends)?,
    };
    let told = |chosen: Option<&Tag>| -> Vec<(String, Reason)> {
        let others = tags.iter().filter(|tag| chosen.is_none_or(|chosen| chosen.name != tag.name));
        others
            .map(|tag| (tag.name.clone(), reasons.get(tag.name.as_str()).copied().unwrap_or(Reason::Earlier)))
            .collect()
    };
    match best {
        Some(tag) => Ok(Choice { tag: tag.clone(), others: told(Some(tag)) }),
        None => Err(NoChoice::None(told(None))),
    }
}

fn filtered<'a>(
    policy: &ImagePolicy,
    exclusions: &[Pattern],
    tags: &'a [Tag],
    quarantined: &BTreeSet<String>,
    reasons: &mut BTreeMap<&'a str, Reason>,
) -> Vec<Candidate<'a>> {
    let mut kept: Vec<Candidate<'a>> = Vec::new();
    let mut by_text: BTreeMap<String, usize> = BTreeMap::new();
    for tag in tags {
        if exclusions.iter().any(|pattern| pattern.is_match(&tag.name)) {
            reasons.insert(&tag.name, Reason::Excluded);
            continue;
        }
        if tag.digest.as_ref().is_some_and(|digest| quarantined.contains(digest)) {
            reasons.insert(&tag.name, Reason::Quarantined);
            continue;
        }
        let text = match &policy.filter {
            None => tag.name.clone(),
            Some(filter) if !filter.pattern.is_match(&tag.name) => {
                reasons.insert(&tag.name, Reason::Filtered);
                continue;
            }
            Some(filter) if filter.extract.is_empty() => tag.name.clone(),
            Some(filter) => filter.pattern.expand(&tag.name, &filter.extract).unwrap_or_default(),
        };
        // Of two tags that are compared by one text, the later one counts.
        if let Some(place) = by_text.get(&text).and_then(|index| kept.get_mut(*index)) {
            reasons.insert(&place.tag.name, Reason::Repeated);
            reasons.remove(tag.name.as_str());
            place.tag = tag;
            continue;
        }
        by_text.insert(text.clone(), kept.len());
        kept.push(Candidate { tag, text });
    }
    kept
}

fn three_numbers(text: &str) -> Option<Version> {
    if text.splitn(3, '.').count() < 3 { None } else { Version::parse(text).ok() }
}

fn numerical<'a>(candidates: &[Candidate<'a>], descends: bool) -> Result<Option<&'a Tag>, NoChoice> {
    let mut best: Option<(f64, &Tag)> = None;
    for candidate in candidates {
        let number: f64 = candidate.text.parse().map_err(|_| NoChoice::NoNumber(candidate.tag.name.clone()))?;
        let stays = best.is_some_and(|(best, _)| if descends { number > best } else { number < best });
        if !stays {
            best = Some((number, candidate.tag));
        }
    }
    Ok(best.map(|(_, tag)| tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(spec: &str) -> ImagePolicy {
        let text = format!(
            "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicy\nmetadata: {{name: p, namespace: n}}\nspec:\n  imageRepositoryRef: {{name: r}}\n{spec}"
        );
        let mut objects = crate::Objects::default();
        crate::read("p.yaml", &text, &mut objects);
        assert!(objects.problems.is_empty(), "{:?}", objects.problems);
        objects.policies.remove(0)
    }

    fn tags(names: &[&str]) -> Vec<Tag> {
        names.iter().map(|name| Tag { name: (*name).to_owned(), digest: Some(format!("sha256:{name}")) }).collect()
    }

    fn check(spec: &str, names: &[&str], expected: &str) {
        let chosen = choose(&policy(spec), &[], &tags(names), &BTreeSet::new());
        let shown = chosen.map_or_else(|why| format!("none: {why}"), |choice| choice.tag.name);
        assert_eq!(shown, expected, "{spec} {names:?}");
    }

    #[test]
    fn each_order_chooses() {
        let all = ["5.0.0", "5.1.1", "v5.1.4", "5.1.5-rc.1", "5.2.0", "5.1", "latest"];
        check("  policy: {semver: {range: 5.1.x}}", &all, "v5.1.4");
        check("  policy: {semver: {range: '5.1.x-0'}}", &all, "5.1.5-rc.1");
        check("  policy: {semver: {range: '>=5.0.0'}}", &all, "5.2.0");
        check("  policy: {semver: {range: '^9'}}", &all, "none: none of the 7 tags may be chosen");
        check("  policy: {alphabetical: {}}", &["a", "c", "b"], "c");
        check("  policy: {alphabetical: {order: desc}}", &["a", "c", "b"], "a");
        check("  policy: {numerical: {order: asc}}", &["9", "10", "2"], "10");
        check("  policy: {numerical: {order: desc}}", &["9", "10", "2"], "2");
    }

    #[test]
    fn filters_choose_what_is_compared() {
        let filter = "  filterTags: {pattern: '^main-[a-f0-9]+-(?P<ts>[0-9]+)', extract: '$ts'}\n";
        let names = ["main-abc-100", "main-fff-99", "dev-abc-500", "main-xyz-900"];
        check(&format!("{filter}  policy: {{numerical: {{order: asc}}}}"), &names, "main-abc-100");
        let release = "  filterTags: {pattern: '^RELEASE\\.(?P<timestamp>.*)Z$', extract: '$timestamp'}\n";
        let names = ["RELEASE.2023-01-01T00-00-00Z", "RELEASE.2024-01-01T00-00-00Z", "edge"];
        check(&format!("{release}  policy: {{alphabetical: {{order: asc}}}}"), &names, "RELEASE.2024-01-01T00-00-00Z");
        let semver = "  filterTags: {pattern: '^v(?P<v>.*)-alpine$', extract: '$v'}\n";
        check(
            &format!("{semver}  policy: {{semver: {{range: '*'}}}}"),
            &["v1.2.0-alpine", "v1.10.0-alpine", "v9.0.0"],
            "v1.10.0-alpine",
        );
        check(
            "  policy: {numerical: {}}",
            &["1", "x"],
            "none: `x` is no number, which a numerical policy needs of every tag that the filter lets through",
        );
    }

    #[test]
    fn what_is_in_quarantine_is_never_chosen() {
        let policy = policy("  policy: {semver: {range: '*'}}");
        let quarantined = BTreeSet::from(["sha256:2.0.0".to_owned()]);
        let choice = choose(&policy, &[], &tags(&["1.0.0", "2.0.0", "bad"]), &quarantined).unwrap();
        assert_eq!(choice.tag.name, "1.0.0");
        assert_eq!(choice.others, [("2.0.0".into(), Reason::Quarantined), ("bad".into(), Reason::NoVersion)]);
    }
}
