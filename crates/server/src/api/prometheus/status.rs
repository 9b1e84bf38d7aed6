//! What this is, and how much there is.

use axum::extract::State;
use serde_json::json;

use super::answer::{Data, Refused};
use crate::api::Context;

/// The version whose answers ours are compared with: clients ask for it to know what they may ask.
const LIKE: &str = "2.42.0";

/// `status/buildinfo`
pub(super) async fn build() -> Data {
    let version = env!("CARGO_PKG_VERSION");
    Data::of(&json!({
        "application": "prograde", "version": LIKE, "revision": version, "branch": "", "buildUser": "", "buildDate": "",
        "goVersion": "",
    }))
}

/// `status/tsdb`: how much is in memory. The lists of the largest names are not counted.
pub(super) async fn database(State(context): State<Context>) -> Result<Data, Refused> {
    let stats = context.metrics.stats().await??;
    Ok(Data::of(&json!({
        "headStats": {
            "numSeries": stats.head_series,
            "chunkCount": stats.head_chunks,
            "minTime": stats.oldest_ms,
            "maxTime": stats.newest_ms,
        },
        "seriesCountByMetricName": [], "labelValueCountByLabelName": [], "memoryInBytesByLabelName": [],
        "seriesCountByLabelValuePair": [],
        "prograde": {
            "headSamples": stats.head_samples, "headBytes": stats.head_bytes, "logBytes": stats.log_bytes,
            "blocks": stats.blocks, "blockSamples": stats.block_samples, "blockBytes": stats.block_bytes,
        },
    })))
}
