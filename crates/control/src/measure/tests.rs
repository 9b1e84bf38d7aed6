use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use prograde_model::metric::{MetricSource, MetricVerdict, Told};
use serde_json::json;
use tokio::time::Instant;

use super::*;

/// A provider that does what its query says.
#[derive(Default)]
struct Provider {
    asked: Mutex<Vec<Measurement>>,
    under_way: AtomicUsize,
    under_way_max: AtomicUsize,
}

#[async_trait]
impl Measures for Provider {
    async fn measure(&self, measurement: &Measurement) -> Result<Found, MeasureError> {
        self.asked.lock().unwrap().push(measurement.clone());
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.under_way_max.fetch_max(under_way, Ordering::SeqCst);
        if let MetricSource::Requests(_) = &measurement.source {
            return Ok(Found::Judged { told: Told::Pass, value: None, reason: String::new() });
        }
        let MetricSource::Prometheus(query) = &measurement.source else { panic!("{measurement:?}") };
        let result = match query.query.as_str() {
            "hang" => pending().await,
            "panic" => panic!("as it was told"),
            "slow" => {
                tokio::time::sleep(Duration::from_secs(5)).await;
                Ok(Found::Value(2.0))
            }
            "refuse" => Err(MeasureError::Refused { status: 503, detail: "down".into() }),
            _ => Ok(Found::Judged { told: Told::Pass, value: Some(1.0), reason: String::new() }),
        };
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        result
    }
}

fn metric(name: &str, query: &str) -> Metric {
    let source = json!({"url": "http://127.0.0.1:9090", "query": query});
    serde_json::from_value(json!({"name": name, "prometheus": source, "below": 100, "every": "5s", "timeout": "3s"}))
        .unwrap()
}

fn begin() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

fn baking_at(environment: &str, step: u32, metrics: Vec<Metric>) -> Judged {
    Judged {
        target: Target { environment: environment.parse().unwrap(), service: "pad".parse().unwrap() },
        flight: "c".repeat(32).parse().unwrap(),
        addresses: vec![SocketAddr::from(([127, 0, 0, 1], 4000))],
        stable_addresses: vec![SocketAddr::from(([127, 0, 0, 1], 5000))],
        synthetic: None,
        commit: "d".repeat(40).parse().unwrap(),
        stable: Some("a".repeat(32).parse().unwrap()),
        step,
        weight: Weight::new(10).unwrap(),
        since: begin(),
        bake: SignedDuration::from_secs(60),
        metrics,
    }
}

struct Bench {
    provider: Arc<Provider>,
    measuring: Measuring,
    halted: Halted,
    started: Instant,
}

impl Bench {
    fn new() -> Self {
        let provider = Arc::<Provider>::default();
        let measuring = Measuring::new(Arc::clone(&provider) as _, Arc::default());
        Self { provider, measuring, halted: Halted::default(), started: Instant::now() }
    }

    fn now(&self) -> Timestamp {
        begin() + SignedDuration::try_from(self.started.elapsed()).unwrap()
    }

    /// Goes on as the control loop does, for so many seconds.
    async fn run(&mut self, seconds: u64, steps: &[Judged]) {
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            let now = self.now();
            self.measuring.start_due(steps.to_vec(), now, &self.halted);
            tokio::select! {
                () = self.measuring.ended(&self.halted) => {}
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
        }
    }

    fn state(&self, step: &Judged, metric: &str) -> MetricState {
        let readings = self.measuring.readings.of(&step.target).unwrap();
        readings.metrics.get(&metric.parse().unwrap()).cloned().unwrap_or_default()
    }

