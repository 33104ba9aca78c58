//! The server over a real socket, without an engine: what strangers send, and what they must not break.

mod half_close;
mod whole;

use std::cell::Cell;
use std::future::Future;
use std::path::PathBuf;
use std::rc::Rc;

use bytes::Bytes;
use engine::panics;
use engine_api::{Error, Result};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::LocalSet;

use super::reply::Reply;
use super::{call, connection, hijack, reply, streams};

/// What the test server answers, by path.
async fn route(mut request: Request<Incoming>) -> Result<Reply> {
    match request.uri().path() {
        "/panic" => {
            panics::contain(
                engine_api::tasks::spawn(async { panic!("on purpose") }),
                "GET /panic",
            )
            .await
        }
        "/read" => {
            let bytes = call::read_limited(request.body_mut(), None).await?;
            reply::ok(&bytes.len())
        }
        path if path.ends_with("/attach") => {
            let upgrade = hyper::upgrade::on(&mut request);
            engine_api::tasks::spawn(async move {
                let (mut stream, early) = hijack::take_over(upgrade).await.unwrap();
                stream.write_all(&early).await.unwrap();
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).await.unwrap();
                rest.make_ascii_uppercase();
                stream.write_all(&rest).await.unwrap();
            });
            hijack::switch(reply::RAW_STREAM, "tcp")
        }
        _ => reply::no_content(),
    }
}

struct Server {
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Server {
    fn start<F: Future<Output = Result<Reply>> + 'static>(
        answer: impl Fn(Request<Incoming>) -> F + 'static,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let handler: Rc<connection::Handler> = Rc::new(move |request| {
            let reply = answer(request);
            Box::pin(async move {
                reply
                    .await
                    .unwrap_or_else(|error: Error| reply::error(&error))
            })
        });
        engine_api::tasks::spawn(connection::accept(
            handler,
            Rc::new(listener),
            Rc::default(),
        ));
        Self {
            path,
            _directory: directory,
        }
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.path).await.unwrap()
    }

    /// Sends bytes and reads until the server closes.
    async fn talk(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The server may refuse before it has read everything.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The whole answer to a request without a body.
    async fn ask(&self, method: &str, path: &str) -> String {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        self.talk(request.as_bytes()).await
    }

    async fn answers(&self) -> bool {
        self.talk(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 204")
    }
}

fn run<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, test)
}

#[test]
fn garbage_is_refused_and_the_server_goes_on() {
    run(async {
        let server = Server::start(route);
        let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n";
        for bytes in [
            &b"\0\0\0\0\r\n\r\n"[..],
            tls,
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"\r\n\r\n\r\n\r\nx\r\n\r\n",
        ] {
            let mut stream = server.connect().await;
            stream.write_all(bytes).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            let answer = String::from_utf8_lossy(&answer);
            assert!(
                answer.is_empty()
                    || answer.starts_with("HTTP/1.1 400")
                    || answer.starts_with("HTTP/1.1 505"),
                "{answer}"
            );
        }
        // A client that says nothing and leaves.
        drop(server.connect().await);
        assert!(server.answers().await);
    });
}

#[test]
fn lines_that_end_with_a_bare_line_feed_are_lines() {
    run(async {
        let server = Server::start(route);
        let answer = server
            .talk(b"GET / HTTP/1.1\nHost: x\nConnection: close\n\n")
            .await;
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    });
}

#[test]
fn huge_heads_are_refused() {
    run(async {
        let server = Server::start(route);
        let long = format!("GET / HTTP/1.1\r\nX-Long: {}\r\n\r\n", "x".repeat(1 << 20));
        let answer = server.talk(long.as_bytes()).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
            "{answer}"
        );
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X-Many: x\r\n".repeat(1000));
        let answer = server.talk(many.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
        assert!(server.answers().await);
    });
}

