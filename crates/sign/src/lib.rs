//! Who vouches for an image: cosign's signatures and in-toto attestations, the keys that make them, and the trust that
//! checks them.
//!
//! Invariants: a signature counts for the image and for the repository that it names, and for nothing else. Nothing that is
//! signed is believed before its signature has been checked. Everything that is found is told, with why it does not count;
//! nothing is left out because there is too much of it. Private keys that are written are encrypted, and those in memory
//! overwrite themselves. Nothing here speaks to a network: signatures are read and written through a [`Store`], and services
//! that sign without a key are asked through a [`keyless::Port`].

pub mod bundle;
pub mod codes;
mod document;
pub mod dsse;
pub mod key;
pub mod keyless;
pub mod limits;
mod payload;
pub mod predicate;
mod publish;
mod reference;
mod statement;
mod store;
mod trust;
mod verify;

pub use document::{attestation_tag, signature_tag};
pub use payload::Payload;
pub use publish::{Form, Image, Signed, attest, attest_keyless, sign, sign_keyless, sign_payload, sign_statement};
pub use reference::{NotRepository, Pattern, Repository};
pub use statement::{Statement, Subject};
pub use store::{Cause, Store, StoreError, StoredManifest, digest_of};
pub use trust::{Trust, TrustedIdentity, TrustedKey, Untrusted, Wanted};
pub use verify::{Asked, Evidence, Found, Refusal, Terms, Verified, verify};
