//! The L7 proxy in front of every Service port of the local node.
