//! A server that answers as a test wants it to, down to the byte.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A request's head, line by line.
type Head = Vec<String>;
type Answering = dyn Fn(&Head, &mut TcpStream) + Send + Sync;

pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<Head>>>,
    closed: Arc<AtomicBool>,
}

impl Site {
    /// Answers each request by a function; the connection is closed after it.
    pub(crate) fn start(answer: impl Fn(&Head, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (heads, closed) = (Arc::<Mutex<Vec<Head>>>::default(), Arc::<AtomicBool>::default());
        let answer: Arc<Answering> = Arc::new(answer);
        let (kept, is_closed) = (Arc::clone(&heads), Arc::clone(&closed));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if is_closed.load(Ordering::SeqCst) {
                    return;
                }
                let (answer, kept) = (Arc::clone(&answer), Arc::clone(&kept));
                thread::spawn(move || serve(stream.unwrap(), &*answer, &kept));
            }
        });
        Self { address, heads, closed }
    }

    /// Serves bodies by their paths.
    pub(crate) fn of_bodies(bodies: Vec<(String, &'static str, Vec<u8>)>) -> Self {
        Self::start(move |head, stream| {
            let path = head[0].split([' ', '?']).nth(1).unwrap();
            let found = bodies.iter().find(|(name, ..)| path == name);
            let (content_type, body) =
                found.map_or(("text/plain", &b"not found\n"[..]), |(_, kind, body)| (kind, body));
            let status = if found.is_some() { "200 OK" } else { "404 Not Found" };
            respond(stream, status, &[("content-type", content_type)], body);
        })
    }

    /// The heads of all requests so far.
    pub(crate) fn heads(&self) -> Vec<Head> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

fn serve(mut stream: TcpStream, answer: &Answering, heads: &Mutex<Vec<Head>>) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let head: Option<Head> =
        lines.take_while(|line| line.as_ref().map_or(true, |line| !line.is_empty())).collect::<Result<_, _>>().ok();
    let Some(head) = head.filter(|head| !head.is_empty()) else { return };
    heads.lock().unwrap().push(head.clone());
    answer(&head, &mut stream);
}

/// A whole answer. Whoever reads it may have gone.
pub(crate) fn respond(stream: &mut TcpStream, status: &str, headers: &[(&str, &str)], body: &[u8]) {
    let headers: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{}\r\n", headers.concat());
    drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)));
}
