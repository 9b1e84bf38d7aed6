//! Prograde's local node: it runs the versions of a service on this machine, behind an L7 proxy that splits traffic
//! between them by weight.
//!
//! Nothing here decides what should run or which version is good: a caller says which versions are wanted with which
//! weights, and the node makes it so and tells what it sees.

pub mod proxy;
