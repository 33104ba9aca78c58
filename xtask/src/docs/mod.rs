//! What is written about the system services' rights, the kernel's options and the keys of the configuration, from the places
//! that give them: rootfs/os-config.yml, rootfs/catalogue, kernel-config/kernel.toml and the tables of crate config. And the picture of the crates,
//! from their manifests.
//!
//! Made are tables of docs/security.md, a part of ARCHITECTURE.md, and qemu/confinement.toml, which the test of the booted system compares with
//! what runs. `cargo xtask tidy` fails when one of them is not up to date. The manual pages of `ros` are written into dist/man.
//! Then each link of the documentation is followed.

mod configuration;
mod crates;
mod kernel;
mod service;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

use crate::kernel::Declaration;
use crate::tidy::edges::Metadata;
use crate::workspace::Build;
use crate::{progress, tidy};
use service::{Reasoned, Service};

/// Where the rights are given.
const SOURCE: &str = "rootfs/os-config.yml";
/// Services that are off until they are enabled.
const CATALOGUE: &str = "rootfs/catalogue";
/// For people.
const PAGE: &str = "docs/security.md";
/// For the test.
const DATA: &str = "qemu/confinement.toml";
/// What stands between these is made.
const BEGIN: &str = "<!-- made by `cargo xtask docs` from rootfs/os-config.yml: begin -->\n";
const IN_CATALOGUE: &str = "<!-- made by `cargo xtask docs` from rootfs/catalogue: begin -->\n";
const END: &str = "<!-- made by `cargo xtask docs`: end -->\n";

/// Where the kernel's table begins.
const KERNEL: &str = "<!-- made by `cargo xtask docs` from kernel-config/kernel.toml: begin -->\n";

/// Options of `cargo xtask docs`.
#[derive(clap::Args)]
pub(crate) struct Options {}

/// Writes them.
pub(crate) fn run(build: &Build, _options: &Options) -> Result<()> {
    for (name, text) in made(&build.root)? {
        let path = build.root.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        progress::note("docs", name);
    }
    man_pages(build)?;
    let broken = tidy::broken_links(build)?;
    if !broken.is_empty() {
        bail!("{}", broken.join("\n"));
    }
    Ok(())
}

/// `ros` writes its manual pages itself, built for this machine with what it does not have on its own.
fn man_pages(build: &Build) -> Result<()> {
    let shell = Shell::new().context("open a shell")?;
    shell.change_dir(&build.root);
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let folder = build.dist().join("man");
    let said = cmd!(
        shell,
        "{cargo} run --quiet --package ros --features man-pages -- man-pages {folder}"
    )
    .quiet()
    .read()
    .context("write the manual pages of ros")?;
    progress::note("docs", &said);
    Ok(())
}

/// A complaint for each file that is not what its source says.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for (name, text) in made(root)? {
        // A missing file is not up to date either.
        if fs::read_to_string(root.join(name)).unwrap_or_default() != text {
            complaints.push(format!(
                "{name} is not what its source says: run `cargo xtask docs`"
            ));
        }
    }
    Ok(complaints)
}

/// The files with their text.
fn made(root: &Path) -> Result<[(&'static str, String); 5]> {
    let read = |name: &str| {
        let path = root.join(name);
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    };
    let services = service::read(SOURCE, &read(SOURCE)?)?;
    let catalogue = catalogue(root)?;
    let declaration = Declaration::read_in(root)?;
    let page = fill(PAGE, &read(PAGE)?, BEGIN, &tables(&services))?;
    let page = fill(PAGE, &page, IN_CATALOGUE, &tables(&catalogue))?;
    let page = fill(PAGE, &page, KERNEL, &kernel::table(&declaration.open))?;
    let picture = crates::picture(&Metadata::read(root)?);
    let architecture = fill(crates::PAGE, &read(crates::PAGE)?, crates::BEGIN, &picture)?;
    Ok([
        (PAGE, page),
        (crates::PAGE, architecture),
        (DATA, data(&services)),
        (configuration::PAGE, configuration::page(&read(SOURCE)?)),
        (configuration::SCHEMA, configuration::schema()),
    ])
}

/// The services of the catalogue, by the names of their files.
fn catalogue(root: &Path) -> Result<Vec<Service>> {
    let folder = root.join(CATALOGUE);
    let entries = fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()
        .with_context(|| format!("read {}", folder.display()))?;
    files.sort();
    let mut services = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        services.extend(service::read(&file.display().to_string(), &text)?);
    }
    Ok(services)
}

