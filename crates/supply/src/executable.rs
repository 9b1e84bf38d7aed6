//! Whether a file can be started on this machine, seen from its first bytes.
//!
//! The mode of an artifact says nothing: `actions/upload-artifact` does not keep it.

use std::path::Path;

use crate::document;
use crate::error::SupplyError;

/// How many first bytes are looked at: those of an ELF header up to `e_machine`.
pub(crate) const HEAD_BYTES: usize = 20;

/// Refuses what is neither an ELF program for this machine nor a script.
pub(crate) fn check(path: &Path, head: &[u8]) -> Result<(), SupplyError> {
    if head.starts_with(b"#!") {
        return Ok(());
    }
    let refused = |why| Err(SupplyError::NotExecutable { path: path.to_owned(), why });
    if !head.starts_with(b"\x7fELF") {
        return refused("it is neither an ELF program nor a script that starts with `#!`");
    }
    let Some(architecture) = architecture(head) else {
        return refused("its ELF header is cut off");
    };
    let (host, os) = document::host();
    if architecture == host {
        return Ok(());
    }
    let (subject, found) = (path.display().to_string(), format!("{os}/{architecture}"));
    Err(SupplyError::WrongPlatform { subject, found, host: format!("{os}/{host}") })
}

/// The architecture of an ELF program, in Go's words, which the specification uses; nothing where it is none.
pub(crate) fn architecture(head: &[u8]) -> Option<&'static str> {
    if !head.starts_with(b"\x7fELF") {
        return None;
    }
    // System V ABI, "ELF Header": `e_ident[EI_DATA]` is byte 5, `e_machine` bytes 18 and 19.
    let machine = match (head.get(5), head.get(18), head.get(19)) {
        (Some(1), Some(&low), Some(&high)) => u16::from_le_bytes([low, high]),
        (Some(2), Some(&high), Some(&low)) => u16::from_be_bytes([high, low]),
        _ => return None,
    };
    Some(match machine {
        3 => "386",
        21 => "ppc64le",
        22 => "s390x",
        40 => "arm",
        62 => "amd64",
        183 => "arm64",
        243 => "riscv64",
        _ => "another architecture",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_from_other_files() {
        let path = Path::new("pad");
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(check(path, &own[..HEAD_BYTES]).is_ok());
        assert!(check(path, b"#!/bin/sh\n").is_ok());
        for bad in [&b"PK\x03\x04"[..], b"#", b"", b"\x7fELF", b"\x7fELF\x02\x01"] {
            assert!(matches!(check(path, bad), Err(SupplyError::NotExecutable { .. })), "{bad:?}");
        }
        let mut foreign = own[..HEAD_BYTES].to_vec();
        foreign[18] = 22;
        let error = check(path, &foreign).unwrap_err().to_string();
        assert!(error.starts_with("pad is for linux/s390x, and this machine is linux/"), "{error}");
    }
}
