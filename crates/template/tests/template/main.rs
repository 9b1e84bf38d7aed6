//! Templates from the outside: what a corpus of them gives here and in Go itself, and what holds of any text.

#![expect(clippy::unwrap_used, reason = "a test ends where its ground is gone")]

mod bounds;
mod data;
mod generator;
mod peer;