/// The page called `name` with `text` between the line `begin` and the end that follows it.
fn fill(name: &str, page: &str, begin: &str, text: &str) -> Result<String> {
    let split = page.split_once(begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let Some((before, after)) = split else {
        bail!("{name} has not the lines {begin:?} and {END:?}");
    };
    Ok(format!("{before}{begin}\n{text}\n{END}{after}"))
}

fn data(services: &[Service]) -> String {
    let mut text = String::from(
        "# What each system service may do. Made by `cargo xtask docs` from rootfs/os-config.yml; the test\n\
         # confinement_services_have_no_more_than_they_declare compares it with what runs.\n",
    );
    for service in services {
        let names = service
            .capabilities
            .iter()
            .map(|item| format!("{:?}", item.what));
        let names: Vec<String> = names.collect();
        // A string takes what is written.
        let _ = write!(
            text,
            "\n[{}]\nprivileged = {}\nseccomp = {}\napparmor = {:?}\ncapabilities = [{}]\n",
            service.name,
            service.privileged.is_some(),
            service.seccomp() != "none",
            service.apparmor(),
            names.join(", ")
        );
    }
    text
}

fn tables(services: &[Service]) -> String {
    let mut text = String::from(
        "| service | capabilities | of the host's | seccomp | AppArmor | root |\n|---|---|---|---|---|---|\n",
    );
    for service in services {
        let capabilities = match (&service.privileged, service.capabilities.len()) {
            (Some(_), _) => "all (privileged)".to_owned(),
            (None, 0) => "none".to_owned(),
            _ => words(&service.capabilities),
        };
        let _ = writeln!(
            text,
            "| [{0}](#{0}) | {1} | {2} | {3} | {4} | {5} |",
            service.name,
            capabilities,
            or_none(&words(&service.namespaces)),
            service.seccomp(),
            service.apparmor(),
            if service.read_only {
                "read-only"
            } else {
                "writable"
            }
        );
    }
    for service in services {
        let _ = write!(text, "\n### {}\n\n{}\n\n", service.name, service.about);
        if let Some(reason) = &service.privileged {
            let _ = writeln!(text, "- privileged: {reason}");
        }
        let lists = [
            ("capability", &service.capabilities),
            ("namespace of the host", &service.namespaces),
            ("security option", &service.security),
            ("device", &service.devices),
            ("mount", &service.mounts),
        ];
        for (kind, items) in lists {
            for Reasoned { what, why } in items {
                let why = if why.is_empty() {
                    String::new()
                } else {
                    format!(": {why}")
                };
                let _ = writeln!(text, "- {kind} `{what}`{why}");
            }
        }
    }
    text
}

fn words(items: &[Reasoned]) -> String {
    let words: Vec<&str> = items.iter().map(|item| item.what.as_str()).collect();
    words.join(", ")
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_every_right_with_its_reason() {
        let text = "rancher:\n  services:\n    # Says the time.\n    clock:\n      image: x\n      net: host # packets\n      \
                    read_only: true\n      security_opt:\n      - apparmor=unconfined # sets the clock\n      cap_drop: [ALL]\n      cap_add:\n      - SETGID # other user\n      - SETUID\n      \
                    volumes:\n      - /a:/b:ro # words\n    # Shell.\n    shell:\n      # The operator's.\n      privileged: true\n      image: y\n";
        let services = service::read("test", text).unwrap();
        let page = tables(&services);
        for line in [
            "| [clock](#clock) | SETGID, SETUID | net | default | unconfined | read-only |",
            "| [shell](#shell) | all (privileged) | none | none | unconfined | writable |",
            "- security option `apparmor=unconfined`: sets the clock",
            "- capability `SETUID`: other user",
            "- mount `/a:/b:ro`: words",
            "- privileged: The operator's.",
            "Says the time.",
        ] {
            assert!(page.lines().any(|known| known == line), "{line}\n{page}");
        }
        assert!(data(&services).contains(
            "[clock]\nprivileged = false\nseccomp = true\napparmor = \"unconfined\"\ncapabilities = [\"SETGID\", \"SETUID\"]\n"
        ));
    }

    #[test]
    fn a_service_without_cap_drop_is_an_error() {
        let text = "rancher:\n  services:\n    clock:\n      image: x\n";
        assert!(service::read("test", text).is_err());
    }
}
