//! Terraform's configuration (developer.hashicorp.com/terraform/language). Values are read as far as the file says
//! them; what comes from variables, functions and modules is not judged.

use std::collections::BTreeMap;

use hcl_edit::Span;
use hcl_edit::expr::{Expression, ObjectKey};
use hcl_edit::structure::{Block, Body};
use prograde_model::Diagnostic;

use super::{Findings, Rule, names_secret};
use crate::codes;
use crate::package::Lines;
use crate::severity::Severity;

const OPEN_ADMIN: Rule = Rule("terraform-open-admin-port", Severity::Critical, "name the addresses that may connect");
const OPEN: Rule = Rule("terraform-open-ingress", Severity::High, "name the addresses that may connect");
const PUBLIC_BUCKET: Rule = Rule(
    "terraform-public-bucket",
    Severity::Critical,
    "keep the storage private and publish through what is meant for it",
);
const PUBLIC_ACCESS: Rule = Rule("terraform-public-access-block", Severity::High, "set all four settings to true");
const PUBLIC_DATABASE: Rule = Rule("terraform-public-database", Severity::High, "set `publicly_accessible = false`");
const UNENCRYPTED: Rule = Rule("terraform-unencrypted", Severity::High, "turn encryption at rest on");
const TRANSIT: Rule = Rule("terraform-plain-transport", Severity::Medium, "let only encrypted connections in");
const SECRET: Rule =
    Rule("terraform-plain-secret", Severity::High, "take it from a secret store or a variable without a default");
const CREDENTIALS: Rule =
    Rule("terraform-plain-credentials", Severity::Critical, "take credentials from the environment or a role");
const SENSITIVE: Rule = Rule("terraform-insensitive-variable", Severity::Low, "add `sensitive = true`");
const WILDCARD: Rule = Rule("terraform-iam-wildcard", Severity::High, "name the actions and the resources");
const METADATA: Rule =
    Rule("terraform-metadata-v1", Severity::Medium, "set `metadata_options { http_tokens = \"required\" }`");
const ROTATION: Rule = Rule("terraform-key-rotation", Severity::Medium, "set `enable_key_rotation = true`");
const ENDPOINT: Rule =
    Rule("terraform-public-cluster", Severity::Medium, "name the addresses that may reach the cluster's API");
const DELETION: Rule = Rule("terraform-unpinned-module", Severity::Low, "name a version or a commit of the module");

/// Everybody.
const ANY: [&str; 6] = ["0.0.0.0/0", "::/0", "0000:0000:0000:0000:0000:0000:0000:0000/0", "*", "Internet", "0.0.0.0"];
/// Ports of remote administration and of databases.
const ADMIN: [i64; 15] = [20, 21, 22, 23, 135, 445, 1433, 1521, 2375, 3306, 3389, 5432, 6379, 9200, 27017];

/// Encryption that is off unless it is turned on: resource and attribute.
const ENCRYPTION: [(&str, &str); 13] = [
    ("aws_ebs_volume", "encrypted"),
    ("aws_db_instance", "storage_encrypted"),
    ("aws_rds_cluster", "storage_encrypted"),
    ("aws_docdb_cluster", "storage_encrypted"),
    ("aws_neptune_cluster", "storage_encrypted"),
    ("aws_efs_file_system", "encrypted"),
    ("aws_redshift_cluster", "encrypted"),
    ("aws_elasticache_replication_group", "at_rest_encryption_enabled"),
    ("aws_fsx_openzfs_file_system", "encrypted"),
    ("aws_workspaces_workspace", "root_volume_encryption_enabled"),
    ("aws_dax_cluster", "server_side_encryption"),
    ("aws_ami", "encrypted"),
    ("aws_sagemaker_notebook_instance", "kms_key_id"),
];

/// A file while it is checked.
struct Context<'a, 'b> {
    lines: Lines,
    variables: BTreeMap<String, Expression>,
    findings: &'a mut Findings<'b>,
}

