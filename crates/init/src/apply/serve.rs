//! The socket on which `ros config` asks: one line, one answer.

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use machine_config::apply::{Answer, MAX_LINE, Request, SOCKET};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::Applier;
use crate::{log, warnings};

/// Longest wait for a client's line, and for it to take the answer.
const CLIENT_DEADLINE: Duration = Duration::from_secs(10);
/// Most clients at once: a change takes a minute, and its confirmation comes on another connection.
const MAX_CLIENTS: usize = 8;

/// Listens from now on.
pub(super) fn listen(applier: &Rc<Applier>) -> anyhow::Result<()> {
    let path = Path::new(SOCKET);
    // A program that has taken over finds its predecessor's.
    let _ = fs::remove_file(path);
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {SOCKET}"))?;
    sys::fs::set_mode(path, 0o600)?;
    let applier = Rc::clone(applier);
    engine_api::tasks::spawn(async move {
        let clients = Rc::new(Cell::new(0));
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors, say.
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            if clients.get() >= MAX_CLIENTS {
                continue;
            }
            clients.set(clients.get() + 1);
            let (applier, clients) = (Rc::clone(&applier), Rc::clone(&clients));
            engine_api::tasks::spawn(async move {
                if let Err(error) = client(&applier, stream).await {
                    log::warning(&format!("config apply: {error:#}"));
                }
                clients.set(clients.get() - 1);
            });
        }
    });
    Ok(())
}

async fn client(applier: &Rc<Applier>, mut stream: UnixStream) -> anyhow::Result<()> {
    let peer = stream.peer_cred().context("an unknown client")?;
    let answer = if peer.uid() == 0 {
        let line = timeout(CLIENT_DEADLINE, line(&mut stream))
            .await
            .context("a client said nothing")??;
        match json_reader::from_slice(&line) {
            Ok(request) => answer(applier, request, peer.pid()).await,
            Err(error) => Answer {
                error: Some(format!("not a request: {error}")),
                ..Answer::default()
            },
        }
    } else {
        Answer {
            error: Some("only root may ask".to_owned()),
            ..Answer::default()
        }
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    if !matches!(
        timeout(CLIENT_DEADLINE, stream.write_all(&text)).await,
        Ok(Ok(()))
    ) {
        // Whoever was cut off by the change is not there any more, and what is wrong has to be said all the same.
        for problem in answer.problems.iter().chain(&answer.error) {
            warnings::warn(super::SUBJECT, problem);
        }
    }
    Ok(())
}

async fn answer(applier: &Rc<Applier>, request: Request, pid: Option<i32>) -> Answer {
    match request {
        Request::Apply {
            confirm_s,
            with_files,
        } => {
            // The client may be stopped by what it asked for: the work is not its own.
            let applier = Rc::clone(applier);
            let work =
                engine_api::tasks::spawn(async move { applier.apply(confirm_s, with_files).await });
            work.await.unwrap_or_else(|panic| Answer {
                error: Some(format!("the change {panic}")),
                ..Answer::default()
            })
        }
        Request::Confirm => applier.confirm(pid),
        Request::Revert => {
            if applier.pending.borrow().is_none() {
                return applier.refuse("no change waits for its confirmation");
            }
            let problems = applier.revert("it was asked for").await;
            Answer {
                problems,
                ..Answer::default()
            }
        }
        Request::State => applier.state(),
    }
}

/// One line, without its end.
async fn line(stream: &mut UnixStream) -> anyhow::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let read = stream.read(&mut buffer).await?;
        let part = &buffer[..read];
        let end = part.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(&part[..end.unwrap_or(read)]);
        if end.is_some() || read == 0 {
            return Ok(line);
        }
        anyhow::ensure!(
            line.len() <= MAX_LINE,
            "a client's line has more than {MAX_LINE} bytes"
        );
    }
}
