//! Applications in a real cluster: kube-apiserver and etcd, started here (`scripts/test-peers.sh apiserver`).
#![cfg(test)]
#![allow(clippy::print_stderr, reason = "whoever runs the tests should know which they did not run")]

mod hooks;
mod keeping;
mod limits;
mod peer;
mod pruning;
mod syncing;
mod trouble;
mod world;
