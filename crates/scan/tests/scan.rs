//! What this crate says, compared with what the programs say whose formats and orderings it follows.
#![cfg(test)]

mod scan {
    mod peer;
    mod schemas;
    mod versions;
}
