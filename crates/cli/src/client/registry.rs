//! The server's registry (OCI distribution specification), as far as the commands ask it.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::Body;
use ureq::http::Response;

use super::{ANSWER_WAIT, Client};
use crate::exit::Exit;
use crate::report::Report;

/// How long a collection of garbage may take.
const COLLECT_WAIT: Duration = Duration::from_hours(1);
/// The registry refuses what was asked of it.
const REFUSED: &str = "PG0751";

/// What a collection took, or would take.
#[derive(Debug, serde::Serialize, Deserialize)]
pub(crate) struct Collected {
    pub(crate) manifests: u64,
    pub(crate) blobs: u64,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) uploads: u64,
}

/// Failures in the specification's form.
#[derive(Deserialize)]
struct Failures {
    errors: Vec<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    code: String,
    #[serde(default)]
    message: String,
}

impl Client {
    /// One part of a list below `/v2/`, and the path to the next one.
    pub(crate) fn registry_part<T: DeserializeOwned>(&self, path: &str) -> Result<(T, Option<String>), Report> {
        let answer = self.registry_answer(self.call(path, &[], ANSWER_WAIT)?)?;
        let next = answer.headers().get("link").and_then(|link| next(link.to_str().ok()?));
        Ok((self.decoded(answer)?, next))
    }

    /// `DELETE /v2/{name}/manifests/{reference}`.
    pub(crate) fn registry_delete(&self, repository: &str, reference: &str) -> Result<(), Report> {
        let request = self.agent.delete(format!("{}/v2/{repository}/manifests/{reference}", self.url));
        let answer = request.header("Authorization", self.authorization()).call();
        self.registry_answer(answer.map_err(|error| self.unreachable(&error))?).map(drop)
    }

    /// `POST /v2/_prograde/garbage/collect`.
    pub(crate) fn registry_collect(&self, query: &[(&str, String)]) -> Result<Collected, Report> {
        let mut request = self.agent.post(format!("{}/v2/_prograde/garbage/collect", self.url));
        for (name, value) in query {
            request = request.query(name, value);
        }
        let config = request.config().timeout_recv_response(Some(COLLECT_WAIT)).timeout_per_read(Some(COLLECT_WAIT));
        let answer = config.build().header("Authorization", self.authorization()).send_empty();
        self.decoded(self.registry_answer(answer.map_err(|error| self.unreachable(&error))?)?)
    }

    fn registry_answer(&self, mut answer: Response<Body>) -> Result<Response<Body>, Report> {
        let status = answer.status().as_u16();
        if answer.status().is_success() {
            return Ok(answer);
        }
        let text = self.whole(&mut answer)?;
        let Ok(Failures { errors }) = serde_json::from_slice::<Failures>(&text) else {
            let error = std::io::Error::other(String::from_utf8_lossy(&text).chars().take(200).collect::<String>());
            return Err(self.strange(&format!("it answered with HTTP status {status}"), &error));
        };
        let message = |failure: &Failure| {
            if failure.message.is_empty() { failure.code.clone() } else { failure.message.clone() }
        };
        let exit = match status {
            401 => Exit::Unauthorised,
            403 | 405 => Exit::Refused,
            _ => Exit::Mistake,
        };
        let summary = errors.iter().map(message).collect::<Vec<_>>().join("; ");
        Err(Report::new(REFUSED, summary).exit(exit).hint("`prograde registry list` and `tags` show what there is"))
    }
}

/// The path in `Link: </v2/...>; rel="next"` (RFC 8288). Another server's address is not followed.
fn next(link: &str) -> Option<String> {
    let (path, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    let path_only = path.starts_with("/v2/");
    (path_only && rest.contains("next")).then(|| path.to_owned())
}

/// The list under a key.
pub(crate) fn texts(document: &Value, key: &str) -> Vec<String> {
    let list = document.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn only_this_server_is_followed() {
        assert_eq!(next("</v2/_catalog?last=a>; rel=\"next\"").as_deref(), Some("/v2/_catalog?last=a"));
        for bad in ["", "<http://evil/v2/>; rel=\"next\"", "</v2/a>; rel=\"prev\"", "</v1/a>; rel=\"next\""] {
            assert_eq!(next(bad), None, "{bad}");
        }
    }
}
