//! `ros service upgrade`: another image for a service, and the old container back if the new one does not work.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use compose::keep::Found;
use compose::{Account, Step};
use engine_api::{AuthConfig, Client, ContainerInspect, CreateRequest, Engine as _};
use oci_image::media::MediaIndex;

use super::socket;
use super::swap::Swapped;
use crate::machine_config::MachineConfig;
use crate::own_file::OwnFile;

/// What the system's own images are.
const MEDIA_INDEX: &str = "/run/rancher/media/rancheros/images.json";
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
    runtime.block_on(replace(&step, image.is_some()))?;
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

/// `named`: somebody has asked for this very image.
async fn replace(step: &Step, named: bool) -> anyhow::Result<()> {
    let client = Client::new(socket(step.scope));
    let image = step.request.config.image.as_str();
    let name = step.container_name.as_str();
    // All that can take long or fail happens while the old container runs
    let account = step.account.as_ref().map(Account::config);
    pull(&client, image, account, named, &media_images()).await?;
    let found = Found {
        image: client.image(image).await?,
        ..Found::default()
    };
    let mut swapped =
        Swapped::aside(&client, name, &step.request.host_config.restart_policy).await?;
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

/// Has the engine ask the registry for the image, also when it has one of that name: a tag may have moved.
///
/// # Errors
/// When the registry does not give it, and what is there is not what was asked for.
async fn pull(
    client: &Client,
    image: &str,
    account: Option<&AuthConfig>,
    named: bool,
    media: &[String],
) -> anyhow::Result<()> {
    let there = match client.image_inspect(image).await {
        Ok(there) => Some(there),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(error.into()),
    };
    if there
        .as_ref()
        .is_some_and(|there| media.contains(&there.id))
    {
        println!("{image} is a part of the system, which no registry has");
        return Ok(());
    }
    println!("pulling {image}");
    let Err(error) = client.image_pull(image, account).await else {
        return Ok(());
    };
    // One that was never pulled was made here, or loaded
    let is_own = there
        .as_ref()
        .is_some_and(|there| there.repo_digests.is_empty());
    if there.is_none() || (named && !is_own) {
        return Err(error).with_context(|| format!("pull {image}"));
    }
    println!("{image} cannot be pulled ({error}): the one that is there is taken");
    Ok(())
}

/// Ids of the images that the system brings.
fn media_images() -> Vec<String> {
    let text = std::fs::read(MEDIA_INDEX).unwrap_or_default();
    let index = MediaIndex::parse(&text).ok();
    let images = index.into_iter().flat_map(|index| index.images);
    images
        .map(|image| image.config_digest.to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_docker::FakeDocker;

    /// What became of it, and whether the registry was asked. `there` is what the engine says of its image.
    fn pulled(there: Option<&str>, registry: &'static str, named: bool) -> (bool, bool) {
        let there = there.map(str::to_owned);
        let docker = FakeDocker::start(move |asked| match asked {
            "GET /images/web:1/json" => match &there {
                Some(image) => (200, image.clone()),
                None => (404, "{}".to_owned()),
            },
            "POST /images/create" => (200, registry.to_owned()),
            other => panic!("{other}"),
        });
        let media = ["sha256:system".to_owned()];
        let done = FakeDocker::run(pull(&docker.client(), "web:1", None, named, &media));
        let asked = docker.asked().iter().any(|line| line.starts_with("POST"));
        (done.is_ok(), asked)
    }

    #[test]
    fn a_tag_that_may_have_moved_is_pulled_and_what_is_there_taken_only_when_nobody_named_it() {
        let (well, down) = (
            "{\"status\":\"done\"}",
            "{\"error\":\"x\",\"errorDetail\":{\"message\":\"no route to host\"}}",
        );
        let of_registry = "{\"Id\":\"sha256:a\",\"RepoDigests\":[\"web@sha256:b\"]}";
        let made_here = "{\"Id\":\"sha256:a\",\"RepoDigests\":[]}";
        let of_system = "{\"Id\":\"sha256:system\"}";
        for (there, registry, named, expected) in [
            (None, well, true, (true, true)),
            (None, down, false, (false, true)),
            (Some(of_registry), well, false, (true, true)),
            (Some(of_registry), well, true, (true, true)),
            (Some(of_registry), down, false, (true, true)),
            (Some(of_registry), down, true, (false, true)),
            (Some(made_here), down, true, (true, true)),
            (Some(of_system), down, true, (true, false)),
        ] {
            let done = pulled(there, registry, named);
            assert_eq!(done, expected, "{there:?} {registry} {named}");
        }
    }
}
