//! `prograde serve`: the server in the foreground, until Ctrl-C or SIGTERM.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use prograde_model::InvalidName;
use prograde_model::ids::ServiceName;
use prograde_model::quantity::Period;
use prograde_server::admission::AdmissionOptions;
use prograde_server::{Automated, Server, ServerError, ServerOptions};
use prograde_supply::client::ClientOptions;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::level_filters::LevelFilter;

use crate::args::Global;
use crate::commands::image::access::Kept;
use crate::commands::policy::InForce;
use crate::commands::scan::Looking;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::report::{self, Report};

/// Run the server in the foreground
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde serve
  prograde serve --data-dir /var/lib/prograde --node-address 0.0.0.0
  prograde serve --notify-webhook https://chat.example/hook --log-format json

Whoever reaches the server and has its token can run programs as the server's user,
because pushes are built here. Ctrl-C or SIGTERM stops the server and what it runs; a
second one does not wait. What was under way goes on at the next start. SIGHUP has the
files read again that say what is observed, who is told, who is on call and what policies
releases have to meet.

With --admission-listen the policies are asked by a Kubernetes cluster as well, about every
object before it is kept: `prograde policy webhook` prints what the cluster needs for that.")]
pub(crate) struct ServeArgs {
    /// Where the API and the Git repositories are served; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:7878", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Where the services that are deployed listen
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    node_address: IpAddr,
    /// Where news for authors is posted as JSON
    #[arg(long, env = "PROGRADE_NOTIFY_WEBHOOK", hide_env_values = true, value_name = "URL", value_parser = webhook)]
    notify_webhook: Option<Webhook>,
    /// Where bearer tokens for metrics' providers lie, as HOST:PORT/FILE
    #[arg(long, value_name = "DIR")]
    metric_tokens: Option<PathBuf>,
    /// What pipelines may keep between runs [default: `cache` in the data directory]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// Variables that pipelines take over from the server's environment, such as `GOPROXY` or `NPM_*`
    #[arg(long, value_name = "NAME", num_args = 1.., value_parser = variable)]
    ci_pass_env: Vec<String>,
    /// How long a replica that failed twice waits before it is started again; doubles each time
    #[arg(long, default_value = "10s", value_name = "TIME")]
    restart_backoff: Period,
    /// How often an autoscaler looks at what replicas use; Kubernetes calls it the sync period
    #[arg(long, default_value = "15s", value_name = "TIME")]
    autoscale_period: Period,
    /// The `prometheus.yml` that says what is scraped and which rules are evaluated
    #[arg(long, value_name = "FILE")]
    prometheus_config: Option<PathBuf>,
    /// Another server with Prometheus' HTTP API, which is asked in place of the embedded store; it scrapes and evaluates rules itself
    #[arg(long, value_name = "URL", conflicts_with = "prometheus_config", value_parser = address)]
    prometheus_url: Option<String>,
    /// A file with the bearer token that it is shown
    #[arg(long, value_name = "FILE", requires = "prometheus_url")]
    prometheus_token_file: Option<PathBuf>,
    /// The `alertmanager.yml` that says who is told of which alerts
    #[arg(long, value_name = "FILE")]
    alertmanager_config: Option<PathBuf>,
    /// The `oncall.yaml` that says who is on call and whom pages reach
    #[arg(long, value_name = "FILE", requires = "alertmanager_config")]
    oncall: Option<PathBuf>,
    /// The file that says in which trackers (GitHub, GitLab, Jira) action items get tickets
    #[arg(long, value_name = "FILE")]
    trackers: Option<PathBuf>,
    /// The file that says which repositories on Git hosts (GitHub, GitLab and others) are followed, and where bases and charts
    /// that manifests name may come from
    #[arg(long, value_name = "FILE")]
    upstreams: Option<PathBuf>,
    /// Let charts of services and applications be rendered by Helm 3: the installed program, or the one named. Charts of other
    /// machines come from where the file of --upstreams says
    #[arg(long, value_name = "PROGRAM", num_args = 0..=1, require_equals = true, default_missing_value = "helm")]
    helm: Option<PathBuf>,
    /// The file that says which Argo CD applications of which repositories are kept in which clusters
    #[arg(long, value_name = "FILE")]
    applications: Option<PathBuf>,
    /// The repositories whose `ImageUpdateAutomation`s are carried out: `all`, `none`, or names with commas between them
    #[arg(long, default_value = "all", value_name = "WHICH", value_parser = automated)]
    image_automations: Automated,
    /// The file with the secret that registries show when they tell of a push: `POST /webhooks/images`
    #[arg(long, value_name = "FILE", value_parser = secret_file)]
    image_webhook_secret: Option<PathBuf>,
    /// Where people find this server, if not at the address that it listens on; stands in what they are told
    #[arg(long, value_name = "URL", value_parser = address)]
    external_url: Option<String>,
    #[command(flatten)]
    in_force: InForce,
    #[command(flatten)]
    admission: AdmissionArgs,
    #[command(flatten)]
    looking: Looking,
    /// Push images of releases to this registry as well, with what vouches for them, as PATH/SERVICE:COMMIT
    #[arg(long, value_name = "HOST/PATH")]
    push_to: Option<String>,
    /// Speak to this registry without TLS; to this machine that is always done
    #[arg(long, value_name = "HOST")]
    insecure_registry: Vec<String>,
    #[command(flatten)]
    kept: Kept,
    /// The file with the password of the key that signs images [default: one that is drawn, in the data directory]
    #[arg(long, value_name = "FILE")]
    signing_password_file: Option<PathBuf>,
    /// The `trust.yaml` that says whose signatures of images count [default: the server's own key]
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// A file of objectives, of `OpenSLO` or Sloth, or a folder of them; can be given several times
    #[arg(long, value_name = "PATH")]
    objectives: Vec<PathBuf>,
    /// Show the status page at /status to everybody, without the token
    #[arg(long)]
    public_status: bool,
    /// Let everybody pull images from the registry at /v2/, without the token
    #[arg(long)]
    anonymous_pull: bool,
    /// Tags in the registry that match this can't be moved or deleted once they are set, such as `v[0-9.]+`
    #[arg(long, value_name = "REGEX")]
    immutable_tags: Option<String>,
    /// For how long time series are kept
    #[arg(long, default_value = "360h", value_name = "TIME", value_parser = an_hour_or_more)]
    metrics_retention: Period,
    /// For how long unpacked images that nothing runs, and artifacts of flights that have ended, are kept; at least an hour
    #[arg(long, default_value = "168h", value_name = "TIME", value_parser = an_hour_or_more)]
    keep_unused: Period,
    /// How the log on stderr is written: lines for people, or one JSON object a line
    #[arg(long, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    log_format: LogFormat,
}

