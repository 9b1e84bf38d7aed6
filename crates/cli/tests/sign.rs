//! `prograde sign`, `attest` and `verify` against a real registry, and cosign in both directions.
#![cfg(test)]

mod sign {
    mod cosign;
    mod keyless;
    mod ours;
    mod policy;
    #[path = "../../../sign/tests/sign/sigstore.rs"]
    mod sigstore;
    mod world;
}
