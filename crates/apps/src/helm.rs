//! Helm charts: what `helm template` is asked for an application.
//!
//! Source: Argo CD 3.4, documentation, "Helm", and the order in which it hands values on: files, values, parameters.

use std::sync::Arc;

use prograde_kustomize::helm::{
    BYTES_MAX, ChartFiles, Charts, FILES_MAX, RELEASE_HINT, RemoteChart, Template, is_release,
};
use prograde_kustomize::{Files, documents, join};
use prograde_model::{Diagnostic, Diagnostics};

use crate::argo::application::{Application, Helm, Source};
use crate::argo::project::Rendered;
use crate::codes;
use crate::repository::{Repositories, content};
use crate::schema::shortened;

/// The objects of a chart. `tree` has the source's repository, where it is one of Git, and `path` the chart in it.
pub(crate) fn render(
    application: &Application,
    source: &Source,
    place: Option<(&dyn Files, &str)>,
    repositories: &dyn Repositories,
) -> Result<Vec<Rendered>, Diagnostics> {
    let Some(charts) = repositories.charts() else {
        let message = format!("`{}` is a Helm chart, which is rendered by Helm", application.name());
        let hint = "let Helm run: `--helm`, with the installed program; or commit what `helm template` gives and use a directory";
        return Err(application.place.diagnostic(codes::UNSUPPORTED, message, hint).into());
    };
    let asked = Asked { application, place, repositories }.template(charts, source)?;
    let text = charts.template(&asked).map_err(|why| {
        let message = format!("Helm does not render `{}`: {why}", application.name());
        application.place.diagnostic(codes::SOURCE, message, "run `helm template` by hand to see more")
    })?;
    let label = format!("what Helm prints of `{}`", application.name());
    let mut all = Vec::new();
    for node in documents(&label, &text)? {
        all.push(Rendered { object: node.to_json()?, place: application.place.clone() });
    }
    Ok(all)
}

struct Asked<'a> {
    application: &'a Application,
    place: Option<(&'a dyn Files, &'a str)>,
    repositories: &'a dyn Repositories,
}

