//! Short names of people, and who has to be in the file.

use std::collections::{BTreeMap, BTreeSet};

use prograde_model::Diagnostic;
use prograde_model::oncall::{Person, PersonName};

use crate::reader::{At, Found, shown};

/// The most people of an export.
const PEOPLE_MAX: usize = 100_000;

/// What an export says of somebody.
#[derive(Debug, Clone)]
pub(crate) struct User<'a> {
    /// Where.
    pub(crate) at: At<'a>,
    /// The name that is shown.
    pub(crate) name: String,
    pub(crate) email: Option<String>,
    pub(crate) time_zone: Option<String>,
    /// Who they are in Slack.
    pub(crate) slack: Option<String>,
    /// Whether the source has ways of its own to reach them.
    pub(crate) has_ways: bool,
}

/// Everybody who is exported, and those of them who are named by schedules or escalations.
#[derive(Debug, Default)]
pub(crate) struct People<'a> {
    users: BTreeMap<&'a str, User<'a>>,
    named: BTreeMap<&'a str, PersonName>,
    taken: BTreeSet<PersonName>,
    entries: BTreeMap<PersonName, Person>,
}

impl<'a> People<'a> {
    /// Takes in an exported user; the same one may be exported several times.
    pub(crate) fn add(&mut self, id: &'a str, user: User<'a>, found: &mut Found) {
        let differs = |known: &User<'_>| known.name != user.name || known.email != user.email;
        if let Some(known) = self.users.get(id) {
            if differs(known) {
                let message =
                    format!("the user {:?} is another one in {} at {}", shown(id), known.at.file, known.at.path);
                found.error(user.at.wrong(message, "import exports of one account at a time"));
            }
            return;
        }
        if self.users.len() < PEOPLE_MAX {
            self.users.insert(id, user);
        } else {
            found.error(user.at.wrong(format!("there are more than {PEOPLE_MAX} users"), "export fewer"));
        }
    }

    /// The short name of a user that something refers to at `at`; `summary` is the name that the reference itself tells.
    pub(crate) fn named(
        &mut self,
        at: &At<'a>,
        id: &'a str,
        summary: Option<&'a str>,
        found: &mut Found,
    ) -> Result<PersonName, Diagnostic> {
        if let Some(name) = self.named.get(id) {
            return Ok(name.clone());
        }
        let known = self.users.get(id);
        let user = match (known, summary) {
            (Some(user), _) => user.clone(),
            // Where no users are exported at all, references tell their names.
            (None, Some(name)) if self.users.is_empty() => User {
                at: at.clone(),
                name: name.to_owned(),
                email: None,
                time_zone: None,
                slack: None,
                has_ways: false,
            },
            (None, _) => {
                let hint = "export the users as well, all pages of them (`GET /users`)";
                return Err(at.wrong(format!("there is no user {:?} in what is exported", shown(id)), hint));
            }
        };
        let name = self.short(&user);
        if user.email.is_none() {
            let hint = if self.users.is_empty() { "export the users as well (`GET /users`)" } else { "add `email`" };
            found.lost(user.at.lost(format!("no mail address is known of {name} ({})", shown(&user.name)), hint));
        }
        if user.has_ways {
            let message = format!("the ways by which {name} wants to be told are not carried over");
            found.lost(user.at.lost(message, &format!("write a receiver `{name}` into alertmanager.yml")));
        }
        let person = Person {
            name: Some(user.name.clone()).filter(|full| *full != name),
            receiver: Some(name.clone()),
            email: user.email,
            time_zone: user.time_zone,
            slack: user.slack,
        };
        self.entries.insert(name.clone(), person);
        self.named.insert(id, name.clone());
        Ok(name)
    }

    /// A short name that nobody has yet.
    fn short(&mut self, user: &User<'_>) -> PersonName {
        let mailbox = user.email.as_deref().and_then(|email| email.split('@').next()).unwrap_or_default();
        let base = [user.name.as_str(), mailbox].into_iter().map(slug).find(|name| !name.is_empty());
        let base = base.unwrap_or_else(|| "person".to_owned());
        let numbered = (2_u64..).map(|number| format!("{base}-{number}"));
        let free = std::iter::once(base.clone()).chain(numbered).find(|name| !self.taken.contains(name));
        let name = free.unwrap_or(base);
        self.taken.insert(name.clone());
        name
    }

    /// Those who are named, by their short names.
    pub(crate) fn finish(self) -> BTreeMap<PersonName, Person> {
        self.entries
    }
}

/// Letters and digits in small, everything else as `-`.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars().take(60).flat_map(char::to_lowercase) {
        if c.is_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

/// Names of schedules and escalations, each used once.
#[derive(Debug, Default)]
pub(crate) struct Titles(BTreeSet<String>);

impl Titles {
    /// The name, or one with a number where it is taken.
    pub(crate) fn take(&mut self, at: &At<'_>, name: &str, found: &mut Found) -> String {
        let wanted: String = name.trim().chars().filter(|c| !c.is_control()).take(200).collect();
        let wanted = if wanted.is_empty() { "unnamed".to_owned() } else { wanted };
        let numbered = (2_u64..).map(|number| format!("{wanted} {number}"));
        let free = std::iter::once(wanted.clone()).chain(numbered).find(|name| !self.0.contains(name));
        let free = free.unwrap_or_else(|| wanted.clone());
        if free != name {
            found.lost(at.lost(format!("the name {:?} is carried over as {free:?}", shown(name)), "rename it"));
        }
        self.0.insert(free.clone());
        free
    }
}
