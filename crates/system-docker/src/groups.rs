//! `container` and `image`: the same verbs as without these words, and prune.

use std::process::ExitCode;

use engine_api::Client;

use super::arguments::{Container, Image, Inspect, Verb};
use super::{MakeKeeper, prune, verb};

/// A verb of `container`.
pub(super) async fn container(
    client: &Client,
    group: Container,
    keeper: MakeKeeper,
) -> anyhow::Result<ExitCode> {
    let same = match group {
        Container::Prune(options) => {
            prune::containers(client, &options).await?;
            return Ok(ExitCode::SUCCESS);
        }
        Container::Attach(options) => Verb::Attach(options),
        Container::Commit(options) => Verb::Commit(options),
        Container::Cp(options) => Verb::Cp(options),
        Container::Create(options) => Verb::Create(options),
        Container::Diff { container } => Verb::Diff { container },
        Container::Exec(options) => Verb::Exec(options),
        Container::Export(options) => Verb::Export(options),
        Container::Inspect(options) => Verb::Inspect(of_kind(options, "container")),
        Container::Kill(options) => Verb::Kill(options),
        Container::Logs(options) => Verb::Logs(options),
        Container::Ls(options) => Verb::Ps(options),
        Container::Pause(names) => Verb::Pause(names),
        Container::Port { container, port } => Verb::Port { container, port },
        Container::Rename { container, name } => Verb::Rename { container, name },
        Container::Restart(options) => Verb::Restart(options),
        Container::Rm(options) => Verb::Rm(options),
        Container::Run(options) => Verb::Run(options),
        Container::Start(options) => Verb::Start(options),
        Container::Stats(options) => Verb::Stats(options),
        Container::Stop(options) => Verb::Stop(options),
        Container::Top(options) => Verb::Top(options),
        Container::Unpause(names) => Verb::Unpause(names),
        Container::Update(options) => Verb::Update(options),
        Container::Wait(names) => Verb::Wait(names),
    };
    Box::pin(verb(client, same, keeper)).await
}

/// A verb of `image`.
pub(super) async fn image(
    client: &Client,
    group: Image,
    keeper: MakeKeeper,
) -> anyhow::Result<ExitCode> {
    let same = match group {
        Image::Prune(options) => {
            prune::images(client, &options).await?;
            return Ok(ExitCode::SUCCESS);
        }
        Image::History(options) => Verb::History(options),
        Image::Import(options) => Verb::Import(options),
        Image::Inspect(options) => Verb::Inspect(of_kind(options, "image")),
        Image::Load(options) => Verb::Load(options),
        Image::Ls(options) => Verb::Images(options),
        Image::Pull(options) => Verb::Pull(options),
        Image::Push(options) => Verb::Push(options),
        Image::Rm(options) => Verb::Rmi(options),
        Image::Save(options) => Verb::Save(options),
        Image::Tag { source, target } => Verb::Tag { source, target },
    };
    Box::pin(verb(client, same, keeper)).await
}

fn of_kind(options: Inspect, kind: &str) -> Inspect {
    Inspect {
        kind: Some(kind.to_owned()),
        ..options
    }
}
