//! Git's smart HTTP protocol (gitprotocol-http): a push to a service's repository opens a flight.

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::TryStreamExt as _;
use prograde_gitops::git::{GitError, GitService, PushRules, Repository, RpcOptions, Takes};
use prograde_model::ids::ServiceName;
use serde::Deserialize;
use tokio_util::io::{ReaderStream, StreamReader};

use super::{Context, Failure};
use crate::auth;
use crate::events::chain;
use crate::upstream;

/// The repository that says what should run.
const DEPLOYMENTS: &str = "deployments";
/// What is said to whoever pushes something there that is no way back, and not proposed.
const ONLY_BACK: &str = "\
prograde: a release is taken out of an environment by `git revert` of its commit here, while no other is on its way
prograde: there. One that is proposed, on `proposals/ENVIRONMENT/SERVICE`, is let in by merging that as it is. Everything
prograde: else follows from a push to the service's repository.";

pub(super) fn router() -> Router<Context> {
    Router::new()
        .route("/git/{repository}/info/refs", get(advertise))
        .route("/git/{repository}/git-upload-pack", post(upload_pack))
        .route("/git/{repository}/git-receive-pack", post(receive_pack))
        // The exchange is streamed, and bounded where it is read.
        .layer(DefaultBodyLimit::disable())
}

#[derive(Debug, Deserialize)]
struct AdvertiseQuery {
    service: String,
}

async fn advertise(
    State(context): State<Context>,
    Path(name): Path<String>,
    Query(query): Query<AdvertiseQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let service = GitService::from_name(&query.service).ok_or_else(|| Failure::bad_request("unknown Git service"))?;
    let repository = open(&context, &name, service).await?;
    let body = repository.advertise_refs(service, protocol(&headers)).await.map_err(|error| failure(&error))?;
    Ok(answer(service, "advertisement", Body::from(body)))
}

async fn upload_pack(
    State(context): State<Context>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    rpc(context, name, GitService::UploadPack, request).await
}

async fn receive_pack(
    State(context): State<Context>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    rpc(context, name, GitService::ReceivePack, request).await
}

async fn rpc(context: Context, name: String, service: GitService, request: Request) -> Result<Response, Failure> {
    let repository = open(&context, &name, service).await?;
    let mut rules = PushRules::default();
    if is_deployments(&name) && service == GitService::ReceivePack {
        let folders = context.by_hand.folders(ONLY_BACK).await.map_err(|error| failure(&error))?;
        rules.takes = Takes::Folders(folders);
    }
    if service == GitService::ReceivePack
        && let Some(url) = followed(&context, &name)
    {
        rules.takes = Takes::Nothing(upstream::closed(&url));
    }
    let options = RpcOptions {
        gzip: request.headers().get(header::CONTENT_ENCODING).is_some_and(|v| v == "gzip"),
        protocol: protocol(request.headers()).map(str::to_owned),
        pusher: auth::name(request.headers()),
        rules,
    };
    let body = request.into_body().into_data_stream().map_err(std::io::Error::other);
    let rpc = repository.rpc(service, StreamReader::new(body), options).await.map_err(|error| failure(&error))?;
    // The controllers look when the answer has been given to its end, or given up: then the references are in place.
    let news = Arrival { context, push: service == GitService::ReceivePack };
    let stream = ReaderStream::new(rpc).inspect_ok(move |_| {
        let _until_the_end = &news;
    });
    Ok(answer(service, "result", Body::from_stream(stream)))
}

/// Tells the controllers of a push when it is dropped.
struct Arrival {
    context: Context,
    push: bool,
}

impl Drop for Arrival {
    fn drop(&mut self) {
        if self.push {
            self.context.control.commits_arrived();
            self.context.by_hand.pushed();
        }
    }
}

/// Where a repository's commits come from, if not from pushes here.
fn followed(context: &Context, name: &str) -> Option<String> {
    context.upstreams.of(&name.strip_suffix(".git").unwrap_or(name).parse().ok()?)
}

fn is_deployments(name: &str) -> bool {
    name.strip_suffix(".git").unwrap_or(name) == DEPLOYMENTS
}

async fn open(context: &Context, name: &str, service: GitService) -> Result<Repository, Failure> {
    let name: ServiceName = name
        .strip_suffix(".git")
        .unwrap_or(name)
        .parse()
        .map_err(|error: prograde_model::InvalidName| Failure::bad_request(error.to_string()))?;
    if is_deployments(name.as_str()) {
        return Ok(context.deployments.repository().clone());
    }
    let found = match service {
        GitService::ReceivePack => context.repositories.ensure(&name).await,
        GitService::UploadPack => context.repositories.get(&name).await,
    };
    found.map_err(|error| failure(&error))
}

fn protocol(headers: &HeaderMap) -> Option<&str> {
    headers.get("git-protocol").and_then(|value| value.to_str().ok())
}

fn answer(service: GitService, what: &str, body: Body) -> Response {
    let kind = format!("application/x-{}-{what}", service.name());
    (StatusCode::OK, [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache".to_owned())], body)
        .into_response()
}

fn failure(error: &GitError) -> Failure {
    if matches!(error, GitError::NoRepository(_)) {
        Failure::not_found(error.to_string())
    } else if matches!(error, GitError::Name { .. } | GitError::TooLarge { .. }) {
        Failure::bad_request(chain(error))
    } else {
        Failure::internal(error)
    }
}