    fn asked(&self, query: &str) -> Vec<Measurement> {
        let of = |m: &&Measurement| matches!(&m.source, MetricSource::Prometheus(q) if q.query == query);
        self.provider.asked.lock().unwrap().iter().filter(of).cloned().collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_panics_or_refuses_disturbs_no_other_metric() {
    let queries = ["good", "hang", "panic", "refuse", "slow"];
    let step = baking_at("production", 0, queries.iter().map(|query| metric(query, query)).collect());
    let mut bench = Bench::new();
    bench.run(62, std::slice::from_ref(&step)).await;
    let metric_of = |name: &str| step.metrics.iter().find(|m| m.name.as_str() == name).unwrap();
    let verdict = |name: &str| bench.state(&step, name).verdict(metric_of(name), bench.now());
    // Every 5 s from the fifth on.
    assert_eq!(bench.state(&step, "good").good, 12);
    assert_eq!(verdict("good").0, MetricVerdict::Pass);
    let row = |name: &str| bench.state(&step, name).errors_in_a_row;
    assert!(row("hang") >= 11 && row("refuse") == 12 && row("panic") == 12, "{:?}", bench.measuring.readings);
    assert_eq!(verdict("hang").0, MetricVerdict::Error);
    assert!(verdict("hang").1.ends_with("no answer within 3 s"), "{:?}", verdict("hang"));
    assert!(verdict("refuse").1.ends_with("answered 503: down"), "{:?}", verdict("refuse"));
    assert!(verdict("panic").1.contains("ended badly"), "{:?}", verdict("panic"));
    assert!(verdict("slow").1.ends_with("no answer within 3 s"), "longer than its timeout: {:?}", verdict("slow"));
    bench.measuring.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_is_told_what_is_judged() {
    let step = baking_at("production", 2, vec![metric("m", "m{f=\"{{flight}}\"}[{{step_s}}s]")]);
    let mut bench = Bench::new();
    bench.run(6, std::slice::from_ref(&step)).await;
    let filled = format!("m{{f=\"{}\"}}[5s]", "c".repeat(32));
    let asked = bench.asked(&filled);
    let [one] = asked.as_slice() else { panic!("{:?}", bench.provider.asked.lock().unwrap()) };
    assert_eq!((one.step, one.weight.percent(), one.since), (2, 10, begin()));
    assert_eq!((&one.addresses, one.timeout), (&step.addresses, Duration::from_secs(3)));
}

#[tokio::test(start_paused = true)]
async fn readings_end_with_their_step_also_those_that_come_late() {
    let slow = Metric { timeout: "10s".parse().unwrap(), ..metric("m", "slow") };
    let (first, second) = (baking_at("production", 0, vec![slow.clone()]), baking_at("production", 1, vec![slow]));
    let mut bench = Bench::new();
    bench.run(12, std::slice::from_ref(&first)).await;
    assert_eq!(bench.state(&first, "m").good, 1, "another one is under way");
    // The second step began when the first did, as far as this bench is concerned, and so is due at once.
    bench.run(1, std::slice::from_ref(&second)).await;
    assert_eq!(bench.state(&second, "m"), MetricState::default());
    assert_eq!(
        bench.asked("slow").len(),
        3,
        "what is under way for the first step does not keep the second from being measured"
    );
    bench.run(3, std::slice::from_ref(&second)).await;
    assert_eq!(bench.state(&second, "m"), MetricState::default(), "the first step's answer has come meanwhile");
    bench.run(3, std::slice::from_ref(&second)).await;
    assert_eq!(bench.state(&second, "m").good, 1);
    bench.run(1, &[]).await;
    assert_eq!(bench.measuring.readings.of(&second.target), None);
}

#[tokio::test(start_paused = true)]
async fn measurements_under_way_are_bounded() {
    let metrics: Vec<Metric> = (0..METRICS_MAX).map(|n| metric(&format!("m{n}"), "hang")).collect();
    let steps: Vec<Judged> = (0..10).map(|n| baking_at(&format!("e{n}"), 0, metrics.clone())).collect();
    let mut bench = Bench::new();
    bench.run(8, &steps).await;
    assert_eq!(bench.provider.under_way_max.load(Ordering::SeqCst), UNDER_WAY_MAX);
}

#[tokio::test(start_paused = true)]
async fn synthetic_requests_count_for_their_step_alone() {
    let mut bench = Bench::new();
    let of = serde_json::from_value(json!({"requests": [{"get": "/orders"}]})).unwrap();
    let step = Judged { synthetic: Some(Wanted { of, first: 0, pairs: 3 }), ..baking_at("production", 0, Vec::new()) };
    let unreachable = Judged { stable_addresses: Vec::new(), ..step.clone() };
    bench.measuring.start_due(vec![unreachable], bench.now(), &bench.halted);
    bench.measuring.start_due(vec![step.clone()], bench.now(), &bench.halted);
    bench.measuring.ended(&bench.halted).await;
    let sent = |bench: &Bench| bench.measuring.readings.of(&step.target).unwrap().synthetic.sent;
    assert_eq!(sent(&bench), 3);
    assert_eq!(bench.provider.asked.lock().unwrap().len(), 6, "three to each of both");

    bench.measuring.start_due(vec![step.clone()], bench.now(), &bench.halted);
    let next = Judged { step: 1, synthetic: None, ..step.clone() };
    bench.measuring.start_due(vec![next], bench.now(), &bench.halted);
    bench.measuring.ended(&bench.halted).await;
    assert_eq!(sent(&bench), 0, "what was sent for the step before is none of this one's");
}
