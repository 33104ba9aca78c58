//! The engine's side of worker processes: starts one for each task, feeds it, and hands on what it says.

mod progress;

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use engine_api::options::{ByteStream, STREAM_DEPTH};
use engine_api::{Error, ProgressMessage, Result};
use http::StatusCode;
use sys::process::{CloneOptions, Pidfd, Signal, SpawnIn, spawn_in};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::sync::mpsc::Permit;

use oci_image::task::{ANSWERS_FD, Answer, FileStat, LINE_MAX, Outcome, PROTOCOL, Request};

/// Longest silence of a worker, and of a client that is to read what one writes. A worker's own network deadlines are far
/// shorter; compressing a large layer for a push is not.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// Longest wait for the end of a worker that has answered or was killed.
const END: Duration = Duration::from_secs(10);
/// Longest time that a client reads nothing of an archive and still counts as reading.
const READING: Duration = Duration::from_secs(2);
/// Most workers at a time: each is a process with a few MB.
const WORKERS_MAX: usize = 256;
/// Bytes of an archive read from a worker at a time.
const CHUNK: usize = 64 * 1024;

/// How workers are started.
#[derive(Debug, Clone)]
pub enum Launcher {
    /// As processes of this program.
    Program(PathBuf),
    /// As threads, where a test has no such program.
    #[cfg(test)]
    Thread,
}

/// A worker at work; dropping it kills it.
#[derive(Debug)]
pub struct Worker {
    answers: BufReader<UnixStream>,
    process: Option<Pidfd>,
    movement: Movement,
    _at_work: AtWork,
}

/// Bytes that a worker was given: while they go on, its silence means nothing.
pub type Movement = Rc<Cell<u64>>;

thread_local! {
    /// Workers of this thread's engine: they are its children, and their answers have no other reader.
    static ALL: Cell<usize> = const { Cell::new(0) };
    /// Those of them whose client does not read what they write.
    static UNREAD: Cell<usize> = const { Cell::new(0) };
}

/// How many workers are at work. Those that wait for a client who does not read are not: nothing waits for them.
pub fn at_work() -> usize {
    ALL.get().saturating_sub(UNREAD.get())
}

/// Counts a worker.
#[derive(Debug)]
struct AtWork;

impl AtWork {
    /// # Errors
    /// 503 when there are too many.
    fn new() -> Result<Self> {
        let all = ALL.get();
        if all >= WORKERS_MAX {
            let text = format!("{all} transfers and copies are under way: try again later");
            return Err(Error::new(StatusCode::SERVICE_UNAVAILABLE, text));
        }
        ALL.set(all + 1);
        Ok(Self)
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        ALL.set(ALL.get().saturating_sub(1));
    }
}

/// A worker that waits for a client who does not read, as long as this lasts.
struct Unread;

impl Unread {
    fn new() -> Self {
        UNREAD.set(UNREAD.get() + 1);
        Self
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        UNREAD.set(UNREAD.get().saturating_sub(1));
    }
}

/// A started worker with its other two ends.
pub struct Started {
    /// The process.
    pub worker: Worker,
    /// Its standard input, after the request; none once it is closed.
    pub input: Option<pipe::Sender>,
    /// Its standard output.
    pub output: pipe::Receiver,
}

impl Started {
    /// Ends its standard input: nothing follows the request.
    pub fn close_input(&mut self) {
        self.input = None;
    }
}

/// What a worker said.
#[derive(Debug)]
pub enum Said {
    /// Progress.
    Progress(ProgressMessage),
    /// What a path of a container is.
    Stat(FileStat),
    /// It is done.
    Done(Outcome),
}

