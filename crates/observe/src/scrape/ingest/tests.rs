use std::sync::Mutex;

use super::*;
use crate::scrape::config;

/// Keeps all that is written, each batch by itself.
#[derive(Default)]
struct Recorder(Mutex<Vec<Vec<String>>>);

impl Append for Recorder {
    fn append(&self, batch: &[Incoming<'_>]) -> Result<Appended, StoreError> {
        let told = |one: &Incoming<'_>| {
            let value = if one.sample.is_stale() { "stale".to_owned() } else { one.sample.value.to_string() };
            format!("{} {value} at {}", one.labels, one.sample.timestamp)
        };
        self.0.lock().unwrap().push(batch.iter().map(told).collect());
        Ok(Appended { kept: batch.len(), ..Appended::default() })
    }
}

/// One target of a job, scraped by hand.
struct Scraped {
    ingest: Ingest,
    recorder: Recorder,
    now_ms: i64,
}

impl Scraped {
    fn of(job: &str) -> Self {
        let text = format!("scrape_configs: [{{ job_name: j, static_configs: [{{ targets: ['h:1'] }}], {job} }}]");
        let config = config::parse("prometheus.yml", &text, std::path::Path::new("")).unwrap();
        let target: Labels = [("job", "j"), ("instance", "h:1"), ("shared", "target")].into_iter().collect();
        let ingest = Ingest::new(Settings::of(&config.jobs[0]), &target, Vec::new());
        Self { ingest, recorder: Recorder::default(), now_ms: 0 }
    }

    /// What a body leads to, without the target's labels; what is told about the scrape comes last.
    fn scrape(&mut self, body: &str) -> String {
        self.take(Ok(Answer { format: Format::Text, body: body.as_bytes() }))
    }

