//! What `prograde.yaml` says of an image, and where its program is in a working tree: where the workflow uploads it from.

use std::fs;
use std::path::{Path, PathBuf};

use prograde_control::config;
use prograde_model::image::{Content, Image};

use crate::commands::image::tell;
use crate::report::Report;

/// Where workflows are.
const WORKFLOWS: &str = ".github/workflows";
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The image of a service.
pub(crate) struct Declared {
    /// The service.
    pub(crate) name: String,
    /// The field `image`.
    pub(crate) image: Image,
}

/// Reads the file, if there is one.
pub(crate) fn declared(dir: &Path, service: Option<&str>) -> Result<Option<Declared>, Report> {
    let path = dir.join(config::FILE);
    if !path.is_file() {
        return match service {
            None => Ok(None),
            Some(_) => Err(Report::new(tell::UNBUILDABLE, format!("there is no {}", path.display()))
                .hint("leave out `--service`, and name a file with `--binary`")),
        };
    }
    let text = fs::read_to_string(&path).map_err(|error| Report::file("read", &path, &error))?;
    let declared = config::read(&text)?;
    if let Some(image) = declared.image {
        let name = declared.service.to_string();
        if service.is_some_and(|wanted| wanted != name) {
            return Err(Report::new(tell::UNBUILDABLE, format!("prograde.yaml declares {name} alone")));
        }
        return Ok(Some(Declared { name, image }));
    }
    let names: Vec<String> = declared.services.iter().map(|member| member.name.to_string()).collect();
    let found = declared.services.into_iter().find(|member| Some(member.name.as_str()) == service);
    match found {
        Some(member) => Ok(Some(Declared { name: member.name.to_string(), image: member.image })),
        None => Err(Report::new(tell::UNBUILDABLE, format!("prograde.yaml declares a group: {}", names.join(", ")))
            .hint("say which with `--service NAME`")),
    }
}

/// The file that the workflows upload as this artifact's program, and what it is called in the artifact.
pub(crate) fn program(dir: &Path, image: &Image) -> Result<(PathBuf, String), Report> {
    let binary = match &image.content {
        Content::Program { binary, .. } => binary,
        Content::Archive(archive) => {
            let what = format!("prograde.yaml declares the image that the workflow builds itself, {archive}");
            return Err(Report::new(tell::UNBUILDABLE, what).hint(
                "build it as the workflow does, or with `--dockerfile FILE`; `prograde image push` sends the archive",
            ));
        }
    };
    let uploaded = uploads(dir, &image.artifact)?;
    let candidates: Vec<PathBuf> = uploaded
        .iter()
        .flat_map(|path| {
            let path = dir.join(path);
            // A file's name stays; of a directory, what is in it.
            let is_itself = path.file_name().is_some_and(|name| name == Path::new(binary));
            [is_itself.then(|| path.clone()), Some(path.join(binary))].into_iter().flatten()
        })
        .collect();
    if let Some(found) = candidates.iter().find(|path| path.is_file()) {
        return Ok((found.clone(), binary.clone()));
    }
    let what = match candidates.first() {
        Some(place) => format!("{} is not there: build the program first", place.display()),
        None => format!("no workflow in {WORKFLOWS} uploads the artifact `{}` from a plain path", image.artifact),
    };
    Err(Report::new(tell::UNBUILDABLE, what).hint("name the program with `--binary FILE`"))
}

/// The paths that `actions/upload-artifact` is given for an artifact.
fn uploads(dir: &Path, artifact: &str) -> Result<Vec<String>, Report> {
    let folder = dir.join(WORKFLOWS);
    let mut files: Vec<PathBuf> = match fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => {
            let entries = entries.map_err(|error| Report::file("list", &folder, &error))?;
            entries.filter_map(Result::ok).map(|entry| entry.path()).collect()
        }
    };
    files.sort();
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|kind| kind == "yml" || kind == "yaml")) {
        if fs::metadata(file).is_ok_and(|metadata| metadata.len() > FILE_BYTES_MAX) {
            continue;
        }
        let text = fs::read_to_string(file).map_err(|error| Report::file("read", file, &error))?;
        let documents = prograde_yaml::documents(&file.display().to_string(), &text);
        let documents = documents.map_err(prograde_model::Diagnostics::from)?;
        for job in documents.iter().filter_map(|document| document.get("jobs")).flat_map(prograde_yaml::Node::entries) {
            let steps = job.1.get("steps").map(prograde_yaml::Node::items).unwrap_or_default();
            for step in steps {
                let uses = step.get("uses").and_then(|uses| uses.as_str()).unwrap_or_default();
                let with = |name| step.get("with")?.get(name)?.as_str();
                if uses.starts_with("actions/upload-artifact@") && with("name") == Some(artifact) {
                    let lines = with("path").unwrap_or_default().lines().map(str::trim);
                    let plain = lines.filter(|line| !line.is_empty() && !line.contains(['*', '!', '?', '$', '[']));
                    found.extend(plain.map(str::to_owned));
                }
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prograde_model::image::Base;

    #[test]
    fn the_program_is_where_the_workflow_uploads_it_from() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(WORKFLOWS)).unwrap();
        let workflow = "on: push\njobs:\n  b:\n    runs-on: x\n    steps:\n      - run: make\n      \
            - uses: actions/upload-artifact@v4\n        with: { name: pad, path: out/pad }\n      \
            - uses: actions/upload-artifact@v4\n        with:\n          name: all\n          path: |\n            dist\n            *.log\n";
        fs::write(dir.path().join(WORKFLOWS).join("ci.yml"), workflow).unwrap();
        let image = |artifact: &str, binary: &str| Image {
            artifact: artifact.into(),
            content: Content::Program { binary: binary.into(), base: Base::Scratch, args: vec![] },
        };
        let told = |image: Image| program(dir.path(), &image).map(|found| found.0).map_err(|report| report.summary);
        assert!(told(image("pad", "pad")).unwrap_err().contains("out/pad is not there"));
        assert!(told(image("other", "pad")).unwrap_err().contains("no workflow"));
        for file in ["out/pad", "dist/bin/pad"] {
            fs::create_dir_all(dir.path().join(file).parent().unwrap()).unwrap();
            fs::write(dir.path().join(file), "x").unwrap();
        }
        assert_eq!(told(image("pad", "pad")).unwrap(), dir.path().join("out/pad"));
        assert_eq!(told(image("all", "bin/pad")).unwrap(), dir.path().join("dist/bin/pad"));
    }
}
