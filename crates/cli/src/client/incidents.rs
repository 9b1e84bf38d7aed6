//! Incidents, action items, post-mortems and the status page of the server's API.

use prograde_model::incident::{Entry, IncidentId, Month, Offer, Ranked, Suspect};
use prograde_model::status_page::StatusPage;

use super::{ANSWER_WAIT, Client};
use crate::report::Report;
use crate::wire::{
    ActionOrderRequest, ActionRequest, DeclareRequest, IncidentOrdered, IncidentRequest, IncidentView, MitigateRequest,
    PostmortemRequest, PostmortemView,
};

impl Client {
    /// `GET /api/v1/incidents`: the newest first.
    pub(crate) fn incidents(&self, query: &[(&str, &str)]) -> Result<Vec<IncidentView>, Report> {
        self.get("/api/v1/incidents", query)
    }

    /// `GET /api/v1/incidents/{id}`.
    pub(crate) fn incident(&self, id: IncidentId) -> Result<IncidentView, Report> {
        self.get(&format!("/api/v1/incidents/{id}"), &[])
    }

    /// `POST /api/v1/incidents`.
    pub(crate) fn declare(&self, request: &DeclareRequest) -> Result<IncidentOrdered, Report> {
        self.post("/api/v1/incidents", request, ANSWER_WAIT)
    }

    /// `POST /api/v1/incidents/{id}/order`.
    pub(crate) fn order_incident(&self, id: IncidentId, request: &IncidentRequest) -> Result<IncidentOrdered, Report> {
        self.post(&format!("/api/v1/incidents/{id}/order"), request, ANSWER_WAIT)
    }

    /// `GET /api/v1/incidents/{id}/ways`.
    pub(crate) fn ways(&self, id: IncidentId) -> Result<Vec<Offer>, Report> {
        self.get(&format!("/api/v1/incidents/{id}/ways"), &[])
    }

    /// `POST /api/v1/incidents/{id}/mitigate`.
    pub(crate) fn mitigate(&self, id: IncidentId, request: &MitigateRequest) -> Result<IncidentOrdered, Report> {
        self.post(&format!("/api/v1/incidents/{id}/mitigate"), request, ANSWER_WAIT)
    }

    /// `GET /api/v1/incidents/{id}/suspects`.
    pub(crate) fn suspects(&self, id: IncidentId, hours: u16) -> Result<Vec<Suspect>, Report> {
        self.get(&format!("/api/v1/incidents/{id}/suspects"), &[("hours", &hours.to_string())])
    }

    /// `GET /api/v1/incidents/{id}/timeline`.
    pub(crate) fn timeline(&self, id: IncidentId) -> Result<Vec<Entry>, Report> {
        self.get(&format!("/api/v1/incidents/{id}/timeline"), &[])
    }

    /// `GET /api/v1/incidents/trend`.
    pub(crate) fn trend(&self, since: &str, zone: &str) -> Result<Vec<Month>, Report> {
        self.get("/api/v1/incidents/trend", &[("since", since), ("time_zone", zone)])
    }

    /// `GET /api/v1/incidents/{id}/postmortem`.
    pub(crate) fn postmortem(&self, id: IncidentId) -> Result<PostmortemView, Report> {
        self.get(&format!("/api/v1/incidents/{id}/postmortem"), &[])
    }

    /// `POST /api/v1/incidents/{id}/postmortem`.
    pub(crate) fn publish(&self, id: IncidentId, request: &PostmortemRequest) -> Result<IncidentOrdered, Report> {
        self.post(&format!("/api/v1/incidents/{id}/postmortem"), request, ANSWER_WAIT)
    }

    /// `GET /api/v1/actions`: those that are open first, the dearest of them before all.
    pub(crate) fn actions(&self) -> Result<Vec<Ranked>, Report> {
        self.get("/api/v1/actions", &[])
    }

    /// `POST /api/v1/actions`.
    pub(crate) fn add_action(&self, request: &ActionRequest) -> Result<IncidentOrdered, Report> {
        self.post("/api/v1/actions", request, ANSWER_WAIT)
    }

    /// `POST /api/v1/actions/{id}/order`.
    pub(crate) fn order_action(
        &self,
        id: prograde_model::incident::ActionId,
        request: &ActionOrderRequest,
    ) -> Result<IncidentOrdered, Report> {
        self.post(&format!("/api/v1/actions/{id}/order"), request, ANSWER_WAIT)
    }

    /// `GET /status.json`.
    pub(crate) fn status_page(&self) -> Result<StatusPage, Report> {
        self.get("/status.json", &[])
    }
}