impl Asked<'_> {
    fn wrong(&self, code: &str, message: String, hint: &str) -> Diagnostic {
        self.application.place.diagnostic(code, message, hint)
    }

    fn template(&self, charts: &dyn Charts, source: &Source) -> Result<Template, Diagnostics> {
        let none = Helm::default();
        let helm = source.helm.as_ref().unwrap_or(&none);
        if !matches!(helm.version.as_str(), "" | "v3") || helm.pass_credentials {
            let hint = "leave `version` and `passCredentials` out: the installed Helm 3 is run, with no credentials";
            return Err(self.wrong(codes::UNSUPPORTED, "this option of Helm can't be had".into(), hint).into());
        }
        let mut values = self.value_files(helm)?;
        match &helm.values_object {
            Some(object) => values.push(object.to_string().into_bytes().into()),
            None if helm.values.is_empty() => {}
            None => values.push(helm.values.clone().into_bytes().into()),
        }
        let files = helm.file_parameters.iter().map(|file| Ok((file.name.clone(), self.file(&file.path)?)));
        if !is_release(&helm.release_name) {
            let message = format!("`{}` is no release's name", shortened(&helm.release_name));
            return Err(self.wrong(codes::VALUE, message, RELEASE_HINT).into());
        }
        let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
        Ok(Template {
            chart: self.chart(charts, source)?,
            release: Some(or(&helm.release_name, self.application.name())),
            namespace: or(&helm.namespace, &self.application.spec.destination.namespace),
            values,
            files: files.collect::<Result<_, Diagnostic>>()?,
            flags: flags(helm),
        })
    }

    fn chart(&self, charts: &dyn Charts, source: &Source) -> Result<ChartFiles, Diagnostic> {
        let Some((tree, path)) = self.place else { return self.remote(charts, source) };
        let unreadable = |why: String| self.wrong(codes::SOURCE, why, "see `spec.source.path`");
        let (mut files, mut bytes) = (ChartFiles::new(), 0);
        for file in tree.paths(path).map_err(unreadable)? {
            let content = content(tree, &file).map_err(unreadable)?;
            bytes += content.len();
            let inner = if path.is_empty() { file.as_str() } else { file.get(path.len() + 1..).unwrap_or_default() };
            files.insert(inner.to_owned(), content);
            if files.len() > FILES_MAX || bytes > BYTES_MAX {
                let message = format!("the chart has more than {FILES_MAX} files or {BYTES_MAX} bytes");
                return Err(self.wrong(codes::TOO_LARGE, message, "keep nothing else beside it"));
            }
        }
        Ok(files)
    }

    fn remote(&self, charts: &dyn Charts, source: &Source) -> Result<ChartFiles, Diagnostic> {
        let address = &source.repo_url;
        // Argo CD writes registries without their scheme.
        let repository = if address.contains("://") { address.clone() } else { ["oci://", address].concat() };
        let chart = RemoteChart::new(&repository, &source.chart, &source.target_revision);
        let chart = chart.map_err(|(message, hint)| self.wrong(codes::VALUE, message, hint))?;
        charts.pull(&chart).map_err(|why| {
            let message = format!("the chart `{}` of `{}` can't be had: {why}", chart.name(), self.application.name());
            self.wrong(codes::SOURCE, message, "see `spec.source`: its address, chart and version")
        })
    }

    fn value_files(&self, helm: &Helm) -> Result<Vec<Arc<[u8]>>, Diagnostic> {
        let mut values = Vec::new();
        for name in &helm.value_files {
            match self.file(name) {
                Ok(content) => values.push(content),
                Err(_) if helm.ignore_missing_value_files && !name.contains("://") => {}
                Err(why) => return Err(why),
            }
        }
        Ok(values)
    }

    /// A file beside the chart, at the repository's root where it begins with `/`, or in another source: `$NAME/PATH`.
    fn file(&self, name: &str) -> Result<Arc<[u8]>, Diagnostic> {
        let missing = |why: String| {
            let message = format!("the file `{}` of `{}`: {why}", shortened(name), self.application.name());
            self.wrong(
                codes::SOURCE,
                message,
                "files are looked for from the chart's directory, and stay in the repository",
            )
        };
        if name.contains("://") {
            return Err(missing("it lies on another machine".to_owned()));
        }
        let other = name.strip_prefix('$').and_then(|rest| rest.split_once('/'));
        let (tree, path) = if let Some((reference, path)) = other {
            let of = |source: &&Source| source.reference == reference && !reference.is_empty();
            let source = self.application.sources().into_iter().find(of);
            let source = source.ok_or_else(|| missing(format!("there is no source `{reference}`")))?;
            let tree = self.repositories.find(&source.repo_url);
            let tree = tree.ok_or_else(|| missing(format!("`{}` is not known here", shortened(&source.repo_url))))?;
            (tree, join("", path))
        } else {
            let (tree, dir) = self.place.ok_or_else(|| missing("the chart is on another machine".to_owned()))?;
            (tree, name.strip_prefix('/').map_or_else(|| join(dir, name), |path| join("", path)))
        };
        let path = path.ok_or_else(|| missing("it leaves the repository".to_owned()))?;
        content(tree, &path).map_err(missing)
    }
}

fn flags(helm: &Helm) -> Vec<String> {
    let mut flags = Vec::new();
    let mut add = |flag: &str, value: &str| flags.extend([flag.to_owned(), value.to_owned()]);
    for parameter in &helm.parameters {
        let set = if parameter.force_string { "--set-string" } else { "--set" };
        add(set, &[&parameter.name, "=", &escaped(&parameter.value)].concat());
    }
    if !helm.kube_version.is_empty() {
        add("--kube-version", &helm.kube_version);
    }
    for version in &helm.api_versions {
        add("--api-versions", version);
    }
    let switches = [
        (!helm.skip_crds, "--include-crds"),
        (helm.skip_tests, "--skip-tests"),
        (helm.skip_schema_validation, "--skip-schema-validation"),
    ];
    flags.extend(switches.into_iter().filter(|(is_on, _)| *is_on).map(|(_, flag)| flag.to_owned()));
    flags
}

/// Helm splits at commas, unless the value is a list in braces.
fn escaped(value: &str) -> String {
    if value.starts_with('{') && value.ends_with('}') {
        return value.to_owned();
    }
    let mut result = String::with_capacity(value.len());
    let mut before = ' ';
    for letter in value.chars() {
        if letter == ',' && before != '\\' {
            result.push('\\');
        }
        result.push(letter);
        before = letter;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_are_kept_and_lists_are_lists() {
        for (value, written) in [("a,b", "a\\,b"), ("a\\,b", "a\\,b"), ("{a,b}", "{a,b}"), ("plain", "plain")] {
            assert_eq!(escaped(value), written);
        }
    }
}
