//! The kubelet's `httpGet` probe: a status from 200 to 399 is success; a redirect on the same host is followed, one to
//! another host is success (kubernetes/kubernetes, `pkg/probe/http`; documented under "HTTP probes"). This node speaks no
//! TLS to replicas: a redirect to `https` counts as one to another host.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, LOCATION, USER_AGENT};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// As the kubelet's client.
const REDIRECTS_MAX: usize = 10;
/// As much of the answer's body as the kubelet reads.
const BODY_BYTES_MAX: usize = 10 * 1024;

/// Tries `path`; the error says why it failed.
pub(super) async fn get(address: SocketAddr, path: &str, headers: &[(String, String)]) -> Result<(), String> {
    let (mut address, mut path) = (address, absolute(path));
    for _ in 0..=REDIRECTS_MAX {
        let (status, location) = exchange(address, &path, headers).await?;
        let followed = location.filter(|_| is_followed(status)).and_then(|to| same_host(address, &path, &to));
        match followed {
            Some(next) => (address, path) = next,
            None if (200..400).contains(&status.as_u16()) => return Ok(()),
            None => return Err(format!("HTTP status {}", status.as_u16())),
        }
    }
    Err(format!("stopped after {REDIRECTS_MAX} redirects"))
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

fn is_followed(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads, if it stays on the host.
fn same_host(address: SocketAddr, path: &str, location: &str) -> Option<(SocketAddr, String)> {
    if !is_absolute(location) {
        let (base, _) = path.split_once('?').unwrap_or((path, ""));
        let next = match location.chars().next()? {
            '/' => location.to_owned(),
            '?' => format!("{base}{location}"),
            _ => format!("{}/{location}", base.rsplit_once('/').map_or("", |(parent, _)| parent)),
        };
        return Some((address, next));
    }
    let uri: Uri = location.parse().ok()?;
    if uri.scheme_str() != Some("http") || uri.host()? != address.ip().to_string() {
        return None;
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Some((SocketAddr::new(address.ip(), uri.port_u16().unwrap_or(80)), path.to_owned()))
}

/// Whether a reference names a host (RFC 3986, sections 4.2 and 4.3).
fn is_absolute(location: &str) -> bool {
    let scheme = location.split_once(':').map_or("", |(scheme, _)| scheme);
    let is_scheme = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    location.starts_with("//") || is_scheme
}

/// One request on a connection of its own: what a redirect or a slow close leaves behind must not fail the next one.
async fn exchange(
    address: SocketAddr,
    path: &str,
    headers: &[(String, String)],
) -> Result<(StatusCode, Option<String>), String> {
    let request = request(address, path, headers)?;
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let answer = async move {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        Ok(head(response).await)
    };
    tokio::pin!(answer);
    tokio::select! {
        head = &mut answer => return head,
        // The connection's own end is not the answer's: what came before it is still to be read.
        _closed = connection => {}
    }
    answer.await
}

/// The answer's head, once as much of its body as matters has been taken; how the body ends does not matter.
async fn head(response: Response<Incoming>) -> (StatusCode, Option<String>) {
    let (parts, body) = response.into_parts();
    let _taken = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let location = parts.headers.get(LOCATION).and_then(|value| value.to_str().ok());
    (parts.status, location.map(str::to_owned))
}

fn request(address: SocketAddr, path: &str, headers: &[(String, String)]) -> Result<Request<Empty<Bytes>>, String> {
    let mut request = Request::get(path).body(Empty::new()).map_err(|error| error.to_string())?;
    let defaults = [
        (HOST, address.to_string()),
        (USER_AGENT, concat!("kube-probe/prograde-", env!("CARGO_PKG_VERSION")).to_owned()),
        (ACCEPT, "*/*".to_owned()),
        (CONNECTION, "close".to_owned()),
    ];
    let mut insert = |name: HeaderName, value: &str| match HeaderValue::from_str(value) {
        Ok(value) => {
            request.headers_mut().insert(name, value);
            Ok(())
        }
        Err(_) => Err(format!("invalid value of probe header {name}")),
    };
    for (name, value) in defaults {
        insert(name, &value)?;
    }
    for (name, value) in headers {
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("invalid probe header {name:?}"))?;
        insert(parsed, value)?;
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;

    /// Answers each connection with what `answer` says for the request's text; then closes it.
    async fn serve(answer: fn(&str, u16) -> String) -> (SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = vec![0; 4096];
                let length = stream.read(&mut head).await.unwrap();
                let answer = answer(&String::from_utf8_lossy(&head[..length]), address.port());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (address, tasks)
    }

    fn site(request: &str, port: u16) -> String {
        let redirect = |to: &str| format!("302 Found\r\nlocation: {to}");
        let status = match request.split(' ').nth(1).unwrap() {
            "/ok" => "200 OK".to_owned(),
            "/old" => "399 Odd".to_owned(),
            "/bad" | "/bad?to=http://example.invalid//" => "400 Bad".to_owned(),
            "/here" => redirect("bad"),
            "/full" => redirect(&format!("http://127.0.0.1:{port}/bad?x=1//")),
            "/away" => redirect("http://example.invalid/bad"),
            "/tls" => redirect(&format!("https://127.0.0.1:{port}/bad")),
            "/query" => redirect("bad?to=http://example.invalid//"),
            "/loop" => redirect("/loop"),
            "/bare" => "302 Found".to_owned(),
            "/host" if request.contains("host: pad.example") && request.contains("x-a: b") => "204 No".to_owned(),
            _ => "404 Not Found".to_owned(),
        };
        format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")
    }

    #[tokio::test]
    async fn statuses_and_redirects_count_as_they_do_for_the_kubelet() {
        let (address, _tasks) = serve(site).await;
        let cases = [
            ("/ok", Ok(())),
            ("ok", Ok(())),
            ("/old", Ok(())),
            ("/bad", Err("HTTP status 400")),
            ("/here", Err("HTTP status 400")),
            ("/full", Err("HTTP status 404")),
            ("/away", Ok(())),
            ("/tls", Ok(())),
            ("/bare", Ok(())),
            ("/loop", Err("stopped after 10 redirects")),
            ("/host", Err("HTTP status 404")),
            ("/query", Err("HTTP status 400")),
        ];
        for (path, expected) in cases {
            assert_eq!(get(address, path, &[]).await, expected.map_err(str::to_owned), "{path}");
        }
        let headers = [("Host".to_owned(), "pad.example".to_owned()), ("X-A".to_owned(), "b".to_owned())];
        assert_eq!(get(address, "/host", &headers).await, Ok(()));
        assert!(get(address, "/ok", &[("bad name".into(), String::new())]).await.is_err());
        assert!(get(address, "/ok", &[("x".into(), "a\r\nb: c".into())]).await.is_err());
        assert!(get(address, "/o k", &[]).await.is_err());
    }

    #[tokio::test]
    async fn what_is_no_answer_is_a_failure() {
        let (address, _tasks) = serve(|_, _| "ssh-2.0\r\n\r\n".to_owned()).await;
        assert!(get(address, "/", &[]).await.is_err());
        let (address, _tasks) = serve(|_, _| String::new()).await;
        assert!(get(address, "/", &[]).await.is_err());
        let endless = |_: &str, _| format!("HTTP/1.1 200 OK\r\ncontent-length: 999999\r\n\r\n{}", "x".repeat(20_000));
        let (address, _tasks) = serve(endless).await;
        assert_eq!(get(address, "/", &[]).await, Ok(()), "only the beginning of the body is read");
    }
}
