//! A terminal and a container, connected: input, output, the terminal's size and signals.

use std::future::poll_fn;
use std::io::Write;
use std::task::Poll;

use engine_api::client::Hijacked;
use engine_api::framing::Decoder;
use engine_api::{Client, StreamKind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::terminal::{self, Raw};

/// Read at once from the terminal or the engine.
const BUFFER_BYTES: usize = 32 << 10;

/// Signals to this client that are meant for the container.
type Named = (&'static str, fn() -> SignalKind);
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

/// Who is connected, and how.
pub(super) struct Session<'a> {
    pub(super) client: &'a Client,
    pub(super) hijacked: Hijacked,
    /// Whether this terminal's input is passed on.
    pub(super) stdin: bool,
    /// Whether the container has a terminal.
    pub(super) tty: bool,
    pub(super) size: Size<'a>,
    pub(super) proxy: Option<Proxy<'a>>,
}

impl Session<'_> {
    /// Copies both ways until the output ends.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        let raw = if self.tty && self.stdin {
            Some(Raw::enter()?)
        } else {
            None
        };
        let multiplexed = self.hijacked.multiplexed && !self.tty;
        let (reader, writer) = tokio::io::split(self.hijacked.io);
        let stdin = self.stdin;
        let input = tokio::spawn(async move {
            if stdin {
                send_input(writer).await;
            }
        });
        let mut resized = signal(SignalKind::window_change())?;
        let mut output = std::pin::pin!(receive_output(reader, multiplexed));
        if self.tty {
            self.size.pass_on(self.client).await;
        }
        let result = loop {
            let signalled = async {
                match &mut self.proxy {
                    Some(proxy) => proxy.pass_on().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                result = &mut output => break result,
                _ = resized.recv(), if self.tty => self.size.pass_on(self.client).await,
                () = signalled => {}
            }
        };
        input.abort();
        drop(raw);
        result
    }
}

/// Sends standard input; its end is passed on by closing this direction only.
async fn send_input<S: AsyncWrite>(mut writer: WriteHalf<S>) {
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<Vec<u8>>(1);
    // A thread of its own: a read from a terminal cannot be ended, and tokio would wait for it at exit.
    std::thread::spawn(move || {
        let mut buffer = vec![0; BUFFER_BYTES];
        while let Ok(count) = std::io::Read::read(&mut std::io::stdin(), &mut buffer) {
            if count == 0 || sender.blocking_send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    while let Some(piece) = receiver.recv().await {
        if writer.write_all(&piece).await.is_err() {
            return;
        }
    }
    // The container may have ended first.
    let _ = writer.shutdown().await;
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