impl Launcher {
    /// Starts a worker and gives it the request.
    ///
    /// # Errors
    /// 503 when too many are at work, 500 when the process cannot be started.
    pub async fn start(&self, request: &Request) -> Result<Started> {
        let failed = |error: io::Error| Error::server(format!("start a worker: {error}"));
        let at_work = AtWork::new()?;
        let (input_reader, input_writer) = io::pipe().map_err(failed)?;
        let (output_reader, output_writer) = io::pipe().map_err(failed)?;
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let process = match self {
            Self::Program(program) => {
                let process = spawn(program, &input_reader, &output_writer, &theirs)?;
                Some(process)
            }
            #[cfg(test)]
            Self::Thread => {
                std::thread::spawn(move || {
                    worker::serve(
                        worker::Place::Thread,
                        OsStr::new(PROTOCOL),
                        input_reader,
                        output_writer,
                        theirs,
                    )
                });
                None
            }
        };
        let mut input = pipe::Sender::from_owned_fd(OwnedFd::from(input_writer)).map_err(failed)?;
        let output = pipe::Receiver::from_owned_fd(OwnedFd::from(output_reader)).map_err(failed)?;
        let answers = BufReader::new(UnixStream::from_std(ours).map_err(failed)?);
        let mut line =
            serde_json::to_vec(request).map_err(|error| Error::server(error.to_string()))?;
        line.push(b'\n');
        let started = Started {
            worker: Worker {
                answers,
                process,
                movement: Movement::default(),
                _at_work: at_work,
            },
            output,
            input: {
                // a worker that could not start says so on the answers
                let _ = input.write_all(&line).await;
                Some(input)
            },
        };
        Ok(started)
    }
}

fn spawn(
    program: &std::path::Path,
    input: &PipeReader,
    output: &PipeWriter,
    answers: &std::os::unix::net::UnixStream,
) -> Result<Pidfd> {
    let errors = std::fs::OpenOptions::new().write(true).open("/dev/null");
    let errors = errors.map_err(|error| Error::server(format!("open /dev/null: {error}")))?;
    let environment = sys::process::environment();
    let environment: Vec<&OsStr> = environment.iter().map(OsString::as_os_str).collect();
    let spawned = spawn_in(&SpawnIn {
        program,
        argv: &[program.as_os_str(), OsStr::new(PROTOCOL)],
        env: &environment,
        options: CloneOptions::default(),
        fds: &[
            (input.as_fd(), 0),
            (output.as_fd(), 1),
            (errors.as_fd(), 2),
            (answers.as_fd(), ANSWERS_FD),
        ],
        report: ANSWERS_FD,
        wait_for_go: false,
    });
    Ok(spawned
        .map_err(|error| Error::server(error.to_string()))?
        .pidfd)
}

impl Worker {
    /// The next thing it says; an error ends it.
    ///
    /// # Errors
    /// What it failed with, or that it ended or was silent for too long.
    pub async fn next(&mut self) -> Result<Said> {
        let line = self.patient_line().await?;
        if line.is_empty() {
            return Err(Error::server("worker ended without an answer"));
        }
        if line[0] == b'!' {
            return Err(Error::server("worker could not be started"));
        }
        // Not by json-reader: an answer has what strangers wrote in it, and may be long.
        match serde_json::from_slice(&line) {
            Ok(Answer::Progress(progress)) => Ok(Said::Progress(progress::message(progress))),
            Ok(Answer::Stat(stat)) => Ok(Said::Stat(stat)),
            Ok(Answer::Done(outcome)) => {
                self.end().await;
                Ok(Said::Done(*outcome))
            }
            Ok(Answer::Failed { status, message }) => {
                let status =
                    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                Err(Error::new(status, message))
            }
            Err(error) => Err(Error::server(format!("worker answers nonsense: {error}"))),
        }
    }

    /// What [`feed`] counts its bytes in.
    pub fn movement(&self) -> Movement {
        Rc::clone(&self.movement)
    }

