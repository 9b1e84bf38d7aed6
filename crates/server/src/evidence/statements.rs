//! What is attested of an image, from the record of the flight that made it.

use prograde_model::event::JobConclusion;
use prograde_model::flight::Flight;
use prograde_model::group::Member;
use prograde_model::image::{Base, Content};
use prograde_sign::predicate::{
    self, COSIGN_VULN, CYCLONEDX, Dependency, Provenance, SLSA_PROVENANCE_V1, Scan, TEST_RESULT, Tests,
};
use serde_json::{Map, Value, json};

/// Who builds: workflows that run as processes of the server's user, each in a folder of its own.
const BUILDER: &str = "https://prograde.dev/builder/local/v1";
/// What the parameters of a build mean.
const BUILD_TYPE: &str = "https://prograde.dev/build/workflow/v1";
const SCANNER: &str = "https://prograde.dev/scan";

/// The types of what is attested of every image that the server builds.
pub(super) const TYPES: [&str; 4] = [SLSA_PROVENANCE_V1, CYCLONEDX, TEST_RESULT, COSIGN_VULN];

/// Predicates by their types.
pub(super) fn of(flight: &Flight, member: &Member, bill: &Value, at: jiff::Timestamp) -> Vec<(&'static str, Value)> {
    let started = flight.stage_times.get("configured").copied().unwrap_or(flight.opened_at);
    let parameters = json!({
        "repository": flight.service, "branch": flight.opened.branch, "commit": flight.commit(), "service": member.name,
        "workflows": ".github/workflows",
    });
    let provenance = predicate::provenance(&Provenance {
        builder_id: BUILDER.to_owned(),
        build_type: BUILD_TYPE.to_owned(),
        external_parameters: match parameters {
            Value::Object(map) => map,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
        },
        source: format!("git+prograde:{}", flight.service),
        commit: flight.commit().clone(),
        dependencies: base(member).into_iter().collect(),
        flight: flight.id.clone(),
        started,
        finished: at,
    });
    let mut found = vec![(SLSA_PROVENANCE_V1, provenance), (CYCLONEDX, bill.clone()), (TEST_RESULT, tests(flight))];
    if let Some(report) = &flight.scan {
        let made = report.database.map_or_else(|| "none".to_owned(), |made| made.to_string());
        let scan = Scan {
            scanner: SCANNER.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            database: ("https://osv.dev".to_owned(), made),
            result: json!(report),
            started: flight.opened_at,
            finished: started,
        };
        found.push((COSIGN_VULN, predicate::scan(&scan)));
    }
    found
}

/// The image that a program was laid on.
fn base(member: &Member) -> Option<Dependency> {
    let Content::Program { base: Base::Image(base), .. } = &member.image.content else { return None };
    let digest = [("sha256".to_owned(), base.digest().hex().to_owned())].into();
    Some(Dependency { uri: format!("oci://{base}"), digest })
}

/// How the pipeline's jobs ended; those that were skipped say nothing.
fn tests(flight: &Flight) -> Value {
    let mut tests = Tests::default();
    for (job, record) in &flight.pipeline.jobs {
        let Some(record) = record else { continue };
        match record.conclusion {
            JobConclusion::Success => tests.passed.push(job.clone()),
            JobConclusion::Failure | JobConclusion::Cancelled if record.tolerated => tests.warned.push(job.clone()),
            JobConclusion::Failure | JobConclusion::Cancelled => tests.failed.push(job.clone()),
            JobConclusion::Skipped => {}
        }
    }
    predicate::tests(&tests)
}
