//! Answers as replicas send them, whole and cut anywhere, and as they must not send them.

use super::*;

const LIMIT: usize = 8192;

/// Reads a whole answer that arrives in pieces of `piece` bytes, then the connection's end.
fn read(text: &[u8], asked: &Method, piece: usize) -> Result<(Head, Vec<u8>, HeaderMap), DecodeError> {
    let mut pieces = text.chunks(piece);
    let mut buffer = BytesMut::new();
    let head = loop {
        if let Some(head) = head(&mut buffer, asked, LIMIT)? {
            break head;
        }
        buffer.extend_from_slice(pieces.next().ok_or(DecodeError::Eof)?);
    };
    let (mut decoder, mut body, mut trailers) = (head.body, Vec::new(), HeaderMap::new());
    loop {
        match decoder.decode(&mut buffer, LIMIT)? {
            Decoded::Data(data) => body.extend_from_slice(&data),
            Decoded::Trailers(map) => {
                trailers = map;
                break;
            }
            Decoded::End => break,
            Decoded::More => match pieces.next() {
                Some(piece) => buffer.extend_from_slice(piece),
                None => decoder.end()?,
            },
        }
    }
    Ok((head, body, trailers))
}

fn get(text: &str) -> Result<(Head, Vec<u8>, HeaderMap), DecodeError> {
    let whole = read(text.as_bytes(), &Method::GET, usize::MAX);
    for piece in 1..8 {
        let cut = read(text.as_bytes(), &Method::GET, piece);
        assert_eq!(cut.as_ref().map(|(_, body, _)| body), whole.as_ref().map(|(_, body, _)| body), "pieces of {piece}");
    }
    whole
}

#[test]
fn a_body_ends_where_its_framing_says() {
    for (text, body) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "hello"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\ncontent-length: 5\r\n\r\nhello", "hello"),
        ("HTTP/1.1 200 OK\r\n\r\nuntil the end", "until the end"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", "hello!"),
        ("HTTP/1.1 204 No Content\r\n\r\n", ""),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", ""),
    ] {
        assert_eq!(get(text).unwrap().1, body.as_bytes(), "{text}");
    }
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    let (head, body, _) = read(head.as_bytes(), &Method::HEAD, 3).unwrap();
    assert_eq!((head.headers.get("content-length").unwrap(), body.len()), (&HeaderValue::from_static("5"), 0));
}

#[test]
fn trailers_come_through() {
    let text =
        "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n";
    let (head, body, trailers) = get(text).unwrap();
    assert_eq!(body, b"hi");
    assert_eq!(trailers.get("x-sum").unwrap(), "7");
    assert!(head.headers.contains_key("trailer") && head.persistent);
}

#[test]
fn a_connection_is_kept_only_where_both_sides_know_where_the_answer_ended() {
    for (text, kept) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: x, Close\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n", true),
    ] {
        assert_eq!(get(text).unwrap().0.persistent, kept, "{text}");
    }
}

#[test]
fn what_concerns_only_the_connection_is_set_apart() {
    let text = "HTTP/1.1 299 Odd\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: max=9, timeout=5\r\nupgrade: a\r\n\
                content-length: 0\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\r\n";
    let head = get(text).unwrap().0;
    assert_eq!(head.keep_alive_s, Some(5));
    assert_eq!(head.upgrade.unwrap(), "a");
    assert_eq!(head.reason.unwrap().as_bytes(), b"Odd");
    assert_eq!(head.headers.get_all("set-cookie").iter().count(), 2);
    let mut names: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "set-cookie"]);
}

#[test]
fn what_can_be_understood_in_two_ways_is_refused() {
    for length in [
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 5",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: identity",
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5,6",
        "content-length: +5",
        "content-length: -1",
        "content-length: 0x5",
        "content-length: ",
        "content-length: 99999999999999999999",
    ] {
        let text = format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        assert_eq!(get(&text).unwrap_err(), DecodeError::Length, "{length}");
    }
    assert_eq!(get("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n").unwrap_err(), DecodeError::Length);
}

#[test]
fn an_answer_that_ends_too_early_is_an_error_and_not_an_end() {
    for text in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-len",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: 1\r\n",
    ] {
        assert_eq!(get(text).unwrap_err(), DecodeError::Eof, "{text}");
    }
}

#[test]
fn garbage_is_an_error() {
    for text in [
        "SSH-2.0-OpenSSH_9\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
        "\0\0\0\0",
    ] {
        assert!(matches!(get(text).unwrap_err(), DecodeError::Head(_)), "{text}");
    }
    for chunks in ["x\r\n", "5\r\nhelloXX0\r\n\r\n", "-1\r\n", "fffffffffffffffff\r\n", "0\r\nbad trailer\r\n\r\n"] {
        let text = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
        assert_eq!(get(&text).unwrap_err(), DecodeError::Chunk, "{chunks}");
    }
}

#[test]
fn nothing_grows_beyond_its_limit() {
    let long = "x".repeat(LIMIT);
    let many = "a: b\r\n".repeat(HEADERS_MAX + 1);
    for text in [
        format!("HTTP/1.1 200 OK\r\na: {long}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\na: {long}"),
        format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
    ] {
        assert_eq!(read(text.as_bytes(), &Method::GET, 1000).unwrap_err(), DecodeError::HeadTooLarge);
    }
    for chunks in
        [format!("5;{long}"), format!("5;{long}\r\nhello\r\n"), format!("0\r\na: {long}"), format!("0\r\n{many}\r\n")]
    {
        let text = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
        assert_eq!(read(text.as_bytes(), &Method::GET, 1000).unwrap_err(), DecodeError::Chunk, "{}", &chunks[..9]);
    }
}
