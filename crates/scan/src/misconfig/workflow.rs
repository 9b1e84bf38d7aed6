//! Workflows of GitHub Actions (docs.github.com/actions/reference/security, "Secure use").

use prograde_model::Diagnostic;
use prograde_yaml::{Node, Value};

use super::{Findings, Rule, pipes_to_shell};
use crate::codes;
use crate::severity::Severity;

const UNPINNED: Rule = Rule(
    "workflow-unpinned-action",
    Severity::Medium,
    "pin the action by a commit's full hash: `uses: owner/action@<40 digits> # v1.2.3`",
);
const UNPINNED_OWN: Rule = Rule(
    "workflow-unpinned-action",
    Severity::Low,
    "pin the action by a commit's full hash: `uses: owner/action@<40 digits> # v1.2.3`",
);
const UNPINNED_IMAGE: Rule =
    Rule("workflow-unpinned-image", Severity::Low, "name the image's digest: `image:1.2@sha256:…`");
const INJECTION: Rule = Rule(
    "workflow-script-injection",
    Severity::High,
    "hand the value over in `env:` and use the variable, in quotes, in the script",
);
const TARGET: Rule = Rule(
    "workflow-untrusted-checkout",
    Severity::Critical,
    "use `pull_request`, or do not check out or run what the pull request brings",
);
const WRITE_ALL: Rule = Rule("workflow-write-all", Severity::High, "name the permissions that are needed");
const NO_PERMISSIONS: Rule = Rule(
    "workflow-default-permissions",
    Severity::Medium,
    "add `permissions: {}` or those that are needed to the workflow",
);
const SECRET_RUN: Rule =
    Rule("workflow-secret-in-script", Severity::Medium, "hand the secret over in `env:` and use the variable");
const ALL_SECRETS: Rule =
    Rule("workflow-all-secrets", Severity::High, "hand over the secrets that are needed, one by one");
const INHERIT: Rule =
    Rule("workflow-inherited-secrets", Severity::Low, "hand over the secrets that are needed, one by one");
const COMMANDS: Rule = Rule("workflow-unsecure-commands", Severity::High, "use the files $GITHUB_ENV and $GITHUB_PATH");
const SHELL: Rule =
    Rule("workflow-pipe-to-shell", Severity::Medium, "fetch it to a file, check its digest, then run it");
const CREDENTIALS: Rule = Rule("workflow-plain-credentials", Severity::High, "take the password from `secrets`");

/// What whoever opens an issue or a pull request writes freely (securitylab.github.com, "Untrusted input").
const UNTRUSTED: [&str; 27] = [
    "github.event.issue.title",
    "github.event.issue.body",
    "github.event.pull_request.title",
    "github.event.pull_request.body",
    "github.event.comment.body",
    "github.event.review.body",
    "github.event.review_comment.body",
    "github.event.discussion.title",
    "github.event.discussion.body",
    "github.event.head_commit.message",
    "github.event.head_commit.author.email",
    "github.event.head_commit.author.name",
    "github.event.commits",
    "github.event.pages",
    "github.event.pull_request.head.ref",
    "github.event.pull_request.head.label",
    "github.event.pull_request.head.repo.default_branch",
    "github.event.pull_request.head.repo.description",
    "github.event.pull_request.head.repo.homepage",
    "github.event.workflow_run.head_branch",
    "github.event.workflow_run.head_commit.message",
    "github.event.workflow_run.head_commit.author",
    "github.event.workflow_run.head_repository.description",
    "github.event.workflow_run.display_title",
    "github.event.milestone.title",
    "github.event.label.name",
    "github.head_ref",
];

pub(super) fn check(text: &str, findings: &mut Findings<'_>) -> Result<(), Diagnostic> {
    let documents = prograde_yaml::documents(findings.file, text)?;
    let Some(workflow) = documents.first() else { return Ok(()) };
    let jobs = workflow.get("jobs");
    if jobs.is_none() || workflow.get("on").is_none() {
        let why = "a workflow needs `on` and `jobs`";
        return Err(Diagnostic::file(codes::CONFIG_FORM, findings.file, why, "").at(workflow.line, 0));
    }
    let risky = on(workflow, "pull_request_target") || on(workflow, "workflow_run") || on(workflow, "issue_comment");
    let common = workflow.get("permissions");
    permissions(common, findings);
    environment(workflow, findings);
    for (name, job) in jobs.map(Node::entries).unwrap_or_default() {
        let own = job.get("permissions");
        permissions(own, findings);
        if common.is_none() && own.is_none() {
            findings.add(
                NO_PERMISSIONS,
                name.line,
                format!("the job `{}` has whatever permissions the repository gives by default", name.name),
            );
        }
        environment(job, findings);
        reusable(job, findings);
        containers(job, findings);
        for step in job.get("steps").map(Node::items).unwrap_or_default() {
            self::step(step, risky, findings);
        }
    }
    Ok(())
}

