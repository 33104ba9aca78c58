//! What lets the owner in when the state disk does not: keys, host name and network, kept with the versions of the system.
//!
//! PID 1 takes it as configuration in a boot that has no state (crate init, `last_access.rs`).

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::installed::{Installed, STORE, Writable};
use crate::machine_config::MachineConfig;
use crate::problems;

/// The file in the store of layers.
const FILE: &str = "access.yml";

/// Keeps what lets the owner in now, if it has changed; a version that is only tried decides nothing.
pub(crate) fn keep(machine: &MachineConfig) -> anyhow::Result<()> {
    let Ok(installed) = Installed::here() else {
        return Ok(());
    };
    let has_state = problems::state_mount().is_some_and(|mount| problems::is_disk(&mount));
    if installed.attempt > 0 || !has_state {
        return Ok(());
    }
    let text = text(machine);
    if fs::read_to_string(Path::new(STORE).join(FILE)).is_ok_and(|known| known == text) {
        return Ok(());
    }
    let writable = Writable::new()?;
    cloud_init::store::write_atomic(&writable.root().join(FILE), text.as_bytes(), 0o600)?;
    Ok(())
}

/// A cloud-config; JSON is YAML.
fn text(machine: &MachineConfig) -> String {
    let config = &machine.loaded.config;
    let network = machine.loaded.tree.get("rancher.network");
    let mut rancher = serde_json::Map::new();
    if let Some(network) = network {
        rancher.insert("network".to_owned(), network.to_json());
    }
    let value: Value = json!({
        // A name of DHCP is given again, perhaps another one.
        "hostname": machine.given_hostname(),
        "ssh_authorized_keys": config.ssh_authorized_keys,
        "rancher": rancher,
    });
    format!("#cloud-config\n{value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_lets_the_same_keys_in() {
        let folder = tempfile::tempdir().unwrap();
        let conf = folder.path().join("conf");
        fs::create_dir_all(conf.join("cloud-config.d")).unwrap();
        let nowhere = folder.path().join("nowhere");
        let load = |text: &str| {
            fs::write(conf.join("cloud-config.d/a.yml"), text).unwrap();
            machine_config::MachineConfig::load_from(&machine_config::Places {
                built_in: nowhere.clone(),
                oem: nowhere.clone(),
                conf: conf.clone(),
                command_line: nowhere.clone(),
                leases: nowhere.clone(),
            })
        };
        let first = load(
            "hostname: node\nssh_authorized_keys: [ssh-ed25519 AAAA me]\nrancher: {password: secret, network: {interfaces: {eth0: {address: 10.0.0.2/24}}}}",
        );
        let kept = text(&first);
        assert!(!kept.contains("secret"), "{kept}");
        let second = load(&kept);
        assert!(
            second.loaded.problems.is_empty(),
            "{:?}",
            second.loaded.problems
        );
        assert_eq!(second.hostname(), "node");
        let (first, second) = (first.loaded.config, second.loaded.config);
        assert_eq!(first.ssh_authorized_keys, second.ssh_authorized_keys);
        assert_eq!(first.rancher.network, second.rancher.network);
    }
}
