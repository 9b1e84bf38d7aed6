//! The proxy alone, for measuring: `proxy_bench_server LISTEN WORKERS WEIGHT=ADDRESS[,ADDRESS...]...`
//!
//! Serves until its standard input ends, then prints what was counted, one line a version.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use prograde_model::runtime::Routing;
use prograde_model::{FlightId, Target, Weight};
use prograde_node::proxy::{Endpoint, Proxy, ProxyOptions, Route, RouteVersion, VersionCounters};

// What the product's binary uses too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[expect(clippy::print_stdout, reason = "a tool's output")]
fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(workers)) = (arguments.next(), arguments.next()) else {
        bail!("usage: proxy_bench_server LISTEN WORKERS WEIGHT=ADDRESS[,ADDRESS...]...");
    };
    let versions: Vec<RouteVersion> =
        arguments.zip(1..).map(|(argument, index)| version(&argument, index)).collect::<anyhow::Result<_>>()?;

    let proxy = Proxy::start(ProxyOptions { workers: workers.parse()?, ..ProxyOptions::default() })?;
    let target = Target { environment: "bench".parse()?, service: "proxy".parse()? };
    let route = Arc::new(Route::new(&target));
    route.set(versions.clone(), &Routing::default());
    let listener = proxy.listen(listen.parse()?, Arc::clone(&route))?;
    println!("listening on {}", listener.address());

    std::io::stdin().read_to_end(&mut Vec::new())?;
    for version in versions {
        println!("{} {:?}", version.weight, version.counters.snapshot());
    }
    println!("unserved {}", route.unserved());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(proxy.shutdown(Duration::from_secs(1)));
    Ok(())
}

fn version(argument: &str, index: u8) -> anyhow::Result<RouteVersion> {
    let (weight, addresses) = argument.split_once('=').with_context(|| format!("{argument} is not WEIGHT=ADDRESS"))?;
    let addresses: Vec<SocketAddr> = addresses.split(',').map(str::parse).collect::<Result<_, _>>()?;
    Ok(RouteVersion {
        revision: FlightId::from_random([index; 16]).context("too many versions")?,
        weight: Weight::new(weight.parse()?)?,
        endpoints: addresses.into_iter().map(Endpoint::new).collect(),
        counters: Arc::new(VersionCounters::default()),
        mirrored: Arc::new(VersionCounters::default()),
    })
}
