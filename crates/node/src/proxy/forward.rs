//! The way of one request: check, choose, send, perhaps send again, hand back the answer.
//!
//! A request is sent a second time, once and on a fresh connection, only when the first replica can't have acted on it
//! (the connection did not open, or a kept one was found closed before a byte was written), or when acting on it twice
//! is harmless and a kept connection closed before it brought an answer: replicas close idle connections whenever they
//! like, also while our request is on its way (RFC 9112, sections 9.3.1 and 9.5). That second rule is for GET, HEAD and
//! OPTIONS without a body; any other request gets only connections that were in use a moment ago, or a fresh one.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::{CONNECTION, UPGRADE, VIA};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::Duration;

use super::answer::Refusal;
use super::body::ResponseBody;
use super::client::{Busy, Client};
use super::decode::Head;
use super::encode::Framing;
use super::exchange::Exchange;
use super::headers::{self, Survey};
use super::mirror;
use super::outgoing::Outgoing;
use super::table::Ask;
use super::tunnel;
use super::upload::Upload;
use super::upstream::{ExchangeError, Upstream};

/// Enough for most heads.
const HEAD_ROOM: usize = 1024;

/// Answers one request. Cancelled when the client goes away.
pub(super) async fn forward(client: Rc<Client>, mut request: Request<Incoming>) -> Response<ResponseBody> {
    let busy = client.busy();
    let now = client.look_at_clock();
    let on_upgrade = hyper::upgrade::on(&mut request);
    let (parts, incoming) = request.into_parts();
    let survey = match Survey::of(&parts, &client.origin, &client.worker.trace_ids) {
        Ok(survey) => survey,
        Err(refusal) => return refusal.answer(busy),
    };
    let wait = survey.expects_continue.then_some(client.worker.options.continue_timeout);
    let upload = Upload::of(incoming, wait);
    let draw = client.view.route().draw();
    let Some(lease) = client.view.lease(Ask { draw, headers: &parts.headers }) else {
        client.view.route().count_unserved();
        return Refusal::Unserved.answer(busy);
    };
    let mut exchange = Exchange::new(client, lease, now);
    let order = Order { parts, survey };
    let mut outgoing = order.outgoing(&exchange, upload);
    if exchange.client.view.has_mirror() && order.is_repeatable(&outgoing) && order.survey.upgrade.is_none() {
        mirror::copy(&exchange, &order.parts.method, || order.head(&exchange, Framing::None));
    }
    for fresh in [false, true] {
        match attempt(&exchange, &order, outgoing, fresh).await {
            Attempt::Answered(head, upstream) => {
                let on_upgrade = order.survey.upgrade.is_some().then_some(on_upgrade);
                return pass_on(*head, upstream, exchange, on_upgrade, busy);
            }
            Attempt::Again(unsent) => outgoing = unsent,
            Attempt::Refused(refusal) => return refuse(exchange, refusal, busy),
        }
        if !fresh {
            let ask = Ask { draw, headers: &order.parts.headers };
            let Some(lease) = exchange.client.view.lease_again(ask, &exchange.lease) else { break };
            exchange.lease = lease;
        }
    }
    refuse(exchange, Refusal::BadGateway, busy)
}

/// What a client asked for, less the body.
struct Order {
    parts: Parts,
    survey: Survey,
}

impl Order {
    /// The request as it is written to a replica.
    fn outgoing(&self, exchange: &Exchange, upload: Option<Box<Upload>>) -> Outgoing {
        let framing = upload.as_ref().map_or(Framing::None, |upload| upload.framing());
        let head = self.head(exchange, framing);
        Outgoing::new(head, self.parts.method.clone(), upload, exchange.started())
    }

    fn head(&self, exchange: &Exchange, framing: Framing) -> Vec<u8> {
        let mut head = Vec::with_capacity(HEAD_ROOM);
        let client = &exchange.client;
        self.survey.write(&mut head, &self.parts, framing, &client.origin, &client.worker.options);
        head
    }

    /// Whether it does no harm if two replicas act on it (RFC 9110, section 9.2.2).
    fn is_repeatable(&self, outgoing: &Outgoing) -> bool {
        outgoing.upload.is_none() && matches!(self.parts.method, Method::GET | Method::HEAD | Method::OPTIONS)
    }
}

/// What one try came to.
enum Attempt {
    Answered(Box<Head>, Box<Upstream>),
    /// Nobody has acted on it, or it does not matter if somebody has.
    Again(Outgoing),
    Refused(Refusal),
}

