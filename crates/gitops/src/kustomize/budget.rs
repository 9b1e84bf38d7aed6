//! How much one rendering may do: small input that multiplies itself (bases included many times, patches that copy, a
//! large patch for many objects) ends in a diagnostic, not in a full memory.

use prograde_model::Diagnostic;

use crate::codes;
use crate::located::Place;

/// The most objects in a rendering, also between its steps.
pub const OBJECTS_MAX: usize = 1_000;
/// The most kustomizations that are read, each time counted that one is included.
pub const KUSTOMIZATIONS_MAX: usize = 200;
/// How deeply kustomizations may include each other.
pub const NESTING_MAX: usize = 16;
/// About how many bytes may be read, copied and merged in all.
pub const WORK_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What is left of the limits.
#[derive(Debug)]
pub(super) struct Budget {
    work_bytes: usize,
    kustomizations: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { work_bytes: WORK_BYTES_MAX, kustomizations: KUSTOMIZATIONS_MAX }
    }

    /// Takes `bytes` of work away.
    pub(super) fn spend(&mut self, bytes: usize, place: &Place) -> Result<(), Diagnostic> {
        match self.work_bytes.checked_sub(bytes) {
            Some(rest) => {
                self.work_bytes = rest;
                Ok(())
            }
            None => Err(too_large(place, format!("rendering would handle more than {WORK_BYTES_MAX} bytes"))),
        }
    }

    /// Takes one kustomization away.
    pub(super) fn enter(&mut self, place: &Place) -> Result<(), Diagnostic> {
        match self.kustomizations.checked_sub(1) {
            Some(rest) => {
                self.kustomizations = rest;
                Ok(())
            }
            None => Err(too_large(place, format!("more than {KUSTOMIZATIONS_MAX} kustomizations are included"))),
        }
    }
}

pub(super) fn too_large(place: &Place, message: String) -> Diagnostic {
    place.diagnostic(codes::TOO_LARGE, message, "split what is deployed into several services")
}
