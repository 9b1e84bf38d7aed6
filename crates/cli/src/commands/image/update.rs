//! `prograde image update`: images in files, brought up to what Flux's policies choose.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use prograde_apps::Objects;
use prograde_apps::codes;
use prograde_apps::image::choice::{Chosen, NotKnown, Registry, Terms, chosen, suspended};
use prograde_apps::image::marker::{self, Change, ImageRef};
use prograde_apps::image::message::message;
use prograde_apps::image::objects::{ImagePolicy, ImageRepository};
use prograde_apps::image::policy::Tag;
use prograde_apps::image::update::{self, Plan, Text, Updated};
use prograde_model::{Diagnostic, Diagnostics};
use prograde_supply::client::Reference;
use serde_json::{Value as Json, json};

use crate::app::App;
use crate::commands::applications::source::{Checkout, texts};
use crate::commands::image::access::Access;
use crate::commands::image::commit::Committing;
use crate::commands::image::tell;
use crate::exit::Exit;
use crate::report::{self, Report};
use crate::text::counted;

/// Set images in files to what Flux's image policies choose, where `$imagepolicy` markers say so
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde image update
  prograde image update clusters/production --write
  prograde image update --tags tags.yaml --json
  prograde image update clusters/production --push --ask-server
  prograde image update --quarantined sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae

ImageRepository, ImagePolicy and ImageUpdateAutomation are read as Flux has them. Only marked values change; every other byte
of a file stays. Without --write nothing is written and the difference is printed. Tags come from the registry, or from
--tags: a YAML file with lists of tags, or with digests by tag, under each image. An image in quarantine is never chosen.
--commit and --push do so as the ImageUpdateAutomation says: its author, its message, its branch. They are refused where a
file has changes of somebody else, or where a policy can't be followed; nothing is forced.")]
pub(crate) struct UpdateArgs {
    /// A directory with the policies and the marked files
    #[arg(default_value = ".", value_name = "PATH")]
    path: PathBuf,
    /// Write the files
    #[arg(long)]
    write: bool,
    /// Write the files, and commit them alone
    #[arg(long)]
    commit: bool,
    /// Write and commit the files, and push what is committed to `origin`
    #[arg(long)]
    push: bool,
    /// Write nothing and print the difference; this is the default
    #[arg(long, conflicts_with_all = ["write", "commit", "push"])]
    dry_run: bool,
    /// A file with the tags of images; no registry is asked
    #[arg(long, value_name = "FILE")]
    tags: Option<PathBuf>,
    /// A digest that must not be chosen; may be given several times
    #[arg(long, value_name = "DIGEST")]
    quarantined: Vec<String>,
    /// Also leave out the digests that are in quarantine on the server
    #[arg(long)]
    ask_server: bool,
    /// Write digests whatever `digestReflectionPolicy` says
    #[arg(long)]
    pin: bool,
    #[command(flatten)]
    access: Access,
}

/// Where tags come from.
enum Tags<'a> {
    File(BTreeMap<String, Vec<Tag>>, &'a Path),
    Remote(&'a App, &'a Access),
}

impl UpdateArgs {
    fn commits(&self) -> bool {
        self.commit || self.push
    }
}

/// Everything that is found out.
#[derive(Default)]
struct Outcome {
    images: BTreeMap<String, ImageRef>,
    choices: Vec<Json>,
    changes: Vec<Change>,
    files: Vec<(String, String, String)>,
    /// All files with markers that were looked at.
    looked: Vec<String>,
    problems: Vec<Diagnostic>,
    written: bool,
    commit: Option<String>,
    pushed: Option<String>,
}

/// Brings them up to date.
pub(super) fn run(app: &App, args: &UpdateArgs) -> Result<Exit, Report> {
    let full = fs::canonicalize(&args.path).map_err(|error| Report::file("read", &args.path, &error))?;
    let own = Checkout::around(if full.is_dir() { &full } else { full.parent().unwrap_or(&full) });
    let texts = texts(app, &args.path, &full, &own)?;
    let mut objects = Objects::default();
    for (file, text) in &texts {
        prograde_apps::read(file, text, &mut objects);
    }
    let is_marked = |file: &str| texts.iter().any(|(other, text)| other == file && marker::is_marked(text));
    let mut outcome = Outcome { problems: update::problems(&mut objects, is_marked), ..Outcome::default() };
    if objects.policies.is_empty() && outcome.problems.is_empty() {
        return Err(Report::new(report::ARGUMENT, format!("{} has no ImagePolicy", args.path.display()))
            .hint("name the directory with Flux's ImageRepository and ImagePolicy in it"));
    }
    let quarantined = quarantined(app, args)?;
    let registry = match &args.tags {
        Some(file) => Tags::File(listed(file)?, file),
        None => Tags::Remote(app, &args.access),
    };
    let terms = Terms { quarantined: &quarantined, pin: args.pin };
    let left = suspended(&objects.policies, &objects.repositories);
    for policy in objects.policies.iter().filter(|policy| !left.contains(&policy.marker())) {
        one(policy, &objects.repositories, &registry, terms, &mut outcome);
    }
    outcome.bring_up(&texts, &objects, &left, &args.path);
    write(args, &objects, own.root(), &mut outcome)?;
    tell_all(app, args, &objects, &outcome)?;
    if outcome.problems.is_empty() { Ok(Exit::Done) } else { Err(Diagnostics(outcome.problems).into()) }
}

