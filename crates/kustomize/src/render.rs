//! The walk through kustomizations that include each other, and what is done at each and in the end.

use std::collections::HashMap;
use std::sync::Arc;

use prograde_model::{Diagnostic, Diagnostics};
use serde_json::Value as Json;

use crate::budget::{Budget, NESTING_MAX, check_count};
use crate::codes;
use crate::config::{Config, merge_specs};
use crate::emit;
use crate::fields::FieldSpec;
use crate::files::Files;
use crate::generate::{self, Made, absorb};
use crate::helm::Chart;
use crate::id::Gvk;
use crate::kustomization::{Kustomization, Labels};
use crate::load::{Dir, KUSTOMIZATION_FILES, Loader, Named, Reads, inner_documents};
use crate::names;
use crate::options::Options;
use crate::order::{self, Sorting};
use crate::origin::{By, Origin};
use crate::patch::{self, objects};
use crate::place::Place;
use crate::plugin;
use crate::replacement::Replacement;
use crate::resource::Resource;
use crate::schema::Schemas;
use crate::transform::{Subjects, Transformer, image_pattern};
use crate::variables::{self, Variable};

/// What kustomize 5.8.2 writes into the label of `managedByLabel`.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "kustomize-v5.8.2");
/// The label that validators may put on what they have looked at.
const VALIDATED_BY: &str = "validated-by";

/// The objects of a kustomization, and what was needed for them.
#[derive(Debug, Clone)]
pub struct Rendering {
    /// The objects in the order in which they are printed.
    pub resources: Vec<Resource>,
    /// What was understood, and should be written otherwise.
    pub warnings: Vec<String>,
    /// The files that the rendering depends on.
    pub reads: Reads,
}

impl Rendering {
    /// The objects as `kustomize build` prints them.
    pub fn to_yaml(&self) -> Result<String, Diagnostics> {
        let mut text = String::new();
        for resource in &self.resources {
            if !text.is_empty() {
                text.push_str("---\n");
            }
            emit::add_document(&mut text, &resource.tree)?;
        }
        Ok(text)
    }

    /// The objects as JSON.
    pub fn to_json(&self) -> Result<Vec<Json>, Diagnostics> {
        Ok(self.resources.iter().map(Resource::to_json).collect::<Result<_, _>>()?)
    }
}

/// Renders kustomizations of one tree. Each file is parsed once, however many kustomizations need it.
pub struct Renderer<'a> {
    loader: Loader<'a>,
    options: Options,
}

impl<'a> Renderer<'a> {
    /// A renderer of a tree.
    pub fn new(tree: &'a dyn Files) -> Self {
        Self::with(tree, Options::default())
    }

    /// A renderer that is told what a command line says.
    pub fn with(tree: &'a dyn Files, options: Options) -> Self {
        Self { loader: Loader::new(tree, options), options }
    }

    /// Renders the kustomization in a directory; the empty path is the tree's root.
    pub fn render(&self, dir: &str) -> Result<Rendering, Diagnostics> {
        self.loader.take_reads();
        let mut walk = Walk {
            loader: &self.loader,
            options: self.options,
            schemas: Schemas::new(),
            budget: Budget::new(),
            chain: Vec::new(),
            namespace: String::new(),
            origin: None,
            warnings: Vec::new(),
        };
        let resources = walk.top(dir)?;
        Ok(Rendering { resources, warnings: walk.warnings, reads: self.loader.take_reads() })
    }
}

/// What has come together so far.
struct Accumulated {
    resources: Vec<Resource>,
    config: Arc<Config>,
    variables: Vec<Variable>,
}

impl Default for Accumulated {
    fn default() -> Self {
        Self { resources: Vec::new(), config: Config::none(), variables: Vec::new() }
    }
}

struct Walk<'a> {
    loader: &'a Loader<'a>,
    options: Options,
    schemas: Schemas,
    budget: Budget,
    /// The directories that are being rendered, outermost first.
    chain: Vec<Dir>,
    /// The namespace of the present kustomization, or else of the nearest that includes it: what charts are told.
    namespace: String,
    /// Where the present kustomization is, when `buildMetadata` asks for it.
    origin: Option<Origin>,
    warnings: Vec<String>,
}

/// A kustomization with its directory and the name of its file.
struct Opened {
    dir: Dir,
    file: String,
    kustomization: Kustomization,
}

