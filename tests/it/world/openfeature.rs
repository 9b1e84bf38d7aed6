//! A service that asks for its feature flags, with OpenFeature's own client for Python over OFREP.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// The client's process.
pub(crate) struct Client {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Client {
    /// Starts it with a base URL, a token and flagd's own copy of the definitions; none where it is not installed,
    /// which is a failure in CI.
    #[expect(clippy::print_stderr, reason = "whoever runs the tests should know which they did not run")]
    pub(crate) fn start(url: &str, token: &str, definitions: &Path) -> Option<Self> {
        let python = python();
        if !python.is_file() {
            assert_ne!(
                std::env::var_os("CI").as_deref(),
                Some("true".as_ref()),
                "OpenFeature's client is not installed: run scripts/test-peers.sh"
            );
            eprintln!("left out: OpenFeature's client is not installed");
            return None;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixture/flags_client.py");
        let mut command = Command::new(python);
        command.arg(script).args([url, token]).arg(definitions).env("no_proxy", "*");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let questions = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Some(Self { child, questions, answers })
    }

    /// What the client gets for a user, and what flagd would give.
    pub(crate) fn ask(&mut self, flag: &str, user: &str, context: &Value) -> Value {
        let question = json!({"flag": flag, "default": "the code's", "user": user, "context": context});
        writeln!(self.questions, "{question}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{question}: {error}: {answer:?}"))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Where scripts/test-peers.sh installs it.
fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/openfeature/bin/python")
}
