//! The verbs that connect this terminal to a container: run, start -a, attach, exec and logs.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use engine_api::client::{AttachQuery, Hijacked, LogsQuery};
use engine_api::framing::Decoder;
use engine_api::{Client, ExecConfig, ExecStartConfig, StreamKind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::signal::unix::{SignalKind, signal};

use super::arguments::{Attach, Create, Exec, Logs, Run, Start};
use super::terminal::{self, Raw};
use super::{images, system};

/// Read at once from the terminal or the engine.
const BUFFER_BYTES: usize = 32 << 10;

/// Makes the container, pulling its image first when it is not there; returns the id.
pub(crate) async fn create(
    client: &Client,
    options: &Create,
    attach: bool,
) -> anyhow::Result<String> {
    let request = options.request(attach)?;
    let created = match client
        .container_create(options.name.as_deref(), &request)
        .await
    {
        Err(error) if error.is_not_found() && error.message.contains("image") => {
            let image = images::with_tag(&options.image);
            eprintln!("Unable to find image '{image}' locally");
            let messages = client.image_create(&image, None, None).await?;
            images::progress(messages, true).await?;
            client
                .container_create(options.name.as_deref(), &request)
                .await?
        }
        result => result?,
    };
    for warning in &created.warnings {
        eprintln!("WARNING: {warning}");
    }
    Ok(created.id)
}

/// `run`
pub(crate) async fn run(client: &Client, options: &Run) -> anyhow::Result<ExitCode> {
    let attach = !options.detach;
    let id = create(client, &options.create, attach).await?;
    if !attach {
        started(client, &id, options.create.rm).await?;
        println!("{id}");
        return Ok(ExitCode::SUCCESS);
    }
    let query = AttachQuery {
        stream: true,
        stdin: options.create.interactive,
        stdout: true,
        stderr: true,
        ..AttachQuery::default()
    };
    // Attached before it starts, so that not even its first byte is missed.
    let session = client.container_attach(&id, &query).await?;
    let condition = if options.create.rm {
        "removed"
    } else {
        "next-exit"
    };
    let mut ended = client.container_wait(&id, Some(condition)).await?;
    match started(client, &id, options.create.rm).await {
        Ok(()) => {}
        Err(error) => {
            eprintln!("system-docker: {error}");
            return Ok(ExitCode::from(start_failure(&error)));
        }
    }
    connect(
        client,
        session,
        options.create.interactive,
        options.create.tty,
        Size::Container(&id),
    )
    .await?;
    let code = ended.next().await?.map_or(0, |ended| ended.status_code);
    Ok(exit_code(code))
}

/// Starts it; a container of `--rm` that cannot start is removed.
async fn started(client: &Client, id: &str, remove: bool) -> engine_api::Result<()> {
    let result = client.container_start(id).await;
    if result.is_err() && remove {
        // The engine may have removed it already.
        let _ = client.container_remove(id, true, true).await;
    }
    result
}

/// docker run's exit codes: 127 no such program, 126 not executable, 125 anything else.
fn start_failure(error: &engine_api::Error) -> u8 {
    let text = &error.message;
    if text.contains("not found") || text.contains("no such file") {
        127
    } else if text.contains("permission denied") || text.contains("is a directory") {
        126
    } else {
        125
    }
}

fn exit_code(code: i64) -> ExitCode {
    ExitCode::from(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
}

/// `start`
pub(crate) async fn start(client: &Client, options: &Start) -> anyhow::Result<ExitCode> {
    if !options.attach && !options.interactive {
        super::each(&options.containers, |name| client.container_start(name)).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let [name] = options.containers.as_slice() else {
        anyhow::bail!("only one container can be attached to");
    };
    let inspect = client.container_inspect(name, false).await?;
    let query = AttachQuery {
        stream: true,
        stdin: options.interactive,
        stdout: true,
        stderr: true,
        ..AttachQuery::default()
    };
    let session = client.container_attach(&inspect.id, &query).await?;
    let mut ended = client
        .container_wait(&inspect.id, Some("next-exit"))
        .await?;
    client.container_start(&inspect.id).await?;
    connect(
        client,
        session,
        options.interactive,
        inspect.config.tty,
        Size::Container(&inspect.id),
    )
    .await?;
    let code = ended.next().await?.map_or(0, |ended| ended.status_code);
    Ok(exit_code(code))
}

/// `attach`
pub(crate) async fn attach(client: &Client, options: &Attach) -> anyhow::Result<ExitCode> {
    let inspect = client.container_inspect(&options.container, false).await?;
    if !inspect.state.running {
        anyhow::bail!("cannot attach to a stopped container, start it first");
    }
    let stdin = !options.no_stdin && inspect.config.open_stdin;
    let query = AttachQuery {
        stream: true,
        stdin,
        stdout: true,
        stderr: true,
        ..AttachQuery::default()
    };
    let session = client.container_attach(&inspect.id, &query).await?;
    let mut ended = client.container_wait(&inspect.id, None).await?;
    connect(
        client,
        session,
        stdin,
        inspect.config.tty,
        Size::Container(&inspect.id),
    )
    .await?;
    let code = ended.next().await?.map_or(0, |ended| ended.status_code);
    Ok(exit_code(code))
}

/// `exec`
pub(crate) async fn exec(client: &Client, options: &Exec) -> anyhow::Result<ExitCode> {
    let config = ExecConfig {
        user: options.user.clone(),
        privileged: options.privileged,
        tty: options.tty,
        attach_stdin: options.interactive,
        attach_stdout: !options.detach,
        attach_stderr: !options.detach,
        env: options.environment.clone(),
        working_dir: options.workdir.clone(),
        cmd: Some(options.command.clone()),
        ..ExecConfig::default()
    };
    let id = client.exec_create(&options.container, &config).await?;
    if options.detach {
        client.exec_start_detached(&id).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let start = ExecStartConfig {
        tty: options.tty,
        ..ExecStartConfig::default()
    };
    let session = client.exec_start(&id, &start).await?;
    connect(
        client,
        session,
        options.interactive,
        options.tty,
        Size::Exec(&id),
    )
    .await?;
    Ok(exit_code(i64::from(
        client.exec_inspect(&id).await?.exit_code.unwrap_or(0),
    )))
}

/// Whose terminal has this terminal's size.
#[derive(Clone, Copy)]
enum Size<'a> {
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

/// Copies both ways until the output ends.
async fn connect(
    client: &Client,
    session: Hijacked,
    stdin: bool,
    tty: bool,
    size: Size<'_>,
) -> anyhow::Result<()> {
    let raw = if tty && stdin {
        Some(Raw::enter()?)
    } else {
        None
    };
    let multiplexed = session.multiplexed && !tty;
    let (reader, writer) = tokio::io::split(session.io);
    let input = tokio::spawn(async move {
        if stdin {
            send_input(writer).await;
        }
    });
    let mut resized = signal(SignalKind::window_change())?;
    let mut output = std::pin::pin!(receive_output(reader, multiplexed));
    if tty {
        size.pass_on(client).await;
    }
    let result = loop {
        tokio::select! {
            result = &mut output => break result,
            _ = resized.recv(), if tty => size.pass_on(client).await,
        }
    };
    input.abort();
    drop(raw);
    result
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
struct Show {
    decoder: Option<Decoder>,
}

impl Show {
    fn new(multiplexed: bool) -> Show {
        Show {
            decoder: multiplexed.then(Decoder::new),
        }
    }

    fn piece(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
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

/// `logs`
pub(crate) async fn logs(client: &Client, options: &Logs) -> anyhow::Result<()> {
    let tty = client
        .container_inspect(&options.container, false)
        .await?
        .config
        .tty;
    let query = LogsQuery {
        follow: options.follow,
        stdout: true,
        stderr: true,
        since: options.since.as_deref().map(system::time),
        until: options.until.as_deref().map(system::time),
        timestamps: options.timestamps,
        tail: match options.tail.as_str() {
            "all" => None,
            count => Some(
                count
                    .parse()
                    .with_context(|| format!("--tail {count}: no number"))?,
            ),
        },
        ..LogsQuery::default()
    };
    let mut stream = client.container_logs(&options.container, &query).await?;
    let mut show = Show::new(!tty);
    while let Some(piece) = stream.next().await? {
        show.piece(&piece)?;
    }
    Ok(())
}
