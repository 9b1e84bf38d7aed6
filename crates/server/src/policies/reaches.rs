//! What policies ask for that Kubernetes does not send with a question at admission.

use prograde_model::{Diagnostic, Diagnostics};
use prograde_policy::{Beyond, PolicySet, Reach};

use super::Policies;

/// The code of a policy that can't be held to at admission.
pub const NOT_AT_ADMISSION: &str = "PG1384";

impl Policies {
    /// The policies themselves.
    pub(crate) fn set(&self) -> &PolicySet {
        &self.all
    }

    /// Whether the namespace of a resource has to be known.
    pub fn need_namespaces(&self) -> bool {
        self.all.reaches.iter().any(|reach| reach.beyond == Beyond::Namespace)
    }

    /// The same, where all of them can be held to also at admission, if that is asked for.
    pub(super) fn held(self, admission: Option<bool>) -> Result<Self, Diagnostics> {
        let found = admission.map(|namespaces| self.not_at_admission(namespaces)).unwrap_or_default();
        if found.is_empty() { Ok(self) } else { Err(Diagnostics(found)) }
    }

    /// What can't be answered at admission. It would be passed over in silence, or refuse everything, so nobody begins with
    /// it. `namespaces` says whether somebody looks namespaces up.
    pub fn not_at_admission(&self, namespaces: bool) -> Vec<Diagnostic> {
        let reaches = self.all.reaches.iter();
        reaches.filter(|reach| !namespaces || reach.beyond != Beyond::Namespace).map(told).collect()
    }
}

fn told(reach: &Reach) -> Diagnostic {
    let hint = match reach.beyond {
        Beyond::Namespace => "say with `--admission-kubeconfig FILE` how the server asks the cluster for namespaces",
        Beyond::Roles => "name users or groups (`subjects`), which Kubernetes sends",
        Beyond::Params | Beyond::Answers => {
            "write the values into the policy, or leave it to a controller in the cluster and out of the server's policies"
        }
        Beyond::Effects => "leave it to a controller in the cluster and out of the server's policies",
    };
    let what =
        format!("`{}` of {} asks for {}, which is not known at admission", reach.what, reach.asker, reach.beyond);
    let what = if reach.beyond == Beyond::Effects {
        format!(
            "`{}` of {} asks for {}, which an answer at admission can't make",
            reach.what, reach.asker, reach.beyond
        )
    } else {
        what
    };
    let (line, column) = reach.place;
    Diagnostic::file(NOT_AT_ADMISSION, &reach.file, what, hint).at(line, column)
}
