//! `write_files` with `container:`: put aside for PID 1, which mounts each in its service.
//!
//! It runs in the service cloud-init, before every service that such a file can be for.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use config::cloud_config::WriteFile;

use crate::console::write_files::{container, content, mode, put, target};
use crate::machine_config::MachineConfig;

/// A directory for each service, a file for each entry's number; crate init knows it too.
const DIRECTORY: &str = "/run/rancher/write_files";

/// Puts them aside; the errors, one an entry.
pub(crate) fn put_aside(machine: &MachineConfig) -> Vec<String> {
    let services = &machine.loaded.config.rancher.services;
    let mut errors = Vec::new();
    for (index, file) in machine.loaded.config.write_files.iter().enumerate() {
        let name = container(file);
        if name == "console" {
            continue;
        }
        let result = if services.contains_key(name) {
            put_one(Path::new(DIRECTORY), name, index, file)
        } else {
            Err(anyhow::anyhow!("there is no service {name:?}"))
        };
        let path = file.path.as_deref().unwrap_or("");
        errors.extend(
            result
                .err()
                .map(|error| format!("write_files[{index}]: {path}: {error:#}")),
        );
    }
    errors
}

fn put_one(directory: &Path, service: &str, index: usize, file: &WriteFile) -> anyhow::Result<()> {
    ensure!(
        !service.contains('/') && service != "..",
        "{service:?} is not the name of a service"
    );
    ensure!(
        file.append != Some(true),
        "append works in the console only"
    );
    target(file)?;
    let owner = file
        .owner
        .as_deref()
        .map(numbers)
        .transpose()?
        .unwrap_or((0, 0));
    let folder = directory.join(service);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    put(
        &folder.join(index.to_string()),
        &content(file)?,
        mode(file)?,
        owner,
        false,
    )
}

/// Numbers, or root: the names of another image are not known here.
fn numbers(owner: &str) -> anyhow::Result<(u32, u32)> {
    let number = |text: &str| match text {
        "root" | "" => Ok(0),
        _ => text
            .parse::<u32>()
            .context("an owner in another service is root or a number"),
    };
    let (user, group) = owner.split_once(':').unwrap_or((owner, owner));
    Ok((number(user)?, number(group)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_put_under_its_services_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = WriteFile {
            path: Some("/test".into()),
            content: Some("goodbye".into()),
            owner: Some("root:root".into()),
            permissions: Some("0600".into()),
            ..WriteFile::default()
        };
        put_one(folder.path(), "ntp", 3, &file).unwrap();
        assert_eq!(
            fs::read_to_string(folder.path().join("ntp/3")).unwrap(),
            "goodbye"
        );
        assert!(put_one(folder.path(), "..", 3, &file).is_err());
        file.owner = Some("_chrony".into());
        assert!(put_one(folder.path(), "ntp", 4, &file).is_err());
    }
}
