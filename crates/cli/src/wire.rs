//! The server's wire types, under one short name.

pub(crate) use prograde_server::api::types::{
    AbortRequest, AnswerRequest, ApproveRequest, BudgetView, EntryView, ErrorBody, EventView, FlagSetRequest,
    FlagSettingView, FlagToken, FlagUnsetRequest, FlagView, FlightSummary, FlightView, JobView, LiftRequest,
    LogLineView, Ordered, OverrideRequest, PageView, QuarantineView, RaiseRequest, RateRequest, RollbackRequest,
    SnoozeRequest, Status, TargetView, VerifyView, VersionView,
};
