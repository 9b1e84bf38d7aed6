//! Asks the policies about each resource, on all cores, and gives the answers in the resources' order.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use jiff::Timestamp;
use prograde_policy::testing::values_for;
use prograde_policy::{Given, Kind, PolicyResult, Request};
use serde_json::Value;

use super::read::{Read, Resource};

/// How many resources a thread takes at once.
const CHUNK: usize = 16;
/// How many chunks a thread may be ahead of who takes the answers. With the chunk, it bounds what is held.
const AHEAD: usize = 4;
/// More threads than this are never used.
const THREADS_MAX: usize = 16;

impl Read<'_> {
    /// Hands what the policies say about each resource to `take`, in the resources' order, until it fails. The worker
    /// whose turn a chunk is follows from the chunk's number, so there is nothing to sort.
    pub(super) fn each<'a, E>(
        &'a self,
        now: Timestamp,
        mut take: impl FnMut(&'a Resource, Vec<PolicyResult>) -> Result<(), E>,
    ) -> Result<(), E> {
        let chunks = self.resources.len().div_ceil(CHUNK);
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX).min(chunks);
        thread::scope(|scope| {
            let answers: Vec<Receiver<Vec<_>>> = (0..threads)
                .map(|worker| {
                    let (out, answers) = sync_channel(AHEAD);
                    scope.spawn(move || self.work(now, worker, threads, &out));
                    answers
                })
                .collect();
            for (chunk, worker) in self.resources.chunks(CHUNK).zip(answers.iter().cycle()) {
                // A worker that is gone has panicked, which the end of the scope passes on.
                let Ok(found) = worker.recv() else { break };
                chunk.iter().zip(found).try_for_each(|(resource, results)| take(resource, results))?;
            }
            Ok(())
        })
    }

    /// Asks about every chunk whose turn it is, until nobody takes the answers any more.
    fn work(&self, now: Timestamp, worker: usize, threads: usize, out: &SyncSender<Vec<Vec<PolicyResult>>>) {
        for chunk in self.resources.chunks(CHUNK).skip(worker).step_by(threads) {
            if out.send(chunk.iter().map(|resource| self.ask(now, resource)).collect()).is_err() {
                return;
            }
        }
    }

    fn ask(&self, now: Timestamp, resource: &Resource) -> Vec<PolicyResult> {
        let namespace = resource.field(&["metadata", "namespace"]).and_then(|name| self.namespaces.get(name));
        let labels = namespace
            .and_then(|found| found.get("metadata"))
            .and_then(|metadata| metadata.get("labels"))
            .and_then(Value::as_object);
        let labels: BTreeMap<String, String> = labels
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect();
        let name = resource.field(&["metadata", "name"]).unwrap_or_default();
        let mut given = Given { values: values_for(&self.values, name), ..Given::default() };
        let request = Request {
            object: Some(Cow::Borrowed(&resource.value)),
            old: None,
            operation: "CREATE",
            kind: Kind::of(&resource.value),
            subresource: "",
            plural: "",
            user: Cow::Borrowed(&self.user),
            namespace_labels: Cow::Owned(labels),
            namespace: namespace.map(Cow::Borrowed),
            now,
        };
        if let Some(lookup) = &self.lookup {
            let asked = self.set.asks(&request, &given);
            given.verified = asked.into_iter().map(|asked| (asked.clone(), lookup.ask(&asked))).collect();
        }
        self.set.evaluate(&request, &given)
    }
}
