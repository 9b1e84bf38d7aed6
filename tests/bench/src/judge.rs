//! How well canaries are judged: good and bad releases at several rates, under our rule and others'.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use crate::table::Row;

mod cells;
mod cost;
mod dice;
mod plots;
mod rules;
mod stream;

use cells::{Cell, EVERYONE, Outcome, Who, measure};
use stream::Candidate;

/// Requests a second.
const RATES: [f64; 4] = [1.0, 10.0, 100.0, 1_000.0];
/// What is wrong with a release.
const KINDS: [(&str, Candidate); 10] = [
    ("0.5% errors", Candidate::Failing(0.005)),
    ("1% errors", Candidate::Failing(0.01)),
    ("2% errors", Candidate::Failing(0.02)),
    ("5% errors", Candidate::Failing(0.05)),
    ("20% errors", Candidate::Failing(0.2)),
    ("100% errors", Candidate::Failing(1.0)),
    ("one route of 2% fails", Candidate::Route(0.02)),
    ("20% errors after 3 min", Candidate::Late(0.2)),
    ("latency x1.5", Candidate::Slow(1.5)),
    ("latency x3", Candidate::Slow(3.0)),
];

/// How often each is run.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Runs {
    /// Good releases under our rule.
    #[arg(long, default_value_t = 1_000)]
    good: u64,
    /// Outcome releases, and good ones under the others' rules.
    #[arg(long, default_value_t = 100)]
    bad: u64,
}

/// Runs everything, prints the tables and gives the figures; writes plots to a folder if there is one.
pub(crate) fn run(runs: Runs, plots: Option<&Path>) -> anyhow::Result<Vec<Row>> {
    let mut text = String::from(
        "Steps 1%, 10%, 100% of 5 min each, watched for 15 min; 0.1% errors, log-normal latency, traffic and mix vary.\n\
         prograde: defaults. Argo Rollouts: 5 measurements at 1 min, success rate >= 95%. Flagger: 1 min, success rate\n\
         >= 99%, p99 <= 500 ms, 5 failed checks. Wald: one-sided SPRT at 1%, both shares known; and the same where a\n\
         release is fine up to what prograde's defaults tolerate: the limit of every judge that keeps that promise.\n",
    );
    let (mut rows, good) = good(runs, &mut text)?;
    let mut harmed = Vec::new();
    for (name, candidate) in KINDS {
        writeln!(text, "\n{name} ({} runs): requests harmed | s to rollback | promoted | and kept", runs.bad)?;
        for rate in RATES {
            let cells = bad(candidate, rate, runs.bad);
            write!(text, "  {rate:>5}/s")?;
            for (who, cell) in &cells {
                write!(
                    text,
                    "  {}: {:.1} | {:.0} | {:.0}% | {:.0}%",
                    who.name(),
                    cell.harmed,
                    cell.rolled_back_s,
                    cell.promoted * 100.0,
                    cell.kept * 100.0
                )?;
            }
            text.push('\n');
            let bad = Outcome { name, rate, cells };
            rows.extend(compare(&bad, candidate, &good));
            harmed.push(bad);
        }
    }
    rows.extend(costs());
    std::io::stdout().lock().write_all(text.as_bytes())?;
    if let Some(folder) = plots {
        plots::write(folder, &harmed)?;
    }
    Ok(rows)
}

/// The rows, and what everyone did at each rate.
fn good(runs: Runs, text: &mut String) -> anyhow::Result<(Vec<Row>, Vec<Outcome>)> {
    let (mut rows, mut outcomes) = (Vec::new(), Vec::new());
    writeln!(text, "\ngood release: rolled back | s to 100% and promoted, median")?;
    for rate in RATES {
        write!(text, "  {rate:>5}/s")?;
        let own = measure(Who::Ours, rate, Candidate::Good, runs.good);
        let mut cells = Vec::new();
        for who in EVERYONE.into_iter().filter(|who| !who.is_limit()) {
            let cell = if who == Who::Ours { own } else { measure(who, rate, Candidate::Good, runs.bad) };
            write!(text, "  {}: {:.1}% | {:.0}", who.name(), cell.rolled_back * 100.0, cell.promoted_s)?;
            cells.push((who, cell));
            if who != Who::Ours {
                let row = Row::plain(&format!("good release rolled back, {rate}/s"), own.rolled_back * 100.0, "%");
                rows.push(row.beside(who.name(), cell.rolled_back * 100.0));
            }
        }
        text.push('\n');
        outcomes.push(Outcome { name: "good release", rate, cells });
        let name = format!("good release given up for want of evidence, {rate}/s");
        rows.push(Row::plain(&name, own.gave_up * 100.0, "%"));
        let name = format!("good release rolled back, {rate}/s, {} runs", runs.good);
        rows.push(Row::below(&name, own.rolled_back * 100.0, "%", 1.000_001, "at most 1"));
        rows.push(Row::plain(&format!("good release to promotion, {rate}/s"), own.promoted_s, "s"));
    }
    Ok((rows, outcomes))
}

