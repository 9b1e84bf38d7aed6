//! A plain HTTP/1.1 client of one connection (RFC 9112), which tells every failure and repeats nothing.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The longest body that is read.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// A connection that is kept.
pub(crate) struct Connection {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self { address, stream: BufReader::new(stream) })
    }

    /// Asks once. Status, body, and whether the connection stays.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<(u16, String, bool)> {
        self.get_with(path, "")
    }

    /// Asks once with another header, such as `cookie: user=7`.
    pub(crate) fn get_with(&mut self, path: &str, header: &str) -> io::Result<(u16, String, bool)> {
        let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n{header}\r\n", self.address);
        self.stream.get_mut().write_all(request.as_bytes())?;
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|text| text.parse().ok()).ok_or_else(|| strange(&line))?;
        let (mut length, mut stays) = (None, true);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse::<usize>().ok();
            } else if line.starts_with("connection:") && line.contains("close") {
                stays = false;
            }
        }
        let length = length.filter(|length| *length <= BODY_BYTES_MAX).ok_or_else(|| strange("no fitting length"))?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, String::from_utf8_lossy(&body).into_owned(), stays))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

/// Asks once over a connection of its own.
pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    Connection::open(address)?.get(path).map(|(status, body, _)| (status, body))
}

fn strange(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("strange answer: {what:?}"))
}
