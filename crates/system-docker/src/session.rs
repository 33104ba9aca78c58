//! A terminal and a container, connected: input, output, the terminal's size and signals.

use std::future::poll_fn;
use std::io::Write;
use std::task::Poll;

use engine_api::client::Hijacked;
use engine_api::detach::{DetachKeys, Typed};
use engine_api::framing::Decoder;
use engine_api::{Client, StreamKind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::terminal::{self, Raw};

/// Read at once from the terminal or the engine.
const BUFFER_BYTES: usize = 32 << 10;

/// A signal by docker's name.
type Named = (&'static str, fn() -> SignalKind);

/// Signals to this client that are meant for the container.
const PROXIED: [Named; 6] = [
    ("HUP", SignalKind::hangup),
    ("INT", SignalKind::interrupt),
    ("QUIT", SignalKind::quit),
    ("TERM", SignalKind::terminate),
    ("USR1", SignalKind::user_defined1),
    ("USR2", SignalKind::user_defined2),
];

/// Whose terminal has this terminal's size.
#[derive(Clone, Copy)]
pub(super) enum Size<'a> {
    Container(&'a str),
    Exec(&'a str),
}

impl Size<'_> {
    async fn pass_on(self, client: &Client) {
        let Some((rows, columns)) = terminal::size() else {
            return;
        };
        // It may have ended meanwhile; its size then matters to nobody.
        let _ = match self {
            Size::Container(id) => client.container_resize(id, rows, columns).await,
            Size::Exec(id) => client.exec_resize(id, rows, columns).await,
        };
    }
}

/// Signals that arrive here and are passed on to a container, as docker's `--sig-proxy` has it.
pub(super) struct Proxy<'a> {
    client: &'a Client,
    id: &'a str,
    signals: Vec<(&'static str, Signal)>,
}

impl<'a> Proxy<'a> {
    /// Catches them from now on.
    pub(super) fn new(client: &'a Client, id: &'a str) -> std::io::Result<Proxy<'a>> {
        let signals = PROXIED
            .iter()
            .map(|(name, kind)| Ok((*name, signal(kind())?)))
            .collect::<std::io::Result<_>>()?;
        Ok(Proxy {
            client,
            id,
            signals,
        })
    }

    /// Passes on what arrives while `work` lasts.
    pub(super) async fn during<T>(mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => return result,
                () = self.pass_on() => {}
            }
        }
    }

    /// Passes the next one on.
    async fn pass_on(&mut self) {
        let signals = &mut self.signals;
        let name = poll_fn(|context| {
            signals
                .iter_mut()
                .find_map(|(name, signal)| signal.poll_recv(context).is_ready().then_some(*name))
                .map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        // It may have ended meanwhile.
        let _ = self.client.container_kill(self.id, Some(name)).await;
    }
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The output ended.
    Output,
    /// The detach keys were typed.
    Detached,
}

/// Who is connected, and how.
pub(super) struct Session<'a> {
    pub(super) client: &'a Client,
    pub(super) hijacked: Hijacked,
    /// Whether this terminal's input is passed on.
    pub(super) stdin: bool,
    /// Whether the container has a terminal.
    pub(super) tty: bool,
    pub(super) size: Size<'a>,
    /// The keys that leave it; none means docker's.
    pub(super) detach_keys: Option<&'a str>,
}

impl Session<'_> {
    /// Sends standard input to its end, and waits for no output.
    pub(super) async fn feed(self) {
        let (_reader, writer) = tokio::io::split(self.hijacked.io);
        if self.stdin {
            send_input(writer, None).await;
        }
    }

    /// Copies both ways until the output ends or the keys that detach are typed.
    pub(super) async fn run(self) -> anyhow::Result<End> {
        // Only a terminal has keys; a pipe's bytes are the container's, all of them.
        let keys = (self.tty && self.stdin)
            .then(|| DetachKeys::parse(self.detach_keys))
            .transpose()?;
        let _raw = keys.is_some().then(Raw::enter).transpose()?;
        let multiplexed = self.hijacked.multiplexed && !self.tty;
        let (reader, writer) = tokio::io::split(self.hijacked.io);
        let stdin = self.stdin;
        let mut typed = std::pin::pin!(async {
            if !stdin || send_input(writer, keys).await != End::Detached {
                std::future::pending().await
            }
        });
        let mut resized = signal(SignalKind::window_change())?;
        let mut output = std::pin::pin!(receive_output(reader, multiplexed));
        if self.tty {
            self.size.pass_on(self.client).await;
        }
        loop {
            tokio::select! {
                result = &mut output => return result.map(|()| End::Output),
                () = &mut typed => return Ok(End::Detached),
                _ = resized.recv(), if self.tty => self.size.pass_on(self.client).await,
            }
        }
    }
}

/// Sends standard input until the keys that detach; its end is passed on by closing this direction only.
async fn send_input<S: AsyncWrite>(mut writer: WriteHalf<S>, mut keys: Option<DetachKeys>) -> End {
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<Vec<u8>>(1);
    // Its own thread: a read from a terminal cannot be ended, and tokio would wait for it at exit.
    std::thread::spawn(move || {
        let mut buffer = vec![0; BUFFER_BYTES];
        while let Ok(count) = std::io::Read::read(&mut std::io::stdin(), &mut buffer) {
            if count == 0 || sender.blocking_send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    while let Some(piece) = receiver.recv().await {
        let (piece, end) = match keys.as_mut().map(|keys| keys.feed(&piece)) {
            None => (piece, None),
            Some(Typed::Input(piece)) => (piece, None),
            Some(Typed::Detach(piece)) => (piece, Some(End::Detached)),
        };
        let written = writer.write_all(&piece).await;
        if let Some(end) = end {
            return end;
        }
        if written.is_err() {
            return End::Output;
        }
    }
    // The container may have ended first.
    let _ = writer.shutdown().await;
    End::Output
}

async fn receive_output<S: AsyncRead>(
    mut reader: ReadHalf<S>,
    multiplexed: bool,
) -> anyhow::Result<()> {
    let mut show = Show::new(multiplexed);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match reader.read(&mut buffer).await? {
            0 => return Ok(()),
            count => show.piece(&buffer[..count])?,
        }
    }
}

/// Writes output where it belongs, undoing the framing.
pub(super) struct Show {
    decoder: Option<Decoder>,
}

impl Show {
    pub(super) fn new(multiplexed: bool) -> Show {
        Show {
            decoder: multiplexed.then(Decoder::new),
        }
    }

    pub(super) fn piece(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let Some(decoder) = &mut self.decoder else {
            return Ok(write(&mut std::io::stdout(), bytes)?);
        };
        decoder.push(bytes);
        while let Some((kind, payload)) = decoder.next_frame()? {
            match kind {
                StreamKind::Stderr => write(&mut std::io::stderr(), &payload)?,
                _ => write(&mut std::io::stdout(), &payload)?,
            }
        }
        Ok(())
    }
}

fn write(file: &mut impl Write, bytes: &[u8]) -> std::io::Result<()> {
    file.write_all(bytes)?;
    file.flush()
}
