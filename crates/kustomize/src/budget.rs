//! How much one rendering may do: small input that multiplies itself (bases included many times, patches that copy, a
//! large patch for many objects) ends in a diagnostic, not in a full memory.

use prograde_model::Diagnostic;

use crate::codes;
use crate::place::Place;

/// The most objects in a rendering, also between its steps.
pub const OBJECTS_MAX: usize = 5_000;
/// The most kustomizations that are read, each time counted that one is included.
pub const KUSTOMIZATIONS_MAX: usize = 1_000;
/// How deeply kustomizations may include each other.
pub const NESTING_MAX: usize = 16;
/// About how many bytes may be read, copied and merged in all.
pub const WORK_BYTES_MAX: usize = 128 * 1024 * 1024;

/// What is left of the limits.
#[derive(Debug)]
pub(crate) struct Budget {
    work_bytes: usize,
    kustomizations: usize,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self { work_bytes: WORK_BYTES_MAX, kustomizations: KUSTOMIZATIONS_MAX }
    }

    /// Takes `bytes` of work away.
    pub(crate) fn spend(&mut self, bytes: usize, place: &Place) -> Result<(), Diagnostic> {
        match self.work_bytes.checked_sub(bytes) {
            Some(rest) => {
                self.work_bytes = rest;
                Ok(())
            }
            None => Err(too_large(place, format!("rendering would handle more than {WORK_BYTES_MAX} bytes"))),
        }
    }

    /// Takes one kustomization away.
    pub(crate) fn enter(&mut self, place: &Place) -> Result<(), Diagnostic> {
        match self.kustomizations.checked_sub(1) {
            Some(rest) => {
                self.kustomizations = rest;
                Ok(())
            }
            None => Err(too_large(place, format!("more than {KUSTOMIZATIONS_MAX} kustomizations are included"))),
        }
    }
}

/// Refuses more objects than are rendered.
pub(crate) fn check_count(count: usize, place: &Place) -> Result<(), Diagnostic> {
    if count <= OBJECTS_MAX {
        return Ok(());
    }
    Err(too_large(place, format!("there are more than {OBJECTS_MAX} objects")))
}

fn too_large(place: &Place, message: String) -> Diagnostic {
    place.diagnostic(codes::TOO_LARGE, message, "split what is deployed into several services")
}
