//! What policies say to what an application wants of a cluster, before anything of it is brought there.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use prograde_kubernetes::Target;
use prograde_model::ids::SetName;
use prograde_model::{Diagnostic, Diagnostics};
use prograde_policy::{Signature, SignedBy};
use serde_json::Value;

use super::config::Enforcement;
use crate::evidence::Vouching;
use crate::policies::{Judged, Policies};

/// The fields of a pod that list containers.
const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Policies that are in force, for one reading of a set.
pub(super) struct Rules {
    pub(super) set: SetName,
    pub(super) policies: Arc<Policies>,
    pub(super) enforcement: Enforcement,
    pub(super) vouching: Vouching,
    /// What was found out about signatures in this reading: many applications have the same images.
    pub(super) signatures: RefCell<BTreeMap<SignedBy, Signature>>,
}

impl Rules {
    /// Whether an application may be synchronised. What is not enforced is logged.
    pub(super) fn judge(&self, target: &Target, now: Timestamp) -> Result<(), Diagnostics> {
        let vouched = |pod: &Value| self.vouching.vouched(images(pod));
        let signed = |asked: &SignedBy| self.signed(asked);
        let Judged { refused, told, .. } = self.policies.judge_objects(&target.objects, (&vouched, &signed), now);
        let (refused, let_past) = match self.enforcement {
            Enforcement::Enforce => (refused, Vec::new()),
            Enforcement::Audit => (Vec::new(), refused),
        };
        for violation in let_past.iter().chain(&told) {
            let Diagnostic { file, line, message, .. } = violation;
            tracing::warn!(set = %self.set, application = %target.name, "{file}:{line}: {message}");
        }
        if refused.is_empty() { Ok(()) } else { Err(Diagnostics(refused)) }
    }

    fn signed(&self, asked: &SignedBy) -> Signature {
        if let Some(known) = self.signatures.borrow().get(asked) {
            return known.clone();
        }
        let found = self.vouching.signed_anywhere(asked);
        // What is attested may be large: it is looked up again.
        if !matches!(found, Signature::Attested(_)) {
            self.signatures.borrow_mut().insert(asked.clone(), found.clone());
        }
        found
    }
}

/// The images of a pod's containers.
pub(crate) fn images(pod: &Value) -> impl Iterator<Item = &str> {
    let lists = CONTAINERS.into_iter().filter_map(|field| pod.get(field)?.as_array());
    lists.flatten().map(|container| container.get("image").and_then(Value::as_str).unwrap_or_default())
}