/// How Kubernetes asks the policies at admission.
#[derive(Debug, Args)]
#[expect(clippy::struct_field_names, reason = "flags are named after them")]
struct AdmissionArgs {
    /// Answer a Kubernetes cluster's admission webhooks at this ADDRESS:PORT, over TLS
    #[arg(long, value_name = "ADDRESS", requires = "admission_cert", requires = "admission_key")]
    admission_listen: Option<SocketAddr>,
    /// The certificate that Kubernetes is shown, in PEM with those that vouch for it; read again when it changes
    #[arg(long, value_name = "FILE", requires = "admission_listen")]
    admission_cert: Option<PathBuf>,
    /// The certificate's key, in PEM
    #[arg(long, value_name = "FILE", requires = "admission_listen")]
    admission_key: Option<PathBuf>,
    /// Answer only who has a certificate of these, in PEM
    #[arg(long, value_name = "FILE", requires = "admission_listen")]
    admission_client_ca: Option<PathBuf>,
    /// The kubeconfig with which the cluster is asked for namespaces, for policies that select by them
    #[arg(long, value_name = "FILE", requires = "admission_listen")]
    admission_kubeconfig: Option<PathBuf>,
}

impl AdmissionArgs {
    fn options(self) -> Option<AdmissionOptions> {
        Some(AdmissionOptions {
            listen: self.admission_listen?,
            certificate: self.admission_cert?,
            key: self.admission_key?,
            client_ca: self.admission_client_ca,
            kubeconfig: self.admission_kubeconfig,
        })
    }
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// An address whose path is often a secret.
#[derive(Clone)]
struct Webhook(String);

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Webhook(***)")
    }
}

fn webhook(text: &str) -> Result<Webhook, &'static str> {
    address(text).map(Webhook).map_err(|_| "expected an address like `https://chat.example/hook`")
}

fn address(text: &str) -> Result<String, &'static str> {
    let uri: ureq::http::Uri = text.parse().map_err(|_| "it is not a URL")?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(_)) => Ok(text.to_owned()),
        _ => Err("expected an address like `https://prograde.example`"),
    }
}