    fn take(&mut self, answer: Result<Answer<'_>, String>) -> String {
        self.now_ms += 1000;
        let outcome = self.ingest.take(answer, self.now_ms, 0.5, &self.recorder);
        let mut lines = self.recorder.0.lock().unwrap().pop().unwrap();
        lines.extend(outcome.error.map(|error| format!("error: {error}")));
        let short = |line: String| line.replace(r#"instance="h:1", job="j", "#, "");
        lines.into_iter().map(short).collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn a_series_that_is_gone_ends_once() {
    let mut scraped = Scraped::of("");
    insta::assert_snapshot!(scraped.scrape("a 1\nb{x=\"1\"} 2\nc 3 500\n"), @r#"
    a{shared="target"} 1 at 1000
    b{shared="target", x="1"} 2 at 1000
    c{shared="target"} 3 at 500
    up{shared="target"} 1 at 1000
    scrape_duration_seconds{shared="target"} 0.5 at 1000
    scrape_samples_scraped{shared="target"} 3 at 1000
    scrape_samples_post_metric_relabeling{shared="target"} 3 at 1000
    scrape_series_added{shared="target"} 3 at 1000
    "#);
    // A series with times of its own does not end. The same one under another text goes on.
    insta::assert_snapshot!(scraped.scrape("a{} 4\n"), @r#"
    a{shared="target"} 4 at 2000
    b{shared="target", x="1"} stale at 2000
    up{shared="target"} 1 at 2000
    scrape_duration_seconds{shared="target"} 0.5 at 2000
    scrape_samples_scraped{shared="target"} 1 at 2000
    scrape_samples_post_metric_relabeling{shared="target"} 1 at 2000
    scrape_series_added{shared="target"} 1 at 2000
    "#);
    assert!(!scraped.scrape("a{} 5\n").contains("stale"));
}

#[test]
fn a_scrape_that_is_not_taken_ends_all_series() {
    let mut scraped = Scraped::of("sample_limit: 2");
    scraped.scrape("a 1\nb 2\n");
    let up = |told: &str| told.contains("up{shared=\"target\"} 1");
    let told = scraped.scrape("a 1\nc 1\nb\n");
    assert!(told.contains("a{shared=\"target\"} stale") && told.contains("b{shared=\"target\"} stale"), "{told}");
    assert!(!told.contains("c{") && !up(&told) && told.contains("error: line 3, column 2"), "{told}");
    assert!(told.contains("scrape_samples_scraped{shared=\"target\"} 2 at"), "{told}");
    assert!(!scraped.take(Err("gone".to_owned())).contains("stale"), "ended twice");
    let told = scraped.scrape("a 1\nb 2\n");
    assert!(up(&told) && !told.contains("stale"), "{told}");
    let told = scraped.scrape("a 1\nb 2\nc 3\nd 4\n");
    assert!(told.contains("error: sample_limit exceeded: 4 samples after relabelling, more than 2"), "{told}");
    assert!(told.contains("a{shared=\"target\"} stale") && !up(&told), "{told}");
}

#[test]
fn labels_that_both_have_are_kept_apart() {
    let body = "a{shared=\"own\",exported_shared=\"x\",job=\"\"} 1\n";
    let first = |told: String| told.lines().next().unwrap().to_owned();
    assert_eq!(
        first(Scraped::of("").scrape(body)),
        r#"a{exported_exported_shared="own", exported_shared="x", shared="target"} 1 at 1000"#
    );
    assert_eq!(
        first(Scraped::of("honor_labels: true").scrape(body)),
        r#"a{exported_shared="x", instance="h:1", shared="own"} 1 at 1000"#
    );
    assert_eq!(first(Scraped::of("honor_timestamps: false").scrape("a 1 500\n")), r#"a{shared="target"} 1 at 1000"#);
}

#[test]
fn limits_refuse_a_whole_scrape_and_name_the_label() {
    let cases = [
        ("label_limit: 4", "a{b=\"1\"} 1", "line 1: label_limit exceeded: a has 5 labels, more than 4"),
        (
            "label_name_length_limit: 8",
            "a{b23456789=\"1\"} 1",
            "line 1: label_name_length_limit exceeded: label `b23456789` of a has 9 bytes, more than 8",
        ),
        (
            "label_value_length_limit: 6",
            "\n\na{b=\"1234567\"} 1",
            "line 3: label_value_length_limit exceeded: label `b` of a has 7 bytes, more than 6",
        ),
        ("", "a{b=\"1\",b=\"2\"} 1", "line 1: a has the label `b` twice"),
        (
            "metric_relabel_configs: [{ regex: __name__, action: labeldrop }]",
            "a 1",
            r#"line 1: {instance="h:1", job="j", shared="target"} has no name after relabelling"#,
        ),
        (
            "metric_relabel_configs: [{ target_label: __name__, replacement: a-b }]",
            "a 1",
            "line 1: `a-b` can't be the name of a metric or a label",
        ),
    ];
    for (job, body, error) in cases {
        let told = Scraped::of(job).scrape(body);
        let error = error.replace(r#"instance="h:1", job="j", "#, "");
        assert!(told.ends_with(&error), "{told}\n{error}");
    }
}

#[test]
fn what_relabelling_drops_is_counted_as_scraped() {
    let mut scraped = Scraped::of("metric_relabel_configs: [{ source_labels: [__name__], regex: b, action: drop }]");
    let told = scraped.scrape("a 1\nb 2\n");
    assert!(told.contains("scrape_samples_scraped{shared=\"target\"} 2"), "{told}");
    assert!(told.contains("scrape_samples_post_metric_relabeling{shared=\"target\"} 1"), "{told}");
    assert!(told.contains("scrape_series_added{shared=\"target\"} 1"), "{told}");
    assert!(scraped.scrape("a 1\nb 2\n").contains("scrape_series_added{shared=\"target\"} 0"));
}

#[test]
fn the_end_of_a_target_ends_all_that_it_has() {
    let mut scraped = Scraped::of("");
    scraped.scrape("a 1\n");
    scraped.ingest.end(2000, &scraped.recorder).unwrap();
    let ended = scraped.recorder.0.lock().unwrap().pop().unwrap();
    assert_eq!(ended.len(), 6);
    assert!(ended.iter().all(|line| line.ends_with("stale at 2000")), "{ended:?}");
}

#[test]
fn a_target_that_is_gone_on_with_ends_what_it_has_no_more() {
    let mut before = Scraped::of("");
    before.scrape("a 1\nb 1\n");
    let mut after = Scraped::of("");
    let carried = before.ingest.tracked();
    after.ingest = Ingest::new(after.ingest.settings.clone(), &before.ingest.target, carried);
    let told = after.scrape("a 1\n");
    assert!(told.contains("b{shared=\"target\"} stale") && !told.contains("a{shared=\"target\"} stale"), "{told}");
}

#[test]
fn failing_scrapes_with_ever_new_series_are_forgotten() {
    let mut scraped = Scraped::of("");
    for round in 0..20 {
        let series: Vec<String> = (0..200).map(|index| format!("a{{x=\"{round}_{index}\"}} 1\n")).collect();
        scraped.scrape(&format!("{}broken\n", series.concat()));
    }
    assert!(scraped.ingest.known.len() < 1500, "{}", scraped.ingest.known.len());
}

#[test]
fn descriptions_are_remembered_for_a_while() {
    let mut scraped = Scraped::of("");
    scraped.scrape("# HELP a Of a.\n# TYPE a counter\na 1\n");
    let described = scraped.ingest.metadata();
    let kinds = || described.lock().unwrap().values().map(|(metadata, _)| metadata.kind).collect::<Vec<_>>();
    assert_eq!(kinds(), [crate::exposition::MetricKind::Counter]);
    for _ in 0..11 {
        scraped.scrape("a 1\n");
    }
    assert!(kinds().is_empty());
}
