//! The four commits of the story: what each changes, and by which answers users tell its version from the others.

use super::pad::{self, Edit};
use super::tally::Marker;

/// One commit's flight, in the order in which they fly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Chapter {
    /// The first commit of all.
    First,
    /// A commit with nothing wrong.
    Good,
    /// A commit that passes all tests and fails one of five requests.
    Failing,
    /// A commit that passes all tests and crashes when it is started.
    Crashing,
}

impl Chapter {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::First, Self::Good, Self::Failing, Self::Crashing];

    /// What its version is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Good => "good",
            Self::Failing => "failing",
            Self::Crashing => "crashing",
        }
    }

    /// Its place in the story, from 1.
    pub(crate) fn number(self) -> usize {
        Self::ALL.iter().position(|chapter| *chapter == self).unwrap_or_default() + 1
    }

    /// Whether the commit is one that must not reach all users.
    pub(crate) fn is_bad(self) -> bool {
        match self {
            Self::First | Self::Good => false,
            Self::Failing | Self::Crashing => true,
        }
    }

    /// The commit's message.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::First => "Add pad",
            Self::Good => "Greet more warmly",
            Self::Failing => "Greet in another way",
            Self::Crashing => "Start faster",
        }
    }

    fn greeting(self) -> &'static str {
        match self {
            Self::First => pad::FIRST_GREETING,
            Self::Good => "welcome to the pad",
            Self::Failing => "good day from the pad",
            Self::Crashing => "good morning from the pad",
        }
    }

    /// What it changes, compared with the commit before. The fix of the failing commit comes with the next one.
    pub(crate) fn edits(self) -> Vec<Edit> {
        let greet = |from: Self| pad::greet(from.greeting(), self.greeting());
        match self {
            Self::First => Vec::new(),
            Self::Good => vec![greet(Self::First)],
            Self::Failing => vec![greet(Self::Good), pad::fail_a_fifth()],
            Self::Crashing => vec![greet(Self::Failing), pad::fail_no_more(), pad::crash_at_start()],
        }
    }

    /// The texts in answers that tell all versions apart.
    pub(crate) fn markers() -> Vec<Marker> {
        let greetings =
            Self::ALL.map(|chapter| Marker { version: chapter.name(), text: format!("{:?}", chapter.greeting()) });
        let fault = Marker { version: Self::Failing.name(), text: pad::FAULT_ANSWER.to_owned() };
        greetings.into_iter().chain([fault]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_versions_answer_holds_anothers_marker() {
        let markers = Chapter::markers();
        for (index, marker) in markers.iter().enumerate() {
            let others = markers.iter().enumerate().filter(|(at, _)| *at != index);
            assert!(others.into_iter().all(|(_, other)| !marker.text.contains(&other.text)), "{marker:?}");
        }
    }
}
