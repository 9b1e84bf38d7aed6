//! What the pad says.

/// The greeting on the first page.
pub const GREETING: &str = "hello from the pad";