pub(super) fn check(text: &str, findings: &mut Findings<'_>) -> Result<(), Diagnostic> {
    let body = hcl_edit::parser::parse_body(text).map_err(|error| {
        let at = error.location();
        let (line, column) = (u32::try_from(at.line()).unwrap_or(0), u32::try_from(at.column()).unwrap_or(0));
        Diagnostic::file(codes::CONFIG_FORM, findings.file, error.message().to_owned(), "see `terraform validate`")
            .at(line, column)
    })?;
    let variables = body
        .get_blocks("variable")
        .filter_map(|block| Some((label(block, 0)?.to_owned(), block.body.get_attribute("default")?.value.clone())))
        .collect();
    let mut context = Context { lines: Lines::of(text), variables, findings };
    for block in body.blocks() {
        context.block(block);
    }
    Ok(())
}

fn label(block: &Block, at: usize) -> Option<&str> {
    block.labels.get(at).map(hcl_edit::structure::BlockLabel::as_str)
}

/// An object's entry.
fn entry<'e>(expression: &'e Expression, name: &str) -> Option<&'e Expression> {
    let wanted = |key: &ObjectKey| match key {
        ObjectKey::Ident(ident) => ident.as_str() == name,
        ObjectKey::Expression(expression) => {
            expression.as_str() == Some(name) || expression.as_variable().is_some_and(|ident| ident.as_str() == name)
        }
    };
    expression.as_object()?.iter().find(|(key, _)| wanted(key)).map(|(_, value)| value.expr())
}

impl Context<'_, '_> {
    fn line_of(&self, span: Option<std::ops::Range<usize>>) -> u32 {
        span.map_or(0, |span| self.lines.at(span.start + 1))
    }

    fn add(&mut self, rule: Rule, span: Option<std::ops::Range<usize>>, title: impl Into<String>) {
        let line = self.line_of(span);
        self.findings.add(rule, line, title);
    }

    /// The value, with a variable's default in its place.
    fn value<'e>(&'e self, expression: &'e Expression) -> &'e Expression {
        let name = expression
            .as_traversal()
            .filter(|traversal| traversal.expr.as_variable().is_some_and(|root| root.as_str() == "var"))
            .and_then(|traversal| match traversal.operators.first().map(hcl_edit::Decorated::value) {
                Some(hcl_edit::expr::TraversalOperator::GetAttr(name)) => Some(name.as_str().to_owned()),
                Some(_) | None => None,
            });
        name.and_then(|name| self.variables.get(&name)).unwrap_or(expression)
    }

    fn text(&self, body: &Body, name: &str) -> Option<String> {
        self.value(&body.get_attribute(name)?.value).as_str().map(str::to_owned)
    }

    fn flag(&self, body: &Body, name: &str) -> Option<bool> {
        let value = self.value(&body.get_attribute(name)?.value);
        value.as_bool().or_else(|| value.as_str().and_then(|text| text.parse().ok()))
    }

    fn number(&self, expression: Option<&Expression>) -> Option<i64> {
        let value = self.value(expression?);
        value.as_number().and_then(hcl_edit::Number::as_i64).or_else(|| value.as_str()?.parse().ok())
    }

    /// All texts of a text or a list.
    fn texts(&self, expression: &Expression) -> Vec<String> {
        let value = self.value(expression);
        match value.as_array() {
            Some(list) => list.iter().filter_map(|one| self.value(one).as_str().map(str::to_owned)).collect(),
            None => value.as_str().map(str::to_owned).into_iter().collect(),
        }
    }

    fn is_any(&self, expression: Option<&Expression>) -> bool {
        expression.is_some_and(|expression| self.texts(expression).iter().any(|text| ANY.contains(&text.as_str())))
    }

    fn block(&mut self, block: &Block) {
        match block.ident.as_str() {
            "resource" | "data" => {
                let kind = label(block, 0).unwrap_or_default().to_owned();
                self.network(&kind, block);
                self.storage(&kind, block);
                self.encryption(&kind, block);
                self.identity(&kind, block);
                self.machines(&kind, block);
                self.secrets(&block.body, SECRET, 0);
            }
            "provider" => self.secrets(&block.body, CREDENTIALS, 0),
            "variable" => self.variable(block),
            "module" => self.module(block),
            "locals" => self.secrets(&block.body, SECRET, 0),
            _ => {}
        }
    }

