//! What is kept on disk of each replica, so that a server that starts after a crash knows its own: one `state.json` in
//! `replicas/<name>/`, replaced whole.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use prograde_model::{Digest, FlightId, Target};
use serde::{Deserialize, Serialize};

use crate::clock::now;
use crate::files::{Durability, read_bounded, write_atomic};
use crate::ports::PortMap;
use crate::process::{Identity, Process};
use crate::spec::Spec;

/// The format's version; a record of another one is not read.
const VERSION: u32 = 1;
const BYTES_MAX: u64 = 64 * 1024;

/// One replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    version: u32,
    /// Its name, which is also its directory's.
    pub(crate) id: String,
    /// Where it belongs.
    pub(crate) target: Target,
    /// Its version.
    pub(crate) revision: FlightId,
    /// Its image.
    pub(crate) digest: Digest,
    /// Fingerprint of the workload and image that it was started from.
    pub(crate) fingerprint: String,
    /// When it was created; younger ones are stopped first.
    pub(crate) created: Timestamp,
    /// How often it was restarted.
    pub(crate) restarts: u32,
    /// `terminationGracePeriodSeconds`.
    pub(crate) grace_s: u32,
    /// Whether it was being stopped for good: then nothing brings it back.
    pub(crate) stopping: bool,
    /// Its process; absent while it is about to start.
    pub(crate) running: Option<Running>,
}

/// A replica's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Running {
    /// Which process.
    pub(crate) process: Identity,
    /// Its ports.
    pub(crate) ports: PortMap,
    /// When it was started.
    pub(crate) since: Timestamp,
    /// Whether its startup probe, if any, has succeeded.
    pub(crate) started: bool,
    /// Since when it has been ready.
    pub(crate) ready_since: Option<Timestamp>,
    /// Whether it is a container's.
    #[serde(default)]
    pub(crate) confined: bool,
}

impl Running {
    /// A process that has just been started.
    pub(crate) fn new(process: &Process, ports: PortMap) -> Self {
        let (process, confined) = (process.identity().clone(), process.is_confined());
        Self { process, ports, since: now(), started: false, ready_since: None, confined }
    }
}

impl Record {
    /// A replica that has not run yet.
    pub(crate) fn new(id: String, target: Target, spec: &Spec, created: Timestamp) -> Self {
        Self {
            version: VERSION,
            id,
            target,
            revision: spec.revision.clone(),
            digest: spec.digest.clone(),
            fingerprint: spec.fingerprint.clone(),
            created,
            restarts: 0,
            grace_s: spec.workload.termination_grace_s,
            stopping: false,
            running: None,
        }
    }

    /// Writes it into `dir`. It need not survive a power cut: the process it tells of would not either.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        write_atomic(&path(dir), &serde_json::to_vec(self)?, Durability::Process)
    }

    /// Reads the record in `dir`, whose name must be the replica's.
    pub(crate) fn read(dir: &Path) -> io::Result<Self> {
        let record: Self = serde_json::from_slice(&read_bounded(&path(dir), BYTES_MAX)?)?;
        let invalid = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidData, why));
        if record.version != VERSION {
            return invalid("written by another version of this program");
        }
        if dir.file_name() != Some(record.id.as_ref()) {
            return invalid("it is another replica's");
        }
        Ok(record)
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("state.json")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::image::ImageRoot;
    use crate::testing::workload;

    fn record(id: &str) -> Record {
        let target = Target { environment: "staging".parse().unwrap(), service: "pad".parse().unwrap() };
        let digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        let image =
            ImageRoot { path: "/".into(), entrypoint: vec![], cmd: vec![], env: vec![], working_dir: None, user: None };
        let spec = Spec::new("b".repeat(32).parse().unwrap(), digest, workload(), image);
        let mut record = Record::new(id.into(), target, &spec, Timestamp::UNIX_EPOCH);
        record.running = Some(Running {
            process: Identity { pid: 4242, start_ticks: 7, boot: "b".into() },
            ports: PortMap::default(),
            since: Timestamp::UNIX_EPOCH,
            started: true,
            ready_since: None,
            confined: false,
        });
        record
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_nothing_else_is() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("pad-1");
        fs::create_dir(&dir).unwrap();
        let written = record("pad-1");
        written.write(&dir).unwrap();
        assert_eq!(Record::read(&dir).unwrap(), written);

        let text = fs::read_to_string(dir.join("state.json")).unwrap();
        let hostile = [
            String::new(),
            text[..text.len() / 2].to_owned(),
            text.replace("pad-1", "../pad-2"),
            text.replace(r#""version":1"#, r#""version":2"#),
            text.replace("4242", "99999999999"),
            text.replace("staging", "../../etc"),
            text.replacen('{', r#"{"extra":1,"#, 1),
            "[".repeat(100_000),
            "null".into(),
        ];
        for content in hostile {
            assert_ne!(content, text);
            fs::write(dir.join("state.json"), &content).unwrap();
            assert!(Record::read(&dir).is_err(), "{}", &content[..content.len().min(80)]);
        }
        fs::remove_file(dir.join("state.json")).unwrap();
        assert_eq!(Record::read(&dir).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
