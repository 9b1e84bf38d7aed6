//! Profiles in files: the JSON that Docker, containerd and the OCI runtime specification share (config-linux.md,
//! section "Seccomp"), read strictly: what a filter here can't do is an error, never left out.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{EPERM, Filter, Rules, SeccompError, architecture, compile, is_call};

/// The longest profile that is read; Docker's has 15 KiB.
pub const PROFILE_BYTES_MAX: u64 = 256 * 1024;
/// Rules in a profile; each is tried by the kernel for each call.
const RULES_MAX: usize = 4096;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Profile {
    default_action: Action,
    #[serde(default)]
    default_errno_ret: Option<u64>,
    /// Which architectures it is for: only this one's calls are let through here, whatever it says.
    #[serde(default, rename = "architectures")]
    _architectures: Vec<String>,
    #[serde(default, rename = "archMap")]
    _arch_map: Vec<Value>,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    syscalls: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Entry {
    names: Vec<String>,
    action: Action,
    #[serde(default)]
    errno_ret: Option<u64>,
    #[serde(default)]
    args: Vec<Condition>,
    #[serde(default, rename = "comment")]
    _comment: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Condition {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: Operator,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
enum Action {
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    #[serde(rename = "SCMP_ACT_KILL", alias = "SCMP_ACT_KILL_THREAD")]
    KillThread,
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
}

#[derive(Deserialize, Clone, Copy)]
enum Operator {
    #[serde(rename = "SCMP_CMP_NE")]
    Ne,
    #[serde(rename = "SCMP_CMP_LT")]
    Lt,
    #[serde(rename = "SCMP_CMP_LE")]
    Le,
    #[serde(rename = "SCMP_CMP_EQ")]
    Eq,
    #[serde(rename = "SCMP_CMP_GE")]
    Ge,
    #[serde(rename = "SCMP_CMP_GT")]
    Gt,
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEq,
}

/// The filter that a profile's text describes.
///
/// Rules with the default's action say nothing new. The others become one program for each action. Where the default
/// denies, what any rule names passes the first program, and the others then answer it.
pub fn from_file(text: &str) -> Result<Filter, SeccompError> {
    let profile: Profile = serde_json::from_str(text).map_err(|error| SeccompError::Profile(error.to_string()))?;
    if let Some(flag) = profile.flags.first() {
        return Err(SeccompError::Profile(format!("the flag `{flag}` can't be had on this runtime")));
    }
    let arch = architecture()?;
    let default = action(profile.default_action, profile.default_errno_ret)?;
    let mut by_action: BTreeMap<String, (Value, Vec<Value>)> = BTreeMap::new();
    let mut named = Vec::new();
    for entry in &profile.syscalls {
        let action = action(entry.action, entry.errno_ret)?;
        if action == default {
            continue;
        }
        let rules = rules(entry)?;
        named.extend(rules.iter().cloned());
        if named.len() > RULES_MAX {
            return Err(SeccompError::Profile(format!("it has more than {RULES_MAX} rules")));
        }
        by_action.entry(action.to_string()).or_insert_with(|| (action, Vec::new())).1.extend(rules);
    }
    let allow = json!("allow");
    let mut programs = Vec::new();
    if default != allow {
        programs.push(Rules { otherwise: default, matching: allow.clone(), calls: named });
    }
    for (action, rules) in by_action.into_values().filter(|(action, _)| *action != allow) {
        programs.push(Rules { otherwise: allow.clone(), matching: action, calls: rules });
    }
    if programs.is_empty() {
        return Err(SeccompError::Profile("it allows everything; write `type: Unconfined`".to_owned()));
    }
    programs.iter().map(|rules| compile(&whole(rules), arch)).collect::<Result<_, _>>().map(Filter)
}

/// A call with a rule that has no condition needs no others: the library would look at the conditions alone.
fn whole(rules: &Rules) -> Rules {
    let name = |rule: &Value| rule.get("syscall").and_then(Value::as_str).unwrap_or_default().to_owned();
    let whole: std::collections::BTreeSet<String> =
        rules.calls.iter().filter(|rule| rule.get("args").is_none()).map(name).collect();
    let kept = rules.calls.iter().filter(|rule| rule.get("args").is_none() || !whole.contains(&name(rule)));
    Rules { otherwise: rules.otherwise.clone(), matching: rules.matching.clone(), calls: kept.cloned().collect() }
}

fn rules(entry: &Entry) -> Result<Vec<Value>, SeccompError> {
    if entry.names.is_empty() {
        return Err(SeccompError::Profile("an entry of `syscalls` names none".to_owned()));
    }
    let mut conditions = Vec::new();
    for condition in &entry.args {
        if condition.index > 5 {
            return Err(SeccompError::Profile(format!("a call has arguments 0 to 5, not {}", condition.index)));
        }
        let (op, value) = match condition.op {
            Operator::Ne => (json!("ne"), condition.value),
            Operator::Lt => (json!("lt"), condition.value),
            Operator::Le => (json!("le"), condition.value),
            Operator::Eq => (json!("eq"), condition.value),
            Operator::Ge => (json!("ge"), condition.value),
            Operator::Gt => (json!("gt"), condition.value),
            Operator::MaskedEq => (json!({ "masked_eq": condition.value }), condition.value_two),
        };
        conditions.push(json!({ "index": condition.index, "type": "qword", "op": op, "val": value }));
    }
    // Profiles name the calls of many architectures.
    let names = entry.names.iter().filter(|name| is_call(name));
    Ok(names
        .map(|name| match conditions.as_slice() {
            [] => json!({ "syscall": name }),
            conditions => json!({ "syscall": name, "args": conditions }),
        })
        .collect())
}

fn action(action: Action, number: Option<u64>) -> Result<Value, SeccompError> {
    let number = number.unwrap_or(EPERM);
    // The kernel's MAX_ERRNO.
    if number > 4095 {
        return Err(SeccompError::Profile(format!("{number} is no error number")));
    }
    Ok(match action {
        Action::Allow => json!("allow"),
        Action::Errno => super::errno(number),
        Action::KillThread => json!("kill_thread"),
        Action::KillProcess => json!("kill_process"),
        Action::Log => json!("log"),
        Action::Trap => json!("trap"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<usize, &str>) {
        match (from_file(text), expected) {
            (Ok(filter), Ok(programs)) => assert_eq!(filter.0.len(), programs, "{text}"),
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{text}: {error}"),
            (got, _) => panic!("{text}: {got:?}"),
        }
    }

    #[test]
    fn profiles_are_read_whole_or_refused() {
        let denying = |rest: &str| format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO"{rest}}}"#);
        let allowing = |rest: &str| format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW"{rest}}}"#);
        let entry = |body: &str| format!(r#","syscalls":[{body}]"#);
        check(&denying(&entry(r#"{"names":["read","write"],"action":"SCMP_ACT_ALLOW"}"#)), Ok(1));
        let two = r#"{"names":["read"],"action":"SCMP_ACT_ALLOW"},{"names":["clone3"],"action":"SCMP_ACT_ERRNO","errnoRet":38}"#;
        check(&denying(&entry(two)), Ok(2));
        check(&allowing(&entry(r#"{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}"#)), Ok(1));
        let mixed = r#"{"names":["read"],"action":"SCMP_ACT_ALLOW"},{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}"#;
        check(&denying(&entry(mixed)), Ok(1));
        check(&denying(""), Ok(1));
        check(&allowing(""), Err("allows everything"));
        check(&denying(r#","flags":["SECCOMP_FILTER_FLAG_LOG"]"#), Err("the flag"));
        check(&denying(&entry(r#"{"names":["read"],"action":"SCMP_ACT_NOTIFY"}"#)), Err("unknown variant"));
        check(&denying(&entry(r#"{"names":["read"],"action":"SCMP_ACT_ALLOW","includes":{}}"#)), Err("unknown field"));
        check(&denying(&entry(r#"{"names":[],"action":"SCMP_ACT_ALLOW"}"#)), Err("names none"));
        let arg = r#"{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":9,"value":1,"op":"SCMP_CMP_EQ"}]}"#;
        check(&denying(&entry(arg)), Err("arguments 0 to 5"));
        check(
            &denying(&entry(r#"{"names":["read"],"action":"SCMP_ACT_ERRNO","errnoRet":70000}"#)),
            Err("no error number"),
        );
        for hostile in ["", "null", "[]", "{}", &"[".repeat(100_000)] {
            check(hostile, Err("can't be read"));
        }
    }
}
