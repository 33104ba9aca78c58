//! The verbs that connect this terminal to a container: run, start -a, attach, exec and logs.

use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use engine_api::client::{AttachQuery, JsonLines, LogsQuery};
use engine_api::{Client, CreateRequest, ExecConfig, ExecStartConfig, WaitResponse};

use super::arguments::{Attach, Create, Exec, Logs, Run, Signals, Start};
use super::create::{Pull, variables};
use super::session::{End, Proxy, Session, Show, Size};
use super::{credentials, images, system, terminal};

/// Makes the container, pulling its image first when it is not there (or as `--pull` says); returns the id.
pub(crate) async fn create(
    client: &Client,
    options: &Create,
    request: &CreateRequest,
) -> anyhow::Result<String> {
    let id_file = options.cidfile.as_deref().map(new_id_file).transpose()?;
    let created = created(client, options, request).await;
    match (created, id_file, &options.cidfile) {
        (Ok(id), Some(mut file), Some(path)) => {
            file.write_all(id.as_bytes())
                .with_context(|| format!("--cidfile {path}"))?;
            Ok(id)
        }
        (Err(error), Some(_), Some(path)) => {
            // It names no container.
            let _ = std::fs::remove_file(path);
            Err(error)
        }
        (created, ..) => created,
    }
}

/// Made before the container, so that no container goes without.
fn new_id_file(path: &str) -> anyhow::Result<File> {
    File::create_new(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => anyhow::anyhow!(
            "container ID file found, make sure the other container isn't running or delete {path}"
        ),
        _ => anyhow::Error::new(error).context(format!("--cidfile {path}")),
    })
}

async fn created(
    client: &Client,
    options: &Create,
    request: &CreateRequest,
) -> anyhow::Result<String> {
    if options.pull == Pull::Always {
        pull(client, options).await?;
    }
    let (name, platform) = (options.name.as_deref(), options.platform.as_deref());
    let created = match client.container_create(name, platform, request).await {
        Err(error)
            if error.is_not_found()
                && error.message.contains("image")
                && options.pull == Pull::Missing =>
        {
            if !options.quiet {
                let image = images::with_tag(options.image());
                eprintln!("Unable to find image '{image}' locally");
            }
            pull(client, options).await?;
            client.container_create(name, platform, request).await?
        }
        result => result?,
    };
    for warning in &created.warnings {
        eprintln!("WARNING: {warning}");
    }
    Ok(created.id)
}

async fn pull(client: &Client, options: &Create) -> anyhow::Result<()> {
    let image = images::with_tag(options.image());
    let auth = credentials::for_image(&image)?;
    let platform = options.platform.as_deref();
    let messages = client.image_create(&image, platform, auth.as_ref()).await?;
    images::progress(messages, true).await
}

/// `run`
pub(crate) async fn run(client: &Client, options: &Run) -> anyhow::Result<ExitCode> {
    let request = options.create.request(options.detach)?;
    let config = &request.config;
    check_terminal(config.attach_stdin, config.tty)?;
    let id = create(client, &options.create, &request).await?;
    if options.detach {
        started(client, &id, options.create.rm).await?;
        println!("{id}");
        return Ok(ExitCode::SUCCESS);
    }
    let query = AttachQuery {
        stdout: config.attach_stdout,
        stderr: config.attach_stderr,
        ..everything(config.attach_stdin, &options.signals)
    };
    // Attached before it starts, so that not even its first byte is missed.
    let hijacked = client.container_attach(&id, &query).await?;
    let proxy = proxy(client, &id, options.signals.sig_proxy)?;
    let condition = if options.create.rm {
        "removed"
    } else {
        "next-exit"
    };
    let ended = client.container_wait(&id, Some(condition)).await?;
    match started(client, &id, options.create.rm).await {
        Ok(()) => {}
        Err(error) => {
            eprintln!("system-docker: {error}");
            return Ok(ExitCode::from(start_failure(&error)));
        }
    }
    let session = Session {
        client,
        hijacked,
        stdin: config.attach_stdin,
        tty: config.tty,
        size: Size::Container(&id),
        detach_keys: options.signals.detach_keys.as_deref(),
    };
    if config.attach_stdout || config.attach_stderr {
        return until_end(session, proxy, ended).await;
    }
    passing_on(proxy, session.feed()).await;
    println!("{id}");
    Ok(ExitCode::SUCCESS)
}

