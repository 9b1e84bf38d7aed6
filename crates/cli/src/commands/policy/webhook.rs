//! `prograde policy webhook`.

use std::path::PathBuf;

use clap::Args;
use prograde_model::Diagnostic;
use prograde_server::admission::configuration::{Address, Asking, configurations};
use prograde_server::policies::{NOT_AT_ADMISSION, Policies};
use serde_json::json;

use super::InForce;
use crate::app::App;
use crate::commands::rules::files::text;
use crate::exit::Exit;
use crate::report::{self, Report};
use crate::text::counted;

/// Print what a Kubernetes cluster needs to ask the server about objects before it keeps them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde policy webhook --service prograde/prograde --ca ca.crt | kubectl apply -f -
  prograde policy webhook --url https://prograde.example:8443 --policies policies/ > webhook.yaml

Give it the policies that `prograde serve --admission-listen` has: the rules are made for them.
Where a policy is about kinds that nobody names, Kubernetes asks about all of them, but for
leases, events and reviews of tokens and access. Print and apply it again when the policies
change what they are about. Nothing of the namespaces kube-system and kube-node-lease is asked
about, nor of the one that the service is in.")]
pub(super) struct WebhookArgs {
    #[command(flatten)]
    in_force: InForce,
    /// Where the cluster finds the server
    #[arg(long, value_name = "URL", value_parser = url, required_unless_present = "service")]
    url: Option<String>,
    /// The service in the cluster that leads to the server; without a port 443
    #[arg(long, value_name = "NAMESPACE/NAME[:PORT]", value_parser = service, conflicts_with = "url")]
    service: Option<Service>,
    /// The certificates that vouch for the server's, in PEM
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A namespace about which nothing is asked; can be given several times
    #[arg(long, value_name = "NAMESPACE")]
    except: Vec<String>,
    /// What the configurations are called
    #[arg(long, default_value = "prograde", value_name = "NAME")]
    name: String,
    /// Let everything in while the server does not answer
    #[arg(long)]
    ignore_failure: bool,
    /// How long the cluster waits for an answer, in seconds
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u8).range(1..=30))]
    timeout: u8,
}

/// A service of a cluster.
#[derive(Debug, Clone)]
struct Service {
    namespace: String,
    name: String,
    port: u16,
}

fn service(text: &str) -> Result<Service, &'static str> {
    const WHAT: &str = "expected a service like `prograde/prograde` or `prograde/prograde:8443`";
    let (namespace, rest) = text.split_once('/').ok_or(WHAT)?;
    let (name, port) = rest.split_once(':').unwrap_or((rest, "443"));
    let plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    match port.parse() {
        Ok(port) if port > 0 && plain(namespace) && plain(name) => {
            Ok(Service { namespace: namespace.to_owned(), name: name.to_owned(), port })
        }
        Ok(_) | Err(_) => Err(WHAT),
    }
}

fn url(text: &str) -> Result<String, &'static str> {
    const WHAT: &str = "expected an address like `https://prograde.example:8443`: Kubernetes asks over TLS alone";
    let uri: ureq::http::Uri = text.parse().map_err(|_| WHAT)?;
    let good = uri.scheme_str() == Some("https") && uri.host().is_some() && uri.query().is_none();
    if good { Ok(text.to_owned()) } else { Err(WHAT) }
}

/// Prints the configurations, as YAML documents or as one JSON list.
pub(super) fn run(app: &App, args: &WebhookArgs) -> Result<Exit, Report> {
    let read = Policies::read(&args.in_force.policy_set, &args.in_force.policies);
    let policies = read.map_err(|found| unusable(app, &found.0, report::POLICY_INPUT))?;
    let found = policies.not_at_admission(true);
    if !found.is_empty() {
        return Err(unusable(app, &found, NOT_AT_ADMISSION));
    }
    let made = configurations(&policies, &asking(args)?);
    if made.is_empty() {
        let hint = "name them with `--policies` or `--policy-set`, as `serve` has them";
        return Err(Report::new(report::POLICY_INPUT, "no policy has anything to say at admission").hint(hint));
    }
    if policies.need_namespaces() {
        app.printer.note("Needed", "`prograde serve --admission-kubeconfig FILE`: policies ask for namespaces");
    }
    if app.printer.style().json {
        app.printer.json(&json!({"apiVersion": "v1", "kind": "List", "items": made}))?;
        return Ok(Exit::Done);
    }
    for one in &made {
        let text = prograde_yaml::write(one).map_err(|why| Report::new(report::POLICY_INPUT, why))?;
        app.printer.line("---")?;
        app.printer.text(text)?;
    }
    Ok(Exit::Done)
}

fn asking(args: &WebhookArgs) -> Result<Asking, Report> {
    let address = match (&args.service, &args.url) {
        (Some(service), _) => {
            Address::Service { namespace: service.namespace.clone(), name: service.name.clone(), port: service.port }
        }
        (None, url) => Address::Url(url.clone().unwrap_or_default()),
    };
    let ca = args.ca.as_deref().map(|path| {
        let pem = text(path).map_err(|found| Report::new(report::POLICY_INPUT, found.to_string()))?;
        let whole = pem.contains("-----BEGIN CERTIFICATE-----");
        let wrong = || Report::new(report::POLICY_INPUT, format!("{} has no certificate in PEM", path.display()));
        if whole { Ok(pem) } else { Err(wrong()) }
    });
    Ok(Asking {
        name: args.name.clone(),
        address,
        ca: ca.transpose()?,
        except: args.except.clone(),
        ignore: args.ignore_failure,
        timeout_s: args.timeout,
    })
}

fn unusable(app: &App, found: &[Diagnostic], code: &'static str) -> Report {
    for diagnostic in found {
        app.printer.warning(diagnostic);
    }
    let what = format!("{} in policies", counted(found.len() as u64, "mistake"));
    Report::new(code, what).hint("`prograde explain CODE` says more about each finding")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_server_is() {
        let found = service("deploy/prograde:8443").unwrap();
        assert_eq!((found.namespace.as_str(), found.name.as_str(), found.port), ("deploy", "prograde", 8443));
        assert_eq!(service("deploy/prograde").unwrap().port, 443);
        for wrong in ["prograde", "a/", "/b", "a/b:0", "a/b:x", "A/b", "a/b/c"] {
            assert!(service(wrong).is_err(), "{wrong}");
        }
        assert!(url("https://prograde.example:8443").is_ok());
        assert!(url("http://prograde.example").is_err() && url("prograde.example").is_err());
    }
}
