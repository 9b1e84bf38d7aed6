//! The server's wire types, under one short name.

pub(crate) use prograde_server::api::types::{
    AbortRequest, ApproveRequest, EntryView, ErrorBody, EventView, FlagSetRequest, FlagSettingView, FlagToken,
    FlagUnsetRequest, FlagView, FlightSummary, FlightView, JobView, LiftRequest, LogLineView, Ordered, OverrideRequest,
    QuarantineView, RollbackRequest, Status, TargetView, VerifyView, VersionView,
};
