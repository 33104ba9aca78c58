//! The program that asks User Docker how its containers want to be stopped: `init user-containers SOCKET SECONDS` prints lines that
//! are words and numbers.
//!
//! PID 1 asks dockerd about single services itself. Here it would be about every container that a user has, at a shutdown, which must
//! not end by a long answer (docs/decisions/2026-11-30-pid-1-asks-user-docker.md).

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use engine_api::Client;
use serde::Deserialize;

/// The first argument that means this program.
pub(crate) const VERB: &str = "user-containers";
/// First word of the line that says whether containers live on when dockerd ends.
pub(crate) const LIVE_RESTORE: &str = "live-restore";

/// Docker's own default of `--stop-timeout`, in seconds.
pub(crate) const STOP_TIMEOUT: i64 = 10;

/// What dockerd may take to its first answer: one that hangs must not cost the containers their time.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// Prints what it gets to know within the given time: each line at once, so that a slow dockerd costs only the rest.
pub(crate) fn main(arguments: &[OsString]) -> ExitCode {
    let [socket, seconds] = arguments else {
        eprintln!("init: {VERB} needs a socket and a number of seconds");
        return ExitCode::FAILURE;
    };
    let seconds = seconds.to_str().and_then(|text| text.parse().ok());
    let limit = Duration::from_secs_f32(seconds.unwrap_or(1.0_f32).clamp(0.1, 60.0));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let asked = runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| {
            let (client, begun) = (Client::new(socket), Instant::now());
            runtime.block_on(async {
                in_time(FIRST_ANSWER.min(limit), ask_daemon(&client)).await?;
                in_time(
                    limit.saturating_sub(begun.elapsed()),
                    ask_containers(&client),
                )
                .await
            })
        });
    match asked {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("init: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn in_time(
    limit: Duration,
    work: impl Future<Output = engine_api::Result<()>>,
) -> Result<(), String> {
    match tokio::time::timeout(limit, work).await {
        Ok(answer) => answer.map_err(|error| error.message),
        Err(_) => Err(format!("no end within {} s", limit.as_secs_f32())),
    }
}

/// Of `GET /info`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    live_restore_enabled: bool,
}

/// Of an entry of `GET /containers/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
}

/// Of `GET /containers/ID/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    state: State,
    config: Config,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    pid: i32,
}

/// What the image or the user asked for.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(default)]
    stop_signal: String,
    #[serde(default)]
    stop_timeout: Option<i64>,
}

async fn ask_daemon(client: &Client) -> engine_api::Result<()> {
    let info: Info = client.get_part("/info").await?;
    say(&format!("{LIVE_RESTORE} {}", info.live_restore_enabled));
    Ok(())
}

async fn ask_containers(client: &Client) -> engine_api::Result<()> {
    let listed: Vec<Listed> = client.get_part("/containers/json").await?;
    for Listed { id } in listed {
        // One that is gone meanwhile needs no stop.
        if let Ok(container) = client.get_part(&format!("/containers/{id}/json")).await {
            let line = line(&container);
            line.iter().for_each(|line| say(line));
        }
    }
    Ok(())
}

/// `PID SIGNAL SECONDS` of a container that runs.
fn line(Container { state, config }: &Container) -> Option<String> {
    let signal = engine::parse_signal(&config.stop_signal).unwrap_or(engine::STOP_SIGNAL);
    let seconds = config.stop_timeout.unwrap_or(STOP_TIMEOUT);
    (state.pid > 0).then(|| format!("{} {signal} {seconds}", state.pid))
}

fn say(line: &str) {
    // A closed pipe is PID 1 that has given up: there is nobody to be told.
    let _ = writeln!(std::io::stdout(), "{line}");
}
