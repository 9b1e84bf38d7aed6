//! The server's wire types, under one short name.

pub(crate) use prograde_server::api::types::{
    AbortRequest, ActionOrderRequest, ActionRequest, AnswerRequest, ApplicationView, ApplicationsView, ApproveRequest,
    AutomatedRepositoryView, BudgetView, DeclareRequest, EndRunRequest, EntryView, ErrorBody, EventView,
    FlagSetRequest, FlagSettingView, FlagToken, FlagUnsetRequest, FlagView, FlightSummary, FlightView,
    ImageAutomationView, ImagePolicyView, ImageTroubleView, IncidentOrdered, IncidentRequest, IncidentView, JobView,
    LiftRequest, LogLineView, MitigateRequest, Ordered, OverrideRequest, PageView, PostmortemRequest, PostmortemView,
    QuarantineView, RaiseRequest, RateRequest, ReleaseEvidence, RollbackRequest, ScaleRequest, SnoozeRequest, Status,
    SyncRequest, TargetView, UpstreamView, VerifyView, VersionView, Wanted,
};
