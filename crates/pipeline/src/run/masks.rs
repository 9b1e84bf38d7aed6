//! What must not be seen: texts that a job has named with `::add-mask::`.
//!
//! Invariant: where there are more texts than can be searched for, nothing is shown.

use std::sync::{Arc, Mutex, PoisonError};

/// What stands in the place of a masked text.
pub(crate) const STARS: &str = "***";

/// The most masks of one job, and the most bytes that they have together.
const MASKS_MAX: usize = 10_000;
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// The masks of one job, shared by its steps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Masks(Arc<Mutex<List>>);

#[derive(Default)]
struct List {
    /// Longest first, so that no text hides only a part of another.
    texts: Vec<String>,
    bytes: usize,
    overflowed: bool,
}

impl std::fmt::Debug for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} masks", self.texts.len())
    }
}

impl Masks {
    fn list(&self) -> std::sync::MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Masks a text from now on; each line of it, where it has several.
    pub(crate) fn add(&self, secret: &str) {
        let mut list = self.list();
        let lines = secret.lines().map(str::trim);
        for text in lines.chain([secret.trim()]).filter(|text| !text.is_empty()) {
            if list.texts.iter().any(|own| own == text) {
                continue;
            }
            if list.texts.len() >= MASKS_MAX || list.bytes + text.len() > BYTES_MAX {
                list.overflowed = true;
                return;
            }
            list.bytes += text.len();
            let place = list.texts.partition_point(|own| own.len() >= text.len());
            list.texts.insert(place, text.to_owned());
        }
    }

    /// `text` without what is masked.
    pub(crate) fn hide(&self, text: &str) -> String {
        let list = self.list();
        if list.overflowed {
            return STARS.to_owned();
        }
        let mut shown = text.to_owned();
        for secret in &list.texts {
            if shown.contains(secret.as_str()) {
                shown = shown.replace(secret.as_str(), STARS);
            }
        }
        shown
    }

    /// The same for a line of which the rest was cut off: the start of a masked text at its end goes as well.
    pub(crate) fn hide_cut(&self, text: &str) -> String {
        let mut shown = self.hide(text);
        let list = self.list();
        for secret in &list.texts {
            let starts = secret.char_indices().map(|(at, _)| at).filter(|at| *at > 0).rev();
            for at in starts {
                if let Some(start) = secret.get(..at)
                    && shown.ends_with(start)
                {
                    shown.truncate(shown.len() - start.len());
                    shown.push_str(STARS);
                    break;
                }
            }
        }
        shown
    }

    /// Whether `text` holds what is masked.
    pub(crate) fn conceals(&self, text: &str) -> bool {
        self.hide(text) != text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_whole_lines_of_them_too() {
        let masks = Masks::default();
        masks.add("key");
        masks.add("key-long\nsecond line\n\n");
        assert_eq!(masks.hide("a key-long b key c second line"), "a *** b *** c ***");
        assert!(masks.conceals("monkey") && !masks.conceals("k e y"));
        assert!(!format!("{masks:?}").contains("key-long"));
    }

    #[test]
    fn a_cut_line_does_not_end_in_the_start_of_a_secret() {
        let masks = Masks::default();
        masks.add("päss-word");
        assert_eq!(masks.hide_cut("x päss-wo"), "x ***");
        assert_eq!(masks.hide_cut("x p"), "x ***");
        assert_eq!(masks.hide_cut("x y"), "x y");
    }

    #[test]
    fn with_too_many_masks_nothing_is_shown() {
        let masks = Masks::default();
        masks.add(&"s".repeat(BYTES_MAX + 1));
        assert_eq!(masks.hide("anything"), STARS);
    }
}
