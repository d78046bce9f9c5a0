//! Bytes on a connection: wrong framing, stalled and incomplete bodies, invalid HTTP; and the client that
//! writes them.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::request::Request;
use super::sender::Sender::{Allison, AlloV1};

/// The bytes for a new connection, and the statuses of all answers before it closes.
pub(super) type Row = (&'static str, fn() -> Wire, &'static [u16]);

pub(super) const ROWS: &[Row] = &[
    ("a genuine request", || all(genuine().bytes()), &[200]),
    ("two of them at once", || all([genuine().bytes(), genuine().bytes()].concat()), &[200, 200]),
    (
        "a genuine one behind a refused one",
        || all([genuine().with(SIGNATURE, "x").bytes(), genuine().bytes()].concat()),
        &[401, 200],
    ),
    ("byte by byte", || bit_by_bit(&genuine().bytes()), &[200]),
    // The length of a body.
    ("one byte less than the body", || all(framed(|len| len - 1)), &[401, 400]),
    ("half of the body", || all(framed(|len| len / 2)), &[401, 400]),
    ("no body, it says", || all(framed(|_| 0)), &[401, 400]),
    ("one byte more than the body, and no more comes", || then_ends(framed(|len| len + 1)), &[400]),
    ("a body, and none comes", || then_ends(genuine().head()), &[400]),
    ("no length", || all(said("")), &[401, 400]),
    ("the length twice", || all(said("content-length: %\r\ncontent-length: %\r\n")), &[200]),
    ("two lengths", || all(said("content-length: %\r\ncontent-length: 1\r\n")), &[400]),
    ("two lengths, the shorter first", || all(said("content-length: 1\r\ncontent-length: %\r\n")), &[400]),
    ("two lengths in one", || all(said("content-length: %, 1\r\n")), &[400]),
    ("the length with a plus sign", || all(said("content-length: +%\r\n")), &[400]),
    ("a negative length", || all(said("content-length: -1\r\n")), &[400]),
    ("the length in hex", || all(said("content-length: 0x76\r\n")), &[400]),
    ("a length of thirty digits", || all(said("content-length: 100000000000000000000000000000\r\n")), &[400]),
    ("u64::MAX bytes", || all(said("content-length: 18446744073709551615\r\n")), &[431]),
    ("i64::MAX bytes", || all(said("content-length: 9223372036854775807\r\n")), &[413]),
    ("an empty length", || all(said("content-length: \r\n")), &[400]),
    ("a length with a space in it", || all(said("content-length: 1 1\r\n")), &[400]),
    // Chunks.
    ("chunks of a byte", || all(chunked(&genuine(), 1)), &[200]),
    (
        "chunks with extensions",
        || all(in_chunks(&genuine(), |size, data| format!("{size:x};a=b\r\n{data}\r\n"))),
        &[200],
    ),
    (
        "sizes with zeros before them",
        || all(in_chunks(&genuine(), |size, data| format!("0000{size:x}\r\n{data}\r\n"))),
        &[200],
    ),
    (
        "sizes in capitals",
        || all(in_chunks(&genuine(), |size, data| format!("{size:X}\r\n{data}\r\n"))),
        &[200],
    ),
    (
        "chunks larger than said",
        || all(in_chunks(&genuine(), |size, data| format!("{:x}\r\n{data}\r\n", size - 1))),
        &[400],
    ),
    (
        "chunks smaller than said",
        || then_ends(in_chunks(&genuine(), |size, data| format!("{:x}\r\n{data}\r\n", size + 1))),
        &[400],
    ),
    (
        "a size that is no number",
        || all(in_chunks(&genuine(), |_, data| format!("xyz\r\n{data}\r\n"))),
        &[400],
    ),
    (
        "a negative size",
        || all(in_chunks(&genuine(), |size, data| format!("-{size:x}\r\n{data}\r\n"))),
        &[400],
    ),
    ("no size", || all(in_chunks(&genuine(), |_, data| format!("\r\n{data}\r\n"))), &[400]),
    (
        "a chunk of u64::MAX bytes",
        || all(in_chunks(&slow(), |_, data| format!("ffffffffffffffff\r\n{data}\r\n"))),
        &[408],
    ),
    (
        "a size of 17 digits",
        || all(in_chunks(&genuine(), |_, data| format!("fffffffffffffffff\r\n{data}\r\n"))),
        &[400],
    ),
    (
        "a size of 10,000 zeros",
        || all(in_chunks(&genuine(), |size, data| format!("{}{size:x}\r\n{data}\r\n", "0".repeat(10_000)))),
        &[200],
    ),
    (
        "no line after a chunk",
        || all(in_chunks(&genuine(), |size, data| format!("{size:x}\r\n{data}"))),
        &[400],
    ),
    (
        "an extension of 100 KiB",
        || {
            all(in_chunks(&genuine(), |size, data| {
                format!("{size:x};{}\r\n{data}\r\n", "a".repeat(100 << 10))
            }))
        },
        &[400],
    ),
    ("no last chunk", || then_ends(without_end(chunked(&genuine(), 10))), &[400]),
    (
        "the last chunk first",
        || all([&genuine().head_with(CHUNKED)[..], b"0\r\n\r\n", &genuine().body].concat()),
        &[401, 400],
    ),
    ("headers behind the body", || all(with_trailer("x-a: b\r\n")), &[200]),
    ("the signature behind the body", || all(signed_behind()), &[401]),
    (
        "100 KiB of headers behind the body",
        || all(with_trailer(&format!("x-a: {}\r\n", "b".repeat(100 << 10)))),
        &[400],
    ),
    ("chunks under a length", || all(chunks_said(&format!("{CHUNKED}content-length: 3\r\n"))), &[200]),
    ("a length before chunks", || all(chunks_said(&format!("content-length: 3\r\n{CHUNKED}"))), &[200]),
    ("chunks in capitals", || all(chunks_said("Transfer-Encoding: CHUNKED\r\n")), &[200]),
    ("chunks of chunks", || all(chunks_said("transfer-encoding: chunked, chunked\r\n")), &[200]),
    ("chunks not last", || all(chunks_said("transfer-encoding: chunked, gzip\r\n")), &[400]),
    ("an encoding that nobody knows", || all(chunks_said("transfer-encoding: xchunked\r\n")), &[400]),
    ("an encoding that is none", || all(chunks_said("transfer-encoding: identity\r\n")), &[400]),
    ("an encoding behind a vertical tab", || all(chunks_said("transfer-encoding: \x0bchunked\r\n")), &[400]),
    // Too long, too slow, gone.
    (
        "too long by its length, and nothing comes",
        || then_waits(small().head_with("content-length: 1001\r\n")),
        &[413],
    ),
    (
        "too long by its length, and told to wait for a word",
        || then_waits(small().head_with("content-length: 1001\r\nexpect: 100-continue\r\n")),
        &[413],
    ),
    ("too long by its chunks", || all(chunked(&small().tampered(|_| vec![b'x'; 1_001]), 100)), &[413]),
    ("too long in one chunk", || all(chunked(&small().tampered(|_| vec![b'x'; 5_000]), 5_000)), &[413]),
    ("just not too long", || all(chunked(&small().tampered(|_| vec![b'x'; 1_000]), 100)), &[401]),
    ("told to go on", || then_body(&genuine()), &[100, 200]),
    ("stops after its head", || then_waits(slow().head()), &[408]),
    ("stops in its body", || then_waits(without_end(slow().bytes())), &[408]),
    ("stops in a chunk", || then_waits(without_end(chunked(&slow(), 10))), &[408]),
    (
        "stops before the last chunk",
        || then_waits(chunked(&slow(), 10).strip_suffix(b"0\r\n\r\n").unwrap().to_vec()),
        &[408],
    ),
    ("drips for ever", || drips(slow().head_with("content-length: 900\r\n")), &[408]),
    ("drips chunks for ever", || drips_chunks(slow().head_with(CHUNKED)), &[408]),
    ("ends in its head", || then_ends(genuine().head()[..40].to_vec()), &[]),
    ("ends in its body", || then_ends(without_end(genuine().bytes())), &[400]),
    ("gone after its head", || gone(genuine().head()), &[]),
    ("gone in its body", || gone(without_end(genuine().bytes())), &[]),
    ("gone in a chunk", || gone(without_end(chunked(&genuine(), 10))), &[]),
    ("gone before its answer", || gone(genuine().with(SIGNATURE, "x").bytes()), &[]),
    // Heads.
    ("a folded header", || all(replaced("v1=", "\r\n v1=")), &[400]),
    ("a folded header by a tab", || all(replaced("v1=", "\r\n\tv1=")), &[400]),
    ("a space before the colon", || all(replaced("x-allison-signature:", "x-allison-signature :")), &[400]),
    ("a line without a colon", || all(replaced("host:", "x\r\nhost:")), &[400]),
    ("a header without a name", || all(replaced("host:", ": x\r\nhost:")), &[400]),
    ("a NUL in a value", || all(replaced("v1=", "v1=\0")), &[400]),
    ("a NUL in a name", || all(replaced("x-allison-signature", "x-allison\0-signature")), &[400]),
    ("a carriage return in a value", || all(replaced("v1=", "v1=\r")), &[400]),
    ("another header in a value", || all(replaced("v1=", "v1=\r\nx-allison-signature: v1=")), &[401]),
    ("spaces and tabs around a value", || all(replaced(": v1=", ": \t v1=")), &[200]),
    ("no space before a value", || all(replaced(": v1=", ":v1=")), &[200]),
    ("headers in mixed letters", || all(replaced("x-allison-signature", "X-aLLiSoN-sIGNATURE")), &[200]),
    ("two hundred headers", || all(replaced("host:", &format!("{}host:", "x-a: b\r\n".repeat(200)))), &[431]),
    (
        "a header of a megabyte",
        || all(replaced("host:", &format!("x-a: {}\r\nhost:", "b".repeat(1 << 20)))),
        &[431],
    ),
    (
        "a path of 100 KiB",
        || all(genuine().path(|p| format!("{p}?{}", "a".repeat(100 << 10))).bytes()),
        &[414],
    ),
    ("a path that nobody listens at", || all(genuine().path(|_| "/nobody".into()).bytes()), &[404]),
    ("a path that goes up", || all(genuine().path(|_| "/x/../allison".into()).bytes()), &[404]),
    ("the whole URL", || all(genuine().path(|p| format!("http://hooks.example{p}")).bytes()), &[200]),
    ("another host's URL", || all(genuine().path(|p| format!("http://169.254.169.254{p}")).bytes()), &[200]),
    ("a tunnel", || all(genuine().method("CONNECT").path(|_| "hooks.example:443".into()).bytes()), &[404]),
    ("an asterisk", || all(genuine().method("OPTIONS").path(|_| "*".into()).bytes()), &[404]),
    ("no host", || all(replaced("host: hooks.example\r\n", "")), &[200]),
    ("two hosts", || all(replaced("host:", "host: evil.example\r\nhost:")), &[200]),
    ("HTTP/1.0", || all(replaced("HTTP/1.1", "HTTP/1.0")), &[200]),
    ("HTTP/9.9", || all(replaced("HTTP/1.1", "HTTP/9.9")), &[400]),
    ("http in small letters", || all(replaced("HTTP/1.1", "http/1.1")), &[400]),
    ("no version", || all(replaced(" HTTP/1.1", "")), &[400]),
    ("an empty line first", || all([b"\r\n".to_vec(), genuine().bytes()].concat()), &[200]),
    ("line feeds alone", || all(lines(&genuine())), &[200]),
    ("a greeting of TLS", || all(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec()), &[400]),
    ("bytes of no kind", || all((0..=255).rev().collect()), &[400]),
    (
        "a genuine request to an upgrade",
        || all(genuine().also("connection", "upgrade").also("upgrade", "websocket").bytes()),
        &[200],
    ),
    // Receivers that accept nothing.
    ("to a receiver that is busy", || all(genuine().path(|_| "/busy".into()).bytes()), &[429]),
    (
        "a body that stalls, to a receiver that is busy",
        || then_waits(genuine().path(|_| "/busy".into()).head()),
        &[429],
    ),
    ("to a retired receiver", || all(genuine().path(|_| "/retired".into()).bytes()), &[410]),
    (
        "GET of a retired receiver",
        || all(genuine().path(|_| "/retired".into()).method("GET").bytes()),
        &[410],
    ),
    ("too slow, and not proven", || then_waits(slow().with(SIGNATURE, "x").head()), &[408]),
    // A request that its head refuses is answered at once, without waiting for its body.
    ("stops after its head, and no signature", || then_waits(genuine().without(SIGNATURE).head()), &[401]),
    (
        "drips for ever, and two signatures",
        || drips(genuine().twice(SIGNATURE).head_with("content-length: 900\r\n")),
        &[401],
    ),
    (
        "stops after its head, and no token",
        || then_waits(AlloV1.genuine().without("authorization").head()),
        &[401],
    ),
    (
        "too long by its chunks, and no signature",
        || all(chunked(&small().without(SIGNATURE).tampered(|_| vec![b'x'; 5_000]), 5_000)),
        &[401],
    ),
    (
        "too long by its length, and no token",
        || then_waits(AlloV1.genuine().without("authorization").head_with("content-length: 9000000\r\n")),
        &[413],
    ),
    (
        "a token with a space behind it",
        || all(AlloV1.genuine().edited("authorization", |v| format!("{v} ")).bytes()),
        &[200],
    ),
];

