//! A server for tests: answers by path, and misbehaves on demand.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One question that came.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    pub(crate) from: SocketAddr,
}

/// What it does when it is asked.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Status and body.
    Says(u16, Vec<u8>),
    /// Status 200, a header, and a body.
    With(&'static str, &'static str, Vec<u8>),
    /// To another address.
    Redirects(&'static str),
    /// Promises more bytes than it sends.
    Truncated(Vec<u8>),
    /// One byte at a time, without end in sight.
    Slow,
    /// Nothing until the client gives up.
    Silent,
}

pub(crate) fn ok(body: &str) -> Reply {
    Reply::Says(200, body.as_bytes().to_vec())
}

/// A running server; its thread ends with the test's process.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    questions: Arc<Mutex<Vec<Question>>>,
}

impl Server {
    /// Answers each question by what `reply` says.
    pub(crate) fn start(reply: impl Fn(&Question) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let questions = Arc::new(Mutex::new(Vec::new()));
        let (kept, reply) = (Arc::clone(&questions), Arc::new(reply));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, reply) = (Arc::clone(&kept), Arc::clone(&reply));
                std::thread::spawn(move || {
                    let from = stream.peer_addr().unwrap();
                    let Some(question) = read(&stream, from) else {
                        return;
                    };
                    kept.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(question.clone());
                    // The client may have given up.
                    let _ = answer(stream, &reply(&question));
                });
            }
        });
        Server { address, questions }
    }

    /// A server of pages by path; everything else is not found.
    pub(crate) fn of(pages: &[(&str, Reply)]) -> Server {
        let pages: BTreeMap<String, Reply> = pages
            .iter()
            .map(|(path, reply)| ((*path).to_owned(), reply.clone()))
            .collect();
        Server::start(move |question| {
            let path = question.line.split(' ').nth(1).unwrap_or("");
            pages
                .get(path)
                .cloned()
                .unwrap_or(Reply::Says(404, b"not found".to_vec()))
        })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn questions(&self) -> Vec<Question> {
        self.questions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn read(stream: &TcpStream, from: SocketAddr) -> Option<Question> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    std::io::Read::read_exact(&mut reader, &mut body).ok()?;
    Some(Question {
        line: line.trim_end().to_owned(),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
        from,
    })
}

fn answer(mut stream: TcpStream, reply: &Reply) -> std::io::Result<()> {
    let head = |status: u16, more: &str, length: usize| {
        format!(
            "HTTP/1.1 {status} X\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n"
        )
    };
    match reply {
        Reply::Says(status, body) => {
            stream.write_all(head(*status, "", body.len()).as_bytes())?;
            stream.write_all(body)
        }
        Reply::With(name, value, body) => {
            stream.write_all(head(200, &format!("{name}: {value}\r\n"), body.len()).as_bytes())?;
            stream.write_all(body)
        }
        Reply::Redirects(to) => {
            stream.write_all(head(302, &format!("Location: {to}\r\n"), 0).as_bytes())
        }
        Reply::Truncated(body) => {
            stream.write_all(head(200, "", body.len() + 100).as_bytes())?;
            stream.write_all(body)
        }
        Reply::Slow => {
            stream.write_all(head(200, "", 1 << 16).as_bytes())?;
            loop {
                stream.write_all(b" ")?;
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Reply::Silent => loop {
            // The client's end closes its side.
            let mut byte = [0];
            if std::io::Read::read(&mut stream, &mut byte)? == 0 {
                return Ok(());
            }
        },
    }
}
