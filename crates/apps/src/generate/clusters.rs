//! The cluster generator: parameters from the clusters that Argo CD knows.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prograde_model::Diagnostic;
use serde_json::Value as Json;

use super::Generation;
use crate::codes;
use crate::data::{Data, Params};
use crate::selector::Selector;
use crate::sprig::names::normalized;
use crate::template::Mode;

/// The address of the cluster that Argo CD itself runs in.
pub(crate) const IN_CLUSTER: &str = "https://kubernetes.default.svc";
/// Marks a Secret as a cluster.
const SECRET_TYPE: (&str, &str) = ("argocd.argoproj.io/secret-type", "cluster");

/// A cluster that Argo CD knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Its address.
    pub server: String,
    /// The project that it belongs to; empty for none.
    pub project: String,
    /// Labels of its Secret.
    pub labels: BTreeMap<String, String>,
    /// Annotations of its Secret.
    pub annotations: BTreeMap<String, String>,
}

impl Cluster {
    /// The cluster that a Secret describes; nothing if it is a Secret of another kind.
    pub(crate) fn from_secret(secret: &Json) -> Option<Self> {
        let texts = |pointer: &str| -> BTreeMap<String, String> {
            let map = secret.pointer(pointer).and_then(Json::as_object);
            let pair = |(name, value): (&String, &Json)| Some((name.clone(), value.as_str()?.to_owned()));
            map.into_iter().flatten().filter_map(pair).collect()
        };
        let labels = texts("/metadata/labels");
        if labels.get(SECRET_TYPE.0).map(String::as_str) != Some(SECRET_TYPE.1) {
            return None;
        }
        let (plain, encoded) = (texts("/stringData"), texts("/data"));
        let value = |name: &str| {
            let decoded =
                || STANDARD.decode(encoded.get(name)?.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            plain.get(name).cloned().or_else(decoded).unwrap_or_default()
        };
        Some(Self {
            name: value("name"),
            server: value("server"),
            project: value("project"),
            annotations: texts("/metadata/annotations"),
            labels,
        })
    }

    fn params(&self, mode: Mode) -> Params {
        let text = |text: &str| Data::Text(text.to_owned());
        let mut params: Params = [
            ("name", text(&self.name)),
            ("nameNormalized", Data::Text(normalized(&self.name))),
            ("server", text(&self.server)),
            ("project", text(&self.project)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let parts = [("annotations", &self.annotations), ("labels", &self.labels)];
        match mode {
            Mode::Go(_) => {
                let filled = parts.into_iter().filter(|(_, map)| !map.is_empty());
                let metadata = filled.map(|(name, map)| (name.to_owned(), Data::Texts(map.clone()))).collect();
                params.insert("metadata".to_owned(), Data::Map(metadata));
            }
            Mode::Fast => {
                for (part, map) in parts {
                    params.extend(map.iter().map(|(name, value)| (format!("metadata.{part}.{name}"), text(value))));
                }
            }
        }
        params
    }
}

/// What the clusters give, in the order of their names; Argo CD's own comes last.
pub(super) fn params(generation: &Generation<'_>, body: &Json) -> Result<Vec<Params>, Diagnostic> {
    let Some(clusters) = generation.world.clusters else {
        let hint =
            "give the Secrets of the clusters: `--clusters FILE`; a file without any stands for Argo CD's own cluster";
        return Err(generation.wrong(
            codes::CLUSTERS,
            "a cluster generator needs to know which clusters there are",
            hint,
        ));
    };
    let selector = Selector::read(body.get("selector"))
        .map_err(|why| generation.wrong(codes::GENERATOR, why, "see `selector` in Argo CD's documentation"))?;
    let selector = selector.filter(|selector| !selector.is_empty());
    let mut wanted: Vec<&Cluster> = clusters
        .iter()
        .filter(|cluster| selector.as_ref().is_none_or(|selector| selector.holds(&cluster.labels)))
        .collect();
    wanted.sort_by(|left, right| left.name.cmp(&right.name));
    generation.count(wanted.len() + 1)?;
    let own_is_there = wanted.iter().any(|cluster| cluster.server == IN_CLUSTER);
    let mut found = Vec::new();
    for cluster in wanted {
        found.push(generation.with_values(body, cluster.params(generation.filler.mode()))?);
    }
    if selector.is_none() && !own_is_there {
        let text = |(name, value): (&str, &str)| (name.to_owned(), Data::Text(value.to_owned()));
        let own = [("name", "in-cluster"), ("nameNormalized", "in-cluster"), ("server", IN_CLUSTER), ("project", "")];
        found.push(generation.with_values(body, own.map(text).into())?);
    }
    if body.get("flatList").and_then(Json::as_bool).unwrap_or(false) {
        let list = Data::List(found.into_iter().map(Data::Map).collect());
        return Ok(vec![[("clusters".to_owned(), list)].into()]);
    }
    Ok(found)
}
