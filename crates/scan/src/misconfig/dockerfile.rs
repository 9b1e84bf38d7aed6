//! Dockerfiles (docs.docker.com/reference/dockerfile).

use std::collections::BTreeSet;

use prograde_model::Diagnostic;

use super::{Findings, Rule, names_secret, pipes_to_shell};
use crate::codes;
use crate::severity::Severity;

const ROOT: Rule =
    Rule("dockerfile-root-user", Severity::High, "add `USER` with a user other than root to the last stage");
const LATEST: Rule =
    Rule("dockerfile-latest-tag", Severity::Medium, "name a tag, better a digest: `FROM image:1.2@sha256:…`");
const ADD_URL: Rule =
    Rule("dockerfile-add-url", Severity::Medium, "use `ADD --checksum=sha256:…`, or fetch and check it in a `RUN`");
const ADD: Rule = Rule("dockerfile-add", Severity::Low, "use `COPY`, which does nothing but copy");
const SECRET: Rule = Rule(
    "dockerfile-secret",
    Severity::High,
    "use `RUN --mount=type=secret`; what stands in ENV and ARG stays in the image",
);
const SECRET_ARG: Rule = Rule(
    "dockerfile-secret-arg",
    Severity::Medium,
    "use `RUN --mount=type=secret`; build arguments stay in the image's history",
);
const COPIED: Rule =
    Rule("dockerfile-copies-secret", Severity::High, "leave the file out, and mount it while building or running");
const SHELL: Rule =
    Rule("dockerfile-pipe-to-shell", Severity::High, "fetch it to a file, check its digest, then run it");
const INSECURE: Rule = Rule("dockerfile-unverified-tls", Severity::High, "let certificates be checked");
const SUDO: Rule = Rule("dockerfile-sudo", Severity::Medium, "switch with `USER` in place of `sudo`");
const APT_UPDATE: Rule =
    Rule("dockerfile-apt-update-alone", Severity::Medium, "write `apt-get update && apt-get install` in one RUN");
const APT_CLEAN: Rule = Rule(
    "dockerfile-apt-lists",
    Severity::Low,
    "end the RUN with `rm -rf /var/lib/apt/lists/*`, or mount it as a cache",
);
const APT_RECOMMENDS: Rule = Rule("dockerfile-apt-recommends", Severity::Low, "add `--no-install-recommends`");
const UNPINNED: Rule = Rule("dockerfile-unpinned-package", Severity::Info, "pin versions: `package=1.2.3-1`");
const APK_CACHE: Rule = Rule("dockerfile-apk-cache", Severity::Low, "add `--no-cache`");
const PIP_CACHE: Rule = Rule("dockerfile-pip-cache", Severity::Info, "add `--no-cache-dir`");
const CHMOD: Rule = Rule("dockerfile-chmod-777", Severity::Medium, "give only the rights that are needed");
const HEALTH: Rule =
    Rule("dockerfile-no-healthcheck", Severity::Info, "add `HEALTHCHECK`, unless the platform probes the container");
const WORKDIR: Rule = Rule("dockerfile-relative-workdir", Severity::Low, "write an absolute path");
const SSH: Rule = Rule("dockerfile-exposes-ssh", Severity::Medium, "run no SSH server in a container");
const TWICE: Rule = Rule("dockerfile-several-commands", Severity::Low, "keep the last one; the others have no effect");
const MAINTAINER: Rule =
    Rule("dockerfile-maintainer", Severity::Info, "use `LABEL org.opencontainers.image.authors=…`");

/// All instructions (docs.docker.com/reference/dockerfile, "Overview").
const KNOWN: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

struct Instruction {
    line: u32,
    name: String,
    arguments: String,
}

