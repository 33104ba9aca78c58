//! The engine on a developer's machine, as root: `engine --root DIR --run DIR --socket PATH [--media DIR]`.
//!
//! It moves into its own mount namespace, so that nothing it mounts reaches the machine, and becomes the reaper of its
//! containers' orphans, as PID 1 is on a real one.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use engine::{Engine, EngineOptions};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let called = PathBuf::from(arguments.first().cloned().unwrap_or_default());
    if called.file_name().is_some_and(|name| name == "docker-init") {
        return engine::runtime::docker_init(&arguments);
    }
    match arguments.get(1).and_then(|word| word.to_str()) {
        Some("runtime") => return engine::runtime::main(&arguments[2..]),
        Some("worker") => return engine::image::worker::main(arguments[2..].to_vec()),
        _ => {}
    }
    match run(&arguments[1..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("engine: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[OsString]) -> Result<(), Box<dyn std::error::Error>> {
    let option = |name: &str| {
        let at = arguments.iter().position(|word| word == name)?;
        arguments.get(at + 1).map(PathBuf::from)
    };
    let root = option("--root").unwrap_or_else(|| "/var/lib/system-docker".into());
    let run = option("--run").unwrap_or_else(|| "/run/system-docker".into());
    let socket = option("--socket").unwrap_or_else(|| "/run/system-docker.sock".into());
    sys::namespace::unshare(sys::namespace::CloneFlags::NEWNS)?;
    sys::mount::set_propagation("/", sys::mount::Propagation::Private, true)?;
    sys::process::set_child_subreaper()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let mut options = EngineOptions::new(root, run);
        options.program = std::env::current_exe()?;
        let engine = Engine::new(options).await?;
        if let Some(media) = option("--media") {
            for error in engine.images().add_media(&media) {
                eprintln!("engine: media: {error}");
            }
        }
        engine.resume();
        // A socket of an earlier engine.
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket)?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            () = engine::api::serve(engine.clone(), listener) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        for error in engine.shutdown(Vec::new(), Duration::from_secs(10)).await {
            eprintln!("engine: {error}");
        }
        Ok(())
    })
}