/// Bytes, and what happens to the connection afterwards.
pub(super) struct Wire {
    pieces: Vec<Vec<u8>>,
    then: Then,
}

enum Then {
    /// Wait for an answer.
    Wait,
    /// Close the writing side.
    End,
    /// Reset the connection.
    Abort,
    /// Send the last piece again and again until an answer arrives.
    Repeat,
    /// Send the last piece after the first answer.
    Continue,
}

/// A response: its status, head and body.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// Writes on a new connection, and reads all answers until it closes.
pub(super) async fn send(address: SocketAddr, mut wire: Wire) -> Vec<Told> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut read, mut write) = stream.into_split();
    let last = match wire.then {
        Then::Repeat | Then::Continue => wire.pieces.pop(),
        _ => None,
    };
    let then = wire.then;
    // Write and read at the same time: a server that refuses early does not read the rest, and writing may
    // fail.
    let writing = async {
        for piece in wire.pieces {
            drop(write.write_all(&piece).await);
            tokio::task::yield_now().await;
        }
        write
    };
    if matches!(then, Then::Abort) {
        drop(writing.await);
        return Vec::new();
    }
    let mut bytes = Vec::new();
    let ((), write) = tokio::join!(
        async { while !has_head(&bytes) && read.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {} },
        async {
            let mut write = writing.await;
            match then {
                Then::End => drop(write.shutdown().await),
                // The server closes the connection after its answer.
                Then::Repeat => {
                    while write.write_all(last.as_ref().unwrap()).await.is_ok() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
                _ => {}
            }
            write
        }
    );
    let mut write = write;
    if let (Then::Continue, Some(last)) = (then, last) {
        drop(write.write_all(&last).await);
        let told = bytes.len();
        while !has_head(&bytes[told..]) && read.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {}
    }
    drop(write.shutdown().await);
    while read.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {}
    responses(&bytes)
}

