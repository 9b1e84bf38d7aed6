//! Targets that speak TLS: OpenSSL's own server with a certificate that nobody but the test knows.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use prograde_observe::scrape::state::Health;

use super::Scraper;
use crate::peer;

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn openssl(folder: &Path, arguments: &str) -> Option<Command> {
    let mut command = Command::new("openssl");
    command.args(arguments.split(' ')).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::null());
    command.stderr(Stdio::null());
    if Command::new("openssl").arg("version").output().is_err() {
        peer::missing("openssl");
        return None;
    }
    Some(command)
}

fn certificate(folder: &Path, name: &str) -> Option<()> {
    let arguments = format!(
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -addext subjectAltName=DNS:{name} \
         -addext basicConstraints=critical,CA:FALSE -keyout {name}.key -out {name}.pem"
    );
    assert!(openssl(folder, &arguments)?.status().unwrap().success());
    Some(())
}

/// Serves the file `metrics`, an answer with its head, to whoever shows a certificate that it knows.
fn serve(folder: &Path, more: &str) -> (Server, u16) {
    let port = prograde_ports::free();
    let arguments = format!("s_server -accept 127.0.0.1:{port} -cert target.pem -key target.key -HTTP{more}");
    let server = Server(openssl(folder, &arguments).unwrap().spawn().unwrap());
    (server, port)
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_are_believed_by_their_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    if certificate(path, "target").is_none() {
        return;
    }
    certificate(path, "client").unwrap();
    fs::write(path.join("metrics"), "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\na 1\n").unwrap();
    let (_open, port) = serve(path, "");
    let (_closed, strict) = serve(path, " -Verify 1 -verify_return_error -CAfile client.pem");
    for port in [port, strict] {
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let file = |name: &str| path.join(name).display().to_string();
    let ca = format!("ca_file: '{}'", file("target.pem"));
    let identity = format!("cert_file: '{}', key_file: '{}'", file("client.pem"), file("client.key"));
    // Each with what it leads to; nothing where it is up.
    let jobs = [
        ("known", port, format!("{ca}, server_name: target"), ""),
        ("other-name", port, format!("{ca}, server_name: other"), "not reached: "),
        ("unknown", port, "server_name: target".to_owned(), "not reached: "),
        ("unchecked", port, "insecure_skip_verify: true".to_owned(), ""),
        ("shows-nothing", strict, format!("{ca}, server_name: target"), "not reached: "),
        ("shows-itself", strict, format!("{ca}, server_name: target, {identity}"), ""),
        ("no-file", port, "ca_file: /none.pem".to_owned(), "/none.pem: "),
    ];
    let configs: Vec<String> = jobs
        .iter()
        .map(|(name, port, tls, _)| {
            format!(
                "- {{ job_name: {name}, scheme: https, tls_config: {{ {tls} }}, \
                 static_configs: [{{ targets: ['127.0.0.1:{port}'] }}] }}\n"
            )
        })
        .collect();
    let text = format!("global: {{ scrape_interval: 5s }}\nscrape_configs:\n{}", configs.concat());
    let scraper = Scraper::start(&text).await;
    let targets = scraper.scraped().await;
    scraper.handle.stop().await;
    for (name, _, _, error) in jobs {
        let status = &targets.iter().find(|target| target.job == name).unwrap().status;
        assert_eq!(status.health == Health::Up, error.is_empty(), "{name}: {status:?}");
        assert!(status.last_error.starts_with(error), "{name}: {status:?}");
    }
}