    fn network(&mut self, kind: &str, block: &Block) {
        match kind {
            "aws_security_group" | "aws_default_security_group" => {
                for ingress in block.body.get_blocks("ingress") {
                    self.ingress(ingress, ["cidr_blocks", "ipv6_cidr_blocks"], ["from_port", "to_port"]);
                }
                if let Some(list) = block.body.get_attribute("ingress").and_then(|attribute| attribute.value.as_array())
                {
                    for one in list {
                        let open =
                            self.is_any(entry(one, "cidr_blocks")) || self.is_any(entry(one, "ipv6_cidr_blocks"));
                        if open {
                            self.opened(
                                one.span(),
                                self.number(entry(one, "from_port")),
                                self.number(entry(one, "to_port")),
                            );
                        }
                    }
                }
            }
            "aws_security_group_rule" if self.text(&block.body, "type").as_deref() == Some("ingress") => {
                self.ingress(block, ["cidr_blocks", "ipv6_cidr_blocks"], ["from_port", "to_port"]);
            }
            "aws_vpc_security_group_ingress_rule" => {
                self.ingress(block, ["cidr_ipv4", "cidr_ipv6"], ["from_port", "to_port"]);
            }
            "google_compute_firewall" => {
                let inward = self.text(&block.body, "direction").is_none_or(|direction| direction == "INGRESS");
                let ranges = block.body.get_attribute("source_ranges");
                if inward && block.body.has_blocks("allow") && self.is_any(ranges.map(|ranges| &ranges.value)) {
                    let ports: Vec<String> = block
                        .body
                        .get_blocks("allow")
                        .filter_map(|allow| allow.body.get_attribute("ports"))
                        .flat_map(|ports| self.texts(&ports.value))
                        .collect();
                    let bounds = ports.iter().map(|port| port.split_once('-').unwrap_or((port, port)));
                    let bounds: Vec<(Option<i64>, Option<i64>)> =
                        bounds.map(|(from, to)| (from.parse().ok(), to.parse().ok())).collect();
                    let span = ranges.and_then(Span::span);
                    if bounds.is_empty() {
                        self.opened(span.clone(), None, None);
                    }
                    for (from, to) in bounds {
                        self.opened(span.clone(), from, to);
                    }
                }
            }
            "azurerm_network_security_rule" => self.azure(block),
            "azurerm_network_security_group" => {
                for rule in block.body.get_blocks("security_rule") {
                    self.azure(rule);
                }
            }
            _ => {}
        }
    }

    fn ingress(&mut self, block: &Block, sources: [&str; 2], ports: [&str; 2]) {
        let [from, to] = ports.map(|name| self.number(block.body.get_attribute(name).map(|port| &port.value)));
        for source in sources {
            let attribute = block.body.get_attribute(source);
            if self.is_any(attribute.map(|attribute| &attribute.value)) {
                self.opened(attribute.and_then(Span::span), from, to);
            }
        }
    }

    /// Ports that everybody reaches. A web server's are meant to be.
    fn opened(&mut self, span: Option<std::ops::Range<usize>>, from: Option<i64>, to: Option<i64>) {
        let (from, to) = match (from, to) {
            (Some(from), Some(to)) if from <= 0 && to <= 0 => (0, 65_535),
            (Some(from), Some(to)) => (from, to),
            (Some(port), None) | (None, Some(port)) => (port, port),
            (None, None) => (0, 65_535),
        };
        let ports = if from == to { format!("port {from}") } else { format!("ports {from} to {to}") };
        if ADMIN.iter().any(|port| (from..=to).contains(port)) {
            self.add(OPEN_ADMIN, span, format!("everybody reaches {ports}"));
        } else if !(from == to && (from == 80 || from == 443)) {
            self.add(OPEN, span, format!("everybody reaches {ports}"));
        }
    }

    fn azure(&mut self, rule: &Block) {
        let is = |name: &str, wanted: &str| {
            self.text(&rule.body, name).is_some_and(|text| text.eq_ignore_ascii_case(wanted))
        };
        let source = rule
            .body
            .get_attribute("source_address_prefix")
            .or_else(|| rule.body.get_attribute("source_address_prefixes"));
        if !is("access", "Allow") || !is("direction", "Inbound") || !self.is_any(source.map(|source| &source.value)) {
            return;
        }
        let port = self.text(&rule.body, "destination_port_range").unwrap_or_else(|| "*".to_owned());
        let (from, to) = port.split_once('-').unwrap_or((&port, &port));
        let (from, to) = (from.parse().ok(), to.parse().ok());
        self.opened(source.and_then(Span::span), from, to);
    }

