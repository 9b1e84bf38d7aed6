//! The service that the demo flies: the reference backend `examples/pad`, embedded when this program was built, and the
//! edits that a team would make to it.

use prograde_model::quantity::Period;

/// Every file, with its path.
pub(crate) const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/pad.rs"));

/// Where the greeting is, by which users tell versions apart.
const GREETING: &str = "src/greeting.rs";
/// Where the faults are.
const FAULTS: &str = "src/faults.rs";

/// A text to be replaced wherever it is in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edit {
    /// The file.
    pub(crate) path: &'static str,
    /// What is there.
    pub(crate) from: String,
    /// What is to be there instead.
    pub(crate) to: String,
}

impl Edit {
    fn new(path: &'static str, from: impl Into<String>, to: impl Into<String>) -> Self {
        Self { path, from: from.into(), to: to.into() }
    }
}

/// The greeting that the files have.
pub(crate) const FIRST_GREETING: &str = "hello from the pad";

/// What a request is answered when a fault was injected; only a version with a fault answers so.
pub(crate) const FAULT_ANSWER: &str = "a fault was injected";

/// Has production watched for `bake` at each step instead of minutes, and takes any free ports.
///
/// A share of 10% is ruled out by about 45 good requests, and the default 5% by 90. Both roll back what is clearly bad
/// just as fast.
pub(crate) fn in_a_hurry(bake: Period) -> Vec<Edit> {
    let analysis = "failure_share_max: 1%\n      failure_share_detect: 10%\n      wait_max: 60s";
    vec![
        Edit::new("prograde.yaml", "bake: 5m", format!("bake: {bake}")),
        Edit::new("prograde.yaml", "watch: 15m ", format!("watch: {bake} ")),
        Edit::new("prograde.yaml", "failure_share_max: 1%", analysis),
        Edit::new("deploy/base/deployment.yaml", "progressDeadlineSeconds: 120", "progressDeadlineSeconds: 30"),
        Edit::new("deploy/overlays/test/service.yaml", "\n      nodePort: 30081", ""),
        Edit::new("deploy/overlays/production/service.yaml", "\n      nodePort: 30080", ""),
    ]
}

/// Another greeting.
pub(crate) fn greet(from: &str, to: &str) -> Edit {
    Edit::new(GREETING, format!("{from:?}"), format!("{to:?}"))
}

/// One of five requests fails, as of a bug that the tests do not see.
pub(crate) fn fail_a_fifth() -> Edit {
    Edit::new(FAULTS, "ERROR_SHARE: f64 = 0.0;", "ERROR_SHARE: f64 = 0.2;")
}

/// No request fails any more.
pub(crate) fn fail_no_more() -> Edit {
    Edit::new(FAULTS, "ERROR_SHARE: f64 = 0.2;", "ERROR_SHARE: f64 = 0.0;")
}

/// Whether a request fails, as the service decides it.
const DRAW: &str = "fastrand::f64() < self.error_share\n";
/// The same with a bug that no canary shows: from 40 s after the first request on, more and more requests fail, up to
/// half of them.
const DRAW_MORE_AND_MORE: &str =
    "static BEGAN: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
        let late = (BEGAN.elapsed().as_secs_f64() - 40.0) / 60.0;
        fastrand::f64() < self.error_share + late.clamp(0.0, 0.5)\n";

/// More and more requests fail the longer the program runs.
pub(crate) fn fail_more_and_more() -> Edit {
    Edit::new(FAULTS, DRAW, DRAW_MORE_AND_MORE)
}

/// They do not any more.
pub(crate) fn fail_no_more_and_more() -> Edit {
    Edit::new(FAULTS, DRAW_MORE_AND_MORE, DRAW)
}

/// The program crashes before it listens.
pub(crate) fn crash_at_start() -> Edit {
    Edit::new(FAULTS, "CRASH_AT_START: bool = false;", "CRASH_AT_START: bool = true;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_service_is_embedded_and_nothing_that_was_built_from_it() {
        let names: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        for name in ["prograde.yaml", ".github/workflows/ci.yml", "Cargo.lock", "src/main.rs", "tests/it/main.rs"] {
            assert!(names.contains(&name), "{name} is missing");
        }
        assert!(names.iter().all(|name| !name.starts_with("target/")));
    }
}
