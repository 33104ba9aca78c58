//! `ros service upgrade`: another image for a service, and the old container back if the new one does not work.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use compose::keep::Found;
use compose::{Account, Step};
use engine_api::{Client, ContainerInspect, CreateRequest, Engine};

use super::socket;
use super::swap::Swapped;
use crate::machine_config::MachineConfig;
use crate::own_file::OwnFile;

/// The service that this command runs in.
const CONSOLE: &str = "console";

/// Replaces the container of `name`, by one of `image` if that is given.
///
/// # Errors
/// When the new container does not work: the old one then runs again, and the configuration is as it was.
pub(super) fn main(name: &str, image: Option<&str>) -> anyhow::Result<ExitCode> {
    ensure!(
        name != CONSOLE,
        "the console is a part of the system, and this command runs in it: `ros os upgrade`"
    );
    let step = step(name, image)?;
    let runtime = system_docker::event_loop()?;
    runtime.block_on(replace(&step))?;
    if let Some(image) = image {
        keep(name, image)?;
    }
    println!("{name}: runs {}", step.request.config.image);
    Ok(ExitCode::SUCCESS)
}

/// The service as the next boot would make it, if its image were this one.
fn step(name: &str, image: Option<&str>) -> anyhow::Result<Step> {
    let config = MachineConfig::load().loaded.config;
    let mut services = machine_config::with_files(&config.rancher.services, &config.write_files);
    let Some(service) = services.get_mut(name) else {
        bail!("{name} is not a valid service: ros service list --all");
    };
    if let Some(image) = image {
        service.image = Some(image.to_owned());
    }
    let plan = compose::plan(&services, &config.rancher);
    let step = plan.steps.into_iter().find(|step| step.name == name);
    let step = step.with_context(|| format!("{name} has errors: ros config validate"))?;
    ensure!(
        !step.create_only && !step.wait_for_exit,
        "{name} runs to its end at each boot: the next one takes a new image"
    );
    Ok(step)
}

/// Writes the image into the configuration, so that the next boot takes it, too.
fn keep(name: &str, image: &str) -> anyhow::Result<()> {
    let mut file = OwnFile::read()?;
    let value = format!("{image:?}");
    file.set_at(&["rancher", "services", name, "image"], &value)?;
    file.write()?;
    let services = MachineConfig::load().loaded.config.rancher.services;
    let taken = services.get(name).and_then(|service| service.image.clone());
    if taken.as_deref() != Some(image) {
        eprintln!(
            "warning: another file of the configuration sets the image of {name}: the next boot takes {}",
            taken.unwrap_or_default()
        );
    }
    Ok(())
}

/// What the new container is made from, with the old one's volumes.
fn taken_over(step: &Step, old: &ContainerInspect, found: &Found) -> CreateRequest {
    let replacement = step.replacement(old, found);
    for volume in &replacement.left {
        println!(
            "{}: volume {volume} of the old container stays, and the new one does not have it",
            step.name
        );
    }
    replacement.request
}

async fn replace(step: &Step) -> anyhow::Result<()> {
    let client = Client::new(socket(step.scope));
    let name = step.container_name.as_str();
    let image = step.request.config.image.as_str();
    // All that can take long or fail happens while the old container runs
    if !client.image_exists(image).await? {
        println!("pulling {image}");
        client
            .image_pull(image, step.account.as_ref().map(Account::config))
            .await
            .with_context(|| format!("pull {image}"))?;
    }
    let found = Found {
        image: client.image(image).await?,
        ..Found::default()
    };
    let mut swapped = Swapped::aside(&client, name).await?;
    let request = match swapped.old() {
        Some(old) => taken_over(step, old, &found),
        None => step.request.clone(),
    };
    let Err(failed) = swapped.start(&client, Some(&request)).await else {
        return swapped.keep(&client).await;
    };
    if swapped.old().is_none() {
        return Err(failed);
    }
    let began = Instant::now();
    swapped.back(&client).await.with_context(|| {
        format!("{name} failed ({failed:#}), and the old container cannot be started")
    })?;
    println!(
        "{name}: the old container runs again, {} ms later",
        began.elapsed().as_millis()
    );
    Err(failed.context(format!("{name} is not upgraded")))
}