    fn storage(&mut self, kind: &str, block: &Block) {
        let body = &block.body;
        match kind {
            "aws_s3_bucket" | "aws_s3_bucket_acl" => {
                if let Some(acl) =
                    self.text(body, "acl").filter(|acl| acl.starts_with("public-") || acl == "authenticated-read")
                {
                    self.add(
                        PUBLIC_BUCKET,
                        body.get_attribute("acl").and_then(Span::span),
                        format!("the bucket is `{acl}`"),
                    );
                }
            }
            "aws_s3_bucket_public_access_block" => {
                for name in
                    ["block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"]
                {
                    if self.flag(body, name) == Some(false) || !body.has_attribute(name) {
                        let span = body.get_attribute(name).map_or_else(|| block.span(), Span::span);
                        self.add(PUBLIC_ACCESS, span, format!("`{name}` is off"));
                    }
                }
            }
            "google_storage_bucket_iam_member"
            | "google_storage_bucket_iam_binding"
            | "google_storage_bucket_access_control"
            | "google_storage_default_object_access_control" => {
                for name in ["member", "members", "entity"] {
                    let Some(attribute) = body.get_attribute(name) else { continue };
                    if self
                        .texts(&attribute.value)
                        .iter()
                        .any(|one| one == "allUsers" || one == "allAuthenticatedUsers")
                    {
                        self.add(PUBLIC_BUCKET, attribute.span(), "everybody has access to the bucket");
                    }
                }
            }
            "azurerm_storage_account" => self.azure_account(body),
            "azurerm_storage_container"
                if self
                    .text(body, "container_access_type")
                    .is_some_and(|kind| kind == "blob" || kind == "container") =>
            {
                self.add(
                    PUBLIC_BUCKET,
                    body.get_attribute("container_access_type").and_then(Span::span),
                    "everybody reads the container",
                );
            }
            _ => {}
        }
        if self.flag(body, "publicly_accessible") == Some(true) {
            self.add(
                PUBLIC_DATABASE,
                body.get_attribute("publicly_accessible").and_then(Span::span),
                "everybody reaches the database",
            );
        }
    }

    fn azure_account(&mut self, body: &Body) {
        for name in ["allow_blob_public_access", "allow_nested_items_to_be_public"] {
            if self.flag(body, name) == Some(true) {
                self.add(
                    PUBLIC_BUCKET,
                    body.get_attribute(name).and_then(Span::span),
                    "containers of the account may be public",
                );
            }
        }
        for name in ["enable_https_traffic_only", "https_traffic_only_enabled"] {
            if self.flag(body, name) == Some(false) {
                self.add(
                    TRANSIT,
                    body.get_attribute(name).and_then(Span::span),
                    "connections without encryption are let in",
                );
            }
        }
    }

    fn encryption(&mut self, kind: &str, block: &Block) {
        let body = &block.body;
        for (_, name) in ENCRYPTION.iter().filter(|(resource, _)| *resource == kind) {
            let attribute = body.get_attribute(name);
            let absent = attribute.is_none()
                && !body.has_blocks(name)
                && block.ident.as_str() == "resource"
                && !body.has_attribute("snapshot_identifier");
            if absent {
                self.add(UNENCRYPTED, block.span(), format!("`{kind}` is not encrypted: `{name}` is not set"));
            } else if self.flag(body, name) == Some(false) {
                self.add(UNENCRYPTED, attribute.and_then(Span::span), format!("`{name}` is off"));
            }
        }
        if kind == "aws_instance" || kind == "aws_launch_template" || kind == "aws_launch_configuration" {
            for device in body
                .blocks()
                .filter(|device| matches!(device.ident.as_str(), "root_block_device" | "ebs_block_device" | "ebs"))
            {
                if self.flag(&device.body, "encrypted") == Some(false) {
                    self.add(
                        UNENCRYPTED,
                        device.body.get_attribute("encrypted").and_then(Span::span),
                        "the disk is not encrypted",
                    );
                }
            }
        }
        if kind == "aws_elasticache_replication_group" && self.flag(body, "transit_encryption_enabled") == Some(false) {
            self.add(
                TRANSIT,
                body.get_attribute("transit_encryption_enabled").and_then(Span::span),
                "connections without encryption are let in",
            );
        }
        let plain = matches!(kind, "aws_lb_listener" | "aws_alb_listener")
            && self.text(body, "protocol").as_deref() == Some("HTTP");
        if plain && !body.get_blocks("default_action").any(|action| action.body.has_blocks("redirect")) {
            self.add(
                TRANSIT,
                body.get_attribute("protocol").and_then(Span::span),
                "the listener takes HTTP and does not redirect to HTTPS",
            );
        }
    }

