//! What incidents and action items are called.

use crate::ids::numbered;

numbered!(
    /// An incident's name, such as `INC-1`.
    IncidentId,
    "incident",
    "INC",
    "`INC-` and a number, such as `INC-1`"
);

numbered!(
    /// An action item's name, such as `ACT-1`.
    ActionId,
    "action item",
    "ACT",
    "`ACT-` and a number, such as `ACT-1`"
);
