//! An image that is in System Docker or User Docker: `docker load` has brought it, from a stick or a file.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use oci_image::task::WantedFile;
use sys::process::{Command, Output};

use crate::install::progress::Progress;
use crate::os::failure::fail;

/// Sockets of both, System Docker's first: RancherOS kept its versions there.
const HOSTS: [(&str, &str); 2] = [
    ("System Docker", "unix:///run/system-docker.sock"),
    ("User Docker", "unix:///run/docker.sock"),
];
/// Longest time for a question, and for a container that is only made.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);
/// Longest time for one file of 100 MB from a slow disk.
const COPY_DEADLINE: Duration = Duration::from_secs(600);

/// The image, as a container that is never started.
pub(super) struct Engine {
    /// Which Docker has it.
    pub(super) name: &'static str,
    host: &'static str,
    container: String,
}

impl Engine {
    /// The image, if one of the two has it.
    pub(super) fn find(image: &str) -> anyhow::Result<Option<Self>> {
        for (name, host) in HOSTS {
            // One that does not answer does not have it
            let found = docker(host, &["image", "inspect", image], ANSWER_DEADLINE);
            if !found.is_ok_and(|output| output.status.success()) {
                continue;
            }
            let output = docker(host, &["create", image], ANSWER_DEADLINE)?;
            ensure!(
                output.status.success(),
                "{name} cannot make a container of {image}: {}",
                errors(&output)
            );
            let container = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            return Ok(Some(Self {
                name,
                host,
                container,
            }));
        }
        Ok(None)
    }

    pub(super) fn fetch(
        &self,
        files: &[WantedFile],
        folder: &Path,
        progress: &mut Option<&mut Progress>,
    ) -> anyhow::Result<()> {
        for file in files {
            let target = folder.join(&file.name);
            if target.exists() {
                continue;
            }
            let temporary = target.with_extension("part");
            let copied = self.copy(file, &temporary).and_then(|copied| {
                if let Some(copied) = copied {
                    fs::rename(&copied, &target)
                        .with_context(|| format!("cannot rename {}", copied.display()))?;
                }
                Ok(())
            });
            // What is not whole has no name; a next try makes it again
            let _ = fs::remove_dir_all(&temporary);
            copied?;
            if let Some(progress) = progress {
                progress.add(file.limit);
            }
        }
        Ok(())
    }

    /// Copies one file into the folder `temporary`; where it is, if the image has it. A folder, because the console's tar,
    /// which `system-docker cp` uses, cannot give a file another name.
    fn copy(&self, file: &WantedFile, temporary: &Path) -> anyhow::Result<Option<PathBuf>> {
        // What a command that was cut off has left
        let _ = fs::remove_dir_all(temporary);
        fs::create_dir(temporary)
            .with_context(|| format!("cannot create {}", temporary.display()))?;
        let source = format!("{}:/{}", self.container, file.path);
        let target = temporary.display().to_string();
        let output = docker(self.host, &["cp", &source, &target], COPY_DEADLINE)?;
        if !output.status.success() {
            if file.optional {
                return Ok(None);
            }
            fail!(Download, "{}: {}", file.path, errors(&output));
        }
        let name = Path::new(&file.path).file_name().unwrap_or_default();
        let copied = temporary.join(name);
        let metadata = fs::symlink_metadata(&copied)
            .with_context(|| format!("cannot stat {}", copied.display()))?;
        if !metadata.is_file() || metadata.len() > file.limit {
            fail!(
                Verification,
                "{} has {} bytes, more than {}",
                file.path,
                metadata.len(),
                file.limit
            );
        }
        let written = File::open(&copied).context("cannot open what was copied")?;
        written.sync_all().context("cannot sync what was copied")?;
        Ok(Some(copied))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A container that stays is seen in `ps -a`, and harms nobody
        let _ = docker(
            self.host,
            &["rm", "--force", &self.container],
            ANSWER_DEADLINE,
        );
    }
}

fn docker(host: &str, words: &[&str], deadline: Duration) -> anyhow::Result<Output> {
    let output = Command::new("system-docker")
        .args(["--host", host])
        .args(words)
        .deadline(deadline)
        .run();
    output.with_context(|| format!("cannot ask {host}"))
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}