    fn identity(&mut self, kind: &str, block: &Block) {
        let body = &block.body;
        if kind == "aws_iam_policy_document" {
            for statement in body.get_blocks("statement") {
                let any = |name: &str| {
                    statement
                        .body
                        .get_attribute(name)
                        .is_some_and(|attribute| self.texts(&attribute.value).iter().any(|text| text == "*"))
                };
                let allows = self.text(&statement.body, "effect").is_none_or(|effect| effect == "Allow");
                if allows && any("actions") && any("resources") {
                    self.add(WILDCARD, statement.span(), "the policy allows every action on every resource");
                }
            }
        }
        if !(kind.starts_with("aws_iam_") && kind.contains("policy")) {
            return;
        }
        let Some(policy) = body.get_attribute("policy") else { return };
        let encoded = policy
            .value
            .as_func_call()
            .filter(|call| call.name.name.as_str() == "jsonencode")
            .and_then(|call| call.args.iter().next());
        let statements: Vec<&Expression> = encoded
            .and_then(|document| entry(document, "Statement"))
            .map(|list| list.as_array().map_or_else(|| vec![list], |list| list.iter().collect()))
            .unwrap_or_default();
        let any = |statement: &Expression, name: &str| {
            entry(statement, name).is_some_and(|value| self.texts(value).iter().any(|text| text == "*"))
        };
        let allows = |statement: &&Expression| {
            entry(statement, "Effect").and_then(Expression::as_str).is_none_or(|effect| effect == "Allow")
        };
        let open = statements
            .iter()
            .copied()
            .find(|statement| allows(statement) && any(statement, "Action") && any(statement, "Resource"))
            .map(Span::span);
        if let Some(span) = open {
            self.add(WILDCARD, span, "the policy allows every action on every resource");
        } else if json_allows_all(&policy.value) {
            self.add(WILDCARD, policy.span(), "the policy allows every action on every resource");
        }
    }

    fn machines(&mut self, kind: &str, block: &Block) {
        let body = &block.body;
        match kind {
            "aws_instance" | "aws_launch_template" if block.ident.as_str() == "resource" => {
                let required = body.get_blocks("metadata_options").any(|options| {
                    self.text(&options.body, "http_tokens").as_deref() == Some("required")
                        || self.text(&options.body, "http_endpoint").as_deref() == Some("disabled")
                        || options.body.get_attribute("http_tokens").is_some_and(|tokens| !tokens.value.is_str())
                });
                if !required {
                    self.add(METADATA, block.span(), "the machine's metadata can be read without a session's token");
                }
            }
            "aws_kms_key" if block.ident.as_str() == "resource" => {
                let symmetric =
                    self.text(body, "customer_master_key_spec").is_none_or(|spec| spec == "SYMMETRIC_DEFAULT");
                let off =
                    !body.has_attribute("enable_key_rotation") || self.flag(body, "enable_key_rotation") == Some(false);
                if symmetric && off {
                    self.add(ROTATION, block.span(), "the key is never renewed");
                }
            }
            "aws_eks_cluster" => {
                for config in body.get_blocks("vpc_config") {
                    let public = self.flag(&config.body, "endpoint_public_access").unwrap_or(true);
                    let cidrs = config.body.get_attribute("public_access_cidrs");
                    if public && (cidrs.is_none() || self.is_any(cidrs.map(|cidrs| &cidrs.value))) {
                        self.add(ENDPOINT, config.span(), "everybody reaches the cluster's API");
                    }
                }
            }
            _ => {}
        }
    }

