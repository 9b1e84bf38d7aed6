//! Real containers on this machine, with Debian's static busybox as their program. Where the machine can't give one, or
//! has no busybox, each test says what it leaves out; with CI=true that is a failure.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends where its ground is gone")]

mod ends;
mod fixture;
mod sees;