fn on(workflow: &Node, event: &str) -> bool {
    let Some(on) = workflow.get("on") else { return false };
    on.as_str() == Some(event) || on.items().iter().any(|one| one.as_str() == Some(event)) || on.get(event).is_some()
}

fn permissions(node: Option<&Node>, findings: &mut Findings<'_>) {
    if let Some(node) = node.filter(|node| node.as_str() == Some("write-all")) {
        findings.add(WRITE_ALL, node.line, "the job's token may write everything");
    }
}

fn environment(node: &Node, findings: &mut Findings<'_>) {
    let Some(value) = node.get("env").and_then(|env| env.get("ACTIONS_ALLOW_UNSECURE_COMMANDS")) else { return };
    if matches!(value.value, Value::Bool(true)) || value.as_str() == Some("true") {
        findings.add(COMMANDS, value.line, "whatever a step prints may set variables of the next ones");
    }
}

fn reusable(job: &Node, findings: &mut Findings<'_>) {
    if let Some(uses) = job.get("uses") {
        pinned(uses, findings);
    }
    if let Some(secrets) = job.get("secrets").filter(|secrets| secrets.as_str() == Some("inherit")) {
        findings.add(INHERIT, secrets.line, "the called workflow gets all secrets");
    }
}

fn containers(job: &Node, findings: &mut Findings<'_>) {
    let services = job.get("services").map(Node::entries).unwrap_or_default().iter().map(|(_, service)| service);
    for container in job.get("container").into_iter().chain(services) {
        let image = container.get("image").unwrap_or(container);
        if let Some(name) =
            image.as_str().filter(|name| !name.contains("${{") && !name.contains("@sha256:") && !name.is_empty())
        {
            findings.add(UNPINNED_IMAGE, image.line, format!("the image `{name}` may be another one tomorrow"));
        }
        let password = container.get("credentials").and_then(|credentials| credentials.get("password"));
        if let Some(password) = password.filter(|password| password.as_str().is_some_and(|text| !text.contains("${{")))
        {
            findings.add(CREDENTIALS, password.line, "a registry's password stands in the workflow");
        }
    }
}

fn step(step: &Node, risky: bool, findings: &mut Findings<'_>) {
    environment(step, findings);
    if let Some(uses) = step.get("uses") {
        pinned(uses, findings);
        let action = uses.as_str().unwrap_or_default().split('@').next().unwrap_or_default();
        let with = step.get("with");
        let reference = with.and_then(|with| with.get("ref"));
        if risky && action == "actions/checkout" {
            let untrusted = reference.filter(|reference| reference.as_str().is_some_and(takes_head));
            if let Some(reference) = untrusted {
                findings.add(
                    TARGET,
                    reference.line,
                    "what a stranger's pull request brings is checked out with this repository's secrets at hand",
                );
            }
        }
        if let Some(script) = with.and_then(|with| with.get("script")).filter(|_| action == "actions/github-script") {
            injection(script, findings);
        }
    }
    if let Some(run) = step.get("run") {
        injection(run, findings);
        let text = run.as_str().unwrap_or_default();
        for expression in expressions(text) {
            if expression.contains("toJSON(secrets)") || expression.contains("toJson(secrets)") {
                findings.add(ALL_SECRETS, run.line, "all secrets are handed to the script");
            } else if mentions(&expression, "secrets.") {
                findings.add(SECRET_RUN, run.line, format!("`{expression}` is written into the script before it runs"));
            }
        }
        if pipes_to_shell(text) {
            findings.add(SHELL, run.line, "what is fetched is run without being checked");
        }
        let fetches = ["gh pr checkout", "refs/pull/", "pull_request.head.sha", "head_ref"];
        if risky && text.contains("git ") && fetches.iter().skip(1).any(|word| text.contains(word))
            || risky && text.contains("gh pr checkout")
        {
            findings.add(
                TARGET,
                run.line,
                "what a stranger's pull request brings is checked out with this repository's secrets at hand",
            );
        }
    }
}

fn takes_head(reference: &str) -> bool {
    ["pull_request.head", "github.head_ref", "refs/pull/", "workflow_run.head_sha", "workflow_run.head_branch"]
        .iter()
        .any(|word| reference.contains(word))
}

fn pinned(uses: &Node, findings: &mut Findings<'_>) {
    let Some(text) = uses.as_str() else { return };
    if text.starts_with("./") || text.contains("${{") {
        return;
    }
    if let Some(image) = text.strip_prefix("docker://") {
        if !image.contains("@sha256:") {
            findings.add(UNPINNED_IMAGE, uses.line, format!("the image `{image}` may be another one tomorrow"));
        }
        return;
    }
    let (action, reference) = text.split_once('@').unwrap_or((text, ""));
    let hash = matches!(reference.len(), 40 | 64) && reference.bytes().all(|b| b.is_ascii_hexdigit());
    if !hash {
        let own = action.starts_with("actions/") || action.starts_with("github/");
        let what = if reference.is_empty() { "nothing".to_owned() } else { format!("`{reference}`") };
        findings.add(
            if own { UNPINNED_OWN } else { UNPINNED },
            uses.line,
            format!("`{action}` is taken at {what}, which its owner can move"),
        );
    }
}

