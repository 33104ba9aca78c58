//! `system-docker`: the small client of System Docker, verb for verb like `docker`.
//!
//! It is a stock Engine API client with stock output; what differs from docker is that flags for swarm,
//! build and plugins are not there: User Docker is the place for them. [`main`] is the whole program; `ros` is executed under its name.
//!
//! **Belongs here:** the verbs of the client and their flags, what they print, and docker's file of credentials.
//!
//! **Not here:** this crate does not know the system that it runs on: no configuration, no versions on a disk. What a verb
//! needs of those, its caller hands over ([`MakeKeeper`]).
//!
//! **May import:** `compose`, `engine-api`, `sys` of our crates.

// First, for its macros.
#[macro_use]
pub mod output;

mod arguments;
mod containers;
mod cp;
mod create;
pub mod credentials;
mod disk_usage;
mod engine;
mod event_loop;
mod groups;
mod images;
mod inspect;
mod ipam;
mod listing;
mod networks;
mod prune;
mod registry;
mod run;
mod session;
mod stats;
mod system;
pub mod table;
mod template;
mod terminal;
mod transfer;
mod volumes;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use engine_api::{Client, Filters};

use arguments::{Arguments, Verb};
pub use engine::{Keep, MakeKeeper, replace as replace_engine};
pub use event_loop::event_loop;
pub use transfer::body;

/// System Docker's socket.
pub const DEFAULT_HOST: &str = "unix:///run/system-docker.sock";

/// Docker's exit code when the client or the engine failed rather than the container.
const FAILED: u8 = 125;

/// Runs `system-docker` with these arguments, the first being its name. `keeper` is for `engine upgrade --keep`.
pub fn main(arguments: impl IntoIterator<Item = OsString>, keeper: MakeKeeper) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help goes to stdout and is not a failure; clap knows which it is.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(FAILED)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let runs = matches!(arguments.verb, Verb::Run(_) | Verb::Create(_));
    match dispatch(arguments, keeper) {
        Ok(code) => code,
        Err(error) if output::is_closed(&error) => ExitCode::from(output::PIPE_CLOSED),
        Err(error) => {
            eprintln!("system-docker: {}", words(&error));
            ExitCode::from(if runs { FAILED } else { 1 })
        }
    }
}

/// An error and its causes in a line, the kernel's in Docker's words: `cannot open x: no such file or directory`.
fn words(error: &anyhow::Error) -> String {
    let causes = error
        .chain()
        .map(|cause| match cause.downcast_ref::<std::io::Error>() {
            Some(kernels) => engine_api::cause(kernels),
            None => cause.to_string(),
        });
    causes.collect::<Vec<_>>().join(": ")
}

fn dispatch(arguments: Arguments, keeper: MakeKeeper) -> anyhow::Result<ExitCode> {
    let socket = arguments
        .host
        .strip_prefix("unix://")
        .with_context(|| format!("--host {}: only unix:// is possible", arguments.host))?;
    let client = Client::new(socket);
    event_loop()?.block_on(verb(&client, arguments.verb, keeper))
}

async fn verb(client: &Client, verb: Verb, keeper: MakeKeeper) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Attach(options) => return run::attach(client, &options).await,
        Verb::Container(group) => return groups::container(client, group, keeper).await,
        Verb::Exec(options) => return run::exec(client, &options).await,
        Verb::Image(group) => return groups::image(client, group, keeper).await,
        Verb::Run(options) => return run::run(client, &options).await,
        Verb::Start(options) => return run::start(client, &options).await,
        Verb::Wait(names) => containers::wait(client, &names.containers).await?,
        Verb::Commit(options) => images::commit(client, &options).await?,
        Verb::Create(options) => {
            let request = options.request(false)?;
            println!("{}", run::create(client, &options, &request).await?);
        }
        Verb::Cp(options) => cp::copy(client, &options).await?,
        Verb::Diff { container } => containers::changes(client, &container).await?,
        Verb::Engine(verb) => engine::engine(client, verb, keeper).await?,
        Verb::Events(options) => system::events(client, &options).await?,
        Verb::Export(options) => transfer::export(client, &options).await?,
        Verb::History(options) => images::history(client, &options).await?,
        Verb::Images(options) => images::list(client, &options).await?,
        Verb::Import(options) => transfer::import(client, &options).await?,
        Verb::Info(options) | Verb::System(arguments::System::Info(options)) => {
            system::info(client, &options).await?
        }
        Verb::Inspect(options) => inspect::inspect(client, &options, None).await?,
        Verb::Kill(options) => containers::kill(client, &options).await?,
        Verb::Load(options) => transfer::load(client, &options).await?,
        Verb::Login(options) => registry::login(client, &options).await?,
        Verb::Logout { server } => registry::logout(server.as_deref())?,
        Verb::Logs(options) => run::logs(client, &options).await?,
        Verb::Network(options) => networks::network(client, options).await?,
        Verb::Pause(names) => containers::pause(client, &names.containers).await?,
        Verb::Port { container, port } => {
            containers::ports(client, &container, port.as_deref()).await?;
        }
        Verb::Ps(options) => containers::list(client, &options).await?,
        Verb::Pull(options) => images::pull(client, &options).await?,
        Verb::Push(options) => registry::push(client, &options).await?,
        Verb::Rename { container, name } => client.container_rename(&container, &name).await?,
        Verb::Restart(options) => containers::restart(client, &options).await?,
        Verb::Rm(options) => containers::remove(client, &options).await?,
        Verb::Rmi(options) => images::remove(client, &options).await?,
        Verb::Save(options) => transfer::save(client, &options).await?,
        Verb::Search(options) => registry::search(client, &options).await?,
        Verb::Stats(options) => stats::stats(client, &options).await?,
        Verb::Stop(options) => containers::stop(client, &options).await?,
        Verb::System(arguments::System::Df(options)) => disk_usage::show(client, &options).await?,
        Verb::System(arguments::System::Prune(options)) => prune::system(client, &options).await?,
        Verb::Tag { source, target } => images::tag(client, &source, &target).await?,
        Verb::Top(options) => containers::top(client, &options).await?,
        Verb::Unpause(names) => containers::unpause(client, &names.containers).await?,
        Verb::Update(options) => containers::update(client, &options).await?,
        Verb::Version(options) => system::version(client, &options).await?,
        Verb::Volume(options) => volumes::volume(client, options).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// `--filter KEY=VALUE` entries.
fn filters(entries: &[String]) -> anyhow::Result<Filters> {
    entries
        .iter()
        .try_fold(Filters::default(), |filters, entry| {
            let (key, value) = entry
                .split_once('=')
                .with_context(|| format!("--filter {entry}: not KEY=VALUE"))?;
            Ok(filters.with(key, value))
        })
}

/// Does something for each name and prints the name; a failure is reported and the rest still done.
///
/// # Errors
/// When one of them failed.
async fn each<'a, F>(names: &'a [String], work: impl Fn(&'a str) -> F) -> anyhow::Result<()>
where
    F: Future<Output = engine_api::Result<()>>,
{
    let mut failed = Vec::new();
    for name in names {
        match work(name).await {
            Ok(()) => println!("{name}"),
            Err(error) => failed.push(error.to_string()),
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    anyhow::bail!("{}", failed.join("\n"))
}
