//! `ros os verify`: whether the disk still gives what the manifests say.

use std::path::Path;

use anyhow::Context as _;
use install::{Role, Slot, store};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::failure::fail;
use super::heal;
use super::installed::{Installed, STORE};
use super::listing::is_json;
use super::policy::Policy;
use crate::install::medium::hex;

/// Kernel and initrd are read whole: 13 MB today.
const LARGEST_FILE_BYTES: usize = 128 << 20;

/// What was found in a slot.
struct Found {
    slot: Slot,
    version: String,
    signed: String,
    damaged: Vec<String>,
}

/// Reads every version on the disk, or the one in `slot`, again.
///
/// # Errors
/// When something is damaged, after all of it was said.
pub(super) fn main(slot: Option<u32>, format: &str) -> anyhow::Result<()> {
    let json = is_json(format)?;
    let machine = Installed::here()?;
    let policy = Policy::of_machine(false)?;
    let slots = Slot::ALL
        .into_iter()
        .filter(|known| slot.is_none_or(|wanted| wanted == known.number()));
    let mut all = Vec::new();
    for slot in slots {
        let Some(version) = machine.version(slot) else {
            continue;
        };
        let signed = match std::fs::read(Path::new(STORE).join(store::signature(slot))) {
            Err(_) => "not signed".to_owned(),
            Ok(signature) => {
                match policy.check(&version.manifest.version, &version.text, Some(&signature)) {
                    Ok(key) => format!("signed, checked with {}", key.unwrap_or_default()),
                    Err(error) => format!("signature: {}", error.root_cause()),
                }
            }
        };
        let found = Found {
            slot,
            damaged: damage(&machine, slot)?,
            version: version.manifest.version,
            signed,
        };
        if !json {
            lines(&found).iter().for_each(|line| println!("{line}"));
        }
        all.push(found);
    }
    if json {
        println!("{:#}", value(&all));
    }
    let damaged = all.iter().filter(|found| !found.damaged.is_empty()).count();
    if damaged > 0 {
        fail!(
            Verification,
            "{damaged} versions are damaged; `ros os upgrade -f -i IMAGE` of the same version takes what is damaged again"
        );
    }
    Ok(())
}

fn lines(found: &Found) -> Vec<String> {
    let name = format!("v{} in slot {}", found.version, found.slot);
    match found.damaged.as_slice() {
        [] => vec![format!("{name}: whole, {}", found.signed)],
        damaged => damaged
            .iter()
            .map(|what| format!("{name}: {what} is damaged"))
            .collect(),
    }
}

fn value(all: &[Found]) -> serde_json::Value {
    let one = |found: &Found| {
        json!({
            "slot": found.slot.number(),
            "version": found.version,
            "whole": found.damaged.is_empty(),
            "damaged": found.damaged,
            "signature": found.signed,
        })
    };
    all.iter().map(one).collect()
}

fn damage(machine: &Installed, slot: Slot) -> anyhow::Result<Vec<String>> {
    let version = machine.version(slot).context("the slot is empty")?;
    let mut damaged = Vec::new();
    for item in &version.manifest.files {
        let path = Path::new(STORE).join(store::linked(slot, item));
        if heal::is_damaged(&path, item) {
            damaged.push(item.path.clone());
        }
    }
    let mut disk = machine.open(Role::Kernel(slot))?;
    sys::blockdev::drop_buffers(&disk.0)?;
    for (name, item) in [
        ("VMLINUZ", &version.manifest.kernel),
        ("INITRD", &version.manifest.initrd),
    ] {
        let content = install::fat::read(&mut disk, 0, name, LARGEST_FILE_BYTES);
        if content.map_or(true, |bytes| hex(&Sha256::digest(bytes)) != item.sha256) {
            damaged.push(item.path.clone());
        }
    }
    Ok(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_is_told_to_people_and_to_programs() {
        let found = |damaged: &[&str]| Found {
            slot: Slot::B,
            version: "1.0".to_owned(),
            signed: "not signed".to_owned(),
            damaged: damaged.iter().map(|name| (*name).to_owned()).collect(),
        };
        let (whole, broken) = (found(&[]), found(&["boot/initrd"]));
        assert_eq!(lines(&whole), ["v1.0 in slot 5: whole, not signed"]);
        assert_eq!(lines(&broken), ["v1.0 in slot 5: boot/initrd is damaged"]);
        let value = value(&[whole, broken]);
        assert_eq!(value[0]["whole"], true);
        assert_eq!(value[1]["damaged"], json!(["boot/initrd"]));
        assert_eq!(value[1]["slot"], 5);
    }
}
