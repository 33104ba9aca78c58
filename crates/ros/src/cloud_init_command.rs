//! `ros cloud-init save`: user data and keys from media to the machine's configuration; `execute`: apply them.

use std::path::Path;
use std::process::ExitCode;

use cloud_init::media::{self, Contents, Format};
use cloud_init::store;
use cloud_init::user_data;

use crate::cli::CloudInit;
use crate::machine_config::{CONF, MachineConfig};
use crate::{console, container_files, problems};

/// Where media is mounted while it is read; /run is a tmpfs of the container's own.
const MOUNT_POINT: &str = "/run/cloud-init/media";

/// Most problems printed of one file.
const MAX_REPORTS: usize = 20;

/// Runs one of the subcommands.
pub(crate) fn main(command: &CloudInit) -> anyhow::Result<ExitCode> {
    let good = match command {
        CloudInit::Save => {
            let saved = save(&MachineConfig::load(), Path::new(CONF));
            // With what was just saved.
            let errors = container_files::put_aside(&MachineConfig::load());
            for error in &errors {
                loudly(error);
            }
            saved && errors.is_empty()
        }
        CloudInit::Execute => console::apply_identity(&MachineConfig::load()),
    };
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Fetches and keeps; false when something its owner must know went wrong. The boot goes on either way.
fn save(machine: &MachineConfig, conf: &Path) -> bool {
    let datasources = &machine.loaded.config.rancher.cloud_init.datasources;
    let formats = formats(datasources);
    let Some(found) = media::find(&formats) else {
        println!("no media with user data");
        return true;
    };
    let name = found.format.name();
    println!("reading {name} from {}", found.device.display());
    match media::read(&found, Path::new(MOUNT_POINT)) {
        Ok(contents) => keep(name, contents, conf),
        Err(error) => {
            loudly(&format!("{name}: {error}"));
            false
        }
    }
}

/// The media formats among the datasources (`configdrive:/media/config-2`, `nocloud`); others are named.
fn formats(datasources: &[String]) -> Vec<Format> {
    let mut formats = Vec::new();
    for datasource in datasources {
        match datasource.split(':').next().unwrap_or("") {
            "configdrive" => formats.push(Format::ConfigDrive),
            "nocloud" => formats.push(Format::NoCloud),
            "*" => formats.extend([Format::ConfigDrive, Format::NoCloud]),
            other => loudly(&format!(
                "datasource {other:?} is not supported by this version"
            )),
        }
    }
    formats
}

fn keep(name: &str, contents: Contents, conf: &Path) -> bool {
    let mut good = true;
    let mut failed = |error: String| {
        loudly(&format!("{name}: {error}"));
        good = false;
    };
    match contents.metadata {
        Ok(Some(metadata)) => {
            if let Err(error) = store::save_metadata(conf, &metadata) {
                failed(error.to_string());
            }
        }
        Ok(None) => {}
        Err(error) => failed(error.to_string()),
    }
    let documents = contents
        .user_data
        .and_then(|bytes| user_data::documents(&bytes.unwrap_or_default()));
    match documents.and_then(|data| store::save(conf, &format!("{name} user-data"), &data)) {
        Ok(saved) => {
            for problem in saved.problems.iter().take(MAX_REPORTS) {
                loudly(&problem.to_string());
            }
            if saved.is_bad() {
                failed("user data was not taken as a whole, the machine goes on with what could be read".to_owned());
            }
        }
        Err(error) => failed(error.to_string()),
    }
    good
}

/// On the machine's console by way of the kernel's log, and in this container's log.
fn loudly(line: &str) {
    eprintln!("{line}");
    problems::warn("cloud-init", line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datasources_name_formats() {
        let list =
            |names: &[&str]| formats(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            list(&["configdrive:/media/config-2"]),
            [Format::ConfigDrive]
        );
        assert_eq!(list(&["nocloud", "ec2"]), [Format::NoCloud]);
        assert_eq!(list(&[]), []);
    }

    #[test]
    fn bad_metadata_does_not_cost_the_user_data() {
        let conf = tempfile::tempdir().unwrap();
        let contents = Contents {
            user_data: Ok(Some(b"#cloud-config\nhostname: a\n".to_vec())),
            metadata: Err(cloud_init::Error::Metadata("no".into())),
        };
        assert!(!keep("nocloud", contents, conf.path()));
        assert!(conf.path().join(store::USER_DATA).exists());
    }
}
