//! From flags and `prograde.yaml` to layers: those that change most seldom lie lowest, the program on top.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use prograde_model::image::{Base, Content};
use prograde_supply::client::{Client, Reference};
use prograde_supply::image::{self, Layer, Recipe, Settings, architecture_of, platform_of};
use prograde_supply::{ImageSpec, Layout, Limits, Platform};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{BuildArgs, Built, pairs};
use crate::app::App;
use crate::commands::image::meter::Meter;
use crate::commands::image::{service, tell};
use crate::report::{self, Report};

/// Where files of an image's own go.
const APP: &str = "/app";

/// What is to be packed, before it is known for which platform.
struct Plan {
    name: String,
    /// The program, and what it is called in the image.
    program: Option<(String, String)>,
    files: Vec<(String, String)>,
    dirs: Vec<(String, String)>,
    settings: Settings,
}

/// What is asked for, by flags and by `prograde.yaml`.
pub(super) struct Wanted {
    /// What `prograde.yaml` declares, where the flags name nothing to pack.
    declared: Option<service::Declared>,
    /// What it is laid on, as it is written.
    base: String,
    /// The image that the base names; nothing where it is one of ours.
    pub(super) reference: Option<Reference>,
}

/// Finds out what is asked for.
pub(super) fn wanted(args: &BuildArgs) -> Result<Wanted, Report> {
    let is_declared = args.binary.is_none() && args.files.is_empty() && args.dirs.is_empty() || args.service.is_some();
    let declared = match args.dockerfile {
        None if is_declared => service::declared(&args.dir, args.service.as_deref())?,
        None | Some(_) => None,
    };
    let base = args.base.clone().or_else(|| match &declared.as_ref()?.image.content {
        Content::Program { base, .. } => Some(base.to_string()),
        Content::Archive(_) => None,
    });
    let base = base.unwrap_or_else(|| Base::Scratch.to_string());
    let reference = match base.as_str() {
        "scratch" | "minimal" => None,
        other => Some(other.parse().map_err(|error| tell::registry(&error))?),
    };
    Ok(Wanted { declared, base, reference })
}

/// Builds it.
pub(super) fn build(
    app: &App,
    args: &BuildArgs,
    wanted: &Wanted,
    client: &Client,
    layout: &Layout,
) -> Result<Built, Report> {
    let (plan, base) = (plan(args, wanted)?, wanted.reference.as_ref());
    let platforms = platforms(args, &plan)?;
    let (mut recipes, mut materials, mut programs) = (Vec::new(), Vec::new(), Vec::new());
    for platform in &platforms {
        let laid_on = match base {
            Some(reference) => {
                let meter = Meter::new(app, "Fetching");
                let fetched = image::fetch_base(client, reference, platform, layout, &|told| meter.tell(told));
                Some(fetched.map_err(|error| tell::image(&error))?)
            }
            None => None,
        };
        materials.extend(laid_on.iter().map(|base| (format!("oci://{}", base.name), base.digest.hex().to_owned())));
        let layers = layers(&wanted.base, &plan, platform).map_err(|error| tell::supply(&error))?;
        if let Some((program, _)) = &plan.program {
            let program = PathBuf::from(filled(program, platform));
            check_architecture(&program, platform)?;
            materials.push((format!("file:{}", name_of(&program)), hashed(&program)?));
            programs.push(program);
        }
        recipes.push(Recipe { platform: platform.clone(), base: laid_on, layers, settings: plan.settings.clone() });
    }
    materials.dedup();
    let assembled = image::assemble(layout, &recipes).map_err(|error| tell::supply(&error))?;
    let parameters = parameters(&wanted.base, &plan, &platforms);
    let (descriptor, images) = (assembled.descriptor, assembled.images);
    Ok(Built {
        descriptor,
        images,
        name: format!("{}:latest", plan.name),
        programs,
        parameters,
        materials,
        _kept: None,
    })
}

fn plan(args: &BuildArgs, wanted: &Wanted) -> Result<Plan, Report> {
    let mut labels = pairs("--label", &args.label)?;
    let (mut name, mut cmd) = (None, args.cmd.clone());
    let program = match (&args.binary, &wanted.declared) {
        (Some(binary), _) => {
            Some((binary.clone(), name_of(Path::new(binary)).replace("-{arch}", "").replace("{arch}", "")))
        }
        (None, Some(declared)) => {
            let (found, binary) = service::program(&args.dir, &declared.image)?;
            Some((found.display().to_string(), binary))
        }
        (None, None) => None,
    };
    if let Some(declared) = &wanted.declared {
        if let (true, Content::Program { args, .. }) = (cmd.is_empty(), &declared.image.content) {
            cmd.clone_from(args);
        }
        labels.entry("org.opencontainers.image.title".to_owned()).or_insert_with(|| declared.name.clone());
        name = Some(declared.name.clone());
    }
    if program.is_none() && args.files.is_empty() && args.dirs.is_empty() {
        return Err(Report::new(
            tell::UNBUILDABLE,
            format!("there is nothing to build: {} has no prograde.yaml", args.dir.display()),
        )
        .hint("name a program with `--binary FILE`, or a `--dockerfile FILE`"));
    }
    let mut entrypoint = args.entrypoint.clone();
    if let (true, Some((_, program))) = (entrypoint.is_empty(), &program) {
        entrypoint = vec![format!("{APP}/{program}")];
    }
    let name = name.or_else(|| program.as_ref().map(|(_, program)| name_of(Path::new(program))));
    let user = args.user.clone().or_else(|| wanted.reference.is_none().then(|| ImageSpec::USER.to_owned()));
    let settings = Settings {
        entrypoint,
        cmd,
        env: pairs("--env", &args.env)?,
        user,
        working_dir: args.workdir.clone(),
        labels,
        created: args.created()?.unwrap_or(Timestamp::UNIX_EPOCH),
    };
    let (files, dirs) = (places("--file", &args.files)?, places("--dir", &args.dirs)?);
    Ok(Plan { name: tag_name(&name.unwrap_or_else(|| "image".to_owned())), program, files, dirs, settings })
}

