//! `init engine`: System Docker on a developer's machine, without booting anything.
//!
//! It runs in its own mount namespace, so that nothing of it stays on the host.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::{Context, bail};
use engine::upgrade::Inheritance;
use engine::{Engine, EngineOptions};
use runtime::Confinement;
use sys::mount::{self, Propagation};
use tokio::net::UnixListener;

use crate::event_loop::block_on;
use crate::owner::{Developer as Options, Owner};
use crate::power::Requests;

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
        worker: std::env::current_exe()
            .context("where is this program")?
            .with_file_name("worker"),
        media,
        cgroup,
    })
}

fn run(options: Options) -> anyhow::Result<()> {
    sys::namespace::unshare(sys::namespace::CloneFlags::NEWNS)?;
    // Mounts of the host come in, as they do in PID 1, and none of ours goes out.
    mount::set_propagation("/", Propagation::Slave, true)?;
    sys::process::set_child_subreaper()?;
    block_on(async {
        let requests = Requests::listen().context("cannot listen for signals")?;
        let engine = Engine::new(options.engine())
            .await
            .context("cannot start the engine")?;
        add_media(&engine, &options);
        let listener = listen(&options)?;
        engine.resume();
        serve(engine, listener, requests, options).await
    })
}

/// Goes on where an earlier program of this process stopped: in its namespaces, with its containers.
pub(crate) fn go_on(options: Options, inheritance: Rc<Inheritance>) -> anyhow::Result<()> {
    block_on(async {
        let requests = Requests::listen().context("cannot listen for signals")?;
        let engine = Engine::inherit(options.engine(), &inheritance)
            .context("cannot take the engine over")?;
        add_media(&engine, &options);
        let listener = inheritance.listener()?;
        inheritance.commit();
        serve(engine, listener, requests, options).await
    })
}

impl Options {
    fn engine(&self) -> EngineOptions {
        let mut options = EngineOptions::new(self.root.clone(), self.run.clone());
        options.worker.clone_from(&self.worker);
        // A developer's machine may have cgroups of version 1, or give no right to load a device filter.
        options.confinement = Confinement::AsAvailable;
        if let Some(cgroup) = &self.cgroup {
            options.cgroup_parent = cgroup.to_string_lossy().into_owned();
        }
        options
    }
}

fn add_media(engine: &Engine, options: &Options) {
    if let Some(media) = &options.media {
        for error in engine.images().add_media(media) {
            eprintln!("init engine: system image: {error}");
        }
    }
}

fn listen(options: &Options) -> anyhow::Result<UnixListener> {
    // A socket of an engine that was killed stays behind.
    let _ = std::fs::remove_file(&options.socket);
    let listener = UnixListener::bind(&options.socket)
        .with_context(|| format!("cannot listen on {}", options.socket.display()))?;
    eprintln!("init engine: listening on {}", options.socket.display());
    Ok(listener)
}

/// Answers clients until a request to end.
async fn serve(
    engine: Engine,
    listener: UnixListener,
    mut requests: Requests,
    options: Options,
) -> anyhow::Result<()> {
    engine.allow_upgrades(Owner::Developer(options.clone()).to_json(), Vec::new);
    tokio::select! {
        () = engine_server::serve(engine.clone(), listener) => {}
        _ = requests.next() => {}
    }
    engine.forbid_upgrades();
    for error in engine.shutdown(crate::shutdown::DEFAULT_DEADLINE).await {
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
