//! Making and starting containers of services now, as the next boot would.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use compose::keep::Found;
use compose::{Account, Step};
use engine_api::{Client, ContainerInspect, Engine, aside};

use super::{docker, socket};

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

pub(super) async fn one(step: &Step, options: Options) -> anyhow::Result<()> {
    let client = Client::new(socket(step.scope));
    let name = step.container_name.as_str();
    let policy = &step.request.host_config.restart_policy;
    let mut existing = aside::find_again(&client, name, policy).await?;
    let mut found = found(&client, step).await?;
    if let Some(new) = &existing
        && let Some(mut old) = aside::find(&client, &aside::name_of(name)).await?
        && !step.is_new(new, &old, &found)
    {
        // A command was cut off that had made another container than the service asks for
        let _ = Engine::container_stop(&client, &new.id, None).await;
        Engine::container_remove(&client, &new.id, true).await?;
        aside::take_back(&client, &mut old, name, policy).await?;
        existing = Some(old);
    }
    let current = existing
        .as_ref()
        .is_some_and(|existing| step.is_made_so(existing, &found));
    let make = existing.is_none() || options.force || (!current && !options.keep);
    if make {
        let image = step.request.config.image.as_str();
        if found.image.is_none() {
            println!("pulling {image}");
            let account = step.account.as_ref().map(Account::config);
            client.image_pull(image, account).await?;
            found.image = client.image(image).await?;
        }
        match &existing {
            Some(existing) => replace(&client, step, existing, &found).await?,
            None => {
                Engine::container_create(&client, name, step.request.clone()).await?;
            }
        }
    } else if let (true, Some(existing)) = (current, &existing) {
        aside::set_policy(&client, existing, policy).await?;
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

/// What the container is compared with.
async fn found(client: &Client, step: &Step) -> anyhow::Result<Found> {
    let mut found = Found {
        image: client.image(&step.request.config.image).await?,
        ..Found::default()
    };
    for other in step.shares() {
        if let Some(container) = aside::find(client, other).await? {
            found.shared.insert(other.to_owned(), container);
        }
    }
    Ok(found)
}

/// Makes a new container, which has the old one's volumes. The old one goes when that has worked.
async fn replace(
    client: &Client,
    step: &Step,
    existing: &ContainerInspect,
    found: &Found,
) -> anyhow::Result<()> {
    let replacement = step.replacement(existing, found);
    let name = step.container_name.as_str();
    aside::put(client, existing, name).await?;
    if let Err(error) = Engine::container_create(client, name, replacement.request).await {
        let words = match aside::back(client, existing, name).await {
            Ok(()) => "its earlier one stays".to_owned(),
            Err(back) => format!("its earlier one does not run again: {back}"),
        };
        bail!("its new container cannot be made: {error}; {words}");
    }
    let removed = Engine::container_remove(client, &existing.id, true).await;
    if let Err(error) = removed {
        eprintln!(
            "{}: its earlier container is not removed: {error}",
            step.name
        );
    }
    for volume in &replacement.left {
        eprintln!(
            "{}: volume {volume} of its earlier container stays, and the new one does not have it",
            step.name
        );
    }
    Ok(())
}