/// One stage, as far as it has been read.
#[derive(Default)]
struct Stage {
    line: u32,
    base: String,
    user: Option<(u32, String)>,
    health: bool,
    commands: Vec<(&'static str, u32)>,
}

pub(super) fn check(text: &str, findings: &mut Findings<'_>) -> Result<(), Diagnostic> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut arguments: BTreeSet<String> = BTreeSet::new();
    let mut stages: Vec<Stage> = Vec::new();
    for one in instructions(findings.file, text)? {
        if one.name == "FROM" {
            stages.push(from(&one, &mut names, findings));
            continue;
        }
        if one.name == "ARG" {
            arguments.insert(one.arguments.clone());
        }
        let Some(stage) = stages.last_mut() else {
            if one.name != "ARG" {
                return Err(malformed(findings.file, one.line, "expected `FROM` first"));
            }
            settings(&one, findings);
            continue;
        };
        instruction(&one, stage, findings);
    }
    let Some(last) = stages.last() else {
        return Err(malformed(findings.file, 0, "it has no `FROM`"));
    };
    whole(last, &stages, findings);
    Ok(())
}

fn malformed(file: &str, line: u32, why: impl Into<String>) -> Diagnostic {
    Diagnostic::file(codes::CONFIG_FORM, file, why, "see Docker's reference of Dockerfiles").at(line, 0)
}

/// Instructions with continued lines joined and heredocs added to what they belong to.
fn instructions(file: &str, text: &str) -> Result<Vec<Instruction>, Diagnostic> {
    let escape = escape_character(text);
    let mut found = Vec::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((line, raw)) = lines.next() {
        let mut content = raw.trim().to_owned();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        while let Some(before) = content.strip_suffix(escape) {
            content = before.trim_end().to_owned();
            // Comments and empty lines within a continued instruction are left out.
            let next = lines.by_ref().map(|(_, raw)| raw.trim()).find(|raw| !raw.is_empty() && !raw.starts_with('#'));
            let Some(next) = next else { break };
            content.push(' ');
            content.push_str(next);
        }
        let (name, arguments) = content.split_once(char::is_whitespace).unwrap_or((&content, ""));
        let name = name.to_ascii_uppercase();
        if !KNOWN.contains(&name.as_str()) {
            return Err(malformed(
                file,
                line,
                format!("`{}` is no instruction", name.chars().take(40).collect::<String>()),
            ));
        }
        let mut arguments = arguments.trim().to_owned();
        if matches!(name.as_str(), "RUN" | "COPY" | "ADD") {
            for end in heredocs(&arguments) {
                for (_, raw) in lines.by_ref() {
                    if raw.trim() == end {
                        break;
                    }
                    arguments.push('\n');
                    arguments.push_str(raw);
                }
            }
        }
        found.push(Instruction { line, name, arguments });
    }
    Ok(found)
}

/// The directive `# escape=` on the first lines.
fn escape_character(text: &str) -> char {
    let directives = text.lines().take_while(|line| line.trim_start().starts_with('#'));
    let escape = directives
        .filter_map(|line| line.trim_start_matches(['#', ' ']).split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case("escape"));
    if escape.is_some_and(|(_, value)| value.trim() == "`") { '`' } else { '\\' }
}

fn heredocs(arguments: &str) -> Vec<String> {
    let words = arguments.split_whitespace().filter_map(|word| word.strip_prefix("<<"));
    let name = |word: &str| word.trim_start_matches('-').trim_matches(['"', '\'']).to_owned();
    words
        .map(name)
        .filter(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
        .collect()
}

fn from(one: &Instruction, names: &mut BTreeSet<String>, findings: &mut Findings<'_>) -> Stage {
    let words: Vec<&str> = one.arguments.split_whitespace().filter(|word| !word.starts_with("--")).collect();
    let image = words.first().copied().unwrap_or_default();
    let tag = image.rsplit('/').next().and_then(|name| name.split_once(':')).map(|(_, tag)| tag);
    let known =
        names.contains(&image.to_ascii_lowercase()) || image == "scratch" || image.contains('$') || image.contains('@');
    if !known && tag.is_none_or(|tag| tag == "latest") {
        findings.add(LATEST, one.line, format!("the image `{image}` may be another one tomorrow"));
    }
    if let [_, word, name, ..] = words.as_slice()
        && word.eq_ignore_ascii_case("as")
    {
        names.insert(name.to_ascii_lowercase());
    }
    let base = if names.contains(&image.to_ascii_lowercase()) { image.to_ascii_lowercase() } else { String::new() };
    let name = words.get(2).map(|name| name.to_ascii_lowercase()).unwrap_or_default();
    Stage { line: one.line, base: format!("{base}\n{name}"), ..Stage::default() }
}

fn instruction(one: &Instruction, stage: &mut Stage, findings: &mut Findings<'_>) {
    match one.name.as_str() {
        "USER" => stage.user = Some((one.line, one.arguments.clone())),
        "HEALTHCHECK" => stage.health = true,
        "CMD" => stage.commands.push(("CMD", one.line)),
        "ENTRYPOINT" => stage.commands.push(("ENTRYPOINT", one.line)),
        "ENV" | "ARG" => settings(one, findings),
        "ADD" => add(one, findings),
        "COPY" => copies(one, findings),
        "RUN" => run(one, findings),
        "MAINTAINER" => findings.add(MAINTAINER, one.line, "`MAINTAINER` is deprecated"),
        "WORKDIR" => {
            let path = one.arguments.trim_matches('"');
            let absolute = path.starts_with(['/', '$', '\\']) || path.get(1..2) == Some(":");
            if !absolute {
                findings.add(WORKDIR, one.line, format!("the working directory `{path}` depends on the one before"));
            }
        }
        "EXPOSE" => {
            if one.arguments.split_whitespace().any(|port| port == "22" || port == "22/tcp") {
                findings.add(SSH, one.line, "port 22 is exposed");
            }
        }
        _ => {}
    }
}

/// Values of ENV and ARG.
fn settings(one: &Instruction, findings: &mut Findings<'_>) {
    let pairs: Vec<(String, String)> =
        if one.name == "ENV" && !one.arguments.split_whitespace().next().is_some_and(|word| word.contains('=')) {
            one.arguments
                .split_once(char::is_whitespace)
                .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
                .into_iter()
                .collect()
        } else {
            words(&one.arguments)
                .into_iter()
                .map(|word| {
                    word.split_once('=')
                        .map_or((word.clone(), String::new()), |(key, value)| (key.to_owned(), value.to_owned()))
                })
                .collect()
        };
    for (key, value) in pairs {
        let value = value.trim_matches(['"', '\'']);
        if !names_secret(&key) {
            continue;
        }
        if !value.is_empty() && !value.starts_with('$') {
            findings.add(SECRET, one.line, format!("`{key}` gets a value that stays in the image"));
        } else if one.name == "ARG" {
            findings.add(SECRET_ARG, one.line, format!("the build argument `{key}` stays in the image's history"));
        }
    }
}

/// Words, with what stands in quotes as one.
fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut word = String::new();
    let mut quote: Option<char> = None;
    for c in text.chars() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, c) if c.is_whitespace() => {
                if !word.is_empty() {
                    found.push(std::mem::take(&mut word));
                }
            }
            (_, c) => word.push(c),
        }
    }
    if !word.is_empty() {
        found.push(word);
    }
    found
}

