//! The server's wire types, under one short name.

#[expect(unused_imports, reason = "the whole of the wire format is at hand")]
pub(crate) use types::*;

#[path = "../../server/src/api/types.rs"]
mod types;
