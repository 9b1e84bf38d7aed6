//! The way of one request: check, choose, send, perhaps send again, hand back the answer.
//!
//! A request is sent a second time, once and on a fresh connection, only when the first replica can't have acted on it
//! (the connection did not open, or a kept one was found closed before a byte was written), or when acting on it twice
//! is harmless and a kept connection closed before it brought an answer: replicas close idle connections whenever they
//! like, also while our request is on its way (RFC 9112, sections 9.3.1 and 9.5). That second rule is for GET, HEAD and
//! OPTIONS without a body; any other request gets only connections that were in use a moment ago, or a fresh one.

use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use http::header::{CONNECTION, EXPECT, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;
use tokio::time::{Duration, Instant, Sleep, sleep};

use super::answer::Refusal;
use super::body::{Gate, RequestBody, ResponseBody, Stream, Upload};
use super::client::Client;
use super::exchange::Exchange;
use super::headers::{self, Hop};
use super::options::ProxyOptions;
use super::tunnel;
use super::upstream::Upstream;

/// Answers one request. Cancelled when the client goes away.
pub(super) async fn forward(client: Rc<Client>, mut request: Request<Incoming>) -> Response<ResponseBody> {
    let on_upgrade = request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let (mut parts, incoming) = request.into_parts();
    let hop = match headers::to_replica(&mut parts, &client.origin, &client.worker.options) {
        Ok(hop) => hop,
        Err(refusal) => return refusal.answer(),
    };
    client.worker.trace_ids.ensure(&mut parts.headers);
    parts.extensions.clear();

    let draw = client.view.route().draw();
    let Some(lease) = client.view.lease(draw) else {
        client.view.route().count_unserved();
        return Refusal::Unserved.answer();
    };
    let mut exchange = Exchange::new(Rc::clone(&client.worker), lease);
    let mut request = Request::from_parts(parts, RequestBody::Empty);
    let upload = attach_body(&mut request, incoming, &client.worker.options);

    for fresh in [false, true] {
        match attempt(&exchange, request, upload.as_deref(), fresh).await {
            Attempt::Answered(response, upstream) => {
                return answer(client, response, upstream, exchange, hop, on_upgrade);
            }
            Attempt::Again(unsent) => request = unsent,
            Attempt::Refused(refusal) => return refuse(exchange, refusal),
        }
        if !fresh {
            let Some(lease) = client.view.lease_again(draw, &exchange.lease) else { break };
            exchange.lease = lease;
        }
    }
    refuse(exchange, Refusal::BadGateway)
}

/// Gives a request its body, if it has one, and makes that wait where the client waits.
fn attach_body(request: &mut Request<RequestBody>, incoming: Incoming, options: &ProxyOptions) -> Option<Rc<Upload>> {
    if incoming.is_end_stream() {
        request.headers_mut().remove(EXPECT);
        return None;
    }
    if incoming.size_hint().exact().is_none() {
        // Said explicitly, as hyper otherwise takes a GET for one without a body.
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let gate = headers::expects_continue(request.headers()).then(|| {
        let open = Arc::new(AtomicBool::new(false));
        let opened = Arc::clone(&open);
        hyper::ext::on_informational(request, move |informed| {
            if informed.status() == StatusCode::CONTINUE {
                opened.store(true, Ordering::Release);
            }
        });
        Gate { open, latest: Box::pin(sleep(options.continue_timeout)) }
    });
    let upload = Upload::new();
    *request.body_mut() = RequestBody::Stream { incoming, upload: Rc::clone(&upload), gate };
    Some(upload)
}

/// What one try came to.
enum Attempt {
    Answered(Response<Incoming>, Box<Upstream>),
    /// Nobody has acted on it, or it does not matter if somebody has.
    Again(Request<RequestBody>),
    Refused(Refusal),
}

async fn attempt(exchange: &Exchange, request: Request<RequestBody>, upload: Option<&Upload>, fresh: bool) -> Attempt {
    let worker = &exchange.worker;
    let endpoint = &exchange.lease.endpoint;
    let repeatable = is_repeatable(&request);
    let trust = if repeatable { Duration::MAX } else { worker.options.upstream_trust };
    let kept = if fresh { None } else { worker.pool.take(endpoint, trust) };
    let spare = (kept.is_some() && repeatable).then(|| copy_head(&request));
    let mut upstream = match kept {
        Some(upstream) => upstream,
        None => match Upstream::connect(&worker.client, endpoint, worker.options.connect_timeout).await {
            Ok(upstream) => upstream,
            Err(error) => {
                tracing::debug!(endpoint = %endpoint.address(), %error, "replica can't be reached");
                return Attempt::Again(request);
            }
        },
    };
    let mut patience = pin!(sleep(first_look(&worker.options, upload)));
    match upstream.send(request, |cx| end_of_patience(&worker.options, upload, patience.as_mut(), cx)).await {
        Ok(Ok(response)) => Attempt::Answered(response, upstream),
        Ok(Err(mut error)) => {
            if upload.is_some_and(|upload| upload.broken.get()) {
                return Attempt::Refused(Refusal::ClientBody);
            }
            if let Some(unsent) = error.take_message().or(spare) {
                return Attempt::Again(unsent);
            }
            tracing::debug!(endpoint = %endpoint.address(), error = %error.into_error(), "replica gave no answer");
            Attempt::Refused(Refusal::BadGateway)
        }
        Err(refusal) => Attempt::Refused(refusal),
    }
}

fn is_repeatable(request: &Request<RequestBody>) -> bool {
    matches!(request.body(), RequestBody::Empty)
        && matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The same request again; only for one without a body.
fn copy_head(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// How long an answer's head is waited for. While the client still sends, the wait starts over with every piece, and
/// where it is the client that has stopped, it is the client that is too slow.
fn end_of_patience(
    options: &ProxyOptions,
    upload: Option<&Upload>,
    mut sleep: Pin<&mut Sleep>,
    cx: &mut Context<'_>,
) -> Poll<Refusal> {
    loop {
        ready!(sleep.as_mut().poll(cx));
        let Some(upload) = upload else { return Poll::Ready(Refusal::GatewayTimeout) };
        let (limit, refusal) = if upload.waiting.get() {
            (options.client_body_timeout, Refusal::ClientTimeout)
        } else {
            (options.response_header_timeout, Refusal::GatewayTimeout)
        };
        let due = upload.moved.get() + limit;
        if due <= Instant::now() {
            return Poll::Ready(refusal);
        }
        sleep.as_mut().reset(due);
    }
}

/// The shortest time after which patience may end.
fn first_look(options: &ProxyOptions, upload: Option<&Upload>) -> Duration {
    match upload {
        Some(_) => options.response_header_timeout.min(options.client_body_timeout),
        None => options.response_header_timeout,
    }
}

/// The proxy's own answer; whose fault it is decides how the request is counted.
fn refuse(mut exchange: Exchange, refusal: Refusal) -> Response<ResponseBody> {
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
    refusal.answer()
}

/// Hands a replica's answer to the client.
fn answer(
    client: Rc<Client>,
    response: Response<Incoming>,
    mut upstream: Box<Upstream>,
    mut exchange: Exchange,
    asked: Hop,
    on_upgrade: Option<OnUpgrade>,
) -> Response<ResponseBody> {
    let (mut parts, incoming) = response.into_parts();
    upstream.keep_alive = headers::keep_alive_timeout(&parts.headers).map(Duration::from_secs);
    let hop = headers::to_client(&mut parts.headers, &client.worker.options);
    parts.version = Version::HTTP_11;
    if parts.status != StatusCode::SWITCHING_PROTOCOLS {
        exchange.answered(parts.status);
        return Response::from_parts(parts, Stream::begin(incoming, upstream, exchange));
    }
    let (Some(protocol), Some(on_upgrade), Some(_)) = (hop.upgrade, on_upgrade, asked.upgrade) else {
        return refuse(exchange, Refusal::BadGateway);
    };
    exchange.answered(parts.status);
    exchange.finish();
    tunnel::open(client, upstream, exchange, on_upgrade);
    parts.extensions.clear();
    parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    parts.headers.insert(UPGRADE, protocol);
    Response::from_parts(parts, ResponseBody::Fixed(None))
}
