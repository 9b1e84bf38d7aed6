//! `prograde policy`: policies tested, applied to files and reported, without a cluster.

mod apply;
mod ask;
mod files;
mod read;
mod report;
mod signatures;
mod test;
mod webhook;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use prograde_server::policies;

use self::signatures::SignatureArgs;
use crate::app::App;
use crate::exit::Exit;
use crate::report::Report;

/// Which policies the manifests of a release have to meet.
#[derive(Debug, Args)]
pub(crate) struct InForce {
    /// A file of policies, or a folder of them, that releases have to meet; can be given several times
    #[arg(long, value_name = "PATH")]
    pub(crate) policies: Vec<PathBuf>,
    /// The set of policies that ships and holds besides
    #[arg(long, default_value = policies::DEFAULT_SET, value_name = "SET",
        value_parser = clap::builder::PossibleValuesParser::new(prograde_policy::shipped::NAMES.into_iter().chain([policies::NO_SET])))]
    pub(crate) policy_set: String,
}

/// Test policies, apply them to manifests, and report what breaks them
#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

/// What can be done with policies.
#[derive(Debug, Subcommand)]
enum PolicyCommand {
    Test(TestArgs),
    Apply(ApplyArgs),
    Report(ReportArgs),
    Webhook(webhook::WebhookArgs),
}

/// Run tests of policies, in the format of `kyverno test`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde policy test policies/
  prograde policy test policies/ --json
  prograde policy test policies/ --signatures
  prograde policy test policies/ --signatures --trusted-root trusted_root.json

A folder is searched for files named kyverno-test.yaml. With --json there is one line an expectation:
{\"file\", \"test\", \"policy\", \"rule\", \"resource\", \"expected\", \"actual\", \"ok\"}. A resource that no rule answers for
has the result `none`, which is never what was expected. Rules that ask who signed an image, or what is attested
of it, end in `error` unless --signatures lets the images' registries be asked; those that name identities instead of keys
also unless --trusted-root says whom to believe about them.
The exit code is 1 if an expectation does not hold, 2 if a file can't be used.")]
struct TestArgs {
    /// Files of tests, or folders that are searched for them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    signatures: SignatureArgs,
}

/// What policies are applied to.
#[derive(Debug, Args)]
pub(crate) struct Inputs {
    /// Files or folders of policies; without any the shipped set applies
    #[arg(value_name = "POLICY")]
    policies: Vec<PathBuf>,
    /// Files or folders of resources
    #[arg(long = "resource", short = 'r', required = true, value_name = "PATH")]
    resources: Vec<PathBuf>,
    /// A file of values for variables, in the format of Kyverno's `Values`
    #[arg(long, value_name = "FILE")]
    values: Option<PathBuf>,
    /// A file of who asks, in the format of Kyverno's `UserInfo`
    #[arg(long, value_name = "FILE")]
    userinfo: Option<PathBuf>,
    /// Files or folders of policy exceptions
    #[arg(long, value_name = "PATH")]
    exceptions: Vec<PathBuf>,
    /// A set that ships with Prograde: default, baseline or restricted
    #[arg(long, value_name = "NAME")]
    set: Option<String>,
    #[command(flatten)]
    signatures: SignatureArgs,
}

/// Apply policies to manifests and show what breaks them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde policy apply --resource manifests/
  prograde policy apply policies/ --resource deployment.yaml --json
  prograde policy apply --set restricted --resource manifests/
  prograde policy apply signed.yaml --resource manifests/ --signatures
  prograde policy apply signed.yaml --resource manifests/ --signatures --trusted-root trusted_root.json

The exit code is 1 if a policy that is enforced is broken or can't be told.")]
struct ApplyArgs {
    #[command(flatten)]
    inputs: Inputs,
}

/// Report what policies say to manifests, as `PolicyReport` and `ClusterPolicyReport`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde policy report --resource manifests/
  prograde policy report policies/ --resource manifests/ --json

The reports are of the API wgpolicyk8s.io/v1alpha2, one a namespace and one for what has none.")]
struct ReportArgs {
    #[command(flatten)]
    inputs: Inputs,
}

/// Carries out the command.
pub(crate) fn run(app: &App, args: &PolicyArgs) -> Result<Exit, Report> {
    match &args.command {
        PolicyCommand::Test(args) => test::run(app, args),
        PolicyCommand::Apply(args) => apply::run(app, &args.inputs),
        PolicyCommand::Report(args) => report::run(app, &args.inputs),
        PolicyCommand::Webhook(args) => webhook::run(app, args),
    }
}
