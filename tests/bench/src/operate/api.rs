//! An HTTP API that is asked: Prometheus' and Alertmanager's, theirs and ours.

use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;

/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

/// Where an API is, and with what it lets us in.
#[derive(Debug, Clone)]
pub(super) struct Api {
    base: String,
    token: Option<String>,
    agent: ureq::Agent,
}

impl Api {
    pub(super) fn new(base: String, token: Option<String>) -> Self {
        let agent = ureq::Agent::config_builder().timeout_global(Some(Duration::from_mins(5))).build().into();
        Self { base, token, agent }
    }

    pub(super) fn url(&self) -> &str {
        &self.base
    }

    fn allowed<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    pub(super) fn get(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let answer = self.allowed(self.agent.get(format!("{}{path}", self.base))).call();
        Ok(answer?.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?)
    }

    pub(super) fn get_json(&self, path: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&self.get(path)?)?)
    }

    pub(super) fn post_form(&self, path: &str, form: &[(&str, String)]) -> anyhow::Result<Vec<u8>> {
        let request = self.allowed(self.agent.post(format!("{}{path}", self.base)));
        let answer = request.send_form(form.iter().map(|(name, value)| (*name, value.as_str())));
        Ok(answer?.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?)
    }

    pub(super) fn post_json(&self, path: &str, body: &[u8]) -> anyhow::Result<()> {
        let request = self.allowed(self.agent.post(format!("{}{path}", self.base)));
        request.header("content-type", "application/json").send(body)?;
        Ok(())
    }

    /// Takes in samples as Prometheus sends them.
    pub(super) fn write(&self, body: &[u8]) -> anyhow::Result<()> {
        let request = self.allowed(self.agent.post(format!("{}/api/v1/write", self.base)));
        let request = request.header("content-encoding", "snappy").header("content-type", "application/x-protobuf");
        let status = request.send(body)?.status();
        ensure!(status == 204 || status == 200, "a write is answered with {status}");
        Ok(())
    }
}