fn add(one: &Instruction, findings: &mut Findings<'_>) {
    let flags: Vec<&str> = one.arguments.split_whitespace().filter(|word| word.starts_with("--")).collect();
    let sources: Vec<&str> = one
        .arguments
        .split_whitespace()
        .filter(|word| !word.starts_with("--"))
        .map(|word| word.trim_matches(['"', '[', ']', ',']))
        .collect();
    let sources = sources.split_last().map(|(_, sources)| sources).unwrap_or_default();
    let url = sources.iter().find(|source| source.starts_with("http://") || source.starts_with("https://"));
    let packed = [".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar.zst"];
    if let Some(url) = url {
        if !flags.iter().any(|flag| flag.starts_with("--checksum")) {
            findings.add(ADD_URL, one.line, format!("`{url}` is added whatever it holds at the time"));
        }
    } else if !sources.iter().any(|source| {
        packed.iter().any(|ending| source.ends_with(ending)) || source.starts_with("git@") || source.contains(".git")
    }) && !one.arguments.contains("<<")
    {
        findings.add(ADD, one.line, "`ADD` unpacks and fetches where a copy is meant");
    }
    copies(one, findings);
}

fn copies(one: &Instruction, findings: &mut Findings<'_>) {
    let first = one.arguments.lines().next().unwrap_or_default();
    if first.contains("--from=") {
        return;
    }
    let all: Vec<&str> = first
        .split_whitespace()
        .filter(|word| !word.starts_with("--"))
        .map(|word| word.trim_matches(['"', '[', ']', ',']))
        .collect();
    for source in all.split_last().map(|(_, sources)| sources).unwrap_or_default() {
        let name = source.rsplit('/').next().unwrap_or(source);
        let secret = matches!(
            name,
            ".env"
                | ".npmrc"
                | ".pypirc"
                | ".netrc"
                | "id_rsa"
                | "id_ed25519"
                | "id_ecdsa"
                | "credentials"
                | ".git-credentials"
                | ".aws"
                | ".ssh"
                | "kubeconfig"
        ) || name.starts_with(".env.") && !name.contains("example") && !name.contains("sample")
            || [".pem", ".key", ".p12", ".pfx", ".jks"].iter().any(|ending| name.ends_with(ending));
        if secret {
            findings.add(COPIED, one.line, format!("`{source}` often holds secrets and becomes part of the image"));
        }
    }
}

