//! An image that is in System Docker or User Docker: `docker load` has brought it, from a stick or a file, or this loads it.

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
/// Longest time to unpack an image of 200 MB on a slow disk.
const LOAD_DEADLINE: Duration = Duration::from_secs(1800);

/// The image, as a container that is never started.
pub(super) struct Engine {
    /// Which Docker has it.
    pub(super) name: &'static str,
    host: &'static str,
    container: String,
    /// The image, if it is there for this alone. It goes after the container.
    _loaded: Option<Loaded>,
}

/// An image that goes with this value.
struct Loaded {
    host: &'static str,
    id: String,
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
            return Self::of_image(name, host, image, None).map(Some);
        }
        Ok(None)
    }

    /// Has System Docker load an archive with one image.
    pub(super) fn load(archive: &Path) -> anyhow::Result<Self> {
        let (name, host) = HOSTS[0];
        let known = answer(host, &["images", "--quiet", "--no-trunc"], ANSWER_DEADLINE)?;
        let path = archive.display().to_string();
        let said = answer(host, &["load", "--quiet", "--input", &path], LOAD_DEADLINE)?;
        let image = image_of(&said).with_context(|| {
            format!("it is not one image; System Docker has what was in it, name one: {said}")
        })?;
        let inspect = ["image", "inspect", "--format", "{{.Id}}", image];
        let id = answer(host, &inspect, ANSWER_DEADLINE)?;
        let is_new = !known.lines().any(|known| known == id);
        let loaded = is_new.then(|| Loaded {
            host,
            id: id.clone(),
        });
        Self::of_image(name, host, &id, loaded)
    }

    fn of_image(
        name: &'static str,
        host: &'static str,
        image: &str,
        loaded: Option<Loaded>,
    ) -> anyhow::Result<Self> {
        let container = answer(host, &["create", image], ANSWER_DEADLINE)
            .with_context(|| format!("{name} cannot make a container of {image}"))?;
        Ok(Self {
            name,
            host,
            container,
            _loaded: loaded,
        })
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
            let _ = sys::fs::remove_all(&temporary);
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
        make_folder(temporary)?;
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

impl Drop for Loaded {
    fn drop(&mut self) {
        // One that stays is seen in `system-docker images`
        let remove = ["image", "rm", "--force", &self.id];
        let _ = docker(self.host, &remove, ANSWER_DEADLINE);
    }
}

/// An empty folder, in place of what a command that was cut off has left: a folder of this kind, or a file of another source's.
fn make_folder(path: &Path) -> anyhow::Result<()> {
    sys::fs::remove_all(path)?;
    fs::create_dir(path).with_context(|| format!("cannot create {}", path.display()))
}

/// The name or id in what `docker load` says, if it has loaded one image.
fn image_of(said: &str) -> Option<&str> {
    let (line, rest) = said.trim().split_once('\n').unwrap_or((said.trim(), ""));
    let image = line
        .strip_prefix("Loaded image: ")
        .or_else(|| line.strip_prefix("Loaded image ID: "));
    image.filter(|_| rest.is_empty())
}

/// What a command that must succeed says.
fn answer(host: &str, words: &[&str], deadline: Duration) -> anyhow::Result<String> {
    let output = docker(host, words, deadline)?;
    ensure!(output.status.success(), "{}", errors(&output));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_source_has_left_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.part");
        fs::write(&path, "half").unwrap();
        make_folder(&path).unwrap();
        fs::write(path.join("half"), "").unwrap();
        make_folder(&path).unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    }

    #[test]
    fn one_loaded_image_is_named() {
        for (said, image) in [
            ("Loaded image: rancher/os:v1.0\n", Some("rancher/os:v1.0")),
            ("Loaded image ID: sha256:ab", Some("sha256:ab")),
            ("Loaded image: a:1\nLoaded image: b:1\n", None),
            ("", None),
        ] {
            assert_eq!(image_of(said), image, "{said}");
        }
    }
}
