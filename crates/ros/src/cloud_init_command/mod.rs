//! `ros cloud-init save`: user data, keys and the network's description from a datasource to the machine's configuration;
//! `execute`: apply them.

mod early_network;
mod guestinfo;
mod late;
mod sources;

pub(crate) use self::late::ask_late;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;

use cloud_init::dmi::{self, Dmi};
use cloud_init::platform::Choice;
use cloud_init::{Metadata, UserData, platform, store, variables};

use self::sources::Found;

use crate::cli::CloudInit;
use crate::machine_config::{CONF, MachineConfig};
use crate::{console, container_files, problems};

/// Most problems printed of one file.
const MAX_REPORTS: usize = 20;

/// Runs one of the subcommands.
pub(crate) fn main(command: &CloudInit) -> anyhow::Result<ExitCode> {
    let good = match command {
        CloudInit::Save => {
            let saved = save(Path::new(CONF));
            put_files() && saved
        }
        CloudInit::Guestinfo => guestinfo::print()?,
        CloudInit::Execute => console::apply_identity_again(&MachineConfig::load()),
    };
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Writes the files that PID 1 needs before the console writes all, and says which of them failed and what no datasource fills in.
/// Whether none failed.
fn put_files() -> bool {
    // With what was just saved; and again, since a file may be that of a service.
    let mut errors = container_files::write_configuration(&MachineConfig::load());
    let machine = MachineConfig::load();
    errors.extend(container_files::put_aside(&machine));
    for variable in machine.unfilled.iter().take(MAX_REPORTS) {
        loudly(&variable.to_string());
    }
    for error in &errors {
        loudly(error);
    }
    errors.is_empty()
}

/// Fetches and keeps; false when something its owner must know went wrong. The boot goes on either way.
fn save(conf: &Path) -> bool {
    let dmi = Dmi::read(Path::new(dmi::DIRECTORY));
    let uuid = dmi.get(dmi::Field::ProductUuid);
    match store::forget_other_machine(conf, uuid) {
        Ok(true) => println!("the metadata on the disk was another machine's and is forgotten"),
        Ok(false) => {}
        Err(error) => loudly(&error.to_string()),
    }
    let machine = MachineConfig::load();
    let asked = sources::ask(&choice(&machine, &dmi), &machine);
    let late = conf.join(late::MARK);
    let marked = if asked.may_come_later {
        fs::write(&late, "")
    } else {
        fs::remove_file(&late).or_else(|error| match error.kind() {
            ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })
    };
    if let Err(error) = marked {
        loudly(&format!("{}: {error}", late.display()));
    }
    match asked.found {
        Some(found) => keep(found, uuid, conf) && asked.good,
        None => {
            println!("no datasource has user data");
            asked.good
        }
    }
}

fn choice(machine: &MachineConfig, dmi: &Dmi) -> Choice {
    let datasources = &machine.loaded.config.rancher.cloud_init.datasources;
    platform::choose(datasources, dmi, &machine.command_line)
}

fn keep(found: Found, uuid: &str, conf: &Path) -> bool {
    let (name, contents) = (found.name.as_str(), found.contents);
    let mut good = true;
    let mut failed = |error: String| {
        loudly(&format!("{name}: {error}"));
        good = false;
    };
    let mut known = Metadata::default();
    match contents.metadata {
        Ok(Some(mut metadata)) => {
            metadata.source.get_or_insert_with(|| name.to_owned());
            metadata.machine = (!uuid.is_empty()).then(|| uuid.to_owned());
            if let Err(error) = store::save_metadata(conf, &metadata) {
                failed(error.to_string());
            }
            known = metadata;
        }
        Ok(None) => {}
        Err(error) => failed(error.to_string()),
    }
    for note in contents.notes.iter().take(MAX_REPORTS) {
        loudly(&format!("{name}: {note}"));
    }
    let documents = found
        .documents
        .map(|documents| with_addresses(name, documents, &known));
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

/// Fills in `$private_ipv4` and its like; one that the datasource does not know is named and stays.
fn with_addresses(name: &str, documents: Vec<UserData>, metadata: &Metadata) -> Vec<UserData> {
    let fill = |text: String| {
        let (text, unknown) = variables::fill(&text, metadata);
        for variable in unknown {
            loudly(&format!(
                "{name} user-data: ${variable} is not known to this datasource and stays as it is"
            ));
        }
        text
    };
    let documents = documents.into_iter().map(|document| match document {
        UserData::CloudConfig { text, note } => UserData::CloudConfig {
            text: fill(text),
            note,
        },
        UserData::Script(text) => UserData::Script(fill(text)),
        other => other,
    });
    documents.collect()
}

/// On the machine's console by way of the kernel's log, and in this container's log.
fn loudly(line: &str) {
    eprintln!("{line}");
    problems::warn("cloud-init", line);
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloud_init::media::Contents;
    use cloud_init::user_data;

    fn found(name: &str, user_data: &str, metadata: cloud_init::Result<Option<Metadata>>) -> Found {
        Found {
            name: name.to_owned(),
            contents: Contents {
                user_data: Ok(None),
                metadata,
                notes: Vec::new(),
            },
            documents: user_data::documents(user_data.as_bytes()),
        }
    }

    #[test]
    fn bad_metadata_does_not_cost_the_user_data() {
        let conf = tempfile::tempdir().unwrap();
        let bad = Err(cloud_init::Error::Metadata("no".into()));
        assert!(!keep(
            found("nocloud", "#cloud-config\nhostname: a\n", bad),
            "",
            conf.path()
        ));
        assert!(conf.path().join(store::USER_DATA).exists());
    }

    #[test]
    fn metadata_knows_its_machine_and_fills_in_addresses() {
        let conf = tempfile::tempdir().unwrap();
        let metadata = Metadata {
            private_ipv4: Some("10.0.0.2".into()),
            ..Metadata::default()
        };
        let text = "#cloud-config\nhostname: a\nrancher: {environment: {IP: $private_ipv4}}\n";
        assert!(keep(
            found("ec2", text, Ok(Some(metadata))),
            "uuid-1",
            conf.path()
        ));
        let kept = store::load_metadata(conf.path()).unwrap();
        assert_eq!(
            (kept.source.as_deref(), kept.machine.as_deref()),
            (Some("ec2"), Some("uuid-1"))
        );
        let kept = std::fs::read_to_string(conf.path().join(store::USER_DATA)).unwrap();
        assert!(kept.contains("IP: 10.0.0.2"), "{kept}");
    }
}
