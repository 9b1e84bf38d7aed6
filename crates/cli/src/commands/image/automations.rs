//! `prograde image automations`: what the server chooses and commits by itself.

use clap::Args;
use jiff::Timestamp;

use crate::app::App;
use crate::exit::Exit;
use crate::printer::{Style, Tone};
use crate::report::Report;
use crate::text::{Cell, Table, when};
use crate::wire::{AutomatedRepositoryView, ImageAutomationView, ImagePolicyView, ImageTroubleView};

/// How much of a digest is shown to people.
const DIGEST_CHARS: usize = "sha256:".len() + 8;

/// Show the images that the server keeps up to date: what policies choose, and what automations have committed
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde image automations
  prograde image automations --json | jq '.[].policies[] | {name, tag}'

The server carries out each ImageUpdateAutomation of the repositories that it holds; `prograde serve --image-automations` says
of which. The exit code is 1 if something keeps one from being carried out.")]
pub(crate) struct AutomationsArgs;

/// Shows them.
pub(super) fn run(app: &App) -> Result<Exit, Report> {
    let found = app.client()?.image_automations()?;
    let troubles: Vec<(String, &ImageTroubleView)> = found.iter().flat_map(troubles).collect();
    if app.printer.style().json {
        app.printer.json(&found)?;
    } else if found.is_empty() {
        app.printer.note("Images", "no repository of the server has an ImageUpdateAutomation");
        app.printer.next("push one that does; docs/guides/image-automation.md tells how");
    } else {
        app.printer.text(render(&found, app.printer.style(), app.printer.now()))?;
        for (of, trouble) in &troubles {
            app.printer.warning(format_args!("{of}: {}", trouble.text.trim_end()));
        }
    }
    Ok(if troubles.is_empty() { Exit::Done } else { Exit::Refused })
}

/// What is wrong, and with what.
fn troubles(view: &AutomatedRepositoryView) -> Vec<(String, &ImageTroubleView)> {
    let repository = view.repository.as_str();
    let own = view.trouble.iter().map(|trouble| (repository.to_owned(), trouble));
    let named = |namespace: &str, name: &str| format!("{repository} {namespace}/{name}");
    let policies = view.policies.iter().map(|one| (named(&one.namespace, &one.name), &one.trouble));
    let automations = view.automations.iter().map(|one| (named(&one.namespace, &one.name), &one.trouble));
    let inner = policies.chain(automations).filter_map(|(of, trouble)| Some((of, trouble.as_ref()?)));
    own.chain(inner).collect()
}

fn render(found: &[AutomatedRepositoryView], style: Style, now: Timestamp) -> String {
    let mut policies = Table::new(&["REPOSITORY", "POLICY", "IMAGE", "TAG", "LOOKED", "STATE"]);
    let mut automations = Table::new(&["REPOSITORY", "AUTOMATION", "BRANCH", "LOOKED", "LAST COMMIT", "WHEN", "STATE"]);
    for view in found {
        let repository = view.repository.as_str();
        view.policies.iter().for_each(|one| policies.row(policy(repository, one, style, now)));
        view.automations.iter().for_each(|one| automations.row(automation(repository, one, style, now)));
    }
    format!("{}\n{}", policies.render(style), automations.render(style))
}

fn policy(repository: &str, view: &ImagePolicyView, style: Style, now: Timestamp) -> Vec<Cell> {
    let digest = view.digest.as_ref().map(|digest| {
        let shown = if style.terminal { DIGEST_CHARS } else { usize::MAX };
        format!("@{}", digest.chars().take(shown).collect::<String>())
    });
    let tag = view.tag.as_ref().map(|tag| format!("{tag}{}", digest.unwrap_or_default()));
    vec![
        Cell::new(repository),
        Cell::free(format!("{}/{}", view.namespace, view.name), style),
        Cell::free(view.image.as_deref().unwrap_or("-"), style),
        Cell::new(tag.as_deref().unwrap_or("-")),
        at(view.looked_at, style, now),
        state(view.suspended, view.trouble.as_ref(), view.looked_at),
    ]
}

fn automation(repository: &str, view: &ImageAutomationView, style: Style, now: Timestamp) -> Vec<Cell> {
    vec![
        Cell::new(repository),
        Cell::free(format!("{}/{}", view.namespace, view.name), style),
        Cell::free(&view.branch, style),
        at(view.looked_at, style, now),
        Cell::new(view.last_commit.as_ref().map_or("-", |commit| commit.short())),
        at(view.last_commit_at, style, now),
        state(view.suspended, view.trouble.as_ref(), view.looked_at),
    ]
}

fn at(time: Option<Timestamp>, style: Style, now: Timestamp) -> Cell {
    Cell::new(time.map_or_else(|| "-".to_owned(), |time| when(&time.to_string(), now, style)))
}

fn state(is_suspended: bool, trouble: Option<&ImageTroubleView>, looked_at: Option<Timestamp>) -> Cell {
    match (is_suspended, trouble, looked_at) {
        (true, _, _) => Cell::new("suspended").tone(Tone::Dim),
        (false, Some(_), _) => Cell::new("troubled").tone(Tone::Bad),
        (false, None, Some(_)) => Cell::new("good").tone(Tone::Good),
        (false, None, None) => Cell::new("waits").tone(Tone::Dim),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn found() -> Vec<AutomatedRepositoryView> {
        let policy = |name: &str, tag: Option<&str>, suspended: bool, trouble: Option<&str>| {
            serde_json::json!({"namespace": "flux-system", "name": name, "file": "policies.yaml", "image": format!("ghcr.io/team/{name}"), "tag": tag,
                "digest": tag.map(|_| format!("sha256:{}", "2".repeat(64))), "suspended": suspended,
                "looked_at": tag.map(|_| "2026-02-01T11:59:30Z"),
                "trouble": trouble.map(|text| serde_json::json!({"since": "2026-02-01T11:00:00Z", "text": text}))})
        };
        serde_json::from_value(serde_json::json!([{
            "repository": "fleet", "commit": "a".repeat(40), "read_at": "2026-02-01T11:00:00Z", "trouble": null,
            "images": [{"namespace": "flux-system", "name": "pad", "file": "policies.yaml", "image": "ghcr.io/team/pad", "suspended": false, "tags": 12,
                "looked_at": "2026-02-01T11:59:30Z"}],
            "policies": [
                policy("pad", Some("1.4.2"), false, None),
                policy("dish", None, false, Some("policies.yaml:9: the tags of `ghcr.io/team/dish` are not known")),
                policy("mast", None, true, None),
            ],
            "automations": [{"namespace": "flux-system", "name": "bot", "file": "bot.yaml", "branch": "main", "suspended": false,
                "looked_at": "2026-02-01T11:59:31Z", "last_commit": "b".repeat(40), "last_commit_at": "2026-02-01T09:00:00Z",
                "trouble": null}],
        }]))
        .unwrap()
    }

    #[test]
    fn what_is_chosen_and_committed_is_shown() {
        let now = "2026-02-01T12:00:00Z".parse().unwrap();
        insta::assert_snapshot!("image_automations_terminal", render(&found(), fixtures::TERMINAL, now));
        insta::assert_snapshot!("image_automations_piped", render(&found(), Style::default(), now));
        let troubles: Vec<String> =
            found().iter().flat_map(troubles).map(|(of, trouble)| format!("{of}: {}", trouble.text)).collect();
        let told = "fleet flux-system/dish: policies.yaml:9: the tags of `ghcr.io/team/dish` are not known";
        assert_eq!(troubles, [told]);
    }
}
