//! The codes of this crate's errors. Each has a page in `docs/errors/`.

/// A key's file can't be used.
pub const KEY: &str = "PG0780";
/// A key is encrypted, and its password is missing or another.
pub const PASSWORD: &str = "PG0781";
/// A signing program did not give a signature.
pub const PROGRAM: &str = "PG0782";
/// A trust file can't be used.
pub const TRUST: &str = "PG0783";
/// A text is no name of a repository or of an image in one.
pub const REFERENCE: &str = "PG0784";
/// Nothing that vouches for an image counts.
pub const UNSIGNED: &str = "PG0785";
/// A predicate can't be used.
pub const PREDICATE: &str = "PG0786";
/// What keeps signatures can't be read or written.
pub const STORE: &str = "PG0787";
/// There is more than is read.
pub const LIMIT: &str = "PG0788";
/// Others wrote at the same time, again and again.
pub const CONTENDED: &str = "PG0789";
/// A trusted root can't be used.
pub const TRUSTED_ROOT: &str = "PG1377";
/// A signing configuration can't be used.
pub const SIGNING_CONFIG: &str = "PG1378";
/// There is no identity token.
pub const TOKEN: &str = "PG1379";
/// A service that signs without a key can't be reached, or refuses.
pub const SERVICE: &str = "PG1380";
/// What a service that signs without a key answers can't be used.
pub const ANSWER: &str = "PG1381";
/// The pattern of an identity can't be used.
pub const IDENTITY: &str = "PG1382";
