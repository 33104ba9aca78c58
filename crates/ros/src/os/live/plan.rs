//! What the services of a version are: asked of that version's own `ros`, in a container, because only it knows the form of its
//! configuration.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use compose::{Scope, Step};
use config::Config;
use engine_api::types::{ContainerConfig, CreateRequest, HostConfig};
use engine_api::{Client, Engine};
use machine_config::Places;
use serde::{Deserialize, Serialize};

use crate::machine_config::MachineConfig;

/// Where the two versions leave each other files.
pub(super) const FOLDER: &str = "/run/rancher/live";
/// The built-in configuration of the version before, there.
const FORMER: &str = "former.yml";
/// The answer, there.
const ANSWER: &str = "plan.json";
/// The container that answers.
const NAME: &str = "os-upgrade-plan";
/// Longest wait for it; an emulated machine needs 5 s.
const DEADLINE: Duration = Duration::from_secs(120);

/// A service of the new version, or one that it does not have any more.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
pub(super) struct Planned {
    /// The service.
    pub(super) name: String,
    /// Its container's name.
    pub(super) container: String,
    /// What the container is made from; none when the new version does not have it.
    pub(super) request: Option<CreateRequest>,
    /// Whether it runs until the machine is shut down.
    pub(super) stays: bool,
    /// Whether its definition is another one than that of the version before, leaving its image aside.
    pub(super) changed: bool,
}

/// `ros os live-plan`: compares with the version before, and writes the answer.
pub(in crate::os) fn answer() -> anyhow::Result<()> {
    let folder = Path::new(FOLDER);
    let former = Places {
        built_in: folder.join(FORMER),
        ..Places::default()
    };
    let planned = compare(
        &MachineConfig::load_from(&former).loaded.config,
        &MachineConfig::load().loaded.config,
    );
    let text = serde_json::to_vec(&planned).context("cannot write the plan")?;
    fs::write(folder.join(ANSWER), text).context("cannot write the plan")
}

fn compare(before: &Config, after: &Config) -> Vec<Planned> {
    let (old, new) = (steps(before), steps(after));
    let former = |step: &Step| {
        old.iter()
            .find(|old| old.container_name == step.container_name)
    };
    let mut planned: Vec<Planned> = new
        .iter()
        .map(|step| Planned {
            name: step.name.clone(),
            container: step.container_name.clone(),
            stays: stays(step),
            changed: former(step).is_none_or(|old| definition(old) != definition(step)),
            request: Some(step.request.clone()),
        })
        .collect();
    let gone = old.iter().filter(|old| {
        let mut names = new.iter().map(|step| &step.container_name);
        !names.any(|name| *name == old.container_name)
    });
    planned.extend(gone.map(|step| Planned {
        name: step.name.clone(),
        container: step.container_name.clone(),
        request: None,
        stays: stays(step),
        changed: true,
    }));
    planned
}

/// System services, in the order in which they start.
fn steps(config: &Config) -> Vec<Step> {
    let services = machine_config::with_files(&config.rancher.services, &config.write_files);
    let plan = compose::plan(&services, &config.rancher);
    let steps = plan.steps.into_iter();
    steps.filter(|step| step.scope == Scope::System).collect()
}

fn stays(step: &Step) -> bool {
    !step.create_only && !step.wait_for_exit && !step.reloads_config
}

/// What a container is made from, without the image's name, which has the version in it, and the hash, which has the name.
fn definition(step: &Step) -> CreateRequest {
    let mut request = step.request.clone();
    request.config.image.clear();
    request.config.labels.remove(config::service::HASH);
    request
}

/// Has the `ros` of `image` answer, with `former` as the built-in configuration of before.
///
/// # Errors
/// When it does not; then the version is not fit for this.
pub(super) async fn ask(
    client: &Client,
    image: &str,
    former: &[u8],
) -> anyhow::Result<Vec<Planned>> {
    let folder = Path::new(FOLDER);
    fs::create_dir_all(folder).with_context(|| format!("cannot create {FOLDER}"))?;
    fs::write(folder.join(FORMER), former).context("cannot write the former configuration")?;
    // An earlier upgrade's
    let _ = fs::remove_file(folder.join(ANSWER));
    let _ = Engine::container_remove(client, NAME, true).await;
    Engine::container_create(client, NAME, request(image)).await?;
    let run = async {
        Engine::container_start(client, NAME).await?;
        Engine::container_wait(client, NAME).await
    };
    let code = tokio::time::timeout(DEADLINE, run).await;
    let removed = Engine::container_remove(client, NAME, true).await;
    let code = code.with_context(|| format!("no plan after {} s", DEADLINE.as_secs()))??;
    removed?;
    ensure!(
        code == 0,
        "the new version cannot plan its services: exit code {code}"
    );
    let text = fs::read(folder.join(ANSWER)).context("the new version has left no plan")?;
    serde_json::from_slice(&text).context("the new version's plan cannot be read")
}

fn request(image: &str) -> CreateRequest {
    CreateRequest {
        config: ContainerConfig {
            image: image.to_owned(),
            cmd: Some(
                ["/usr/bin/ros", "os", "live-plan"]
                    .map(str::to_owned)
                    .to_vec(),
            ),
            ..ContainerConfig::default()
        },
        host_config: HostConfig {
            binds: [
                "/run/rancher:/run/rancher",
                "/usr/share/ros:/usr/share/ros:ro",
                "/var/lib/rancher/conf:/var/lib/rancher/conf:ro",
            ]
            .map(str::to_owned)
            .to_vec(),
            network_mode: "none".to_owned(),
            ..HostConfig::default()
        },
        ..CreateRequest::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let source = config::Source {
            name: "t.yml",
            text,
        };
        config::load(&[source], &config::CommandLine::default()).config
    }

    #[test]
    fn another_image_is_no_other_definition() {
        let system = "labels: {io.rancher.os.scope: system}";
        let before = config(&format!(
            "rancher: {{services: {{a: {{image: 'a:1', {system}}}, b: {{image: 'b:1', {system}}}, c: {{image: c, {system}}}, u: {{image: u}}}}}}"
        ));
        let after = config(&format!(
            "rancher: {{services: {{a: {{image: 'a:2', {system}}}, b: {{image: 'b:2', command: x, {system}}}, d: {{image: d, {system}}}, u: {{image: v}}}}}}"
        ));
        let planned = compare(&before, &after);
        let told: Vec<_> = planned
            .iter()
            .map(|one| (one.name.as_str(), one.changed, one.request.is_some()))
            .collect();
        assert_eq!(
            told,
            [
                ("a", false, true),
                ("b", true, true),
                ("d", true, true),
                ("c", true, false)
            ]
        );
        let text = serde_json::to_vec(&planned).unwrap();
        let read: Vec<Planned> = serde_json::from_slice(&text).unwrap();
        assert_eq!(read, planned);
    }
}