/// Splits the bytes into responses.
fn responses(mut bytes: &[u8]) -> Vec<Told> {
    let mut told = Vec::new();
    while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap()[9..12].parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        bytes = &bytes[end + 4..];
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, length)| length.parse().unwrap());
        told.push(Told { status, headers, body: bytes[..length].to_vec() });
        bytes = &bytes[length..];
    }
    assert!(bytes.is_empty(), "there is more than responses: {bytes:?}");
    told
}

fn has_head(bytes: &[u8]) -> bool {
    bytes.windows(4).any(|window| window == b"\r\n\r\n")
}

pub(super) fn all(bytes: Vec<u8>) -> Wire {
    Wire { pieces: vec![bytes], then: Then::Wait }
}

fn bit_by_bit(bytes: &[u8]) -> Wire {
    Wire { pieces: bytes.iter().map(|byte| vec![*byte]).collect(), then: Then::Wait }
}

fn then_waits(bytes: Vec<u8>) -> Wire {
    Wire { pieces: vec![bytes], then: Then::Wait }
}

fn then_ends(bytes: Vec<u8>) -> Wire {
    Wire { pieces: vec![bytes], then: Then::End }
}

fn gone(bytes: Vec<u8>) -> Wire {
    Wire { pieces: vec![bytes], then: Then::Abort }
}

