//! `init engine`: System Docker on a developer's machine, without booting anything.
//!
//! It runs in a mount namespace of its own, so that nothing of it stays on the host.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use engine::{Engine, EngineOptions};
use sys::mount::{self, Propagation};
use tokio::net::UnixListener;
use tokio::task::LocalSet;

use crate::power::Requests;

/// What the engine needs to know.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    root: PathBuf,
    run: PathBuf,
    socket: PathBuf,
    media: Option<PathBuf>,
    cgroup: Option<PathBuf>,
}

/// Runs the engine until Ctrl-C or SIGTERM.
pub(crate) fn main(arguments: Vec<OsString>) -> ExitCode {
    match parse(arguments).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("init engine: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Reads `--root DIR --run DIR --socket PATH [--media DIR] [--cgroup NAME]`.
fn parse(arguments: Vec<OsString>) -> anyhow::Result<Options> {
    let (mut root, mut run, mut socket, mut media, mut cgroup) = (None, None, None, None, None);
    let mut arguments = arguments.into_iter();
    while let Some(name) = arguments.next() {
        let slot = match name.to_str() {
            Some("--root") => &mut root,
            Some("--run") => &mut run,
            Some("--socket") => &mut socket,
            Some("--media") => &mut media,
            Some("--cgroup") => &mut cgroup,
            _ => bail!(
                "unknown argument {name:?}: there are --root, --run, --socket, --media and --cgroup"
            ),
        };
        *slot = Some(PathBuf::from(
            arguments
                .next()
                .with_context(|| format!("{name:?} needs a value"))?,
        ));
    }
    Ok(Options {
        root: root.context("--root is missing")?,
        run: run.context("--run is missing")?,
        socket: socket.context("--socket is missing")?,
        media,
        cgroup,
    })
}

fn run(options: Options) -> anyhow::Result<()> {
    sys::namespace::unshare(sys::namespace::CloneFlags::NEWNS)?;
    mount::set_propagation("/", Propagation::Private, true)?;
    sys::process::set_child_subreaper()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no event loop")?;
    LocalSet::new().block_on(&runtime, serve(options))
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let mut requests = Requests::listen().context("cannot listen for signals")?;
    let mut engine_options = EngineOptions::new(options.root.clone(), options.run.clone());
    if let Some(cgroup) = &options.cgroup {
        engine_options.cgroup_parent = cgroup.to_string_lossy().into_owned();
    }
    let engine = Engine::new(engine_options)
        .await
        .context("cannot start the engine")?;
    if let Some(media) = &options.media {
        for error in engine.images().add_media(media) {
            eprintln!("init engine: system image: {error}");
        }
    }
    // A socket of an engine that was killed stays behind.
    let _ = std::fs::remove_file(&options.socket);
    let listener = UnixListener::bind(&options.socket)
        .with_context(|| format!("cannot listen on {}", options.socket.display()))?;
    eprintln!("init engine: listening on {}", options.socket.display());
    engine.resume();
    tokio::select! {
        () = engine::api::serve(engine.clone(), listener) => {}
        _ = requests.next() => {}
    }
    for error in engine
        .shutdown(Vec::new(), crate::shutdown::DEFAULT_DEADLINE)
        .await
    {
        eprintln!("init engine: {error}");
    }
    // Gone already if somebody else cleaned up.
    let _ = std::fs::remove_file(&options.socket);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_named_when_they_are_wrong() {
        let parse = |words: &[&str]| parse(words.iter().map(OsString::from).collect());
        assert!(parse(&["--root", "a", "--run", "b", "--socket", "c"]).is_ok());
        assert_eq!(
            parse(&["--root", "a"]).map_err(|e| e.to_string()),
            Err("--run is missing".to_owned())
        );
        assert!(parse(&["--rot", "a"]).is_err_and(|e| e.to_string().contains("--rot")));
        assert!(parse(&["--root"]).is_err_and(|e| e.to_string().contains("needs a value")));
    }
}
