//! How many samples a second are read, and how many are read and given on by a scrape that knows their series.
//!
//! `cargo bench -p prograde-observe --bench exposition`

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench reads the clock and tells what it has found"
)]

use std::fmt::Write as _;
use std::time::Instant;

use prograde_observe::exposition::{Entry, Format, Parser};

/// Series in a body.
const SERIES: usize = 50_000;
/// How often it is read.
const ROUNDS: usize = 20;

fn body(format: Format) -> String {
    let mut body = String::from("# HELP http_requests_total Requests.\n# TYPE http_requests_total counter\n");
    for index in 0..SERIES {
        // Writing to a text can't fail.
        let _ = writeln!(
            body,
            "http_requests_total{{method=\"GET\",code=\"200\",handler=\"/api/v1/{index}\",le=\"0.5\"}} {index}.25"
        );
    }
    if format == Format::OpenMetrics {
        body.push_str("# EOF\n");
    }
    body
}

fn main() {
    for format in [Format::Text, Format::OpenMetrics] {
        let body = body(format);
        let begin = Instant::now();
        let (mut samples, mut labels) = (0_usize, 0);
        for round in 0..ROUNDS {
            for entry in Parser::new(format, body.as_bytes()).flatten() {
                if let Entry::Sample(line) = entry {
                    samples += 1;
                    labels += if round == 0 { line.labels().len() } else { 0 };
                }
            }
        }
        assert_eq!((samples, labels), (SERIES * ROUNDS, SERIES * 5));
        #[expect(clippy::cast_precision_loss, reason = "a few millions")]
        let rate = samples as f64 / begin.elapsed().as_secs_f64();
        println!("{format:?}: {samples} samples, {:.2} million a second", rate / 1e6);
    }
}
