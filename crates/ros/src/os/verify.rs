//! `ros os verify`: whether the disk still gives what the manifests say.

use std::path::Path;

use anyhow::Context as _;
use install::{Role, Slot, store};
use sha2::{Digest as _, Sha256};

use super::failure::fail;
use super::heal;
use super::installed::{Installed, STORE};
use super::policy::Policy;
use crate::install::medium::hex;

/// Kernel and initrd are read whole: 13 MB today.
const LARGEST_FILE_BYTES: usize = 128 << 20;

/// Reads every version on the disk, or the one in `slot`, again.
///
/// # Errors
/// When something is damaged, after all of it was said.
pub(super) fn main(slot: Option<u32>) -> anyhow::Result<()> {
    let machine = Installed::here()?;
    let policy = Policy::of_machine(false)?;
    let slots = Slot::ALL
        .into_iter()
        .filter(|known| slot.is_none_or(|wanted| wanted == known.number()));
    let mut damaged = 0;
    for slot in slots {
        let Some(version) = machine.version(slot) else {
            continue;
        };
        let found = damage(&machine, slot)?;
        let signed = match std::fs::read(Path::new(STORE).join(store::signature(slot))) {
            Err(_) => "not signed".to_owned(),
            Ok(signature) => {
                match policy.check(&version.manifest.version, &version.text, Some(&signature)) {
                    Ok(key) => format!("signed, checked with {}", key.unwrap_or_default()),
                    Err(error) => format!("signature: {}", error.root_cause()),
                }
            }
        };
        let name = &version.manifest.version;
        match found.as_slice() {
            [] => println!("v{name} in slot {slot}: whole, {signed}"),
            found => {
                damaged += 1;
                for what in found {
                    println!("v{name} in slot {slot}: {what} is damaged");
                }
            }
        }
    }
    if damaged > 0 {
        fail!(
            Verification,
            "{damaged} versions are damaged; `ros os upgrade -f -i IMAGE` of the same version takes what is damaged again"
        );
    }
    Ok(())
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
