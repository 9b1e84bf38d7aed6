//! Filters of system calls: the profile that `RuntimeDefault` stands for, and profiles in files in the format of the
//! container engines, both as programs for the kernel.
//!
//! Invariant: a profile is compiled whole or not at all, and a process under a profile never starts without it.

mod calls;
mod profile;

use std::collections::BTreeSet;

use seccompiler::{BpfProgram, TargetArch, compile_from_json};
use serde_json::{Value, json};

pub use profile::{PROFILE_BYTES_MAX, from_file};

/// Kernel flags of `clone(2)` that make a namespace: what a process without `CAP_SYS_ADMIN` may not ask for.
const CLONE_NAMESPACES: u64 = 0x7E02_0000;
/// `AF_VSOCK`: sockets to the machine below a virtual one, which no namespace keeps apart (`vsock(7)`).
const AF_VSOCK: u64 = 40;
/// What `personality(2)` may be set to: none, 32-bit and the old versions of `uname26`, and asking.
const PERSONALITIES: [u64; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xFFFF_FFFF];
const EPERM: u64 = 1;
const ENOSYS: u64 = 38;
const NAME: &str = "filter";

/// Why there is no filter.
#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    /// Filters can be made for x86-64, 64-bit Arm and 64-bit RISC-V.
    #[error("there are no filters of system calls for the architecture {0}")]
    Architecture(&'static str),
    /// The profile's text is none.
    #[error("the profile can't be read: {0}")]
    Profile(String),
    /// What is asked for can't be made into a program.
    #[error("the profile can't be made into a filter: {0}")]
    Compile(String),
}

/// A filter: each of its programs is installed, and the strictest answer counts (`seccomp(2)`).
#[derive(Debug, Clone)]
pub struct Filter(pub(crate) Vec<BpfProgram>);

/// The rules of one program.
pub(crate) struct Rules {
    /// What happens to a call that no rule is about.
    pub(crate) otherwise: Value,
    /// What happens to one that a rule is about.
    pub(crate) matching: Value,
    /// Calls: a call's name, with conditions or none.
    pub(crate) calls: Vec<Value>,
}

/// The architecture that this program was built for.
pub(crate) fn architecture() -> Result<TargetArch, SeccompError> {
    TargetArch::try_from(std::env::consts::ARCH).map_err(|_| SeccompError::Architecture(std::env::consts::ARCH))
}

/// Whether this machine's architecture has a call of that name.
pub(crate) fn is_call(name: &str) -> bool {
    // The library tells only by compiling.
    let rules = Rules { otherwise: errno(EPERM), matching: json!("allow"), calls: vec![json!({ "syscall": name })] };
    architecture().is_ok_and(|arch| compile(&rules, arch).is_ok())
}

/// An answer of the kernel in place of the call.
pub(crate) fn errno(number: u64) -> Value {
    json!({ "errno": number })
}

pub(crate) fn compile(rules: &Rules, arch: TargetArch) -> Result<BpfProgram, SeccompError> {
    let filter = json!({ NAME: {
        "mismatch_action": rules.otherwise, "match_action": rules.matching, "filter": rules.calls,
    }});
    let text = serde_json::to_vec(&filter).map_err(|error| SeccompError::Compile(error.to_string()))?;
    let mut programs =
        compile_from_json(text.as_slice(), arch).map_err(|error| SeccompError::Compile(error.to_string()))?;
    programs
        .remove(NAME)
        .filter(|program| !program.is_empty())
        .ok_or_else(|| SeccompError::Compile("it allows everything, which is what `Unconfined` stands for".to_owned()))
}

/// The profile of `RuntimeDefault` for a process with these capabilities (without `CAP_`): what is not allowed is
/// answered with `EPERM`.
pub fn runtime_default(capabilities: &BTreeSet<String>) -> Result<Filter, SeccompError> {
    let arch = architecture()?;
    let mut allowed: BTreeSet<&str> =
        [calls::FILES, calls::MEMORY_AND_TIME, calls::PROCESSES, calls::MESSAGES].concat().into_iter().collect();
    for (capability, opened) in calls::BY_CAPABILITY {
        if capabilities.contains(*capability) {
            allowed.extend(*opened);
        }
    }
    let makes_namespaces = capabilities.contains("SYS_ADMIN");
    if !makes_namespaces {
        // Its flags are in memory, where no filter can read them: C libraries fall back to `clone` on `ENOSYS`.
        allowed.insert("clone3");
    }
    let mut rules: Vec<Value> =
        allowed.into_iter().filter(|name| is_call(name)).map(|name| json!({ "syscall": name })).collect();
    if !makes_namespaces {
        rules.push(json!({ "syscall": "clone", "args": [
            { "index": 0, "type": "qword", "op": { "masked_eq": CLONE_NAMESPACES }, "val": 0 }] }));
    }
    for persona in PERSONALITIES {
        rules.push(json!({ "syscall": "personality", "args": [
            { "index": 0, "type": "qword", "op": "eq", "val": persona }] }));
    }
    rules.push(json!({ "syscall": "socket", "args": [
        { "index": 0, "type": "dword", "op": "ne", "val": AF_VSOCK }] }));
    let mut programs = vec![compile(&Rules { otherwise: errno(EPERM), matching: json!("allow"), calls: rules }, arch)?];
    if !makes_namespaces {
        let rules = vec![json!({ "syscall": "clone3" })];
        programs.push(compile(&Rules { otherwise: json!("allow"), matching: errno(ENOSYS), calls: rules }, arch)?);
    }
    Ok(Filter(programs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_lists_is_a_call_of_some_architecture() {
        // Of x86-64 all are known but the two that only other kernels have.
        let lists = [calls::FILES, calls::MEMORY_AND_TIME, calls::PROCESSES, calls::MESSAGES].concat();
        let by_capability = calls::BY_CAPABILITY.iter().flat_map(|(_, names)| names.iter().copied());
        let unknown: Vec<&str> = lists.into_iter().chain(by_capability).filter(|name| !is_call(name)).collect();
        if cfg!(target_arch = "x86_64") {
            assert_eq!(unknown, Vec::<&str>::new());
        }
        assert!(!is_call("sudo") && !is_call(""));
    }

    #[test]
    fn a_capability_opens_what_it_is_for() {
        let none = runtime_default(&BTreeSet::new()).unwrap();
        assert_eq!(none.0.len(), 2, "the second answers clone3");
        let admin = runtime_default(&BTreeSet::from(["SYS_ADMIN".to_owned()])).unwrap();
        assert_eq!(admin.0.len(), 1);
        assert!(none.0.iter().chain(&admin.0).all(|program| program.len() < 4096), "the kernel's BPF_MAXINSNS");
    }
}
