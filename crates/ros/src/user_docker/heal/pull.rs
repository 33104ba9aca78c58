//! Images that have lost a layer are pulled again, when Docker answers: what could not be pulled is tried at its next start.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use engine_api::Client;

use crate::preload;

/// Names of images to be pulled, a line each, below Docker's data: they are lost with it.
const LIST: &str = "damaged/pull-again";
/// Some thousand names.
const MAX_BYTES: u64 = 1 << 20;
/// User Docker's socket.
const SOCKET: &str = "/run/docker.sock";
/// Longest time for one image.
const DEADLINE: Duration = Duration::from_secs(1800);

fn list(data_root: &Path) -> PathBuf {
    data_root.join(LIST)
}

fn noted(path: &Path) -> BTreeSet<String> {
    // What is not a file is as good as none, and a pipe is not waited for.
    let bytes = sys::regular::read(path, MAX_BYTES).unwrap_or_default();
    let text = String::from_utf8(bytes).unwrap_or_default();
    text.lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Adds to the list.
pub(in crate::user_docker) fn note(data_root: &Path, names: &BTreeSet<String>) {
    let path = list(data_root);
    let mut all = noted(&path);
    all.extend(names.iter().cloned());
    write(&path, &all);
}

fn write(path: &Path, names: &BTreeSet<String>) {
    if names.is_empty() {
        // Absent when nothing was ever lost.
        let _ = fs::remove_file(path);
        return;
    }
    let text: String = names.iter().map(|name| format!("{name}\n")).collect();
    if let Err(error) = cloud_init::store::write_atomic(path, text.as_bytes(), 0o600) {
        eprintln!("user-docker: {}: {error}", path.display());
    }
}

/// Pulls what is on the list; returns a sentence for each image. Docker answers.
pub(in crate::user_docker) fn pull_again(data_root: &Path) -> Vec<String> {
    let path = list(data_root);
    let names = noted(&path);
    if names.is_empty() {
        return Vec::new();
    }
    let runtime = system_docker::event_loop();
    let Ok(runtime) = runtime else {
        return Vec::new();
    };
    runtime.block_on(async {
        let client = Client::new(SOCKET);
        for name in &names {
            if client.image_inspect(name).await.is_err() {
                return preload::load_again(&client).await;
            }
        }
    });
    let mut said = Vec::new();
    let mut left = names.clone();
    for name in &names {
        match runtime.block_on(one(name)) {
            Ok(true) => {
                said.push(format!("image {name} was pulled again"));
                left.remove(name);
            }
            Ok(false) => {
                left.remove(name);
            }
            Err(error) => said.push(format!(
                "image {name} cannot be pulled again now: {error:#}; the next start of Docker tries it again"
            )),
        }
    }
    write(&path, &left);
    said
}

/// Whether it had to be pulled.
async fn one(name: &str) -> anyhow::Result<bool> {
    let client = Client::new(SOCKET);
    // Loaded again by its owner, or from where the machine preloads images.
    if client.image_inspect(name).await.is_ok() {
        return Ok(false);
    }
    let pull = async {
        let mut messages = client.image_create(name, None, None).await?;
        while let Some(message) = messages.next().await? {
            if !message.error.is_empty() {
                bail!("{}", message.error);
            }
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(DEADLINE, pull)
        .await
        .context("it takes too long")??;
    Ok(true)
}
