//! Making and starting containers of services now, as the next boot would.

use std::process::ExitCode;

use anyhow::Context as _;
use compose::{Scope, Step};
use engine_api::{Client, Engine};

use super::docker;

/// How containers come about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    /// Start them too.
    pub(super) start: bool,
    /// Show their output until they end.
    pub(super) foreground: bool,
    /// Replace them by new ones in any case.
    pub(super) force: bool,
    /// Keep those that there are in any case.
    pub(super) keep: bool,
}

/// One after the other, in the order of their labels.
pub(super) fn up(steps: &[Step], options: Options) -> anyhow::Result<ExitCode> {
    let runtime = system_docker::event_loop()?;
    for step in steps {
        runtime
            .block_on(one(step, options))
            .with_context(|| step.name.clone())?;
    }
    if options.foreground && options.start {
        for step in steps {
            docker(step.scope, &["logs", "--follow", &step.container_name]);
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn one(step: &Step, options: Options) -> anyhow::Result<()> {
    let client = Client::new(match step.scope {
        Scope::System => "/run/system-docker.sock",
        Scope::User => "/run/docker.sock",
    });
    let name = step.container_name.as_str();
    let existing = match Engine::container_inspect(&client, name).await {
        Ok(existing) => Some(existing),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(error.into()),
    };
    let current = existing.as_ref().is_some_and(|existing| {
        let labels = existing
            .config
            .labels
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        step.has_hash(&labels)
    });
    let make = existing.is_none() || options.force || (!current && !options.keep);
    if make {
        let image = step.request.config.image.as_str();
        if !client.image_exists(image).await? {
            println!("pulling {image}");
            client.image_pull(image).await?;
        }
        if let Some(existing) = &existing {
            Engine::container_remove(&client, &existing.id, true).await?;
        }
        Engine::container_create(&client, name, step.request.clone()).await?;
    }
    if options.start && !step.create_only {
        Engine::container_start(&client, name).await?;
    }
    println!(
        "{}: {}",
        step.name,
        if options.start { "started" } else { "created" }
    );
    Ok(())
}