async fn attempt(exchange: &Exchange, order: &Order, outgoing: Outgoing, fresh: bool) -> Attempt {
    let worker = &exchange.client.worker;
    let endpoint = &exchange.lease.endpoint;
    let repeatable = order.is_repeatable(&outgoing);
    let trust = if repeatable { Duration::MAX } else { worker.options.upstream_trust };
    let kept = if fresh { None } else { worker.pool.take(endpoint, trust, exchange.started()) };
    let reused = kept.is_some();
    let mut upstream = match kept {
        Some(upstream) => upstream,
        None => match connect(exchange).await {
            Ok(upstream) => upstream,
            Err(error) => {
                tracing::debug!(endpoint = %endpoint.address(), %error, "replica can't be reached");
                return Attempt::Again(outgoing);
            }
        },
    };
    upstream.begin(outgoing);
    let head = std::future::poll_fn(|cx| match upstream.poll_head(cx) {
        Poll::Ready(head) => Poll::Ready(Ok(head)),
        Poll::Pending => end_of_patience(exchange, &upstream, cx).map(Err),
    });
    match head.await {
        Ok(Ok(head)) => Attempt::Answered(head, upstream),
        Ok(Err(error)) => {
            tracing::debug!(endpoint = %endpoint.address(), %error, reused, "replica gave no answer");
            let again = match error {
                ExchangeError::Unsent(_) => upstream.take_request(),
                ExchangeError::Silent if reused && repeatable => Some(order.outgoing(exchange, None)),
                ExchangeError::Client(_) => return Attempt::Refused(Refusal::ClientBody),
                ExchangeError::Silent | ExchangeError::Decode(_) | ExchangeError::Broken(_) => None,
            };
            again.map_or(Attempt::Refused(Refusal::BadGateway), Attempt::Again)
        }
        Err(refusal) => Attempt::Refused(refusal),
    }
}

/// Opens a connection. Kept apart, as it is rare and would make every request's future larger.
fn connect(exchange: &Exchange) -> std::pin::Pin<Box<dyn Future<Output = std::io::Result<Box<Upstream>>>>> {
    let options = &exchange.client.worker.options;
    let endpoint = Arc::clone(&exchange.lease.endpoint);
    Box::pin(Upstream::connect(endpoint, options.connect_timeout, options.header_bytes_max))
}

/// Ready when an answer's head has been waited for too long. While the client still sends, the wait starts over with
/// every piece, and where it is the client that has stopped, it is the client that is too slow.
fn end_of_patience(exchange: &Exchange, upstream: &Upstream, cx: &mut Context<'_>) -> Poll<Refusal> {
    let options = &exchange.client.worker.options;
    let (since, for_client) = upstream.waiting();
    let (limit, refusal) = if for_client {
        (options.client_body_timeout, Refusal::ClientTimeout)
    } else {
        (options.response_header_timeout, Refusal::GatewayTimeout)
    };
    ready!(exchange.client.poll_alarm(since + limit, cx));
    Poll::Ready(refusal)
}

/// The proxy's own answer; whose fault it is decides how the request is counted.
fn refuse(mut exchange: Exchange, refusal: Refusal, busy: Busy) -> Response<ResponseBody> {
    match refusal {
        Refusal::BadGateway | Refusal::GatewayTimeout => exchange.fail(),
        // Dropped unanswered: the client's doing.
        Refusal::ClientTimeout
        | Refusal::ClientBody
        | Refusal::Host
        | Refusal::Target
        | Refusal::Connect
        | Refusal::Unserved => {}
    }
    refusal.answer(busy)
}

/// Hands a replica's answer to the client.
fn pass_on(
    head: Head,
    upstream: Box<Upstream>,
    mut exchange: Exchange,
    on_upgrade: Option<OnUpgrade>,
    busy: Busy,
) -> Response<ResponseBody> {
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = head.status;
    parts.headers = head.headers;
    if let Some(reason) = head.reason {
        parts.extensions.insert(reason);
    }
    if let Some(via) = headers::via(Version::HTTP_11, &exchange.client.worker.options) {
        parts.headers.extend(HeaderValue::try_from(via).ok().map(|via| (VIA, via)));
    }
    if head.status != StatusCode::SWITCHING_PROTOCOLS {
        exchange.answered(head.status);
        return Response::from_parts(parts, ResponseBody::stream(upstream, exchange, busy));
    }
    let (Some(protocol), Some(on_upgrade)) = (head.upgrade, on_upgrade) else {
        // Nobody asked for that.
        return refuse(exchange, Refusal::BadGateway, busy);
    };
    exchange.answered(head.status);
    exchange.finish();
    tunnel::open(upstream, exchange, on_upgrade);
    parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    parts.headers.insert(UPGRADE, protocol);
    Response::from_parts(parts, ResponseBody::fixed(None, busy))
}
