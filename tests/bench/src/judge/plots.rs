//! Plots as SVG files: axes in powers of ten, one line for each series, nothing else.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use prograde_model::ids::Weight;
use prograde_model::judge::{Analysis, Evidence, Sample, evidence_of_harm};

use prograde_model::runtime::Tally;

use super::cells::{EVERYONE, Outcome};
use super::dice::Dice;
use super::stream::{BASE, float};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const MARGIN: f64 = 56.0;
/// Room for the numbers of the vertical axis and its name.
const LEFT: f64 = 80.0;
const COLOURS: [&str; 6] = ["#0b6e4f", "#c1440e", "#e09f3e", "#335c81", "#777777", "#b8b8b8"];

/// A line.
struct Series {
    name: String,
    points: Vec<(f64, f64)>,
}

/// Powers of ten from and to.
struct Axes {
    title: &'static str,
    x: (f64, f64),
    x_name: &'static str,
    y: (f64, f64),
    y_name: &'static str,
}

/// Writes all plots.
pub(super) fn write(folder: &Path, harmed: &[Outcome]) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    let kind = "5% errors";
    let series = EVERYONE.map(|who| Series {
        name: who.name().to_owned(),
        points: harmed
            .iter()
            .filter(|bad| bad.name == kind)
            .filter_map(|bad| Some((bad.rate, bad.of(who)?.harmed)))
            .collect(),
    });
    let axes = Axes {
        title: "Requests harmed by a release with 5% errors",
        x: (0.0, 3.0),
        x_name: "requests a second",
        y: (-1.0, 4.0),
        y_name: "requests harmed, mean",
    };
    fs::write(folder.join("judging-harmed.svg"), axes.draw(&series, None)?)?;
    let axes = Axes {
        title: "Evidence of harm at 10% of the traffic, 0.1% errors in the stable version",
        x: (1.0, 4.0),
        x_name: "requests of the candidate",
        y: (-3.0, 4.0),
        y_name: "evidence",
    };
    let series = [("good", BASE), ("0.5% errors", 0.005), ("2% errors", 0.02), ("20% errors", 0.2)];
    let lines: Vec<Series> =
        series.iter().map(|(name, share)| Series { name: (*name).to_owned(), points: path(*share) }).collect();
    fs::write(folder.join("judging-evidence.svg"), axes.draw(&lines, Some(Analysis::default().evidence_needed()))?)?;
    Ok(())
}

/// The evidence as requests arrive.
fn path(share: f64) -> Vec<(f64, f64)> {
    let mut dice = Dice::new(7);
    let mut sample = Sample { weight: Weight::new(10).unwrap_or_default(), ..Sample::default() };
    let reference = Tally::default();
    let mut points = Vec::new();
    for request in 0..100_000u64 {
        let now = &mut sample;
        let (tally, failing) = if request % 10 == 0 { (&mut now.candidate, share) } else { (&mut now.stable, BASE) };
        tally.requests += 1;
        tally.failures += u64::from(dice.uniform() < failing);
        let seen = sample.candidate.requests;
        let step = (seen / 40).max(1);
        if request % 10 == 9 && seen.is_multiple_of(step) {
            let evidence =
                Evidence { reference: &reference, earlier: &[], now: &sample, marks: None, next: Some(Weight::ALL) };
            let harm = evidence_of_harm(&Analysis::default(), &evidence).clamp(1e-3, 1e4);
            points.push((float(seen), harm));
            if harm >= 1e4 {
                break;
            }
        }
    }
    points
}

impl Axes {
    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let part =
            |value: f64, (from, to): (f64, f64)| ((value.max(1e-9).log10() - from) / (to - from)).clamp(0.0, 1.0);
        (LEFT + part(x, self.x) * (WIDTH - LEFT - MARGIN), HEIGHT - MARGIN - part(y, self.y) * (HEIGHT - 2.0 * MARGIN))
    }

    fn draw(&self, series: &[Series], line: Option<f64>) -> anyhow::Result<String> {
        let mut svg = String::new();
        writeln!(
            svg,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">"#
        )?;
        writeln!(
            svg,
            r#"<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/><text x="{LEFT}" y="20" font-size="14">{}</text>"#,
            self.title
        )?;
        self.grid(&mut svg)?;
        if let Some(value) = line {
            let (_, y) = self.place((1.0, value));
            writeln!(
                svg,
                r#"<path d="M{LEFT} {y:.1}H{}" stroke="black" stroke-dasharray="6 4"/><text x="{}" y="{:.1}" text-anchor="end">Fail</text>"#,
                WIDTH - MARGIN,
                WIDTH - MARGIN - 4.0,
                y - 4.0
            )?;
        }
        for (at, (series, colour)) in series.iter().zip(COLOURS).enumerate() {
            let points: Vec<String> =
                series.points.iter().map(|point| self.place(*point)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            writeln!(
                svg,
                r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#,
                points.join(" ")
            )?;
            let y = MARGIN + 4.0 + 16.0 * float(at as u64);
            writeln!(svg, r#"<text x="{}" y="{y:.0}" fill="{colour}">{}</text>"#, LEFT + 8.0, series.name)?;
        }
        svg.push_str("</svg>\n");
        Ok(svg)
    }

    fn grid(&self, svg: &mut String) -> anyhow::Result<()> {
        let tens = |(from, to): (f64, f64)| {
            (0u32..20).map(move |at| from + f64::from(at)).take_while(move |power| *power <= to)
        };
        for power in tens(self.x) {
            let (x, _) = self.place((10f64.powf(power), 1.0));
            writeln!(
                svg,
                r##"<path d="M{x:.1} {MARGIN}V{}" stroke="#dddddd"/><text x="{x:.1}" y="{}" text-anchor="middle">{}</text>"##,
                HEIGHT - MARGIN,
                HEIGHT - MARGIN + 16.0,
                10f64.powf(power)
            )?;
        }
        for power in tens(self.y) {
            let (_, y) = self.place((1.0, 10f64.powf(power)));
            writeln!(
                svg,
                r##"<path d="M{LEFT} {y:.1}H{}" stroke="#dddddd"/><text x="{}" y="{:.1}" text-anchor="end">{}</text>"##,
                WIDTH - MARGIN,
                LEFT - 6.0,
                y + 4.0,
                10f64.powf(power)
            )?;
        }
        writeln!(
            svg,
            r#"<text x="{}" y="{}" text-anchor="middle">{}</text>"#,
            WIDTH / 2.0,
            HEIGHT - 14.0,
            self.x_name
        )?;
        writeln!(
            svg,
            r#"<text x="16" y="{}" text-anchor="middle" transform="rotate(-90 16 {})">{}</text>"#,
            HEIGHT / 2.0,
            HEIGHT / 2.0,
            self.y_name
        )?;
        Ok(())
    }
}