/// A time that is no slip: what is removed after less may be wanted still.
fn an_hour_or_more(text: &str) -> Result<Period, String> {
    let period: Period = text.parse().map_err(|error: InvalidName| error.to_string())?;
    if period.duration().as_hours() < 1 {
        return Err("it is less than an hour: write `1h` or more".to_owned());
    }
    Ok(period)
}

/// A file that is there; what is in it is read when it is needed.
fn secret_file(text: &str) -> Result<PathBuf, String> {
    let file = PathBuf::from(text);
    std::fs::File::open(&file).map(|_| file).map_err(|error| format!("it can't be read: {error}"))
}

fn automated(text: &str) -> Result<Automated, String> {
    match text {
        "all" => Ok(Automated::All),
        "none" => Ok(Automated::Only(BTreeSet::new())),
        names => {
            let names =
                names.split(',').map(|name| name.trim().parse::<ServiceName>().map_err(|error| error.to_string()));
            Ok(Automated::Only(names.collect::<Result<_, _>>()?))
        }
    }
}

/// A variable's name, or the beginning of one and `*`.
fn variable(text: &str) -> Result<String, &'static str> {
    let name = text.strip_suffix('*').unwrap_or(text);
    let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if good { Ok(text.to_owned()) } else { Err("expected a variable's name, such as `GOPROXY`, or `NPM_*`") }
}

/// Serves until a signal comes.
pub(crate) async fn run(args: ServeArgs, global: &Global, printer: &Printer) -> Result<Exit, Report> {
    log(args.log_format, global, printer);
    let mut signals = Signals::new()?;
    let data_dir = global.data_dir()?;
    let options = options(args, global, &data_dir)?;
    let data_dir = options.data_dir.clone();
    let server = Server::start(options).await.map_err(|error| not_started(&error))?;
    announce(printer, server.address(), &server.token_file(), &data_dir)?;
    while signals.next().await == Told::Reload {
        match server.reload().await {
            Ok(()) => printer.note("Reloaded", "what is observed, who is told, and policies"),
            Err(error) => printer.report(&not_started(&error).hint("what the files said before is still in force")),
        }
    }
    printer.note("Stopping", "what is under way goes on at the next start");
    tokio::select! {
        () = server.shutdown() => {
            printer.note("Stopped", format_args!("{}", data_dir.display()));
            Ok(Exit::Done)
        }
        () = signals.end() => Err(Report::cancelled()),
    }
}

fn options(args: ServeArgs, global: &Global, data_dir: &Path) -> Result<ServerOptions, Report> {
    let data_dir = std::path::absolute(data_dir).map_err(|error| Report::file("use", data_dir, &error))?;
    let defaults = ServerOptions::new(data_dir);
    Ok(ServerOptions {
        listen: args.listen,
        node_address: args.node_address,
        cache_dir: args.cache_dir.unwrap_or(defaults.cache_dir.clone()),
        notify_webhook: args.notify_webhook.map(|Webhook(url)| url),
        metric_tokens: args.metric_tokens,
        ci_pass_env: args.ci_pass_env,
        host_env: environment(),
        restart_backoff: args.restart_backoff.duration().unsigned_abs().max(Duration::from_millis(1)),
        autoscale_period: args.autoscale_period.duration().unsigned_abs().max(Duration::from_secs(1)),
        prometheus_config: args.prometheus_config,
        prometheus_url: args.prometheus_url,
        prometheus_token_file: args.prometheus_token_file,
        alertmanager_config: args.alertmanager_config,
        oncall: args.oncall,
        trackers: args.trackers,
        upstreams: args.upstreams,
        helm: args.helm,
        applications: args.applications,
        image_automations: args.image_automations,
        image_webhook_secret: args.image_webhook_secret,
        external_url: args.external_url,
        policies: args.in_force.policies,
        admission: args.admission.options(),
        policy_set: args.in_force.policy_set,
        scan_fail_on: args.looking.scan_fail_on.0,
        vulnerability_db: args.looking.vulnerability_db,
        push_to: args.push_to,
        registries: ClientOptions {
            insecure: args.insecure_registry.into_iter().collect(),
            ..args.kept.options(global)
        },
        trust: args.trust,
        signing_password_file: args.signing_password_file,
        objectives: args.objectives,
        public_status: args.public_status,
        registry_anonymous_pull: args.anonymous_pull,
        registry_immutable_tags: args.immutable_tags,
        metrics_retention: args.metrics_retention.duration().unsigned_abs(),
        keep_unused: args.keep_unused.duration().unsigned_abs(),
        ..defaults
    })
}

