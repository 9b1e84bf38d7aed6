//! The server's wire types, under one short name.

pub(crate) use prograde_server::api::types::{
    AbortRequest, ActionOrderRequest, ActionRequest, ApproveRequest, DeclareRequest, EntryView, ErrorBody, EventView,
    FlagSetRequest, FlagSettingView, FlagToken, FlagUnsetRequest, FlagView, FlightSummary, FlightView, IncidentOrdered,
    IncidentRequest, IncidentView, JobView, LiftRequest, LogLineView, MitigateRequest, Ordered, OverrideRequest,
    PostmortemRequest, PostmortemView, QuarantineView, RollbackRequest, Status, TargetView, VerifyView, VersionView,
};
