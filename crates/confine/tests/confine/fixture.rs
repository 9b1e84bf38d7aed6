//! What the tests share: an image with nothing but a shell, and containers of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use prograde_confine::{Config, End, Limits, Machine, Profile, cgroup};

/// Tests beside each other have containers of their own.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A container to be, and what is left to look at when it has ended.
pub(crate) struct Scene {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) config: Config,
}

/// What a container wrote, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) end: Option<End>,
    pub(crate) status: std::process::ExitStatus,
}

impl Scene {
    /// A shell script as user 1000, with a read-only root, no capability, a filter, and a `/tmp`. None where this machine
    /// can't give that: the test is left out by name.
    pub(crate) fn new(test: &str, script: &str) -> Option<Self> {
        let missing = Machine::survey().missing.first().map(|missing| format!("{}: {}", missing.part, missing.why));
        let busybox = busybox();
        let why =
            missing.or_else(|| busybox.is_none().then(|| "busybox is missing: apt-get install busybox-static".into()));
        if let Some(why) = why {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{test} needs a container: {why}");
            eprintln!("left out: {test}, as no container can be had here: {why}");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let (image, place) = (dir.path().join("image"), dir.path().join("place"));
        fs::create_dir_all(image.join("bin")).unwrap();
        fs::create_dir(&place).unwrap();
        fs::copy(busybox.unwrap(), image.join("bin/busybox")).unwrap();
        let id = format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let config = Config {
            dir: place,
            image,
            program: "/bin/busybox".into(),
            arguments: ["sh", "-c", script].map(str::to_owned).to_vec(),
            environment: BTreeMap::from([("PATH".into(), "/bin".into()), ("SECRET".into(), "hunter2".into())]),
            directory: "/".into(),
            uid: 1000,
            gid: 1001,
            groups: vec![7],
            capabilities: BTreeSet::new(),
            no_new_privileges: true,
            seccomp: Profile::RuntimeDefault,
            read_only_root: true,
            privileged: false,
            limits: Limits::default(),
            mounts: vec![prograde_confine::Mount {
                path: "/tmp".into(),
                source: None,
                bytes_max: Some(1 << 20),
                group: None,
                read_only: false,
            }],
            cgroup: format!("/prograde-{id}/{id}"),
            id,
        };
        Some(Self { dir, config })
    }

    pub(crate) fn start(&self) -> Child {
        let file = |name: &str| fs::File::create(self.config.dir.join(name)).unwrap();
        let mut command = prograde_confine::command(&helper(), &self.config).unwrap();
        command
            .stdout(Stdio::from(file("stdout")))
            .stderr(Stdio::from(file("stderr")))
            .process_group(0)
            .spawn()
            .unwrap()
    }

    pub(crate) fn finish(&self, mut child: Child) -> Ran {
        let status = child.wait().unwrap();
        let read = |name: &str| fs::read_to_string(self.config.dir.join(name)).unwrap();
        Ran { stdout: read("stdout"), stderr: read("stderr"), end: End::read(&self.config.dir), status }
    }

    /// Runs a script in the container that is there.
    pub(crate) fn enter(&self, maker: u32, script: String) -> (std::process::ExitStatus, String) {
        let mut config = self.config.clone();
        config.arguments[2] = script;
        let mut command = prograde_confine::enter_command(&helper(), &config, i32::try_from(maker).unwrap()).unwrap();
        let output = command.process_group(0).output().unwrap();
        (output.status, String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    /// Runs it to its end and checks that nothing of it is left on the machine.
    pub(crate) fn run(&self) -> Ran {
        let ran = self.finish(self.start());
        self.nothing_is_left();
        ran
    }

    pub(crate) fn groups(&self) -> Vec<PathBuf> {
        let name = self.config.cgroup.trim_start_matches('/');
        let trees = fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
        let all = trees.chain([PathBuf::from("/sys/fs/cgroup")]).map(|tree| tree.join(name));
        all.filter(|path| path.exists()).collect()
    }

    pub(crate) fn nothing_is_left(&self) {
        assert_eq!(self.groups(), Vec::<PathBuf>::new(), "control groups are left");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.dir.path().to_str().unwrap()), "mounts are left: {mounts}");
        assert_eq!(cgroup::below(&format!("/prograde-{}", self.config.id)), Vec::<String>::new());
    }

    pub(crate) fn wait_for(&self, what: &str) {
        until(what, || fs::read_to_string(self.config.dir.join("stdout")).is_ok_and(|text| text.contains(what)));
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // Also when the test failed.
        cgroup::remove(&self.config.cgroup).ok();
        cgroup::remove_empty(&self.config.cgroup);
    }
}

pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..3000 {
        if condition() {
            return;
        }
        pause();
    }
    panic!("waited in vain: {what}");
}

#[expect(clippy::disallowed_methods, reason = "the tests have no event loop")]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

fn busybox() -> Option<&'static Path> {
    ["/bin/busybox", "/usr/bin/busybox"].into_iter().map(Path::new).find(|path| {
        // Debian has one with and one without a loader.
        let ran = Command::new(path).arg("true").status().is_ok_and(|status| status.success());
        let nothing = |_: &Path| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
        ran && prograde_confine::image::check_program(path, path.to_path_buf(), nothing).is_ok()
    })
}

/// The example of this crate, which Cargo builds with its tests.
fn helper() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let built = this.parent().and_then(Path::parent).unwrap().join("examples/container");
    assert!(built.exists(), "{} is built by `cargo test`", built.display());
    built
}