/// The process's environment, less the token: pipelines run other people's programs.
pub(crate) fn environment() -> BTreeMap<String, String> {
    let texts =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    texts.filter(|(name, _)| !name.starts_with("PROGRADE_")).collect()
}

pub(crate) fn not_started(error: &ServerError) -> Report {
    Report::new(error.code(), error.to_string()).caused_by(error).hint(error.hint())
}

fn announce(printer: &Printer, address: SocketAddr, token_file: &Path, data_dir: &Path) -> Result<(), Report> {
    let url = format!("http://{address}");
    if printer.style().json {
        return printer.json_line(&json!({"url": url, "token_file": token_file, "data_dir": data_dir}));
    }
    printer.note("Listening", &url);
    printer.note("Data", data_dir.display());
    printer.note("Token", token_file.display());
    if !printer.style().quiet {
        printer.hint(&push_help(&url, token_file));
    }
    Ok(())
}

/// How to push to the server, ready to paste.
fn push_help(url: &str, token_file: &Path) -> String {
    let token = token_file.display().to_string().replace('\'', r"'\''").replace('"', "\\\"");
    format!(
        "\nTo deploy a service, run in its repository:

  git config credential.{url}.helper '!f() {{ echo username=prograde; echo \"password=$(cat \"{token}\")\"; }}; f'
  git remote add prograde {url}/git/SERVICE.git
  git push prograde HEAD:main
  prograde flight watch\n"
    )
}

/// Ctrl-C, SIGTERM and SIGHUP.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    End,
    Reload,
}

impl Signals {
    pub(crate) fn new() -> Result<Self, Report> {
        let refused = |error| Report::new(report::SYSTEM, "signals can't be waited for").because(&error);
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(refused)?,
            terminate: signal(SignalKind::terminate()).map_err(refused)?,
            hang_up: signal(SignalKind::hangup()).map_err(refused)?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.interrupt.recv() => Told::End,
            _ = self.terminate.recv() => Told::End,
            _ = self.hang_up.recv() => Told::Reload,
        }
    }

    /// Waits for a signal that asks to end.
    pub(crate) async fn end(&mut self) {
        while self.next().await != Told::End {}
    }
}

pub(crate) fn log(format: LogFormat, global: &Global, printer: &Printer) {
    let level = match (global.quiet, global.verbose) {
        (0, 0) => LevelFilter::INFO,
        (0, 1) => LevelFilter::DEBUG,
        (0, _) => LevelFilter::TRACE,
        (1, _) => LevelFilter::WARN,
        (_, _) => LevelFilter::ERROR,
    };
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(printer.style().colour_errors);
    match format {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => log.json().init(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_kept_for_an_hour_or_more() {
        assert_eq!(an_hour_or_more("1h").unwrap().duration().as_secs(), 3600);
        assert_eq!(an_hour_or_more("7d").unwrap().duration().as_hours(), 168);
        for text in ["0s", "5m", "59m 59s"] {
            assert!(an_hour_or_more(text).unwrap_err().contains("write `1h` or more"), "{text}");
        }
        for text in ["", "-5h", "week", "999999999h"] {
            assert!(an_hour_or_more(text).unwrap_err().contains("is not a duration"), "{text}");
        }
    }

    #[test]
    fn the_way_to_push_can_be_pasted() {
        insta::assert_snapshot!(push_help("http://127.0.0.1:7878", Path::new("/home/ada/it's/token")), @r#"
        To deploy a service, run in its repository:

          git config credential.http://127.0.0.1:7878.helper '!f() { echo username=prograde; echo "password=$(cat "/home/ada/it'\''s/token")"; }; f'
          git remote add prograde http://127.0.0.1:7878/git/SERVICE.git
          git push prograde HEAD:main
          prograde flight watch
        "#);
    }

    #[test]
    fn settings_are_checked_when_they_are_read() {
        assert!(variable("GOPROXY").is_ok() && variable("NPM_*").is_ok());
        assert!(variable("*").is_err() && variable("A=b").is_err() && variable("").is_err());
        assert!(webhook("https://chat.example/hook/s3cret").is_ok());
        assert!(webhook("chat.example").is_err() && webhook("file:///etc/passwd").is_err());
        assert_eq!(format!("{:?}", webhook("https://chat.example/hook/s3cret").unwrap()), "Webhook(***)");
    }
}
