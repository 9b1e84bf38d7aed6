//! What counts and what does not, in a store in memory, and what other programs make of our keys.
#![cfg(test)]

mod sign {
    mod attacks;
    mod cosign;
    mod keyless;
    mod keys;
    mod memory;
    mod registry;
    mod rekor;
    mod sigstore;
    mod trust;
    mod writing;
}
