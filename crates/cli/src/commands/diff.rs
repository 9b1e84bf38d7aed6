//! `prograde diff`: how two environments differ, in commits and in what they run.

use clap::Args;
use prograde_model::ids::{EnvironmentName, ServiceName};
use prograde_server::api::environments::{CommitView, DifferenceView, ReleaseView, ServiceView};

use crate::app::App;
use crate::exit::Exit;
use crate::printer::{Style, Tone, cleaned, one_line};
use crate::report::{self, Report};

/// Show how two environments differ: which commits only one of them has, and what they run
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde diff test production
  prograde diff production test --service pad
  prograde diff test production --json | jq '.[].gained'

Lines with `-` are the first environment's, lines with `+` the second's. The objects are those of the deployment repository, as
they run.")]
pub(crate) struct DiffArgs {
    /// The first environment
    #[arg(value_name = "FROM")]
    from: EnvironmentName,
    /// The second
    #[arg(value_name = "TO")]
    to: EnvironmentName,
    /// Only this service; by default all that go to both
    #[arg(long, value_name = "SERVICE")]
    service: Option<ServiceName>,
}

/// Prints the differences.
pub(crate) fn run(app: &App, args: &DiffArgs) -> Result<Exit, Report> {
    let client = app.client()?;
    let services = if let Some(service) = &args.service {
        vec![service.clone()]
    } else {
        let serves = |view: &ServiceView, environment: &EnvironmentName| {
            view.environments.iter().any(|place| place.environment == *environment && place.serves.is_some())
        };
        let all = client.environments(None)?.into_iter();
        all.filter(|view| serves(view, &args.from) && serves(view, &args.to)).map(|view| view.service).collect()
    };
    if services.is_empty() {
        let what = format!("no service serves in {} and in {}", args.from, args.to);
        return Err(Report::new(report::ARGUMENT, what).hint("`prograde env` shows which release is where"));
    }
    let mut differences = Vec::new();
    for service in &services {
        differences.push(client.difference(service, &args.from, &args.to)?);
    }
    if app.printer.style().json {
        app.printer.json(&differences)?;
        return Ok(Exit::Done);
    }
    for difference in &differences {
        app.printer.text(render(difference, args, app.printer.style()))?;
    }
    Ok(Exit::Done)
}

fn render(view: &DifferenceView, args: &DiffArgs, style: Style) -> String {
    let serves = |release: Option<&ReleaseView>| {
        release.map_or_else(
            || "nothing".to_owned(),
            |release| format!("{} {}", release.commit.short(), one_line(&release.subject)),
        )
    };
    let mut text = format!("{}\n", Tone::Strong.paint(view.service.as_str(), style.colour));
    text.extend([
        format!("  {}: {}\n", args.from, serves(view.from.as_ref())),
        format!("  {}: {}\n", args.to, serves(view.to.as_ref())),
    ]);
    text.push_str(&commits(&format!("only in {}", args.to), '+', &view.gained, style));
    text.push_str(&commits(&format!("only in {}", args.from), '-', &view.lost, style));
    for object in &view.objects {
        text.extend([format!("  {} {} {}\n", object.kind, one_line(&object.name), object.change)]);
        text.extend(object.difference.lines().map(|line| format!("{}\n", painted(line, style))));
    }
    if view.gained.is_empty() && view.lost.is_empty() && view.objects.is_empty() {
        text.push_str("  no difference\n");
    }
    text
}

fn commits(title: &str, sign: char, commits: &[CommitView], style: Style) -> String {
    if commits.is_empty() {
        return String::new();
    }
    let mut text = format!("  {title}:\n");
    for commit in commits {
        let line =
            format!("{sign} {} {} ({})", commit.commit.short(), one_line(&commit.subject), one_line(&commit.author));
        text.extend([format!("  {}\n", painted(&line, style))]);
    }
    text
}

fn painted(line: &str, style: Style) -> String {
    let tone = match line.as_bytes().first() {
        Some(b'+') => Tone::Good,
        Some(b'-') => Tone::Bad,
        Some(b'@') => Tone::Dim,
        _ => Tone::Plain,
    };
    tone.paint(&cleaned(line), style.colour)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_and_objects_are_shown_with_their_signs() {
        let release = |letter: &str| serde_json::json!({"flight": letter.repeat(32), "commit": letter.repeat(40), "subject": "Point", "author": "Ada", "since": null});
        let view: DifferenceView = serde_json::from_value(serde_json::json!({
            "service": "pad", "from": release("a"), "to": release("b"), "gained": [],
            "lost": [{"commit": "a".repeat(40), "subject": "Point", "author": "Ada"}],
            "objects": [{"kind": "Deployment", "name": "pad", "change": "changed",
                "difference": "--- test\n+++ production\n@@ -1 +1 @@\n-  replicas: 1\n+  replicas: 3\n"}],
        }))
        .unwrap();
        let args = DiffArgs { from: "test".parse().unwrap(), to: "production".parse().unwrap(), service: None };
        insta::assert_snapshot!("diff_piped", render(&view, &args, Style::default()));
    }
}