fn run(one: &Instruction, findings: &mut Findings<'_>) {
    let text = &one.arguments;
    let has = |word: &str| {
        text.split(|c: char| c.is_whitespace() || matches!(c, ';' | '&' | '|' | '(' | ')')).any(|part| part == word)
    };
    if pipes_to_shell(text) {
        findings.add(SHELL, one.line, "what is fetched is run without being checked");
    }
    let insecure = has("curl") && (has("-k") || has("--insecure"))
        || has("--no-check-certificate")
        || text.contains("NODE_TLS_REJECT_UNAUTHORIZED=0")
        || text.contains("sslverify=false")
        || text.contains("http.sslVerify false");
    if insecure {
        findings.add(INSECURE, one.line, "certificates are not checked");
    }
    if has("sudo") {
        findings.add(SUDO, one.line, "`sudo` is used while building");
    }
    if text.contains("chmod 777") || text.contains("chmod -R 777") || text.contains("chmod a+rwx") {
        findings.add(CHMOD, one.line, "everybody may write");
    }
    apt(one, findings);
    if has("apk") && has("add") && !text.contains("--no-cache") && !text.contains("/var/cache/apk") {
        findings.add(APK_CACHE, one.line, "apk's index stays in the image");
    }
    if (has("pip") || has("pip3"))
        && has("install")
        && !text.contains("--no-cache-dir")
        && !text.contains("--mount=type=cache")
        && !text.contains("PIP_NO_CACHE_DIR")
    {
        findings.add(PIP_CACHE, one.line, "pip's cache stays in the image");
    }
}

fn apt(one: &Instruction, findings: &mut Findings<'_>) {
    let text = &one.arguments;
    let commands = text.split(['\n', ';']).flat_map(|line| line.split("&&"));
    let (mut updates, mut installs) = (false, false);
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        let apt = words.iter().position(|word| matches!(*word, "apt-get" | "apt" | "aptitude"));
        let Some(rest) = apt.and_then(|at| words.get(at + 1..)) else { continue };
        let Some(verb) = rest.iter().position(|word| !word.starts_with('-')) else { continue };
        updates |= rest.get(verb) == Some(&"update");
        if rest.get(verb) != Some(&"install") {
            continue;
        }
        installs = true;
        if !command.contains("--no-install-recommends") && !command.contains("Install-Recommends=") {
            findings.add(APT_RECOMMENDS, one.line, "packages that are only recommended are installed too");
        }
        let packages = rest.get(verb + 1..).unwrap_or_default().iter().filter(|word| !word.starts_with('-'));
        let loose: Vec<&str> = packages
            .filter(|word| !word.contains('=') && !word.contains('$') && !word.starts_with(['.', '/']))
            .copied()
            .collect();
        if !loose.is_empty() {
            findings.add(UNPINNED, one.line, format!("no version is said for {}", loose.join(", ")));
        }
    }
    if updates && !installs {
        findings.add(
            APT_UPDATE,
            one.line,
            "`apt-get update` is cached apart from the installation, which then uses old lists",
        );
    }
    let clean = text.contains("/var/lib/apt/lists")
        || text.contains("apt-get clean") && text.contains("rm -rf")
        || text.contains("--mount=type=cache");
    if installs && !clean {
        findings.add(APT_CLEAN, one.line, "apt's lists stay in the image");
    }
}

