//! Post-mortems: drafted from what is recorded, and checked for blame before they are published.
//!
//! A post-mortem that blames people teaches everybody to say less the next time (Beyer and others, *Site Reliability
//! Engineering*, 2016, chapter 15; Dekker, *The Field Guide to Understanding Human Error*, 3rd edition, chapter 1). [`draft()`]
//! names the commit and the flight and nobody; [`lint()`] finds the sentences that judge persons, and says what to write
//! instead.

mod draft;
mod lint;

pub use draft::{Draft, culprit, draft};
pub use lint::{CODE, lint};

#[cfg(test)]
mod tests;
