//! Which crate of ours may import which: only lower layers, never sideways or up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use duct::cmd;
use serde::Deserialize;

use crate::workspace::Build;

/// Every crate, and the crates of ours it may import. ARCHITECTURE.md says what each is for.
pub(super) const ALLOWED: &[(&str, &[&str])] = &[
    ("corpus", &[]),
    ("json-reader", &[]),
    ("config", &["json-reader"]),
    ("sys", &[]),
    ("oci-image", &["sys"]),
    ("engine-api", &["json-reader"]),
    ("oci-transfer", &["oci-image"]),
    ("worker", &["sys", "oci-image", "oci-transfer"]),
    ("objects", &["engine-api", "json-reader", "sys"]),
    ("network", &["engine-api", "json-reader", "objects", "sys"]),
    ("runtime", &["json-reader", "sys"]),
    (
        "images",
        &["engine-api", "json-reader", "objects", "oci-image", "sys"],
    ),
    (
        "engine",
        &[
            "engine-api",
            "images",
            "json-reader",
            "network",
            "objects",
            "oci-image",
            "runtime",
            "sys",
        ],
    ),
    (
        "engine-server",
        &["engine", "engine-api", "images", "json-reader", "sys"],
    ),
    ("compose", &["config", "engine-api", "oci-image"]),
    ("netconf", &["config", "sys"]),
    ("install", &[]),
    ("machine-config", &["config", "json-reader", "sys"]),
    ("cloud-init", &["config", "machine-config", "sys"]),
    ("system-docker", &["compose", "engine-api", "sys"]),
    (
        "init",
        &[
            "config",
            "compose",
            "engine",
            "engine-api",
            "engine-server",
            "images",
            "install",
            "json-reader",
            "machine-config",
            "oci-image",
            "network",
            "runtime",
            "sys",
        ],
    ),
    (
        "ros",
        &[
            "config",
            "compose",
            "engine-api",
            "netconf",
            "oci-image",
            "cloud-init",
            "install",
            "machine-config",
            "sys",
            "system-docker",
        ],
    ),
    ("xtask", &["config", "install", "oci-image", "oci-transfer"]),
    ("qemu-test", &["install"]),
];

/// What only a crate's tests may import on top of that.
const ALLOWED_IN_TESTS: &[(&str, &[&str])] = &[
    ("cloud-init", &["corpus"]),
    ("engine", &["corpus"]),
    ("engine-server", &["corpus"]),
    ("images", &["oci-transfer", "worker"]),
    ("network", &["corpus"]),
    ("oci-image", &["corpus"]),
    ("oci-transfer", &["corpus"]),
];

/// What is read of `cargo metadata`.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    packages: Vec<Package>,
}

impl Metadata {
    /// Of the workspace at `root`.
    ///
    /// # Errors
    /// When cargo fails, for one because a manifest is wrong.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let text = cmd!(cargo, "metadata", "--no-deps", "--format-version", "1")
            .dir(root)
            .read()
            .context("run cargo metadata")?;
        serde_json::from_str(&text).context("parse cargo metadata")
    }

    /// Every crate, and the crates of ours that it imports, tests aside; both in alphabetical order.
    pub(crate) fn imports(&self) -> BTreeMap<String, Vec<String>> {
        let imports = |package: &Package| {
            let ours = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.path.is_some() && dependency.kind.is_none());
            let names: BTreeSet<&str> = ours.map(|dependency| dependency.name.as_str()).collect();
            names.into_iter().map(str::to_owned).collect()
        };
        self.packages
            .iter()
            .map(|package| (package.name.clone(), imports(package)))
            .collect()
    }
}

/// One crate of the workspace.
#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

/// One line of a crate's dependencies; `path` is there for ours, `kind` is `dev` for those of tests.
#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    path: Option<String>,
}

/// Compares the manifests with the table.
pub(super) fn check(build: &Build) -> Result<Vec<String>> {
    Ok(compare(&Metadata::read(&build.root)?))
}

fn compare(metadata: &Metadata) -> Vec<String> {
    let mut complaints = BTreeSet::new();
    for package in &metadata.packages {
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == package.name) else {
            complaints.insert(format!(
                "crate {} is not in the table of crates (xtask/src/tidy/edges.rs)",
                package.name
            ));
            continue;
        };
        for dependency in package
            .dependencies
            .iter()
            .filter(|dependency| dependency.path.is_some())
        {
            let in_tests = dependency.kind.as_deref() == Some("dev")
                && ALLOWED_IN_TESTS.iter().any(|(name, allowed)| {
                    *name == package.name && allowed.contains(&dependency.name.as_str())
                });
            if !in_tests && !allowed.contains(&dependency.name.as_str()) {
                complaints.insert(format!(
                    "crate {} imports {}, which the table of crates does not allow",
                    package.name, dependency.name
                ));
            }
        }
    }
    complaints.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, imports: &[&str]) -> Package {
        let dependency = |name: &&str| Dependency {
            name: (*name).to_owned(),
            kind: None,
            path: Some("/".to_owned()),
        };
        Package {
            name: name.to_owned(),
            dependencies: imports.iter().map(dependency).collect(),
        }
    }

    #[test]
    fn an_import_upwards_and_an_unknown_crate_are_told() {
        let packages = vec![
            package("engine", &["sys"]),
            package("sys", &["engine"]),
            package("misc", &[]),
        ];
        let complaints = compare(&Metadata { packages });
        assert_eq!(complaints.len(), 2);
        assert!(complaints[1].starts_with("crate sys imports engine"));
    }

    #[test]
    fn the_table_has_no_cycle() {
        for (index, (_, allowed)) in ALLOWED.iter().enumerate() {
            for name in *allowed {
                assert!(
                    ALLOWED[..index].iter().any(|(lower, _)| lower == name),
                    "{name} does not stand above"
                );
            }
        }
    }
}