/// `FROM:TO` arguments.
fn places(flag: &str, texts: &[String]) -> Result<Vec<(String, String)>, Report> {
    let place = |text: &String| match text.rsplit_once(':') {
        Some((from, to)) if !from.is_empty() && to.starts_with('/') => Ok((from.to_owned(), to.to_owned())),
        _ => Err(Report::new(report::ARGUMENT, format!("`{flag} {text}` is not FROM:TO, where TO begins with `/`"))),
    };
    texts.iter().map(place).collect()
}

/// A name of a tag, whatever a file is called.
pub(super) fn tag_name(text: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let text: String = text.chars().map(word).collect();
    let parts: Vec<&str> = text.split('-').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "image".to_owned() } else { parts.join("-") }
}

fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(|| "program".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// A path for a platform.
fn filled(path: &str, platform: &Platform) -> String {
    path.replace("{arch}", &platform.architecture).replace("{os}", &platform.os)
}

/// The platforms that were asked for, or the one that the program is for.
fn platforms(args: &BuildArgs, plan: &Plan) -> Result<Vec<Platform>, Report> {
    if !args.platform.is_empty() {
        let mut platforms = args.platform.clone();
        platforms.dedup();
        let varies = plan.program.iter().chain(&plan.files).chain(&plan.dirs).any(|(from, _)| from.contains("{arch}"));
        if platforms.len() > 1 && plan.program.is_some() && !varies {
            return Err(Report::new(report::ARGUMENT, "one program can't be for several platforms")
                .hint("write `{arch}` where the file's name has the architecture, such as `--binary out/pad-{arch}`"));
        }
        return Ok(platforms);
    }
    let own = match &plan.program {
        Some((program, _)) if program.contains("{arch}") => {
            return Err(Report::new(report::ARGUMENT, "`{arch}` needs `--platform`")
                .hint("write `--platform linux/amd64,linux/arm64`"));
        }
        Some((program, _)) => architecture_of(Path::new(program)).map_err(|error| tell::supply(&error))?,
        None => None,
    };
    let text = format!("linux/{}", own.map_or_else(|| Platform::host().architecture, str::to_owned));
    platform_of(&text).map(|platform| vec![platform]).ok_or_else(|| {
        Report::new(report::ARGUMENT, format!("{text} is no platform")).hint("name one with `--platform`")
    })
}

/// The layers of one platform.
fn layers(base: &str, plan: &Plan, platform: &Platform) -> Result<Vec<Layer>, prograde_supply::SupplyError> {
    let limits = Limits::default();
    let mut layers = if base == "minimal" { image::minimal(&limits)? } else { Vec::new() };
    for (from, to) in &plan.dirs {
        let from = filled(from, platform);
        let mut layer = Layer::new(&format!("directory {to}"));
        layer.add_tree(Path::new(&from), to, &|_| false, &limits)?;
        layers.push(layer);
    }
    if !plan.files.is_empty() {
        let mut layer = Layer::new("files");
        for (from, to) in &plan.files {
            layer.add_file(Path::new(&filled(from, platform)), to, false)?;
        }
        layers.push(layer);
    }
    if let Some((program, name)) = &plan.program {
        let mut layer = Layer::new("program");
        layer.add_file(Path::new(&filled(program, platform)), &format!("{APP}/{name}"), true)?;
        layers.push(layer);
    }
    Ok(layers)
}

fn check_architecture(program: &Path, platform: &Platform) -> Result<(), Report> {
    match architecture_of(program).map_err(|error| tell::supply(&error))? {
        Some(found) if found != platform.architecture => {
            let what = format!("{} is for {found}, and the image is for {}", program.display(), platform.name());
            Err(Report::new(tell::UNBUILDABLE, what).hint("build the program for it, or name another `--platform`"))
        }
        _ => Ok(()),
    }
}

fn hashed(path: &Path) -> Result<String, Report> {
    let told = |error: std::io::Error| Report::file("read", path, &error);
    let mut file = std::fs::File::open(path).map_err(told)?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 256 << 10]);
    loop {
        let read = std::io::Read::read(&mut file, &mut buffer).map_err(told)?;
        if read == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
    }
}

/// What was asked for, without values that may be secrets.
fn parameters(base: &str, plan: &Plan, platforms: &[Platform]) -> Value {
    json!({
        "base": base,
        "program": plan.program.as_ref().map(|(_, name)| format!("{APP}/{name}")),
        "files": plan.files.iter().map(|(_, to)| to).collect::<Vec<_>>(),
        "directories": plan.dirs.iter().map(|(_, to)| to).collect::<Vec<_>>(),
        "platforms": platforms.iter().map(Platform::name).collect::<Vec<_>>(),
        "entrypoint": plan.settings.entrypoint,
        "user": plan.settings.user,
        "environment": plan.settings.env.keys().collect::<Vec<_>>(),
        "labels": plan.settings.labels,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_tags() {
        for (name, tag) in [("pad", "pad"), ("My App.v2", "my-app-v2"), ("--", "image"), ("é", "image")] {
            assert_eq!(tag_name(name), tag, "{name}");
        }
    }

    #[test]
    fn places_have_two_sides() {
        assert_eq!(places("--file", &["a:b:/c".into()]).unwrap(), [("a:b".to_owned(), "/c".to_owned())]);
        for text in ["a", "a:", ":/b", "a:b"] {
            assert!(places("--file", &[text.to_owned()]).is_err(), "{text}");
        }
    }
}
