//! Who listens to a process, and what they type: the meeting point of attached clients and the process's pumps.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use engine_api::Result;
use engine_api::detach::{DetachKeys, Typed};
use engine_api::options::{AttachSession, OutputChunk, STREAM_DEPTH, StreamKind};
use tokio::sync::{mpsc, watch};

use crate::logs::LogFile;

/// What travels to a process's standard input.
#[derive(Debug)]
pub(super) enum Input {
    /// Bytes to write.
    Data(Bytes),
    /// End of file.
    Close,
}

/// Which streams a client wants, and how it detaches.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// The detach sequence, for terminals.
    pub detach_keys: Option<String>,
}

struct Subscriber {
    stdout: bool,
    stderr: bool,
    sender: mpsc::Sender<OutputChunk>,
}

/// The standard streams of one container or exec, over all its runs.
pub struct Streams {
    tty: bool,
    open_stdin: bool,
    stdin_once: bool,
    /// Where output is recorded.
    pub log: Option<Rc<LogFile>>,
    subscribers: RefCell<Vec<Rc<Subscriber>>>,
    input: RefCell<(mpsc::Sender<Input>, Option<mpsc::Receiver<Input>>)>,
    /// Counts runs; sessions of an earlier run end when it changes.
    run: watch::Sender<u64>,
    stdin_closed: Cell<bool>,
    /// Pieces of output that have reached everybody.
    moved: Cell<u64>,
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams")
            .field("tty", &self.tty)
            .field("subscribers", &self.subscribers.borrow().len())
            .finish()
    }
}

impl Streams {
    /// Streams with nobody attached.
    #[must_use]
    pub fn new(tty: bool, open_stdin: bool, stdin_once: bool, log: Option<Rc<LogFile>>) -> Self {
        let (sender, receiver) = mpsc::channel(STREAM_DEPTH);
        Self {
            tty,
            open_stdin,
            stdin_once,
            log,
            subscribers: RefCell::default(),
            input: RefCell::new((sender, Some(receiver))),
            run: watch::Sender::default(),
            stdin_closed: Cell::default(),
            moved: Cell::default(),
        }
    }

    /// Whether the process has a terminal.
    #[must_use]
    pub fn tty(&self) -> bool {
        self.tty
    }

    /// Whether the process has a standard input.
    #[must_use]
    pub fn open_stdin(&self) -> bool {
        self.open_stdin
    }

    /// Attaches a client from now on; the session ends with the run, or when the client types the detach keys.
    ///
    /// # Errors
    /// When the detach keys make no sense.
    pub fn attach(self: &Rc<Self>, wanted: &Wanted) -> Result<AttachSession> {
        let keys = DetachKeys::parse(wanted.detach_keys.as_deref())?;
        let (sender, output) = mpsc::channel(STREAM_DEPTH);
        let subscriber = Rc::new(Subscriber {
            stdout: wanted.stdout,
            stderr: wanted.stderr,
            sender,
        });
        self.subscribers.borrow_mut().push(Rc::clone(&subscriber));
        let input = (wanted.stdin && self.open_stdin).then(|| {
            let (typed_sender, typed) = mpsc::channel(STREAM_DEPTH);
            engine_api::tasks::spawn(Rc::clone(self).forward_input(
                typed,
                self.tty.then_some(keys),
                subscriber,
            ));
            typed_sender
        });
        Ok(AttachSession {
            input,
            output,
            tty: self.tty,
        })
    }

    /// Whether its client has closed the present run's input.
    #[must_use]
    pub fn stdin_closed(&self) -> bool {
        self.stdin_closed.get()
    }

    /// Takes over from an earlier program, which saw the end of the input.
    pub fn set_stdin_closed(&self) {
        self.stdin_closed.set(true);
    }

    /// Hands output to the log and to every attached client; waits for slow ones.
    pub(super) async fn output(&self, kind: StreamKind, bytes: Bytes) {
        if let Some(log) = &self.log {
            log.append(kind, &bytes);
        }
        let listeners: Vec<_> = self.subscribers.borrow().iter().map(Rc::clone).collect();
        for listener in listeners {
            let wants = if kind == StreamKind::Stderr {
                listener.stderr
            } else {
                listener.stdout
            };
            if wants && listener.sender.send((kind, bytes.clone())).await.is_err() {
                self.forget(&listener);
            }
        }
        self.moved.set(self.moved.get().wrapping_add(1));
    }

    /// Counts pieces of output: it changes while output moves.
    pub(super) fn moved(&self) -> u64 {
        self.moved.get()
    }

    /// The input of the run that begins now; only one run has it at a time.
    pub(super) fn take_input(&self) -> Option<mpsc::Receiver<Input>> {
        self.input.borrow_mut().1.take()
    }

    /// Ends the run: attached clients see the end of output, and the next run begins with a fresh input.
    pub fn finish(&self) {
        self.subscribers.borrow_mut().clear();
        let (sender, receiver) = mpsc::channel(STREAM_DEPTH);
        *self.input.borrow_mut() = (sender, Some(receiver));
        self.stdin_closed.set(false);
        self.run.send_modify(|run| *run += 1);
    }

    fn forget(&self, gone: &Rc<Subscriber>) {
        self.subscribers
            .borrow_mut()
            .retain(|subscriber| !Rc::ptr_eq(subscriber, gone));
    }

    async fn forward_input(
        self: Rc<Self>,
        mut typed: mpsc::Receiver<Bytes>,
        mut keys: Option<DetachKeys>,
        subscriber: Rc<Subscriber>,
    ) {
        let mut run = self.run.subscribe();
        let sink = self.input.borrow().0.clone();
        loop {
            let piece = tokio::select! {
                piece = typed.recv() => piece,
                // The run ended: what is typed from here on has no reader.
                _ = run.changed() => return,
            };
            let Some(piece) = piece else { break };
            let (piece, detach) = match keys.as_mut().map(|keys| keys.feed(&piece)) {
                None => (piece, false),
                Some(Typed::Input(rest)) => (Bytes::from(rest), false),
                Some(Typed::Detach(rest)) => (Bytes::from(rest), true),
            };
            if !piece.is_empty() {
                let sent = tokio::select! {
                    sent = sink.send(Input::Data(piece)) => sent.is_ok(),
                    _ = run.changed() => false,
                };
                if !sent {
                    return;
                }
            }
            if detach {
                self.forget(&subscriber);
                return;
            }
        }
        // Docker closes the process's input after the first client only when StdinOnce is set.
        if self.stdin_once && !self.tty && !self.stdin_closed.replace(true) {
            let _ = sink.send(Input::Close).await;
        }
    }
}
