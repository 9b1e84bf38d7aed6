//! Samples as scrapes give them: services that count requests and their durations, with gauges beside them.

use prograde_observe::{Labels, Sample};

/// How far scrapes of one target are apart.
pub(crate) const INTERVAL_MS: i64 = 15_000;

const BOUNDS: [&str; 12] = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];
const PATHS: [&str; 3] = ["/", "/orders", "/orders/{id}"];
const CODES: [&str; 4] = ["200", "204", "404", "500"];

const WORKERS: usize = 36;

/// How many series a target has.
pub(crate) const SERIES_PER_TARGET: usize = BOUNDS.len() * PATHS.len() + CODES.len() * 2 + WORKERS + 6;

/// A generator of numbers that are the same each time (Marsaglia, "Xorshift RNGs", 2003).
#[derive(Debug, Clone)]
struct Noise(u64);

impl Noise {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// What is scraped: its series, each with the value that it has now.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) series: Vec<(Labels, f64)>,
    kinds: Vec<Kind>,
    noise: Noise,
    /// How busy it is, in requests a scrape.
    load: u64,
    phase_ms: i64,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Bucket so many of a histogram.
    Bucket(usize),
    /// Counts whole numbers, one in so many requests.
    Count(u64),
    /// Adds up fractions.
    Seconds,
    /// Goes up and down by whole steps.
    Level,
    /// Goes up and down by fractions.
    Fraction,
    Constant,
}

impl Target {
    pub(crate) fn new(index: u64) -> Self {
        let mut noise = Noise(index.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (mut series, mut kinds) = (Vec::new(), Vec::new());
        let instance = format!("10.0.{}.{}:8080", index / 250, index % 250);
        let job = ["pad", "sat", "orders", "shop"].into_iter().cycle().nth(usize::try_from(index % 4).unwrap_or(0));
        let mut add = |name: &str, more: &[(&str, &str)], kind| {
            let common =
                [("__name__", name), ("job", job.unwrap_or_default()), ("instance", &instance), ("env", "production")];
            series.push((common.iter().chain(more).copied().collect(), 0.0));
            kinds.push(kind);
        };
        for path in PATHS {
            for (place, bound) in BOUNDS.into_iter().enumerate() {
                add("http_request_duration_seconds_bucket", &[("path", path), ("le", bound)], Kind::Bucket(place));
            }
        }
        for (place, code) in (0..).zip(CODES) {
            add("http_requests_total", &[("code", code)], Kind::Count(1 + place * place * 20));
            add("http_response_bytes_total", &[("code", code)], Kind::Count(1 + place * place * 20));
        }
        for worker in 0..WORKERS {
            add("worker_memory_bytes", &[("worker", &worker.to_string())], Kind::Level);
        }
        add("process_cpu_seconds_total", &[], Kind::Seconds);
        add("process_resident_memory_bytes", &[], Kind::Level);
        add("process_open_fds", &[], Kind::Level);
        add("queue_fill_ratio", &[], Kind::Fraction);
        add("process_start_time_seconds", &[], Kind::Constant);
        add("up", &[], Kind::Constant);
        let load = 1 + noise.below(60);
        let phase_ms = i64::try_from(noise.below(15_000)).unwrap_or(0);
        Self { series, kinds, noise, load, phase_ms }
    }

    /// The next scrape, which is so many after the first: all values change, and the time is that of all of them, in
    /// milliseconds after the beginning.
    pub(crate) fn scrape(&mut self, count: i64) -> i64 {
        let late_ms = if self.noise.below(10) == 0 { i64::try_from(self.noise.below(5)).unwrap_or(0) } else { 0 };
        // Nights are quiet.
        let load = self.load * (1 + u64::try_from((count / 240) % 24).unwrap_or(0));
        let mut below = 0;
        for ((_, value), kind) in self.series.iter_mut().zip(&self.kinds) {
            let requests = self.noise.below(load + 1);
            match kind {
                Kind::Bucket(0) => below = requests / 4,
                Kind::Bucket(place) => below += requests / (4 + *place as u64 * *place as u64),
                Kind::Count(rare) => below = requests / rare,
                Kind::Seconds | Kind::Level | Kind::Fraction | Kind::Constant => {}
            }
            match kind {
                Kind::Bucket(_) | Kind::Count(_) => *value += f64::from(u32::try_from(below).unwrap_or(0)),
                Kind::Seconds => *value += f64::from(u32::try_from(requests).unwrap_or(0)) * 0.01,
                Kind::Level => {
                    let step = f64::from(u32::try_from(self.noise.below(9)).unwrap_or(0)) - 4.0;
                    *value = (*value + if requests.is_multiple_of(3) { step * 4096.0 } else { 0.0 }).max(0.0);
                }
                Kind::Fraction => *value = f64::from(u32::try_from(self.noise.below(1000)).unwrap_or(0)) / 1000.0,
                Kind::Constant => *value = 1.0,
            }
        }
        self.phase_ms + count * INTERVAL_MS + late_ms
    }

    /// The values of now as samples.
    pub(crate) fn samples(&self, timestamp: i64) -> impl Iterator<Item = (&Labels, Sample)> {
        self.series.iter().map(move |(labels, value)| (labels, Sample { timestamp, value: *value }))
    }
}