/// Everyone who has something to say about this kind of release.
fn bad(candidate: Candidate, rate: f64, runs: u64) -> Vec<(Who, Cell)> {
    let limit_exists = !matches!(candidate, Candidate::Slow(_));
    let all = EVERYONE.into_iter().filter(|who| limit_exists || !who.is_limit());
    all.map(|who| (who, measure(who, rate, candidate, runs))).collect()
}

/// The goals for one kind at one rate.
fn compare(bad: &Outcome, candidate: Candidate, good: &[Outcome]) -> Vec<Row> {
    let (name, rate) = (bad.name, bad.rate);
    let Some(own) = bad.of(Who::Ours) else { return Vec::new() };
    let mut rows = vec![Row::plain(&format!("{name}, {rate}/s: time to rollback"), own.rolled_back_s, "s")];
    let promoted = Row::plain(&format!("{name}, {rate}/s: promoted"), own.promoted * 100.0, "%");
    let failing = candidate.failing(stream::BASE, u64::MAX);
    // Whoever knows both shares has found all of them before the end: there was traffic enough to know.
    let enough = bad.of(Who::Wald).is_some_and(|wald| wald.promoted <= 0.01);
    let must = failing >= 0.02 || (failing >= 0.005 && enough);
    rows.push(if must { promoted.judged("none", own.promoted == 0.0) } else { promoted });
    rows.push(Row::plain(&format!("{name}, {rate}/s: promoted and kept"), own.kept * 100.0, "%"));
    for (who, cell) in bad.cells.iter().skip(1) {
        let row =
            Row::plain(&format!("{name}, {rate}/s: harmed"), own.harmed, "requests").beside(who.name(), cell.harmed);
        let careful = good.iter().any(|good| {
            good.rate.to_bits() == rate.to_bits() && good.of(*who).is_some_and(|good| good.rolled_back <= 0.01)
        });
        let row = if who.is_limit() {
            let comparable = !matches!(candidate, Candidate::Late(_)) && cell.rolled_back >= 0.99;
            let least = rules::least_by_failures();
            if *who != Who::WaldTolerating || !comparable {
                row
            } else if cell.harmed >= least {
                row.judged("at most twice", own.harmed <= 2.0 * cell.harmed)
            } else {
                rows.push(Row { goal: Some("beyond the limit"), ..row });
                Row::plain(&format!("{name}, {rate}/s: harmed"), own.harmed, "requests")
                    .beside("the same, by failures alone", least)
                    .judged("at most twice", own.harmed <= 2.0 * least)
            }
        } else if !careful {
            Row { goal: Some("it rolls back good"), ..row }
        } else if cell.rolled_back < 0.5 {
            Row { goal: Some("it notices not"), ..row }
        } else {
            beside_rule(row, bad, *who, own.harmed, cell.harmed)
        };
        rows.push(row);
    }
    rows
}

/// What is aimed for beside a rule that keeps good releases and notices this one.
fn beside_rule(row: Row, bad: &Outcome, who: Who, own: f64, peer: f64) -> Row {
    let (goal, times) = if bad.rate >= 1_000.0 {
        ("a tenth", 10.0)
    } else if bad.rate >= 100.0 && who == Who::Flagger {
        ("a third", 3.0)
    } else {
        return row.judged("fewer", own < peer);
    };
    // Nobody who tolerates as much can harm so few.
    let beyond = bad.of(Who::WaldTolerating).is_some_and(|limit| limit.harmed * times > peer);
    if beyond { Row { goal: Some("beyond the limit"), ..row } } else { row.judged(goal, own * times <= peer) }
}

fn costs() -> Vec<Row> {
    let evidence = cost::typical(Candidate::Good);
    let stored = serde_json::to_vec(&evidence).map_or(0, |json| json.len());
    let bytes = cost::memory_bytes(&evidence) * 10_000.0;
    let marks: Vec<usize> =
        evidence.marks().iter().filter_map(|mark| Some(serde_json::to_vec(mark).ok()?.len())).collect();
    let mark = marks.iter().sum::<usize>() / marks.len().max(1);
    vec![
        Row::below(
            "one judgment, three steps with latencies",
            cost::judgment_ns(&evidence),
            "ns",
            5_000.0,
            "under 5000",
        ),
        Row::below("one Rollout::decide while a step bakes", cost::decision_ns(&evidence), "ns", 5_000.0, "under 5000"),
        Row::below("evidence of 10,000 rollouts", bytes / 1_048_576.0, "MiB", 200.0, "under 200"),
        Row::plain("evidence stored as JSON", stream::float(stored as u64), "bytes"),
        Row::plain("one of its seven marks", stream::float(mark as u64), "bytes"),
    ]
}