impl Outcome {
    /// Takes the changes of files to what was chosen.
    fn bring_up(&mut self, texts: &[(String, String)], objects: &Objects, left: &BTreeSet<String>, path: &Path) {
        let automations = update::active(&objects.automations);
        let policies: Vec<&ImagePolicy> = objects.policies.iter().collect();
        let plan = Plan { automations: &automations, policies: &policies, images: &self.images, left };
        let inner = |file| Path::new(file).strip_prefix(path).map_or(file, |inner| inner.to_str().unwrap_or(file));
        let all = texts.iter().map(|(file, text)| Text { file, path: inner(file), text });
        let Updated { looked, files, changes, problems } = update::update(all, &plan);
        self.problems.extend(problems);
        (self.looked, self.files, self.changes) = (looked, files, changes);
    }
}

/// Writes what was asked for, and commits and pushes it. Where something is wrong nothing is committed.
fn write(args: &UpdateArgs, objects: &Objects, root: &Path, outcome: &mut Outcome) -> Result<(), Report> {
    let files: Vec<&str> = outcome.files.iter().map(|(file, _, _)| file.as_str()).collect();
    let commits = args.commits() && outcome.problems.is_empty();
    let committing = commits.then(|| Committing::new(root, &objects.automations)).transpose()?;
    if let Some(committing) = &committing {
        committing.check(&outcome.looked.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    if args.write || committing.is_some() {
        outcome.written = args.write || !files.is_empty();
        for (file, _, text) in &outcome.files {
            replace(Path::new(file), text)?;
        }
    }
    let Some(committing) = committing else { return Ok(()) };
    if !files.is_empty() {
        outcome.commit = Some(committing.commit(&files, &outcome.changes)?);
    }
    if args.push && committing.is_ahead()? {
        outcome.pushed = Some(committing.push()?);
    }
    Ok(())
}

fn one(
    policy: &ImagePolicy,
    repositories: &[ImageRepository],
    registry: &Tags<'_>,
    terms: Terms<'_>,
    outcome: &mut Outcome,
) {
    let found = policy.repository_in(repositories);
    match found.and_then(|repository| chosen(policy, repository, registry, terms)) {
        Ok(Chosen { image, others }) => {
            let others: Vec<Json> = others
                .iter()
                .map(|(tag, reason)| json!({ "tag": tag, "reason": reason, "why": reason.text() }))
                .collect();
            outcome.choices.push(json!({
                "policy": policy.marker(), "image": image.to_string(), "tag": image.tag, "others": others,
            }));
            outcome.images.insert(policy.marker(), image);
        }
        Err(problem) => outcome.problems.push(problem),
    }
}

impl Registry for Tags<'_> {
    fn tags(&self, repository: &ImageRepository) -> Result<Vec<Tag>, NotKnown> {
        let found = match self {
            Self::File(tags, file) => {
                tags.get(&repository.image).cloned().ok_or_else(|| format!("{} does not name it", file.display()))
            }
            Self::Remote(app, access) => remote_tags(app, access, repository),
        };
        found
            .map_err(|why| NotKnown { why, hint: "give them with `--tags FILE`, or log in to the registry".to_owned() })
    }

    fn digest(&self, repository: &ImageRepository, tag: &str) -> Result<String, NotKnown> {
        let found = match self {
            Self::File(_, file) => Err(format!("{} does not say it", file.display())),
            Self::Remote(app, access) => remote_digest(app, access, repository, tag),
        };
        found.map_err(|why| NotKnown { why, hint: "give it with `--tags FILE`, under the tag".to_owned() })
    }
}

fn remote_tags(app: &App, access: &Access, repository: &ImageRepository) -> Result<Vec<Tag>, String> {
    let reference = reference(&repository.image, "latest")?;
    let client = access.client(app, &[&reference]).map_err(|report| report.summary)?;
    let tags = client.tags(reference.repository()).map_err(|error| error.to_string())?;
    Ok(tags.into_iter().map(|name| Tag { name, digest: None }).collect())
}

fn remote_digest(app: &App, access: &Access, repository: &ImageRepository, tag: &str) -> Result<String, String> {
    let reference = reference(&repository.image, tag)?;
    let client = access.client(app, &[&reference]).map_err(|report| report.summary)?;
    let digest = client.head_manifest(&reference).map_err(|error| tell::registry(&error).summary)?;
    digest.map(|digest| digest.to_string()).ok_or_else(|| "the registry does not have it".to_owned())
}

fn reference(image: &str, tag: &str) -> Result<Reference, String> {
    format!("{image}:{tag}").parse::<Reference>().map_err(|error| error.to_string())
}

/// Tags by image: `IMAGE: [TAG, ...]` or `IMAGE: {TAG: DIGEST, ...}`.
fn listed(file: &Path) -> Result<BTreeMap<String, Vec<Tag>>, Report> {
    let text = fs::read_to_string(file).map_err(|error| Report::file("read", file, &error))?;
    let shown = file.display().to_string();
    let wrong = |line: u32| {
        let hint = "write `IMAGE: [TAG, ...]`, or `IMAGE: {TAG: DIGEST, ...}`";
        Report::from(Diagnostics::from(
            Diagnostic::file(codes::TAGS, &shown, "this is no list of tags", hint).at(line, 0),
        ))
    };
    let documents = prograde_yaml::syntax(&shown, &text).map_err(|problem| Report::from(Diagnostics::from(problem)))?;
    let mut found = BTreeMap::new();
    for document in documents {
        let prograde_yaml::SyntaxValue::Mapping(entries) = document.value else { return Err(wrong(document.line)) };
        for (image, tags) in entries {
            let name = |node: &prograde_yaml::Syntax| match &node.value {
                prograde_yaml::SyntaxValue::Scalar(text, _) => Ok(text.clone()),
                prograde_yaml::SyntaxValue::Sequence(_) | prograde_yaml::SyntaxValue::Mapping(_) => {
                    Err(wrong(node.line))
                }
            };
            let tags = match &tags.value {
                prograde_yaml::SyntaxValue::Sequence(items) => items
                    .iter()
                    .map(|item| Ok(Tag { name: name(item)?, digest: None }))
                    .collect::<Result<_, Report>>()?,
                prograde_yaml::SyntaxValue::Mapping(pairs) => pairs
                    .iter()
                    .map(|(tag, digest)| {
                        Ok(Tag { name: name(tag)?, digest: Some(name(digest)?).filter(|text| !text.is_empty()) })
                    })
                    .collect::<Result<_, Report>>()?,
                prograde_yaml::SyntaxValue::Scalar(..) => return Err(wrong(tags.line)),
            };
            found.insert(name(&image)?, tags);
        }
    }
    Ok(found)
}

fn quarantined(app: &App, args: &UpdateArgs) -> Result<BTreeSet<String>, Report> {
    let mut all: BTreeSet<String> = args.quarantined.iter().cloned().collect();
    if args.ask_server {
        all.extend(app.client()?.quarantine()?.into_iter().map(|view| view.digest.to_string()));
    }
    Ok(all)
}

fn tell_all(app: &App, args: &UpdateArgs, objects: &Objects, outcome: &Outcome) -> Result<(), Report> {
    let mut messages = Vec::new();
    for automation in objects.automations.iter().filter(|automation| !automation.suspend) {
        let text = message(automation, &outcome.changes).map_err(|problem| Report::from(Diagnostics::from(problem)))?;
        messages.push(json!({ "automation": automation.metadata.name, "message": text }));
    }
    if app.printer.style().json {
        return app.printer.json(&json!({
            "policies": outcome.choices,
            "changes": outcome.changes,
            "messages": messages,
            "written": outcome.written,
            "commit": outcome.commit,
            "pushed": outcome.pushed,
            "problems": outcome.problems,
        }));
    }
    for (file, before, after) in &outcome.files {
        if outcome.written {
            app.printer.note("Updated", file);
        } else {
            let diff = similar::TextDiff::from_lines(before.as_str(), after.as_str());
            app.printer.text(diff.unified_diff().context_radius(1).header(file, file).to_string())?;
        }
    }
    for change in &outcome.changes {
        app.printer
            .note("Sets", format_args!("{}:{} {} -> {}", change.file, change.line, change.old_value, change.new_value));
    }
    if let Some(commit) = &outcome.commit {
        app.printer.note("Committed", commit);
    }
    if let Some(branch) = &outcome.pushed {
        app.printer.note("Pushed", format_args!("to {branch} of origin"));
    }
    let files = counted(outcome.files.len() as u64, "file");
    if outcome.changes.is_empty() {
        app.printer.note("Good", "every marked image is what its policy chooses");
    } else if !outcome.written {
        app.printer.next(format_args!("`prograde image update {} --write` writes {files}", args.path.display()));
    }
    Ok(())
}

/// Writes a file beside the old one and puts it in its place, with the old one's permissions.
fn replace(path: &Path, text: &str) -> Result<(), Report> {
    let failed = |error: &std::io::Error| Report::file("write", path, error);
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let permissions = fs::metadata(path).map_err(|error| failed(&error))?.permissions();
    let file = tempfile::NamedTempFile::new_in(dir).map_err(|error| failed(&error))?;
    fs::write(file.path(), text).map_err(|error| failed(&error))?;
    fs::set_permissions(file.path(), permissions).map_err(|error| failed(&error))?;
    file.persist(path).map_err(|error| failed(&error.error))?;
    Ok(())
}
