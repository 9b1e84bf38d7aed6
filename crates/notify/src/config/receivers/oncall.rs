//! Whoever is on call.

use prograde_yaml::Node;

use super::Reader;

/// Pages whoever is on call by an escalation of `oncall.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oncall {
    /// The escalation's name; where there is but one it need not be named.
    pub escalation: Option<String>,
}

impl Oncall {
    // `send_resolved` is none of its settings: a page that does not hear of the end would never be over.
    pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        if !reader.mapping(node, "an on-call receiver", &["escalation"]) {
            return None;
        }
        Some(Self { escalation: reader.text(node, "escalation").filter(|name| !name.is_empty()) })
    }
}
