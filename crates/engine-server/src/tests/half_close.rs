//! Clients that close their sending side before they have their answer.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use engine_api::options::{AttachSession, StreamKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Notify;

use super::super::{hijack, reply, streams};
use super::{Server, run};

/// Turns of the one thread in which the server could notice something.
const TURNS: usize = 1000;

/// A client that has sent all that it will, and a server that has seen it.
async fn half_closed(server: &Server) -> UnixStream {
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /containers/json HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
    stream
}

#[test]
fn they_get_the_whole_answer_and_then_the_end() {
    const PIECE: usize = 64 << 10;
    const PIECES: usize = 50;
    run(async {
        let go = Rc::new(Notify::new());
        let waits = Rc::clone(&go);
        let server = Server::start(move |_| {
            let waits = Rc::clone(&waits);
            async move {
                waits.notified().await;
                let (sender, body) = streams::channel();
                engine_api::tasks::spawn(async move {
                    for _ in 0..PIECES {
                        let piece = Bytes::from(vec![b'x'; PIECE]);
                        sender.send(Ok(piece)).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                });
                Ok(reply::stream(reply::RAW_STREAM, body))
            }
        });
        let mut stream = half_closed(&server).await;
        go.notify_one();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 OK"));
        assert!(answer.ends_with(b"0\r\n\r\n"), "the body is cut off");
        let body = answer.iter().filter(|byte| **byte == b'x').count();
        assert!(body >= PIECE * PIECES, "{body} bytes");
    });
}

#[test]
fn they_are_let_go_when_they_leave_a_quiet_stream() {
    run(async {
        let keep = Rc::new(RefCell::new(Vec::new()));
        let senders = Rc::clone(&keep);
        let server = Server::start(move |_| {
            let (sender, body) = streams::channel();
            senders.borrow_mut().push(sender);
            async move { Ok(reply::stream(reply::RAW_STREAM, body)) }
        });
        let stream = half_closed(&server).await;
        let sender = keep.borrow_mut().pop().unwrap();
        assert!(!sender.is_closed(), "the answer ended with the question");
        drop(stream);
        sender.closed().await;
    });
}

/// Sessions whose process ended without reading its input: all of the output arrives, and then the end, not a reset.
#[test]
fn unread_input_costs_no_output() {
    run(async {
        let server = Server::start(|mut request| async move {
            let upgrade = hyper::upgrade::on(&mut request);
            let (sender, output) = tokio::sync::mpsc::channel(1);
            let session = AttachSession {
                input: None,
                output,
                tty: true,
            };
            engine_api::tasks::spawn(async move {
                let (stream, early) = hijack::take_over(upgrade).await.unwrap();
                hijack::pump(stream, early, session).await;
            });
            let last = Bytes::from_static(b"the last words");
            sender.send((StreamKind::Stdout, last)).await.unwrap();
            hijack::switch(reply::RAW_STREAM, "tcp")
        });
        let mut stream = server.connect().await;
        let head = b"POST /exec/a/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
        stream.write_all(head).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        // More than the kernel holds for a reader.
        stream.write_all(&vec![0; 4 << 20]).await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert!(rest.ends_with(b"the last words"));
    });
}