    /// Texts that stand in the file where a secret is meant; also in blocks within blocks.
    fn secrets(&mut self, body: &Body, rule: Rule, depth: usize) {
        for attribute in body.attributes() {
            let name = attribute.key.as_str();
            let literal = attribute
                .value
                .as_str()
                .is_some_and(|text| !text.is_empty() && !text.starts_with("arn:") && !text.contains("://"));
            let credentials = rule.0 == CREDENTIALS.0
                && matches!(
                    name,
                    "access_key" | "secret_key" | "client_secret" | "token" | "password" | "api_token" | "api_key"
                );
            if literal && (names_secret(name) || credentials) {
                self.add(rule, attribute.span(), format!("`{name}` stands in the file"));
            }
        }
        // Deeper than this no provider's schema goes.
        if depth < 8 {
            for inner in body.blocks() {
                self.secrets(&inner.body, rule, depth + 1);
            }
        }
    }

    fn variable(&mut self, block: &Block) {
        let name = label(block, 0).unwrap_or_default().to_owned();
        if !names_secret(&name) {
            return;
        }
        let default = block.body.get_attribute("default");
        if default.is_some_and(|default| default.value.as_str().is_some_and(|text| !text.is_empty())) {
            self.add(SECRET, default.and_then(Span::span), format!("the default of `{name}` stands in the file"));
        } else if self.flag(&block.body, "sensitive") != Some(true) {
            self.add(SENSITIVE, block.span(), format!("the value of `{name}` is shown in plans"));
        }
    }

    fn module(&mut self, block: &Block) {
        let Some(source) = self.text(&block.body, "source") else { return };
        let local = source.starts_with("./") || source.starts_with("../") || source.starts_with('/');
        let git = source.starts_with("git") || source.contains(".git") || source.starts_with("bitbucket.org");
        let pinned =
            if git { source.contains("ref=") } else { block.body.has_attribute("version") || source.contains("://") };
        if !local && !pinned {
            self.add(
                DELETION,
                block.body.get_attribute("source").and_then(Span::span),
                format!("the module `{source}` may be another one tomorrow"),
            );
        }
        self.secrets(&block.body, SECRET, 0);
    }
}