fn drips(head: Vec<u8>) -> Wire {
    Wire { pieces: vec![head, b"x".to_vec()], then: Then::Repeat }
}

fn drips_chunks(head: Vec<u8>) -> Wire {
    Wire { pieces: vec![head, b"1\r\nx\r\n".to_vec()], then: Then::Repeat }
}

fn then_body(request: &Request) -> Wire {
    let framing = format!("content-length: {}\r\nexpect: 100-continue\r\n", request.body.len());
    Wire { pieces: vec![request.head_with(&framing), request.body.clone()], then: Then::Continue }
}

fn genuine() -> Request {
    Allison.genuine()
}

fn slow() -> Request {
    genuine().path(|_| "/slow".into())
}

fn small() -> Request {
    genuine().path(|_| "/small".into())
}

/// A genuine request with a wrong length.
fn framed(length: fn(usize) -> usize) -> Vec<u8> {
    let request = genuine();
    let framing = format!("content-length: {}\r\n", length(request.body.len()));
    [request.head_with(&framing), request.body].concat()
}

/// A genuine request with this framing. `%` is the place of the real length.
fn said(framing: &str) -> Vec<u8> {
    let request = genuine();
    let framing = framing.replace('%', &request.body.len().to_string());
    [request.head_with(&framing), request.body].concat()
}