#[test]
fn an_endless_json_body_ends_at_the_limit() {
    run(async {
        let server = Server::start(route);
        let mut stream = server.connect().await;
        stream
            .write_all(b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await
            .unwrap();
        let chunk = [b"10000\r\n".as_slice(), &vec![b' '; 0x10000], b"\r\n"].concat();
        let mut sent = 0;
        // The server closes: it does not read for ever.
        while stream.write_all(&chunk).await.is_ok() {
            sent += 0x10000;
            assert!(
                sent < 16 * call::MAX_JSON_BYTES,
                "nobody stopped the client"
            );
        }
        assert!(server.answers().await);
    });
}

#[test]
fn a_refused_upload_hears_why() {
    run(async {
        let server = Server::start(route);
        let mut stream = server.connect().await;
        let head = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n";
        stream.write_all(head).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        // Clients write and read at the same time: a write that fails would hide the answer.
        stream.write_all(&vec![0; 100_000]).await.unwrap();
    });
}

#[test]
fn a_panic_is_one_request_s_end() {
    run(async {
        let before = panics::contained();
        let server = Server::start(route);
        let answer = server
            .talk(b"GET /panic HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await;
        assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
        assert!(
            answer.contains(r#"{"message":"internal error in GET /panic; the engine goes on"}"#),
            "{answer}"
        );
        assert!(panics::contained() > before);
        assert!(server.answers().await);
    });
}

/// An answer's head, and not a byte more.
async fn head_of(stream: &mut UnixStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn both_hijacks_pass_both_directions() {
    run(async {
        let server = Server::start(route);
        let request = |upgrade: &str| {
            format!("POST /containers/a/attach?stream=1 HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n")
        };
        for (upgrade, first_line) in [
            ("", "HTTP/1.1 200 OK\r\n"),
            (
                "Connection: Upgrade\r\nUpgrade: tcp\r\n",
                "HTTP/1.1 101 UPGRADED\r\n",
            ),
        ] {
            let mut stream = server.connect().await;
            // Clients that keep their connection (Node's) have asked other things on it.
            for end in ["\r\n", "Content-Length: 5\r\n\r\nhello"] {
                let head = "POST /anything HTTP/1.1\r\nHost: x\r\n";
                stream
                    .write_all(format!("{head}{end}").as_bytes())
                    .await
                    .unwrap();
                let answer = head_of(&mut stream).await;
                assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
            }
            stream.write_all(request(upgrade).as_bytes()).await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(first_line.trim_end()), "{head}");
            assert_eq!(
                head.to_ascii_lowercase().contains("upgrade: tcp"),
                !upgrade.is_empty(),
                "{head}"
            );
            assert!(
                !head.to_ascii_lowercase().contains("transfer-encoding"),
                "{head}"
            );
            assert!(head.contains("application/vnd.docker.raw-stream"), "{head}");
            assert_eq!(body.to_ascii_uppercase(), "HELLO");
        }
    });
}

/// A server whose answer never ends; the cell counts the bytes its producer got rid of.
fn endless(sent: &Rc<Cell<usize>>, done: &Rc<tokio::sync::Notify>) -> Server {
    let (sent, done) = (Rc::clone(sent), Rc::clone(done));
    Server::start(move |_| {
        let (sent, done) = (Rc::clone(&sent), Rc::clone(&done));
        async move {
            let (sender, body) = streams::channel();
            engine_api::tasks::spawn(async move {
                let piece = Bytes::from(vec![b'x'; 16 << 10]);
                while sender.send(Ok(piece.clone())).await.is_ok() {
                    sent.set(sent.get() + piece.len());
                }
                done.notify_one();
            });
            Ok(reply::stream(reply::RAW_STREAM, body))
        }
    })
}

#[test]
fn a_client_that_does_not_read_holds_its_producer_back() {
    run(async {
        let (sent, done) = (Rc::new(Cell::new(0)), Rc::new(tokio::sync::Notify::new()));
        let server = endless(&sent, &done);
        let mut stream = server.connect().await;
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        // The head is there although the body has no end.
        let mut head = [0; 15];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        // Turns of the one thread in which the producer could go on, if it were let.
        for _ in 0..100_000 {
            tokio::task::yield_now().await;
        }
        assert!(
            sent.get() < 8 << 20,
            "{} bytes are in memory for a client that does not read",
            sent.get()
        );
        drop(stream);
        done.notified().await;
    });
}

#[test]
fn heads_are_sent_before_the_first_piece() {
    run(async {
        let keep = Rc::new(std::cell::RefCell::new(Vec::new()));
        let senders = Rc::clone(&keep);
        let server = Server::start(move |_| {
            let (sender, body) = streams::channel();
            senders.borrow_mut().push(sender);
            async move { Ok(reply::stream("application/json", body)) }
        });
        let mut stream = server.connect().await;
        stream
            .write_all(b"POST /containers/a/wait HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let mut head = [0; 15];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        assert_eq!(keep.borrow().len(), 1);
    });
}

#[test]
fn errors_have_docker_s_shape() {
    let reply = reply::error(&Error::not_found("No such container: x"));
    assert_eq!(reply.status(), StatusCode::NOT_FOUND);
    assert_eq!(reply.headers()["content-type"], "application/json");
    let reply = reply::error(&Error::not_modified("container already started"));
    assert_eq!(reply.status(), StatusCode::NOT_MODIFIED);
    assert!(!reply.headers().contains_key("content-type"));
}
