//! How much is read. What goes beyond is an error and never left out: whoever may write signatures could otherwise hide a
//! good one behind many bad ones, or the other way round.

/// The largest key, trust or signer's file, in bytes.
pub const KEY_FILE_BYTES_MAX: u64 = 256 * 1024;
/// The largest payload of a signature, in bytes.
pub const PAYLOAD_BYTES_MAX: u64 = 1024 * 1024;
/// The largest attestation, in bytes: a bill of materials of a large image fits.
pub const ATTESTATION_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// The largest manifest, in bytes; registries take no larger ones.
pub const MANIFEST_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How many signatures or attestations of one image are looked at, over all forms.
pub const FOUND_MAX: usize = 1_000;
/// How many bytes are read for one image.
pub const READ_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// How many keys a trust file may name.
pub const KEYS_MAX: usize = 64;
/// How many signatures one envelope may hold.
pub const ENVELOPE_SIGNATURES_MAX: usize = 16;
/// How many subjects a statement may have.
pub const SUBJECTS_MAX: usize = 10_000;
/// How many times something is written again because others wrote at the same time.
pub const ATTEMPTS_MAX: u32 = 20;
/// The largest identity token, in bytes.
pub const TOKEN_BYTES_MAX: u64 = 64 * 1024;
/// The largest signing configuration, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 256 * 1024;
/// How many services of a kind are asked for one signature.
pub const SERVICES_MAX: usize = 8;
/// The largest trusted root, in bytes.
pub const ROOT_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How many authorities of a kind a trusted root may name.
pub const ROOT_AUTHORITIES_MAX: usize = 64;
/// How many log entries, timestamps or certificates a bundle may carry.
pub const MATERIAL_MAX: usize = 16;
/// How many identities a trust file may name.
pub const IDENTITIES_MAX: usize = 64;
/// The longest pattern of an identity, in bytes, and what it may need in memory.
pub const PATTERN_BYTES_MAX: usize = 1_000;
/// See [`PATTERN_BYTES_MAX`].
pub const PATTERN_MEMORY_MAX: usize = 1024 * 1024;
