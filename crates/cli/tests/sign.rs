//! `prograde sign`, `attest` and `verify` against a real registry, and cosign in both directions.
#![cfg(test)]

mod sign {
    mod cosign;
    mod ours;
    mod policy;
    mod world;
}
