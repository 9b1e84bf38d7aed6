//! The answers that the proxy gives itself. None tells a client more than it may know of what is behind.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use super::body::ResponseBody;
use super::client::Busy;

/// Why a request is not answered by a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// RFC 9112, section 3.2.
    #[error("the request must have exactly one valid Host header")]
    Host,
    /// The target is in a form that this method can't have (RFC 9112, section 3.2).
    #[error("the request's target has a form that its method can't have")]
    Target,
    /// There is nothing here to connect through.
    #[error("CONNECT is not served here")]
    Connect,
    /// The client stopped sending its body.
    #[error("the request's body did not arrive in time")]
    ClientTimeout,
    /// The client broke off its body, or garbled it.
    #[error("the request's body is not complete")]
    ClientBody,
    /// No version that may get requests has a ready replica.
    #[error("no replica is ready")]
    Unserved,
    /// The replica could not be reached, broke off, or sent what is no answer.
    #[error("the replica gave no valid answer")]
    BadGateway,
    /// The replica did not answer in time.
    #[error("the replica did not answer in time")]
    GatewayTimeout,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::Host | Self::Target | Self::ClientBody => StatusCode::BAD_REQUEST,
            Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
            Self::ClientTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Unserved => StatusCode::SERVICE_UNAVAILABLE,
            Self::BadGateway => StatusCode::BAD_GATEWAY,
            Self::GatewayTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The whole answer.
    pub(super) fn answer(self, busy: Busy) -> Response<ResponseBody> {
        let mut answer = Response::new(ResponseBody::fixed(Some(Bytes::from(format!("{self}\n"))), busy));
        *answer.status_mut() = self.status();
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        match self {
            Self::Unserved => {
                answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // RFC 9110, section 15.5.6.
            Self::Connect => {
                answer.headers_mut().insert(http::header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, OPTIONS"));
            }
            Self::Host
            | Self::Target
            | Self::ClientTimeout
            | Self::ClientBody
            | Self::BadGateway
            | Self::GatewayTimeout => {}
        }
        answer
    }
}
