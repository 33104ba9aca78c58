//! The configuration of this machine, as `ros` uses it.

pub(crate) use machine_config::{CONF, MachineConfig};

/// What the system brings, for documents that are judged where it does not run.
const SYSTEM: &str = include_str!("../../../rootfs/os-config.yml");

/// What documents make of a machine that has no other files.
pub(crate) fn of_documents(documents: Vec<(String, String)>) -> MachineConfig {
    MachineConfig::of_documents(documents, SYSTEM)
}

/// Keys of the metadata and of the configuration, those that can be keys, each once; and those that cannot.
pub(crate) fn authorized_keys(machine: &MachineConfig) -> (Vec<String>, Vec<String>) {
    let mut good: Vec<String> = Vec::new();
    let mut bad = Vec::new();
    let configured = &machine.loaded.config.ssh_authorized_keys;
    for key in machine
        .metadata
        .ssh_authorized_keys
        .iter()
        .chain(configured)
    {
        let key = key.trim().to_owned();
        if !cloud_init::authorized_keys::is_public_key(&key) {
            bad.push(key);
        } else if !good.contains(&key) {
            good.push(key);
        }
    }
    (good, bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_metadata_and_configuration_add_up() {
        let text = "ssh_authorized_keys: [ssh-rsa AAAA c, ssh-rsa AAAA m]";
        let source = config::Source { name: "t", text };
        let mut machine = MachineConfig {
            loaded: config::load(&[source], &config::CommandLine::default()),
            ..MachineConfig::default()
        };
        machine.metadata.ssh_authorized_keys = vec!["ssh-rsa AAAA m".into(), "junk".into()];
        let (good, bad) = authorized_keys(&machine);
        assert_eq!(good, ["ssh-rsa AAAA m", "ssh-rsa AAAA c"]);
        assert_eq!(bad, ["junk"]);
    }
}
