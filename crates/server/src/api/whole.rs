//! What a person orders is done whole, or not at all: also if they hang up, it is not left between what is recorded and what follows.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tokio_util::task::TaskTracker;

use super::Failure;

/// The same routes; what changes something is done to its end by one of the tasks, whether or not anybody waits for the answer.
pub(super) fn whole<S>(router: Router<S>, tasks: &TaskTracker) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router.layer(from_fn_with_state(tasks.clone(), to_its_end))
}

async fn to_its_end(State(tasks): State<TaskTracker>, request: Request, next: Next) -> Result<Response, Failure> {
    if request.method().is_safe() {
        return Ok(next.run(request).await);
    }
    match tasks.spawn(next.run(request)).await {
        Ok(response) => Ok(response),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Failure::internal(&error)),
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail by panicking")]

    use std::io::Write as _;
    use std::net::TcpStream;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::routing::get;
    use tokio::sync::Semaphore;
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// What a request does: says that it has begun, waits until it may go on, and says that it is done.
    #[derive(Default)]
    struct Steps {
        begun: AtomicUsize,
        done: AtomicUsize,
    }

    async fn steps(State((steps, go)): State<(Arc<Steps>, Arc<Semaphore>)>) {
        steps.begun.fetch_add(1, Ordering::Relaxed);
        let _go = go.acquire().await;
        steps.done.fetch_add(1, Ordering::Relaxed);
    }

    async fn until(is_so: impl Fn() -> bool) {
        while !is_so() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    #[tokio::test]
    async fn an_order_is_carried_out_although_who_gave_it_hangs_up() {
        let (state, go, tasks) = (Arc::<Steps>::default(), Arc::new(Semaphore::new(0)), TaskTracker::new());
        let router = Router::new().route("/", get(steps).post(steps));
        let router = whole(router, &tasks).with_state((Arc::clone(&state), Arc::clone(&go)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serve = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        let served = TaskTracker::new();
        served.spawn(async move { serve.await.unwrap() });

        for (count, method) in ["GET", "POST"].into_iter().enumerate() {
            let mut stream = TcpStream::connect(address).unwrap();
            write!(stream, "{method} / HTTP/1.1\r\nhost: here\r\ncontent-length: 0\r\n\r\n").unwrap();
            until(|| state.begun.load(Ordering::Relaxed) > count).await;
            drop(stream);
        }
        stop.cancel();
        served.close();
        // Who asks for something is left alone once they hang up; an order goes on, and is waited for.
        served.wait().await;
        go.add_permits(2);
        tasks.close();
        tasks.wait().await;
        assert_eq!(state.done.load(Ordering::Relaxed), 1);
    }
}