/// What stands between `${{` and `}}`.
fn expressions(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("${{") {
        let Some((inner, next)) = after.split_once("}}") else { break };
        found.push(inner.trim().to_owned());
        rest = next;
    }
    found
}

fn injection(script: &Node, findings: &mut Findings<'_>) {
    for expression in expressions(script.as_str().unwrap_or_default()) {
        // `github['event']` is the same as `github.event`.
        let plain =
            expression.replace("['", ".").replace("']", "").replace("[\"", ".").replace("\"]", "").replace(' ', "");
        if let Some(source) = UNTRUSTED.iter().find(|source| mentions(&plain, source)) {
            findings.add(
                INJECTION,
                script.line,
                format!("`{source}`, which a stranger writes, becomes part of the script"),
            );
        }
    }
}

/// Whether an expression has this name, and not a longer one that ends with it.
fn mentions(expression: &str, name: &str) -> bool {
    let lower = expression.to_ascii_lowercase();
    lower.match_indices(name).any(|(at, _)| {
        let before = lower.get(..at).and_then(|text| text.chars().next_back());
        let after = lower.get(at + name.len()..).and_then(|text| text.chars().next());
        let ends = name.ends_with('.') || !after.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-');
        ends && !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.')
    })
}

#[cfg(test)]
mod tests {
    use super::super::{FileKind, check};

    fn found(text: &str) -> Vec<String> {
        check(FileKind::Workflow, ".github/workflows/a.yml", text)
            .unwrap()
            .iter()
            .map(|one| format!("{}:{}", one.line, one.id.trim_start_matches("workflow-")))
            .collect()
    }

    const HASH: &str = "0123456789012345678901234567890123456789";

    #[test]
    fn a_good_one_is_clean() {
        let text = format!(
            "on: [push]\npermissions:\n  contents: read\njobs:\n  a:\n    runs-on: x\n    steps:\n      - uses: actions/checkout@{HASH} # v4\n      - uses: ./own\n      - run: echo \"$T ${{{{ github.sha }}}} ${{{{ github.event.pull_request.number }}}}\"\n        env:\n          T: ${{{{ github.event.issue.title }}}}\n"
        );
        assert_eq!(found(&text), Vec::<String>::new());
    }

    #[test]
    fn what_is_bad_is_found() {
        let head = "on: pull_request_target\npermissions: {}\njobs:\n  a:\n    steps:\n";
        let cases: [(&str, &[&str]); 9] = [
            ("      - uses: a/b@v1\n", &["6:unpinned-action"]),
            (
                "      - uses: actions/checkout@v4\n        with:\n          ref: ${{ github.event.pull_request.head.sha }}\n",
                &["6:unpinned-action", "8:untrusted-checkout"],
            ),
            ("      - run: echo ${{ github.event.issue.title }}\n", &["6:script-injection"]),
            ("      - run: echo ${{ github['event'].comment.body }}\n", &["6:script-injection"]),
            (
                "      - run: echo ${{ github.event.commits[0].message }} ${{ github.head_ref }}\n",
                &["6:script-injection", "6:script-injection"],
            ),
            ("      - run: x ${{ secrets.A }}\n", &["6:secret-in-script"]),
            ("      - run: x '${{ toJSON(secrets) }}'\n", &["6:all-secrets"]),
            ("      - run: curl x | bash\n", &["6:pipe-to-shell"]),
            ("      - run: gh pr checkout 1\n", &["6:untrusted-checkout"]),
        ];
        for (steps, expected) in cases {
            assert_eq!(found(&format!("{head}{steps}")), expected, "{steps}");
        }
        let text = "on: push\npermissions: write-all\nenv:\n  ACTIONS_ALLOW_UNSECURE_COMMANDS: true\njobs:\n  a:\n    container:\n      image: a:1\n      credentials:\n        password: x\n    steps: []\n  b:\n    uses: o/r/.github/workflows/x.yml@main\n    secrets: inherit\n";
        assert_eq!(
            found(text),
            [
                "2:write-all",
                "4:unsecure-commands",
                "8:unpinned-image",
                "10:plain-credentials",
                "13:unpinned-action",
                "14:inherited-secrets"
            ]
        );
        assert_eq!(found("on: push\njobs:\n  a:\n    steps: []\n"), ["3:default-permissions"]);
        assert_eq!(check(FileKind::Workflow, "w", "a: b\n").unwrap_err().code, "PG1225");
    }
}
