//! The author's mailbox: takes in what the server posts to its webhook.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::wait::until;

/// A mailbox on a port of its own. It stays open until the tests end.
pub(crate) struct Mailbox {
    port: u16,
    letters: Arc<Mutex<Vec<Value>>>,
}

impl Mailbox {
    pub(crate) fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let letters = Arc::<Mutex<Vec<Value>>>::default();
        let kept = Arc::clone(&letters);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                kept.lock().unwrap().push(take_in(&stream.unwrap()));
            }
        });
        Self { port, letters }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// All letters so far.
    pub(crate) fn all(&self) -> Vec<Value> {
        self.letters.lock().unwrap().clone()
    }

    /// All letters about a flight, once there is one.
    pub(crate) fn letters(&self, flight: &str) -> Vec<Value> {
        until("a letter about the flight has come", || {
            let letters = self.letters.lock().unwrap();
            let found: Vec<Value> = letters.iter().filter(|letter| letter["id"] == flight).cloned().collect();
            (!found.is_empty()).then_some(found)
        })
    }
}

fn take_in(mut stream: &TcpStream) -> Value {
    let mut reader = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line).unwrap() > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").unwrap();
    serde_json::from_slice(&body).unwrap()
}