impl Walk<'_> {
    fn top(&mut self, dir: &str) -> Result<Vec<Resource>, Diagnostic> {
        let from = Place::file(if dir.is_empty() { "." } else { dir });
        let dir = self.loader.root(dir, &from)?;
        let opened = self.open(dir, &from)?;
        self.choose_schema(&opened)?;
        let mut metadata = opened.kustomization.metadata.clone();
        if self.options.labels_managed_by {
            metadata.push("managedByLabel".to_owned());
        }
        if !metadata.is_empty() {
            self.origin = Some(Origin::default());
        }
        let mut all = self.accumulate(&opened, Accumulated::default())?;
        generate::add_hashes(&mut all.resources, &self.schemas)?;
        names::follow(&mut all.resources, &all.config.references, &self.schemas)?;
        variables::resolve(&mut all.resources, &all.variables, &all.config.variables)?;
        all.resources.retain(|resource| !resource.is_local());
        let unsaid = if self.options.keeps_order { Sorting::Fifo } else { Sorting::default() };
        let sorting = opened.kustomization.sorting.clone().unwrap_or(unsaid);
        self.refuse_duplicates(&all.resources, &sorting)?;
        order::sort(&mut all.resources, &sorting, &self.schemas);
        let asked = |option: &str| metadata.iter().any(|asked| asked == option);
        if asked("managedByLabel") {
            let pairs = [(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned())].into();
            let specs = vec![FieldSpec::everywhere("metadata/labels", true)];
            Transformer::Labels { pairs, specs }.apply(&mut all.resources, &self.schemas)?;
        }
        for resource in &mut all.resources {
            resource.finish(asked("originAnnotations"), asked("transformerAnnotations"));
        }
        Ok(all.resources)
    }

    fn refuse_duplicates(&self, resources: &[Resource], sorting: &Sorting) -> Result<(), Diagnostic> {
        if *sorting == Sorting::Fifo { Ok(()) } else { Identities::of(resources, &self.schemas).map(|_| ()) }
    }

    fn open(&mut self, dir: Dir, from: &Place) -> Result<Opened, Diagnostic> {
        if self.chain.iter().any(|open| dir.holds(open)) {
            let mut way: Vec<&str> = self.chain.iter().map(|open| open.path.as_str()).collect();
            way.push(&dir.path);
            let shown: Vec<&str> = way.into_iter().map(|path| if path.is_empty() { "." } else { path }).collect();
            let message = format!("kustomizations include each other: {}", shown.join(" > "));
            return Err(from.diagnostic(codes::CYCLE, message, "move what both need into a third directory"));
        }
        if self.chain.len() >= NESTING_MAX {
            let message = format!("kustomizations are nested more than {NESTING_MAX} deep");
            return Err(from.diagnostic(codes::CYCLE, message, "include the inner ones directly"));
        }
        self.budget.enter(from)?;
        let (place, file, documents) = self.loader.kustomization(&dir, from)?;
        let mut kustomization = Kustomization::read(&place, &documents)?;
        for warning in std::mem::take(&mut kustomization.warnings) {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        Ok(Opened { dir, file, kustomization })
    }

    fn choose_schema(&mut self, opened: &Opened) -> Result<(), Diagnostic> {
        let Some(fields) = &opened.kustomization.open_api else { return Ok(()) };
        let place = &opened.kustomization.place;
        let wrong = |message: &str| Err(place.diagnostic(codes::SCHEMA, message, "write `openapi: {path: FILE}`"));
        match (fields.get("path"), fields.get("version")) {
            (Some(_), Some(_)) => wrong("`openapi` has both a path and a version"),
            (Some(path), None) => {
                let named = Named { text: path.clone(), place: place.clone() };
                let documents = self.loader.documents(&opened.dir, &named)?;
                let document = documents.first().map(crate::node::Node::to_json).transpose()?;
                self.schemas.choose(document.as_ref(), place)
            }
            (None, Some(version)) if version.is_empty() || version == "v1.21.2" => {
                if version.is_empty() {
                    Ok(())
                } else {
                    self.schemas.choose(None, place)
                }
            }
            (None, Some(_)) => wrong("the only built-in version of the schema is v1.21.2"),
            (None, None) => Ok(()),
        }
    }

    fn accumulate(&mut self, opened: &Opened, mut all: Accumulated) -> Result<Accumulated, Diagnostic> {
        self.chain.push(opened.dir.clone());
        let file = &opened.kustomization;
        let outer = self.namespace.clone();
        if !file.namespace.is_empty() {
            self.namespace.clone_from(&file.namespace);
        }
        self.resources(opened, &mut all, &file.resources)?;
        Config::merge(&mut all.config, self.config(opened)?, &file.place)?;
        for crd in &file.crds {
            let documents = self.loader.documents(&opened.dir, crd)?;
            let json = documents.first().map(crate::node::Node::to_json).transpose()?.unwrap_or(Json::Null);
            Config::merge(&mut all.config, Arc::new(Config::of_crds(&json, &crd.place)?), &crd.place)?;
        }
        self.generate(opened, &mut all)?;
        all = self.components(opened, all)?;
        self.transform(opened, &mut all)?;
        self.validate(opened, &mut all)?;
        variables::collect(&mut all.variables, &file.variables, &mut all.resources, &self.schemas)?;
        self.chain.pop();
        self.namespace = outer;
        Ok(all)
    }

    fn config(&self, opened: &Opened) -> Result<Arc<Config>, Diagnostic> {
        let mut config = Config::default_fields();
        if opened.kustomization.configurations.is_empty() {
            return Ok(config);
        }
        let mut own = Config::none();
        for path in &opened.kustomization.configurations {
            let documents = self.loader.documents(&opened.dir, path)?;
            if let Some(document) = documents.first() {
                Config::merge(&mut own, Arc::new(Config::read(document)?), &path.place)?;
            }
        }
        Config::merge(&mut config, own, &opened.kustomization.place)?;
        Ok(config)
    }

    /// Adds what files and directories hold.
    fn resources(&mut self, opened: &Opened, all: &mut Accumulated, paths: &[Named]) -> Result<(), Diagnostic> {
        let mut known = Identities::of(&all.resources, &self.schemas)?;
        for named in paths {
            if self.loader.is_file(&opened.dir, named) {
                let loaded = self.file(opened, named)?;
                known.add(&loaded, &self.schemas)?;
                all.resources.extend(loaded);
            } else {
                let dir = self.loader.directory(&opened.dir, named)?;
                let had_schema = self.schemas.is_chosen();
                let inner = self.directory(dir, named, false, Accumulated::default())?;
                if self.schemas.is_chosen() != had_schema {
                    // Kinds that had namespaces may have none now.
                    known = Identities::of(&all.resources, &self.schemas)?;
                }
                known.add(&inner.resources, &self.schemas)?;
                all.resources.extend(inner.resources);
                Config::merge(&mut all.config, inner.config, &named.place)?;
                variables::merge(&mut all.variables, &inner.variables)?;
            }
            check_count(all.resources.len(), &named.place)?;
        }
        Ok(())
    }

    fn file(&mut self, opened: &Opened, named: &Named) -> Result<Vec<Resource>, Diagnostic> {
        let name = named.text.rsplit('/').next().unwrap_or_default();
        let documents = self.loader.documents(&opened.dir, named)?;
        self.budget.spend(documents.iter().map(crate::node::Node::weight).sum(), &named.place)?;
        let mut loaded = objects(&documents).map_err(|mut problem| {
            if KUSTOMIZATION_FILES.contains(&name) {
                problem.hint = "this is a kustomization: list its directory instead".into();
            }
            problem
        })?;
        if !self.schemas.is_chosen() {
            for resource in &loaded {
                self.schemas.note(&resource.gvk());
            }
        }
        if let Some(origin) = &self.origin {
            let own = origin.append(&named.text);
            for resource in &mut loaded {
                resource.origin = Some(own.clone());
            }
        }
        Ok(loaded)
    }

    fn directory(
        &mut self,
        dir: Dir,
        named: &Named,
        component: bool,
        all: Accumulated,
    ) -> Result<Accumulated, Diagnostic> {
        let outer = self.origin.clone();
        if let Some(origin) = &outer {
            self.origin = Some(match crate::remote::RemoteBase::parse(&named.text) {
                None => origin.append(&named.text),
                Some(remote) => Origin {
                    path: remote.path,
                    repository: remote.repository,
                    reference: remote.reference,
                    ..Origin::default()
                },
            });
        }
        let opened = self.open(dir, &named.place)?;
        self.choose_schema(&opened)?;
        if opened.kustomization.is_component != component {
            let (is, hint) = if component {
                ("no component", "list it under `resources`, or write `kind: Component` there")
            } else {
                ("a component", "list it under `components`")
            };
            return Err(named.place.diagnostic(codes::INVALID_FIELD, format!("`{}` is {is}", named.text), hint));
        }
        let done = self.accumulate(&opened, all)?;
        self.origin = outer;
        Ok(done)
    }

    fn components(&mut self, opened: &Opened, mut all: Accumulated) -> Result<Accumulated, Diagnostic> {
        for named in &opened.kustomization.components {
            let dir = self.loader.directory(&opened.dir, named)?;
            let inner = self.directory(dir, named, true, all)?;
            all = Accumulated::default();
            Identities::of(&inner.resources, &self.schemas)?;
            all.resources = inner.resources;
            Config::merge(&mut all.config, inner.config, &named.place)?;
            variables::merge(&mut all.variables, &inner.variables)?;
            check_count(all.resources.len(), &named.place)?;
        }
        Ok(all)
    }

    fn generate(&mut self, opened: &Opened, all: &mut Accumulated) -> Result<(), Diagnostic> {
        let file = &opened.kustomization;
        let lists = [
            (&file.config_maps, Made::ConfigMap, "ConfigMapGenerator"),
            (&file.secrets, Made::Secret, "SecretGenerator"),
        ];
        for (entries, made, kind) in lists {
            for entry in entries {
                let mut resource = generate::generate(entry, made, self.loader, &opened.dir)?;
                resource.origin = self.origin.as_ref().map(|origin| origin.configured(&opened.file, kind));
                absorb(&mut all.resources, resource, &self.schemas)?;
                check_count(all.resources.len(), &entry.place)?;
            }
        }
        let origin = self.origin.as_ref().map(|origin| origin.configured(&opened.file, plugin::CHART));
        for chart in &file.charts {
            let chart = chart.clone().within(&self.namespace);
            self.inflate(opened, all, &chart, origin.as_ref())?;
        }
        for config in self.plugins(opened, &file.generators)? {
            if config.kind() == plugin::CHART {
                let origin = configured_by(&config);
                self.inflate(opened, all, &plugin::chart(&config)?, origin.as_ref())?;
                continue;
            }
            let mut resource = plugin::generate(&config, self.loader, &opened.dir)?;
            resource.origin = configured_by(&config);
            absorb(&mut all.resources, resource, &self.schemas)?;
        }
        Ok(())
    }

    /// Adds what Helm makes of a chart.
    fn inflate(
        &mut self,
        opened: &Opened,
        all: &mut Accumulated,
        chart: &Chart,
        origin: Option<&Origin>,
    ) -> Result<(), Diagnostic> {
        let (objects, weight) = chart.inflate(self.loader, &opened.dir)?;
        self.budget.spend(weight, chart.place())?;
        for mut resource in objects {
            resource.origin = origin.cloned();
            resource.from_chart = true;
            absorb(&mut all.resources, resource, &self.schemas)?;
            check_count(all.resources.len(), chart.place())?;
        }
        Ok(())
    }

    /// The configurations that a field lists: each is a text, a file or a directory.
    fn plugins(&mut self, opened: &Opened, entries: &[Named]) -> Result<Vec<Resource>, Diagnostic> {
        let mut all = Accumulated::default();
        let mut known = Identities::default();
        let mut paths = Vec::new();
        for entry in entries {
            let inline = inner_documents(&entry.text, &entry.place).and_then(|documents| objects(&documents));
            match inline {
                Ok(mut found) => {
                    for resource in &mut found {
                        resource.origin = self.origin.as_ref().map(|origin| origin.append(&opened.file));
                    }
                    known.add(&found, &self.schemas)?;
                    all.resources.extend(found);
                }
                Err(problem) if entry.text.contains('\n') => return Err(problem),
                Err(_) => paths.push(entry.clone()),
            }
        }
        self.resources(opened, &mut all, &paths)?;
        Ok(all.resources)
    }

    fn transform(&mut self, opened: &Opened, all: &mut Accumulated) -> Result<(), Diagnostic> {
        let mut steps = self.own_transformers(opened, &all.config)?;
        for config in self.plugins(opened, &opened.kustomization.transformers)? {
            let origin = configured_by(&config);
            steps.push((plugin::transformer(&config, self.loader, &opened.dir)?, origin));
        }
        for (step, origin) in steps {
            self.charge(&step, all.resources.len(), &opened.kustomization.place)?;
            if let Transformer::Patch(ready) = &step
                && let Some(place) = ready.idle(&all.resources, &self.schemas)
            {
                self.warnings.push(format!("{place}: the patch's target matches no object"));
            }
            step.apply(&mut all.resources, &self.schemas)?;
            if let Some(origin) = origin {
                for resource in &mut all.resources {
                    if resource.origin.is_none() {
                        resource.origin = Some(origin.clone());
                    } else {
                        resource.transformations.push(origin.clone());
                    }
                }
            }
        }
        Ok(())
    }

    /// What a step may copy counts.
    fn charge(&mut self, step: &Transformer, count: usize, place: &Place) -> Result<(), Diagnostic> {
        let weight = match step {
            Transformer::Patch(ready) => ready.weight(count),
            Transformer::Labels { pairs, .. } | Transformer::Annotations { pairs, .. } => {
                pairs.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>().saturating_mul(count)
            }
            Transformer::Strategic(_)
            | Transformer::Namespace { .. }
            | Transformer::Affix { .. }
            | Transformer::Replicas { .. }
            | Transformer::Image { .. }
            | Transformer::Replacements(_)
            | Transformer::Hash
            | Transformer::Value { .. } => count.saturating_mul(64),
        };
        self.budget.spend(weight, place)
    }

    /// The transformations of a kustomization's own fields, in Kustomize's order.
    fn own_transformers(
        &self,
        opened: &Opened,
        config: &Config,
    ) -> Result<Vec<(Transformer, Option<Origin>)>, Diagnostic> {
        let file = &opened.kustomization;
        let (loader, dir) = (self.loader, &opened.dir);
        let mut steps: Vec<(&str, Transformer)> = Vec::new();
        if !file.strategic.is_empty() {
            let patches = patch::prepare_strategic(&file.strategic, loader, dir)?;
            if patches.is_empty() {
                return Err(file.place.diagnostic(codes::PATCH, "`patchesStrategicMerge` has no patch in it", ""));
            }
            steps.push(("PatchStrategicMergeTransformer", Transformer::Strategic(patches)));
        }
        for entry in &file.patches {
            steps.push(("PatchTransformer", Transformer::Patch(Box::new(patch::prepare(entry, loader, dir)?))));
        }
        if !file.namespace.is_empty() {
            let (namespace, specs) = (file.namespace.clone(), config.namespace.clone());
            let step = Transformer::Namespace { namespace, specs, unset_only: false, subjects: Subjects::Default };
            steps.push(("NamespaceTransformer", step));
        }
        for (kind, prefix, suffix) in
            [("PrefixTransformer", file.prefix.as_str(), ""), ("SuffixTransformer", "", file.suffix.as_str())]
        {
            if !prefix.is_empty() || !suffix.is_empty() {
                let step = Transformer::Affix {
                    prefix: prefix.to_owned(),
                    suffix: suffix.to_owned(),
                    prefix_specs: if prefix.is_empty() { Vec::new() } else { config.prefix.clone() },
                    suffix_specs: if suffix.is_empty() { Vec::new() } else { config.suffix.clone() },
                };
                steps.push((kind, step));
            }
        }
        for labels in &file.labels {
            let specs = label_specs(labels, config)?;
            steps.push(("LabelTransformer", Transformer::Labels { pairs: labels.pairs.clone(), specs }));
        }
        if !file.labels.is_empty() || !file.common_labels.is_empty() {
            let (pairs, specs) = (file.common_labels.clone(), config.common_labels.clone());
            steps.push(("LabelTransformer", Transformer::Labels { pairs, specs }));
        }
        if !file.annotations.is_empty() {
            let (pairs, specs) = (file.annotations.clone(), config.annotations.clone());
            steps.push(("AnnotationsTransformer", Transformer::Annotations { pairs, specs }));
        }
        for entry in &file.json_patches {
            steps.push((
                "PatchJson6902Transformer",
                Transformer::Patch(Box::new(patch::prepare_json(entry, loader, dir)?)),
            ));
        }
        for replicas in &file.replicas {
            let step = Transformer::Replicas { replicas: replicas.clone(), specs: config.replicas.clone() };
            steps.push(("ReplicaCountTransformer", step));
        }
        for image in &file.images {
            let pattern = image_pattern(&image.name);
            let step = Transformer::Image { image: Box::new(image.clone()), pattern, specs: config.images.clone() };
            steps.push(("ImageTagTransformer", step));
        }
        if !file.replacements.is_empty() {
            let all = Replacement::load(&file.replacements, loader, dir)?;
            steps.push(("ReplacementTransformer", Transformer::Replacements(all)));
        }
        let origin = |kind: &str| self.origin.as_ref().map(|origin| origin.configured(&opened.file, kind));
        Ok(steps.into_iter().map(|(kind, step)| (step, origin(kind))).collect())
    }

    fn validate(&mut self, opened: &Opened, all: &mut Accumulated) -> Result<(), Diagnostic> {
        for config in self.plugins(opened, &opened.kustomization.validators)? {
            let step = plugin::transformer(&config, self.loader, &opened.dir)?;
            let before: Vec<Resource> = all.resources.clone();
            step.apply(&mut all.resources, &self.schemas)?;
            let unlabelled = |resource: &Resource| {
                let mut copy = resource.clone();
                let mut labels = copy.texts("labels");
                // Kustomize takes the label off by writing the others anew, and then sees that something has changed.
                if labels.remove(VALIDATED_BY).is_some() && labels.is_empty() {
                    copy.set_texts("labels", &labels);
                }
                copy.to_json()
            };
            let same = before.len() == all.resources.len()
                && before.iter().zip(&all.resources).all(
                    |(one, other)| matches!((one.to_json(), unlabelled(other)), (Ok(one), Ok(other)) if one == other),
                );
            if !same {
                let message = format!("the validator {} changes objects", config.name());
                let hint = "list what changes objects under `transformers`";
                return Err(config.place().diagnostic(codes::VALIDATOR, message, hint));
            }
        }
        Ok(())
    }
}

