//! A fixed exchange over loopback: one connection for each way in which programs read and write a socket, and one of HTTP/2.
//!
//! It is recorded on every kernel that is supported, and the tapes must say the same. Server and client take turns, so
//! that nothing depends on timing; the server waits before it accepts and before it reads, so that there is a queue
//! time to be seen. Each request's path names the system calls that carried it.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create, sendfile};
use rustix::io::dup;
use rustix::net::{RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendFlags, recvmsg, sendmsg};
use rustix::pipe::{SpliceFlags, pipe, splice};

const BODY_BYTES: usize = 6_000;
const BEFORE_ACCEPT: Duration = Duration::from_millis(80);
const BEFORE_READ: Duration = Duration::from_millis(50);

/// How one connection's bytes are moved, at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    ReadWrite,
    RecvSend,
    Vectored,
    Message,
    Sendfile,
    Splice,
    Duplicate,
    HalfClosed,
}

const WAYS: [(Way, &str); 8] = [
    (Way::ReadWrite, "/read-write"),
    (Way::RecvSend, "/recv-send"),
    (Way::Vectored, "/readv-writev"),
    (Way::Message, "/recvmsg-sendmsg"),
    (Way::Sendfile, "/sendfile"),
    (Way::Splice, "/splice"),
    (Way::Duplicate, "/dup"),
    (Way::HalfClosed, "/shutdown"),
];

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || serve(&listener));
    for (way, path) in WAYS {
        let got = ask(address, way, path)?;
        println!("{path} {got}");
    }
    println!("/http2 {}", ask_http2(address)?);
    server.join().map_err(|_| io::Error::other("the server panicked"))?
}

fn serve(listener: &TcpListener) -> io::Result<()> {
    for (way, _) in WAYS {
        thread::sleep(BEFORE_ACCEPT);
        let (stream, _) = listener.accept()?;
        thread::sleep(BEFORE_READ);
        let mut socket = Socket { stream, way };
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.extend(socket.read()?);
        }
        if way == Way::HalfClosed && !socket.read()?.is_empty() {
            return Err(io::Error::other("a half-closed client went on sending"));
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\nConnection: close\r\n\r\n");
        socket.write(head.as_bytes(), &[b'x'; BODY_BYTES])?;
        // The client closes first, so that the two ends always end in the same order.
        while !socket.read()?.is_empty() {}
    }
    serve_http2(&listener.accept()?.0)
}

/// What a client sends first (RFC 9113, section 3.4), with its SETTINGS.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
const HTTP2_BODY_BYTES: usize = 20_000;