/// A genuine request in chunks, with this framing.
fn chunks_said(framing: &str) -> Vec<u8> {
    let request = genuine();
    [request.head_with(framing), chunks(&request, 10)].concat()
}

fn chunked(request: &Request, size: usize) -> Vec<u8> {
    [request.head_with(CHUNKED), chunks(request, size)].concat()
}

fn chunks(request: &Request, size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in request.body.chunks(size) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    [&bytes[..], b"0\r\n\r\n"].concat()
}

/// A request in chunks of sixty bytes, each formatted by `write`.
fn in_chunks(request: &Request, write: fn(usize, &str) -> String) -> Vec<u8> {
    let mut bytes = request.head_with(CHUNKED);
    for chunk in request.body.chunks(60) {
        bytes.extend_from_slice(write(chunk.len(), std::str::from_utf8(chunk).unwrap()).as_bytes());
    }
    [&bytes[..], b"0\r\n\r\n"].concat()
}

fn with_trailer(trailer: &str) -> Vec<u8> {
    let bytes = chunked(&genuine(), 10);
    [bytes.strip_suffix(b"\r\n").unwrap(), trailer.as_bytes(), b"\r\n"].concat()
}

fn signed_behind() -> Vec<u8> {
    let request = genuine();
    let signature = request.header(SIGNATURE).to_owned();
    let request = request.without(SIGNATURE).also("trailer", SIGNATURE);
    let bytes = chunked(&request, 10);
    let trailer = format!("{SIGNATURE}: {signature}\r\n\r\n");
    [bytes.strip_suffix(b"\r\n").unwrap(), trailer.as_bytes()].concat()
}

fn without_end(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() - 8);
    bytes
}

/// A genuine request with `old` replaced by `new`.
fn replaced(old: &str, new: &str) -> Vec<u8> {
    let bytes = genuine().bytes();
    let at = bytes.windows(old.len()).position(|window| window == old.as_bytes()).unwrap();
    [&bytes[..at], new.as_bytes(), &bytes[at + old.len()..]].concat()
}

fn lines(request: &Request) -> Vec<u8> {
    [super::sender::replace(&request.head(), b"\r\n", b"\n"), request.body.clone()].concat()
}

const SIGNATURE: &str = "x-allison-signature";
const CHUNKED: &str = "transfer-encoding: chunked\r\n";
