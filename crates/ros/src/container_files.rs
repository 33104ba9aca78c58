//! `write_files` before the console: with `container:` put aside for PID 1, which mounts each in its service; below the directory
//! of the machine's configuration written at once, since PID 1 reads that directory next.
//!
//! It runs in the service cloud-init, before every service that such a file can be for.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use config::cloud_config::WriteFile;

use crate::console::write_files::{container, content, mode, put, target};
use crate::machine_config::{CONF, MachineConfig};

/// A directory for each service, a file for each entry's number; crate init knows it too.
const DIRECTORY: &str = "/run/rancher/write_files";

/// Writes those of the console that are below the directory of the machine's configuration: a service of `services_include`, servers
/// of chrony, keys. The console writes them again, as it does all; what fails is said there, and here it costs nothing else.
pub(crate) fn write_configuration(machine: &MachineConfig) -> Vec<String> {
    write_below(Path::new(CONF), &machine.loaded.config.write_files)
}

fn write_below(directory: &Path, files: &[WriteFile]) -> Vec<String> {
    let mut errors = Vec::new();
    for (index, file) in files.iter().enumerate() {
        if container(file) != "console" {
            continue;
        }
        let Ok(path) = target(file) else {
            continue; // the console says it
        };
        if path.starts_with(directory)
            && let Err(error) = write_one(&path, file)
        {
            errors.push(said(index, file, &error));
        }
    }
    errors
}

fn write_one(path: &Path, file: &WriteFile) -> anyhow::Result<()> {
    let (bytes, mode) = (content(file)?, mode(file)?);
    // A name of the console's users is not known here, and the console gives the file to its owner.
    let owner = file.owner.as_deref().map(numbers).and_then(Result::ok);
    let owner = owner.unwrap_or((0, 0));
    if file.append == Some(true) || path.is_symlink() {
        return put(path, &bytes, mode, owner, file.append == Some(true));
    }
    ensure!(!path.is_dir(), "it is a directory");
    // With its mode only when it has its owner: nobody else reads a secret meanwhile.
    cloud_init::store::write_atomic(path, &bytes, mode & 0o700)?;
    sys::fs::set_owner(path, owner.0, owner.1)?;
    Ok(sys::fs::set_mode(path, mode)?)
}

/// Puts them aside; the errors, one an entry.
pub(crate) fn put_aside(machine: &MachineConfig) -> Vec<String> {
    let mut errors = Vec::new();
    for (index, file) in machine.loaded.config.write_files.iter().enumerate() {
        let name = container(file);
        if name == "console" {
            continue;
        }
        let result = is_service(machine, name)
            .and_then(|()| put_one(Path::new(DIRECTORY), name, index, file));
        errors.extend(result.err().map(|error| said(index, file, &error)));
    }
    errors
}

/// What is wrong with entries, before anything is written: their indexes, and words.
pub(crate) fn examine(machine: &MachineConfig) -> Vec<(usize, String)> {
    let files = machine.loaded.config.write_files.iter().enumerate();
    let wrong = files.filter_map(|(index, file)| {
        let checked = match container(file) {
            "console" => target(file).map(drop),
            service => is_service(machine, service).and_then(|()| fits(service, file).map(drop)),
        };
        let result = checked
            .and_then(|()| mode(file))
            .and_then(|_| content(file));
        let path = file.path.as_deref().unwrap_or("");
        Some((index, format!("{path}: {:#}", result.err()?)))
    });
    wrong.collect()
}

fn said(index: usize, file: &WriteFile, error: &anyhow::Error) -> String {
    let path = file.path.as_deref().unwrap_or("");
    format!("write_files[{index}]: {path}: {error:#}")
}

fn is_service(machine: &MachineConfig, name: &str) -> anyhow::Result<()> {
    let services = &machine.loaded.config.rancher.services;
    ensure!(services.contains_key(name), "there is no service {name:?}");
    Ok(())
}

/// Whether an entry can be a service's, and the numbers of its owner.
fn fits(service: &str, file: &WriteFile) -> anyhow::Result<(u32, u32)> {
    ensure!(
        !service.contains('/') && service != "..",
        "{service:?} is not the name of a service"
    );
    ensure!(
        file.append != Some(true),
        "append works in the console only"
    );
    target(file)?;
    let owner = file.owner.as_deref().map(numbers).transpose()?;
    Ok(owner.unwrap_or((0, 0)))
}

fn put_one(directory: &Path, service: &str, index: usize, file: &WriteFile) -> anyhow::Result<()> {
    let owner = fits(service, file)?;
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
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn files_of_the_configuration_are_there_before_the_console() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name).display().to_string();
        let file = |path: String, container: Option<&str>, append: bool| WriteFile {
            path: Some(path),
            content: Some("text\n".into()),
            owner: Some("rancher:rancher".into()),
            permissions: Some("0640".into()),
            container: container.map(str::to_owned),
            append: Some(append),
            ..WriteFile::default()
        };
        let conf = folder.path().join("conf");
        let mut files = vec![
            file(place("conf/services/x.yml"), None, false),
            file(place("conf/log"), Some("console"), true),
            file(place("conf/other"), Some("ntp"), false),
            file(place("elsewhere"), None, false),
            file(place("conf/../escaped"), None, false),
        ];
        for _ in 0..2 {
            assert!(write_below(&conf, &files).is_empty());
        }
        let written = conf.join("services/x.yml");
        assert_eq!(fs::read_to_string(&written).unwrap(), "text\n");
        let mode = fs::metadata(&written).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o640);
        assert_eq!(fs::read_to_string(conf.join("log")).unwrap(), "text\n");
        for name in ["conf/other", "elsewhere", "escaped"] {
            assert!(!folder.path().join(name).exists(), "{name}");
        }
        files[0].encoding = Some("rot13".into());
        let errors = write_below(&conf, &files);
        assert!(
            errors.len() == 1 && errors[0].contains("rot13"),
            "{errors:?}"
        );
    }

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