/// A frame (RFC 9113, section 4.1). Flags of HEADERS: 4 where they are whole, and 1 where they end the stream.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = payload.len().to_be_bytes();
    [&[a, b, c, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// Two requests at once (RFC 7541, section 6: indexed fields, and literals that no table takes up).
fn http2_requests() -> Vec<u8> {
    let request = |stream, path: &[u8]| {
        let length = [u8::try_from(path.len()).unwrap_or(u8::MAX)];
        frame(1, 5, stream, &[b"\x82\x86\x01\x08exchange\x04", &length[..], path].concat())
    };
    [PREFACE, &request(1, b"/http2/1"), &request(3, b"/http2/2")].concat()
}

/// Both answers, each with trailers, so that heads lie far apart.
fn http2_answers() -> Vec<u8> {
    let answer = |stream| {
        let half = [b'x'; HTTP2_BODY_BYTES / 2];
        let trailers = frame(1, 5, stream, b"\x00\x05x-end\x01y");
        [frame(1, 4, stream, b"\x88"), frame(0, 0, stream, &half), frame(0, 0, stream, &half), trailers].concat()
    };
    [frame(4, 0, 0, &[]), answer(1), answer(3)].concat()
}

fn serve_http2(stream: &TcpStream) -> io::Result<()> {
    let mut requests = vec![0; http2_requests().len()];
    { stream }.read_exact(&mut requests)?;
    { stream }.write_all(&http2_answers())?;
    while { stream }.read(&mut requests)? != 0 {}
    Ok(())
}

fn ask_http2(address: SocketAddr) -> io::Result<usize> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(&http2_requests())?;
    let mut answers = vec![0; http2_answers().len()];
    stream.read_exact(&mut answers)?;
    Ok(answers.len())
}

/// Sends one request and reads its whole answer, whose length is returned.
fn ask(address: SocketAddr, way: Way, path: &str) -> io::Result<usize> {
    let stream = TcpStream::connect(address)?;
    // What sendfile and splice send is not captured, which is right for a body and would lose a request's head.
    let way = if matches!(way, Way::Sendfile | Way::Splice) { Way::ReadWrite } else { way };
    let mut socket = Socket { stream, way };
    let start = format!("GET {path} HTTP/1.1\r\n");
    socket.write(start.as_bytes(), b"Host: exchange\r\nUser-Agent: exchange\r\n\r\n")?;
    if way == Way::HalfClosed {
        socket.stream.shutdown(Shutdown::Write)?;
    }
    let mut answer = Vec::new();
    let length = loop {
        answer.extend(socket.read()?);
        let head = answer.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(length) = head.map(|at| at + 4 + BODY_BYTES).filter(|length| answer.len() >= *length) {
            break length;
        }
    };
    if answer.len() == length { Ok(length) } else { Err(ErrorKind::InvalidData.into()) }
}

struct Socket {
    stream: TcpStream,
    way: Way,
}

impl Socket {
    /// Reads once; nothing at the end of the stream.
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; 2 * BODY_BYTES];
        let count = match self.way {
            Way::RecvSend => self.stream.read(&mut buffer)?,
            Way::Vectored => {
                let (first, second) = buffer.split_at_mut(10);
                self.stream.read_vectored(&mut [IoSliceMut::new(first), IoSliceMut::new(second)])?
            }
            Way::Message => {
                let (first, second) = buffer.split_at_mut(10);
                let mut slices = [IoSliceMut::new(first), IoSliceMut::new(second)];
                let control = &mut RecvAncillaryBuffer::default();
                recvmsg(&self.stream, &mut slices, control, RecvFlags::empty())?.bytes
            }
            Way::Duplicate => rustix::io::read(dup(&self.stream)?, &mut buffer)?,
            _ => rustix::io::read(&self.stream, &mut buffer)?,
        };
        buffer.truncate(count);
        Ok(buffer)
    }

    /// Writes two parts, in one call where the way can.
    fn write(&mut self, head: &[u8], body: &[u8]) -> io::Result<()> {
        let whole = [head, body].concat();
        let slices = [IoSlice::new(head), IoSlice::new(body)];
        let count = match self.way {
            Way::RecvSend => self.stream.write(&whole)?,
            Way::Vectored => self.stream.write_vectored(&slices)?,
            Way::Message => sendmsg(&self.stream, &slices, &mut SendAncillaryBuffer::default(), SendFlags::empty())?,
            Way::Sendfile => {
                let file = File::from(memfd_create("body", MemfdFlags::CLOEXEC)?);
                (&file).write_all(body)?;
                rustix::io::write(&self.stream, head)? + sendfile(&self.stream, &file, Some(&mut 0), body.len())?
            }
            Way::Splice => {
                let (reader, writer) = pipe()?;
                File::from(writer).write_all(body)?;
                rustix::io::write(&self.stream, head)?
                    + splice(&reader, None, &self.stream, None, body.len(), SpliceFlags::empty())?
            }
            Way::Duplicate => rustix::io::write(dup(&self.stream)?, &whole)?,
            _ => rustix::io::write(&self.stream, &whole)?,
        };
        if count == whole.len() { Ok(()) } else { Err(ErrorKind::WriteZero.into()) }
    }
}
