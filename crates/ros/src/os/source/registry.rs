//! An image in a registry.

use std::cell::OnceCell;
use std::path::Path;

use anyhow::Context as _;
use oci_image::Reference;
use oci_image::progress::Progress as Report;
use oci_image::registry::{Credentials, Proxies, RegistryOptions};
use oci_image::task::{Question, Task, WantedFile};

use super::worker;
use crate::install::progress::Progress;
use crate::os::policy::Policy;
use system_docker::credentials as docker_credentials;

/// Who is asked, and for what.
pub(super) struct Registry {
    question: Question,
    /// Digest of what was found first: a tag that moves meanwhile does not mix two versions.
    digest: OnceCell<String>,
}

impl Registry {
    pub(super) fn new(reference: &Reference, policy: &Policy) -> anyhow::Result<Self> {
        Ok(Self {
            question: question(reference, policy)?,
            digest: OnceCell::new(),
        })
    }

    pub(super) fn fetch(
        &self,
        files: Vec<WantedFile>,
        folder: &Path,
        progress: &mut Option<&mut Progress>,
    ) -> anyhow::Result<()> {
        let mut question = self.question.clone();
        if let Some(digest) = self.digest.get() {
            let reference = Reference::parse(&question.reference)?;
            question.reference = format!("{}@{digest}", reference.name());
        }
        let mut done: (String, u64) = Default::default();
        let mut say = |step: &Report| {
            if let (Some(progress), Some(current)) = (progress.as_mut(), step.current) {
                if done.0 != step.id {
                    done = (step.id.clone(), 0);
                }
                progress.add(current.saturating_sub(done.1));
                done.1 = current;
            }
        };
        let task = Task::FetchFiles {
            question,
            files,
            folder: folder.to_owned(),
        };
        let outcome = worker::ask(task, &mut say)?;
        let found = outcome.images.into_iter().next();
        if let Some(digest) = found.and_then(|image| image.digest) {
            self.digest.get_or_init(|| digest.to_string());
        }
        Ok(())
    }
}

/// The tags of a repository.
pub(super) fn tags(reference: &Reference, policy: &Policy) -> anyhow::Result<Vec<String>> {
    let task = Task::Tags(question(reference, policy)?);
    Ok(worker::ask(task, &mut |_| ())?.tags)
}

/// Mirrors and registries without TLS are User Docker's; credentials are those of `docker login`.
fn question(reference: &Reference, policy: &Policy) -> anyhow::Result<Question> {
    let rancher = &policy.rancher;
    let mut mirrors = rancher.registry_mirrors.clone();
    let hub = mirrors.entry("docker.io".to_owned()).or_default();
    hub.extend(rancher.docker.registry_mirror.iter().cloned());
    let network = &rancher.network;
    let registry = RegistryOptions {
        mirrors,
        insecure: rancher.docker.insecure_registry.clone(),
        proxies: Proxies {
            http: network.http_proxy.clone(),
            https: network.https_proxy.clone(),
            no: network.no_proxy.clone().unwrap_or_default(),
        },
        authorities: policy.ca_certs.trusted.clone(),
        only_authorities: policy.ca_certs.remove_defaults == Some(true),
        ..RegistryOptions::default()
    };
    let known = docker_credentials::for_registry(reference.domain())
        .context("credentials of the registry")?;
    let credentials = known.map_or_else(Credentials::default, |auth| Credentials {
        username: auth.username,
        password: auth.password,
        identity_token: auth.identitytoken,
        registry_token: auth.registrytoken,
    });
    Ok(Question {
        reference: reference.to_string(),
        registry,
        credentials,
    })
}