/// Docker's refusal of keys from what is not a terminal.
fn check_terminal(stdin: bool, tty: bool) -> anyhow::Result<()> {
    ensure!(
        !stdin || !tty || terminal::is_input(),
        "the input device is not a TTY"
    );
    Ok(())
}

/// All of a container's output, and its input when `stdin`.
fn everything(stdin: bool, signals: &Signals) -> AttachQuery {
    AttachQuery {
        stream: true,
        stdin,
        stdout: true,
        stderr: true,
        detach_keys: signals.detach_keys.clone(),
        ..AttachQuery::default()
    }
}

/// Shows a container until it ends, which may be long after its output does, or is left; docker's exit code for it.
async fn until_end(
    session: Session<'_>,
    proxy: Option<Proxy<'_>>,
    mut ended: JsonLines<WaitResponse>,
) -> anyhow::Result<ExitCode> {
    let whole = async {
        if session.run().await? == End::Detached {
            return Ok(ExitCode::SUCCESS);
        }
        let code = ended.next().await?.map_or(0, |ended| ended.status_code);
        Ok(exit_code(code))
    };
    passing_on(proxy, whole).await
}

/// Does `work`, and passes on the signals that the proxy catches meanwhile.
async fn passing_on<T>(proxy: Option<Proxy<'_>>, work: impl Future<Output = T>) -> T {
    match proxy {
        Some(proxy) => proxy.during(work).await,
        None => work.await,
    }
}

fn proxy<'a>(client: &'a Client, id: &'a str, wanted: bool) -> anyhow::Result<Option<Proxy<'a>>> {
    wanted
        .then(|| Proxy::new(client, id).context("cannot catch signals"))
        .transpose()
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
    let query = everything(options.interactive, &options.signals);
    let hijacked = client.container_attach(&inspect.id, &query).await?;
    let proxy = proxy(client, &inspect.id, options.signals.sig_proxy)?;
    let ended = client
        .container_wait(&inspect.id, Some("next-exit"))
        .await?;
    client.container_start(&inspect.id).await?;
    let session = Session {
        client,
        hijacked,
        stdin: options.interactive,
        tty: inspect.config.tty,
        size: Size::Container(&inspect.id),
        detach_keys: options.signals.detach_keys.as_deref(),
    };
    until_end(session, proxy, ended).await
}

/// `attach`
pub(crate) async fn attach(client: &Client, options: &Attach) -> anyhow::Result<ExitCode> {
    let inspect = client.container_inspect(&options.container, false).await?;
    if !inspect.state.running {
        anyhow::bail!("cannot attach to a stopped container, start it first");
    }
    check_terminal(!options.no_stdin, inspect.config.tty)?;
    let stdin = !options.no_stdin && inspect.config.open_stdin;
    let query = everything(stdin, &options.signals);
    let hijacked = client.container_attach(&inspect.id, &query).await?;
    let proxy = proxy(client, &inspect.id, options.signals.sig_proxy)?;
    let ended = client.container_wait(&inspect.id, None).await?;
    let session = Session {
        client,
        hijacked,
        stdin,
        tty: inspect.config.tty,
        size: Size::Container(&inspect.id),
        detach_keys: options.signals.detach_keys.as_deref(),
    };
    until_end(session, proxy, ended).await
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
        env: variables(&options.environment_files, &options.environment)?,
        working_dir: options.workdir.clone(),
        detach_keys: options.detach_keys.clone().unwrap_or_default(),
        cmd: Some(options.command.clone()),
        ..ExecConfig::default()
    };
    if !options.detach {
        check_terminal(options.interactive, options.tty)?;
    }
    let id = client.exec_create(&options.container, &config).await?;
    if options.detach {
        client.exec_start_detached(&id).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let start = ExecStartConfig {
        tty: options.tty,
        ..ExecStartConfig::default()
    };
    Session {
        client,
        hijacked: client.exec_start(&id, &start).await?,
        stdin: options.interactive,
        tty: options.tty,
        size: Size::Exec(&id),
        detach_keys: options.detach_keys.as_deref(),
    }
    .run()
    .await?;
    Ok(exit_code(i64::from(
        client.exec_inspect(&id).await?.exit_code.unwrap_or(0),
    )))
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
