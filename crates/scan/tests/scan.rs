//! What this crate says, compared with what the programs say whose formats and orderings it follows.

mod scan {
    mod peer;
    mod schemas;
    mod versions;
}
