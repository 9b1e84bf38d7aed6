//! Requests to the candidate itself: past the proxy, so that they are no user's and are not counted as one's.

use http::{HeaderMap, Method, Uri};
use prograde_control::ports::{MeasureError, Measurement};
use prograde_model::metric::{Found, Request, Told};
use tokio::time::Instant;

use crate::adapters::client::{Answer, Ask, Client};

/// How much of an answer is looked at.
const BODY_BYTES_MAX: u64 = 1024 * 1024;

/// Asks all of them, one after the other, the ready replicas in turn. The first that is not answered as said fails.
pub(super) async fn measure(
    client: &Client,
    requests: &[Request],
    measurement: &Measurement,
) -> Result<Found, MeasureError> {
    if measurement.addresses.is_empty() {
        return Err(MeasureError::NoReplica);
    }
    let deadline = Instant::now() + measurement.timeout;
    for (request, address) in requests.iter().zip(measurement.addresses.iter().cycle()) {
        let what = &request.get;
        let uri: Uri = format!("http://{address}{what}")
            .parse()
            .map_err(|_| MeasureError::Answer(format!("GET {what} can't be asked for")))?;
        let timeout = deadline.saturating_duration_since(Instant::now());
        let (headers, body, bytes_max) = (HeaderMap::new(), Vec::new(), BODY_BYTES_MAX);
        let ask = Ask { method: Method::GET, uri, headers, body, timeout, bytes_max };
        let failed = match client.send(ask).await {
            Ok(answer) => wrong(request, &answer),
            Err(MeasureError::Timeout(_)) => {
                Some(format!("GET {what} was not answered within {} s", measurement.timeout.as_secs_f64()))
            }
            Err(error) => Some(format!("GET {what} was not answered: {error}")),
        };
        if let Some(reason) = failed {
            return Ok(Found::Judged { told: Told::Fail, value: None, reason });
        }
    }
    let reason = match requests.len() {
        1 => "the request was answered as said".to_owned(),
        n => format!("{n} requests were answered as said"),
    };
    Ok(Found::Judged { told: Told::Pass, value: None, reason })
}

/// What is wrong with an answer.
fn wrong(request: &Request, answer: &Answer) -> Option<String> {
    let (what, status) = (&request.get, answer.status.as_u16());
    if status != request.status {
        return Some(format!("GET {what} answered {status}, expected {}", request.status));
    }
    let text = request.body_contains.as_ref()?;
    if String::from_utf8_lossy(&answer.body).contains(text.as_str()) {
        return None;
    }
    let looked = if answer.whole { "" } else { " in its first MiB" };
    Some(format!("the answer to GET {what} does not contain {text:?}{looked}"))
}
