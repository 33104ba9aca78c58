//! What `iso/iso.toml` says, and the boot menu made from it.

use std::fs;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::workspace::{Build, VERSION};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Declaration {
    /// Volume label.
    pub(crate) label: String,
    /// Kernel parameters of every entry.
    pub(crate) command_line: Vec<String>,
    /// Kernel parameters of an entry that does not ask for talk.
    quiet: Vec<String>,
    entry: Vec<Entry>,
    /// Modules of the boot loader.
    pub(super) grub: Loaders,
}

/// One entry of the menu.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    title: String,
    add: Vec<String>,
}

/// The boot loader per firmware.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Loaders {
    pub(super) bios: Modules,
    pub(super) uefi: Modules,
}

/// Modules of one boot loader.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Modules {
    pub(super) modules: Vec<String>,
}

impl Declaration {
    /// Reads the workspace's.
    pub(crate) fn read(build: &Build) -> Result<Self> {
        let path = build.root.join("iso/iso.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("parse {}", path.display()))
    }

    /// The kernel parameters of an installed machine: those of the medium, but nobody is logged in without being asked.
    pub(super) fn installed(&self) -> Vec<String> {
        let all = self.command_line.iter().chain(&self.quiet);
        all.filter(|word| !word.starts_with("rancher.autologin"))
            .cloned()
            .collect()
    }

    /// The kernel parameters of the first entry.
    fn parameters(&self, entry: &Entry) -> String {
        let quiet = if entry.add.is_empty() {
            self.quiet.as_slice()
        } else {
            &[]
        };
        let all: Vec<&str> = self
            .command_line
            .iter()
            .chain(quiet)
            .chain(&entry.add)
            .map(String::as_str)
            .collect();
        all.join(" ")
    }
}

/// The text of `grub.cfg`.
pub(super) fn write(build: &Build, declaration: &Declaration) -> Result<String> {
    let path = build.root.join("iso/grub.cfg");
    let mut menu = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    for entry in &declaration.entry {
        let title = entry
            .title
            .replacen("RancherOS", &format!("RancherOS {VERSION}"), 1);
        let parameters = declaration.parameters(entry);
        menu.push_str(&format!(
            "menuentry '{title}' {{\n  linux /boot/vmlinuz {parameters}\n  initrd /boot/initrd\n}}\n\n"
        ));
    }
    Ok(menu)
}
