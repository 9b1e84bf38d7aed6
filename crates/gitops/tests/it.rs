//! This crate against the real programs: `git` as a client, and `kubectl kustomize` as the reference for rendering.

mod peers;
