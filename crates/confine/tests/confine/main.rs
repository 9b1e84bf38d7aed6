//! Real containers on this machine, with Debian's static busybox as their program. Where the machine can't give one, or
//! has no busybox, each test says what it leaves out; with CI=true that is a failure.

#![cfg(test)]
#![allow(clippy::print_stderr, reason = "a test says what it leaves out")]

mod ends;
mod fixture;
mod sees;