    /// The next line, unless nothing at all happens for too long.
    async fn patient_line(&mut self) -> Result<Vec<u8>> {
        let movement = self.movement();
        let line = self.line();
        tokio::pin!(line);
        loop {
            let before = movement.get();
            match tokio::time::timeout(IDLE, &mut line).await {
                Ok(line) => return line,
                Err(_) if movement.get() != before => {}
                Err(_) => return Err(Error::server("worker is silent: it was killed")),
            }
        }
    }

    async fn line(&mut self) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        let mut limited = (&mut self.answers).take(LINE_MAX as u64);
        let read = limited.read_until(b'\n', &mut line).await;
        read.map_err(|error| Error::server(format!("listen to the worker: {error}")))?;
        Ok(line)
    }

    /// Waits for its end after the last answer, and reaps it if no reaper did.
    async fn end(&mut self) {
        let Some(process) = self.process.take() else {
            return;
        };
        let mut rest = Vec::new();
        // its end closes the answers; the engine's reaper may then be faster
        let _ = tokio::time::timeout(
            END,
            (&mut self.answers)
                .take(CHUNK as u64)
                .read_to_end(&mut rest),
        )
        .await;
        let _ = process.reap();
    }

    /// Follows it to the end, handing progress to `send`. A receiver that went away ends the worker.
    ///
    /// # Errors
    /// As for [`Self::next`].
    pub async fn follow(&mut self, messages: &mpsc::Sender<ProgressMessage>) -> Result<Outcome> {
        loop {
            tokio::select! {
                said = self.next() => match said? {
                    Said::Done(outcome) => return Ok(outcome),
                    Said::Stat(_) => {}
                    Said::Progress(message) => {
                        if messages.send(message).await.is_err() {
                            return Err(Error::server("client went away"));
                        }
                    }
                },
                () = messages.closed() => return Err(Error::server("client went away")),
            }
        }
    }

    /// Follows it to the end, progress unseen.
    ///
    /// # Errors
    /// As for [`Self::next`].
    pub async fn outcome(&mut self) -> Result<Outcome> {
        loop {
            if let Said::Done(outcome) = self.next().await? {
                return Ok(outcome);
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            // it may have ended by itself
            let _ = process.send_signal(Signal::KILL);
            let _ = process.reap();
        }
    }
}

/// Copies a body into a worker; what the worker does not want any more is not an error.
pub async fn feed(input: Option<pipe::Sender>, mut body: ByteStream, movement: Movement) {
    let Some(mut input) = input else {
        return;
    };
    while let Some(Ok(chunk)) = body.recv().await {
        if input.write_all(&chunk).await.is_err() {
            return;
        }
        movement.set(movement.get().wrapping_add(chunk.len() as u64));
    }
}

/// Copies what a worker writes into a stream; false when nobody reads it any more.
pub async fn drain(mut output: pipe::Receiver, to: &mpsc::Sender<io::Result<Bytes>>) -> bool {
    let mut buffer = vec![0; CHUNK];
    loop {
        let Some(place) = place(to).await else {
            return false;
        };
        match output.read(&mut buffer).await {
            Ok(0) => return true,
            Ok(n) => place.send(Ok(Bytes::copy_from_slice(&buffer[..n]))),
            Err(error) => {
                place.send(Err(error));
                return false;
            }
        }
    }
}

/// Waits for the stream's reader; none when it is gone, or reads nothing for too long.
async fn place(to: &mpsc::Sender<io::Result<Bytes>>) -> Option<Permit<'_, io::Result<Bytes>>> {
    let place = to.reserve();
    tokio::pin!(place);
    if let Ok(place) = tokio::time::timeout(READING, &mut place).await {
        return place.ok();
    }
    let _unread = Unread::new();
    tokio::time::timeout(IDLE, place).await.ok()?.ok()
}

/// A stream of progress messages.
pub fn messages() -> (
    mpsc::Sender<ProgressMessage>,
    mpsc::Receiver<ProgressMessage>,
) {
    mpsc::channel(STREAM_DEPTH)
}
