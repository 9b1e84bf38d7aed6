//! The pages on commands and environment variables, from the command line's definition.

use std::collections::BTreeMap;

use clap::{Arg, Command};

use super::cell;

/// `cli.md`.
pub(super) fn commands(root: &Command) -> String {
    let mut text = "# Command line\n\nWritten by `prograde reference`; do not edit.\n".to_owned();
    command(root, &mut text);
    text
}

fn command(command: &Command, text: &mut String) {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    text.extend([format!("\n## {name}\n\n")]);
    if let Some(about) = command.get_about() {
        text.extend([format!("{about}.\n\n")]);
    }
    let usage = command.clone().render_usage().to_string();
    text.extend([format!("```\n{}\n```\n", usage.trim().trim_start_matches("Usage: "))]);
    let root = name == command.get_name();
    let own: Vec<&Arg> =
        command.get_arguments().filter(|arg| !arg.is_hide_set() && (root || !arg.is_global_set())).collect();
    let listed: Vec<&Arg> =
        own.into_iter().filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version")).collect();
    if !listed.is_empty() {
        text.push_str("\n| argument | meaning |\n|---|---|\n");
        for arg in listed {
            text.extend([format!("| `{}` | {} |\n", signature(arg), meaning(arg))]);
        }
    }
    let subcommands: Vec<&Command> =
        command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help").collect();
    if !subcommands.is_empty() {
        text.push_str("\n| command | meaning |\n|---|---|\n");
        for sub in &subcommands {
            let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
            text.extend([format!("| `{name} {}` | {} |\n", sub.get_name(), cell(&about))]);
        }
    }
    if let Some(after) = command.get_after_help() {
        text.extend([format!("\n```\n{after}\n```\n")]);
    }
    for sub in subcommands {
        self::command(sub, text);
    }
}

fn signature(arg: &Arg) -> String {
    let value = arg.get_value_names().filter(|_| arg.get_action().takes_values()).and_then(<[_]>::first);
    let long = arg.get_long().map(|long| format!("--{long}"));
    let short = arg.get_short().map(|short| format!("-{short}"));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    let value = value.map(|value| format!("<{value}>"));
    [names.join(", "), value.unwrap_or_default()].join(" ").trim().to_owned()
}

fn meaning(arg: &Arg) -> String {
    let mut text = cell(&arg.get_help().map(ToString::to_string).unwrap_or_default());
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() && arg.get_action().takes_values() {
        text.extend([format!("; default `{}`", defaults.join(" "))]);
    }
    if let Some(variable) = arg.get_env() {
        text.extend([format!("; `{}`", variable.to_string_lossy())]);
    }
    text
}

/// `environment.md`.
pub(super) fn environment(root: &Command) -> String {
    let mut found = BTreeMap::new();
    variables(root, &mut found);
    let mut text =
        "# Environment variables\n\nWritten by `prograde reference`; do not edit. A flag goes before its variable.\n\n\
                    | variable | flag | meaning |\n|---|---|---|\n"
            .to_owned();
    for (name, (flag, meaning)) in found {
        text.extend([format!("| `{name}` | {flag} | {meaning} |\n")]);
    }
    text
}

fn variables(command: &Command, found: &mut BTreeMap<String, (String, String)>) {
    for arg in command.get_arguments() {
        let Some(name) = arg.get_env() else { continue };
        let flag = match arg.get_long() {
            Some(long) if !arg.is_hide_set() => format!("`--{long}`"),
            _ => String::new(),
        };
        let meaning = cell(&arg.get_help().map(ToString::to_string).unwrap_or_default());
        found.insert(name.to_string_lossy().into_owned(), (flag, meaning));
    }
    command.get_subcommands().for_each(|sub| variables(sub, found));
}