/// What can be said only once all has been read.
fn whole(last: &Stage, stages: &[Stage], findings: &mut Findings<'_>) {
    // A stage that is built on another one runs as that one's user.
    let mut stage = last;
    let mut user = stage.user.as_ref();
    let mut health = stage.health;
    for _ in 0..stages.len() {
        if user.is_some() && health {
            break;
        }
        let base = stage.base.split('\n').next().unwrap_or_default();
        let Some(next) = stages.iter().find(|other| !base.is_empty() && other.base.split('\n').nth(1) == Some(base))
        else {
            break;
        };
        stage = next;
        user = user.or(stage.user.as_ref());
        health |= stage.health;
    }
    match user {
        None => findings.add(ROOT, last.line, "the container runs as root: no `USER` is set"),
        Some((line, name)) => {
            let name = name.split(':').next().unwrap_or(name).trim();
            if name == "root" || name == "0" {
                findings.add(ROOT, *line, "the container runs as root");
            }
        }
    }
    if !health {
        findings.add(HEALTH, last.line, "the image does not say how to tell whether it works");
    }
    for kind in ["CMD", "ENTRYPOINT"] {
        let all: Vec<u32> = last.commands.iter().filter(|(name, _)| *name == kind).map(|(_, line)| *line).collect();
        for line in all.split_last().map(|(_, before)| before).unwrap_or_default() {
            findings.add(TWICE, *line, format!("this `{kind}` has no effect: another one follows"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FileKind, check};

    fn found(text: &str) -> Vec<String> {
        check(FileKind::Dockerfile, "Dockerfile", text)
            .unwrap()
            .iter()
            .map(|one| format!("{}:{}", one.line, one.id.trim_start_matches("dockerfile-")))
            .collect()
    }

    #[test]
    fn a_good_one_is_clean() {
        let text = "# syntax=docker/dockerfile:1\nARG V=1\nFROM rust:1.80@sha256:00 AS build\nRUN apt-get update && apt-get install -y --no-install-recommends \\\n  # why\n  clang=1:14 && rm -rf /var/lib/apt/lists/*\nFROM build\nCOPY --from=build /x /x\nENV PASSWORD_FILE=/run/x\nUSER 1000:1000\nHEALTHCHECK CMD /x\nENTRYPOINT [\"/x\"]\n";
        assert_eq!(found(text), Vec::<String>::new());
    }

    #[test]
    fn what_is_bad_is_found() {
        let cases: [(&str, &[&str]); 14] = [
            ("FROM alpine\nUSER a\nHEALTHCHECK NONE", &["1:latest-tag"]),
            ("FROM a:1\nHEALTHCHECK NONE", &["1:root-user"]),
            ("FROM a:1\nUSER root\nHEALTHCHECK NONE", &["2:root-user"]),
            ("FROM a:1 AS b\nUSER x\nHEALTHCHECK NONE\nFROM b", &[]),
            ("FROM a:1\nUSER x", &["1:no-healthcheck"]),
            ("FROM a:1\nUSER x\nHEALTHCHECK NONE\nENV DB_PASSWORD=x A=b", &["4:secret"]),
            ("FROM a:1\nUSER x\nHEALTHCHECK NONE\nARG NPM_TOKEN\nENV X_TOKEN $NPM_TOKEN", &["4:secret-arg"]),
            (
                "FROM a:1\nUSER x\nHEALTHCHECK NONE\nADD https://e.org/x /x\nADD a b\nADD a.tar.gz /",
                &["4:add-url", "5:add"],
            ),
            (
                "FROM a:1\nUSER x\nHEALTHCHECK NONE\nRUN curl https://x | sh\nRUN curl -k https://x -o y",
                &["4:pipe-to-shell", "5:unverified-tls"],
            ),
            (
                "FROM a:1\nUSER x\nHEALTHCHECK NONE\nRUN apt-get update\nRUN apt-get install -y b",
                &["4:apt-update-alone", "5:apt-recommends", "5:unpinned-package", "5:apt-lists"],
            ),
            (
                "FROM a:1\nUSER x\nHEALTHCHECK NONE\nRUN <<EOF\nsudo chmod 777 /x\nEOF\nCMD a\nCMD b",
                &["4:sudo", "4:chmod-777", "7:several-commands"],
            ),
            (
                "FROM a:1\nUSER x\nHEALTHCHECK NONE\nWORKDIR app\nEXPOSE 22\nMAINTAINER x",
                &["4:relative-workdir", "5:exposes-ssh", "6:maintainer"],
            ),
            (
                "FROM a:1\nUSER x\nHEALTHCHECK NONE\nCOPY .env id_rsa /x/\nCOPY .env.example /x",
                &["4:copies-secret", "4:copies-secret"],
            ),
            ("FROM a:1\nUSER x\nHEALTHCHECK NONE\nRUN apk add b && pip install c", &["4:apk-cache", "4:pip-cache"]),
        ];
        for (text, expected) in cases {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for bad in ["", "# only\n", "RUN x\nFROM a", "FROM a\nNONSENSE x"] {
            assert_eq!(check(FileKind::Dockerfile, "Dockerfile", bad).unwrap_err().code, "PG1225", "{bad}");
        }
    }
}