/// The fields that an entry of `labels` goes to.
fn label_specs(labels: &Labels, config: &Config) -> Result<Vec<FieldSpec>, Diagnostic> {
    let mut specs = labels.fields.clone();
    let place = &labels.place;
    merge_specs(&mut specs, config.labels.clone(), place)?;
    if labels.selectors {
        merge_specs(&mut specs, config.common_labels.clone(), place)?;
        return Ok(specs);
    }
    if labels.templates {
        merge_specs(&mut specs, config.template_labels.clone(), place)?;
    }
    if labels.claim_templates {
        merge_specs(&mut specs, config.claim_labels.clone(), place)?;
    }
    merge_specs(&mut specs, vec![FieldSpec::everywhere("metadata/labels", true)], place)?;
    Ok(specs)
}

/// The origin of what a configuration makes or changes.
fn configured_by(config: &Resource) -> Option<Origin> {
    let origin = config.origin.as_ref()?;
    let by = By {
        api_version: config.gvk().api_version(),
        kind: config.kind().to_owned(),
        name: config.name().to_owned(),
        namespace: config.namespace().to_owned(),
    };
    Some(Origin {
        path: String::new(),
        configured_in: origin.path.clone(),
        by: Some(by),
        repository: origin.repository.clone(),
        reference: origin.reference.clone(),
    })
}

/// Which objects are there, and where they are written.
#[derive(Default)]
struct Identities(HashMap<(Gvk, String, String), Place>);

impl Identities {
    fn of(resources: &[Resource], schemas: &Schemas) -> Result<Self, Diagnostic> {
        let mut known = Self(HashMap::with_capacity(resources.len()));
        known.add(resources, schemas)?;
        Ok(known)
    }

    /// Refuses an object that has the identity of another; the second of two is where the mistake is pointed at.
    fn add(&mut self, resources: &[Resource], schemas: &Schemas) -> Result<(), Diagnostic> {
        for resource in resources {
            let id = resource.id(schemas);
            if let Some(first) = self.0.insert(id.key(), resource.place().clone()) {
                let message = format!("{id} is there twice; the first is at {first}");
                let hint = "remove one, or give it another name";
                return Err(resource.place().diagnostic(codes::DUPLICATE, message, hint));
            }
        }
        Ok(())
    }
}
