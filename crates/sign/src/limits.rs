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
