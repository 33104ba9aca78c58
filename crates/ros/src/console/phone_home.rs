//! `phone_home`: tells a server that everything was applied, once for each instance.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use config::cloud_config::PhoneHome;

use super::CONF;
use super::mounts::succeed;
use crate::curl;
use crate::machine_config::MachineConfig;

/// The instance that was told of last, next to the directory of the machine's configuration.
const DONE: &str = "../phone-home.done";
/// Largest file that is read: a name, or a public key.
const MAX_BYTES: u64 = 64 << 10;
const TRIES: i64 = 10;
const PAUSE: Duration = Duration::from_secs(3);
/// What can be sent, in cloud-init's order.
const NAMES: [&str; 6] = [
    "pub_key_rsa",
    "pub_key_ecdsa",
    "pub_key_ed25519",
    "instance_id",
    "hostname",
    "fqdn",
];

/// Tells it, unless that was done.
pub(super) fn call(machine: &MachineConfig, home: &PhoneHome) -> anyhow::Result<()> {
    let url = home.url.as_deref().context("it has no url")?;
    let instance = machine.metadata.instance_id.as_deref().unwrap_or("none");
    let done = Path::new(CONF).join(DONE);
    // What is not a file is as good as none, and a pipe is not waited for.
    if sys::regular::read(&done, MAX_BYTES).is_ok_and(|told| told == instance.as_bytes()) {
        return Ok(());
    }
    let names = names(&home.post);
    let url = url
        .replace("${INSTANCE_ID}", instance)
        .replace("$INSTANCE_ID", instance);
    let posted = names.into_iter().flat_map(|name| {
        let value = value(name, machine, instance);
        ["--data-urlencode".to_owned(), format!("{name}={value}")]
    });
    let posted: Vec<String> = posted.collect();
    let network = &machine.loaded.config.rancher.network;
    let command = curl::command(network, &url, &posted);
    let tries = home.tries.unwrap_or(TRIES).max(1);
    for left in (0..tries).rev() {
        match succeed(&command) {
            Ok(()) => break,
            Err(error) if left == 0 => {
                return Err(error.context(format!("{url} was not told, in {tries} tries")));
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
    Ok(cloud_init::store::write_atomic(
        &done,
        instance.as_bytes(),
        0o600,
    )?)
}

/// What `post` asks for; all when it is absent.
fn names(post: &[String]) -> Vec<&str> {
    if post.is_empty() || post == ["all"] {
        return NAMES.to_vec();
    }
    post.iter().map(String::as_str).collect()
}

/// What there is not, such as keys of a kind that the console does not make, is `N/A`, in cloud-init's words.
fn value(name: &str, machine: &MachineConfig, instance: &str) -> String {
    let value = match name {
        "instance_id" => Some(instance.to_owned()),
        "hostname" => Some(machine.hostname().to_owned()),
        "fqdn" => Some(
            machine
                .loaded
                .config
                .fqdn
                .as_deref()
                .unwrap_or(machine.hostname())
                .to_owned(),
        ),
        name => name.strip_prefix("pub_key_").and_then(|kind| {
            let name = format!("ssh/ssh_host_{kind}_key.pub");
            let key = sys::regular::read(&Path::new(CONF).join(name), MAX_BYTES);
            key.ok()
                .map(|key| String::from_utf8_lossy(&key).into_owned())
        }),
    };
    value.map_or_else(|| "N/A".to_owned(), |value| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_sent_unless_names_are_given() {
        let post = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&[]), NAMES);
        assert_eq!(names(&post(&["all"])), NAMES);
        assert_eq!(
            names(&post(&["fqdn", "pub_key_dsa"])),
            ["fqdn", "pub_key_dsa"]
        );
        let machine = MachineConfig::default();
        for (name, want) in [
            ("pub_key_dsa", "N/A"),
            ("other", "N/A"),
            ("instance_id", "i-1"),
            ("fqdn", "rancher"),
        ] {
            assert_eq!(value(name, &machine, "i-1"), want);
        }
    }
}