/// The same of a policy that stands in the file as JSON.
fn json_allows_all(expression: &Expression) -> bool {
    let text = if let Expression::HeredocTemplate(template) = expression {
        let literals = template.template.iter().map(|element| element.as_literal().map(|text| text.value().clone()));
        literals.collect::<Option<Vec<String>>>().map(|parts| parts.concat())
    } else {
        expression.as_str().map(str::to_owned)
    };
    let Some(text) = text else { return false };
    let Ok(document) = serde_json::from_str::<serde_json::Value>(&text) else { return false };
    let one = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
    let any = |value: Option<&serde_json::Value>| value.is_some_and(|value| one(value).iter().any(|text| text == "*"));
    document.get("Statement").is_some_and(|statements| {
        one(statements).iter().any(|statement| {
            statement.get("Effect").is_none_or(|effect| effect == "Allow")
                && any(statement.get("Action"))
                && any(statement.get("Resource"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::{FileKind, check};

    fn found(text: &str) -> Vec<String> {
        check(FileKind::Terraform, "main.tf", text)
            .unwrap()
            .iter()
            .map(|one| format!("{}:{}", one.line, one.id.trim_start_matches("terraform-")))
            .collect()
    }

    #[test]
    fn what_is_good_is_clean() {
        let text = "variable \"cidr\" {}\nresource \"aws_security_group\" \"a\" {\n  ingress {\n    from_port = 443\n    to_port = 443\n    cidr_blocks = [\"0.0.0.0/0\"]\n  }\n  ingress {\n    from_port = 22\n    to_port = 22\n    cidr_blocks = [var.cidr]\n  }\n  egress {\n    from_port = 0\n    to_port = 0\n    cidr_blocks = [\"0.0.0.0/0\"]\n  }\n}\nresource \"aws_db_instance\" \"d\" {\n  storage_encrypted = true\n  password = var.password\n}\nmodule \"m\" {\n  source = \"./m\"\n}\n";
        assert_eq!(found(text), Vec::<String>::new());
    }

    #[test]
    fn what_is_bad_is_found() {
        let cases: [(&str, &[&str]); 17] = [
            (
                "resource \"aws_security_group\" \"a\" {\n  ingress {\n    from_port = 22\n    to_port = 22\n    cidr_blocks = [\"0.0.0.0/0\"]\n  }\n}\n",
                &["5:open-admin-port"],
            ),
            (
                "variable \"c\" {\n  default = [\"0.0.0.0/0\"]\n}\nresource \"aws_security_group_rule\" \"a\" {\n  type = \"ingress\"\n  from_port = 8080\n  to_port = 8080\n  cidr_blocks = var.c\n}\n",
                &["8:open-ingress"],
            ),
            (
                "resource \"aws_vpc_security_group_ingress_rule\" \"a\" {\n  ip_protocol = \"-1\"\n  cidr_ipv6 = \"::/0\"\n}\n",
                &["3:open-admin-port"],
            ),
            (
                "resource \"google_compute_firewall\" \"a\" {\n  allow {\n    protocol = \"tcp\"\n    ports = [\"22\"]\n  }\n  source_ranges = [\"0.0.0.0/0\"]\n}\n",
                &["6:open-admin-port"],
            ),
            (
                "resource \"azurerm_network_security_rule\" \"a\" {\n  access = \"Allow\"\n  direction = \"Inbound\"\n  source_address_prefix = \"*\"\n  destination_port_range = \"3389\"\n}\n",
                &["4:open-admin-port"],
            ),
            ("resource \"aws_s3_bucket\" \"a\" {\n  acl = \"public-read\"\n}\n", &["2:public-bucket"]),
            (
                "resource \"aws_s3_bucket_public_access_block\" \"a\" {\n  block_public_acls = false\n  block_public_policy = true\n  ignore_public_acls = true\n  restrict_public_buckets = true\n}\n",
                &["2:public-access-block"],
            ),
            (
                "resource \"google_storage_bucket_iam_member\" \"a\" {\n  member = \"allUsers\"\n}\n",
                &["2:public-bucket"],
            ),
            (
                "resource \"aws_db_instance\" \"a\" {\n  publicly_accessible = true\n  password = \"hunter2hunter2\"\n}\n",
                &["1:unencrypted", "2:public-database", "3:plain-secret"],
            ),
            ("resource \"aws_ebs_volume\" \"a\" {\n  encrypted = false\n}\n", &["2:unencrypted"]),
            (
                "provider \"aws\" {\n  access_key = \"x\"\n  secret_key = \"y\"\n}\n",
                &["2:plain-credentials", "3:plain-credentials"],
            ),
            (
                "variable \"db_password\" {\n  default = \"x\"\n}\nvariable \"api_token\" {}\n",
                &["2:plain-secret", "4:insensitive-variable"],
            ),
            (
                "resource \"aws_iam_policy\" \"a\" {\n  policy = jsonencode({\n    Statement = [{\n      Effect = \"Allow\"\n      Action = \"*\"\n      Resource = [\"*\"]\n    }]\n  })\n}\n",
                &["3:iam-wildcard"],
            ),
            (
                "resource \"aws_iam_role_policy\" \"a\" {\n  policy = <<EOF\n{\"Statement\": [{\"Effect\": \"Allow\", \"Action\": [\"*\"], \"Resource\": \"*\"}]}\nEOF\n}\n",
                &["2:iam-wildcard"],
            ),
            (
                "data \"aws_iam_policy_document\" \"a\" {\n  statement {\n    actions = [\"*\"]\n    resources = [\"*\"]\n  }\n}\n",
                &["2:iam-wildcard"],
            ),
            (
                "resource \"aws_instance\" \"a\" {\n  ami = \"x\"\n}\nresource \"aws_kms_key\" \"k\" {\n}\n",
                &["1:metadata-v1", "4:key-rotation"],
            ),
            ("module \"m\" {\n  source = \"terraform-aws-modules/vpc/aws\"\n}\n", &["2:unpinned-module"]),
        ];
        for (text, expected) in cases {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        let error = check(FileKind::Terraform, "a.tf", "a {\n  b = \n}\n").unwrap_err();
        assert_eq!((error.code.as_str(), error.line), ("PG1225", 2));
        assert!(
            check(FileKind::Terraform, "a.tf", &format!("a = {}1{}", "[".repeat(50_000), "]".repeat(50_000))).is_err()
        );
    }
}
