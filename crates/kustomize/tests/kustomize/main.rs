//! Rendering compared with Kustomize itself, byte for byte, and what it says of input that can't be rendered.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a test that is left out says so")]

mod charts;
mod errors;
mod fixture;
mod grammar;
mod peer;
mod reads;
mod texts;
