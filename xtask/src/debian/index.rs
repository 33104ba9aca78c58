//! `Packages`: what an archive has, by name and by what it provides.

use std::collections::HashMap;

use anyhow::{Context, Result};

use super::dependency::{self, Dependency};
use super::{control, version};

/// Which of Debian's archives a package comes from.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// The main archive: the suite and its updates.
    Main,
    /// The security archive.
    Security,
}

/// One version of a package.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    /// Name.
    pub(crate) name: String,
    /// Version.
    pub(crate) version: String,
    /// Archive that has it.
    pub(crate) origin: Origin,
    /// Path below the archive's base address.
    pub(crate) path: String,
    /// SHA-256 of the file.
    pub(crate) sha256: String,
    /// Size of the file in bytes.
    pub(crate) size: u64,
    depends: String,
}

impl Package {
    /// `Pre-Depends` and `Depends`.
    pub(crate) fn dependencies(&self) -> Result<Vec<Vec<Dependency>>> {
        dependency::parse_groups(&self.depends)
            .with_context(|| format!("dependencies of {}", self.name))
    }
}

/// All packages of the suites in use.
#[derive(Default)]
pub(crate) struct Index {
    packages: HashMap<String, Vec<Package>>,
    providers: HashMap<String, Vec<Provider>>,
}

/// A package that provides a virtual one.
struct Provider {
    package: String,
    package_version: String,
    provided_version: Option<String>,
}

impl Index {
    /// Adds the stanzas of one `Packages` file.
    pub(crate) fn add(&mut self, text: &str, origin: Origin) -> Result<()> {
        for stanza in control::stanzas(text) {
            let field = |name: &str| stanza.get(name).unwrap_or_default();
            let required = |name: &'static str| {
                stanza
                    .get(name)
                    .with_context(|| format!("package {} has no {name}", field("Package")))
            };
            let name = required("Package")?.to_owned();
            let package = Package {
                version: required("Version")?.to_owned(),
                origin,
                path: required("Filename")?.to_owned(),
                sha256: required("SHA256")?.to_owned(),
                size: required("Size")?
                    .parse()
                    .with_context(|| format!("size of {name}"))?,
                depends: [field("Pre-Depends"), field("Depends")].join(","),
                name: name.clone(),
            };
            for provided in dependency::parse_groups(field("Provides"))?
                .into_iter()
                .flatten()
            {
                self.providers
                    .entry(provided.name)
                    .or_default()
                    .push(Provider {
                        package: name.clone(),
                        package_version: package.version.clone(),
                        provided_version: provided.version.map(|(_, version)| version),
                    });
            }
            self.packages.entry(name).or_default().push(package);
        }
        Ok(())
    }

    /// The newest version of `name`, or the pinned one if the archive still has it.
    pub(crate) fn candidate(&self, name: &str, pinned: Option<&str>) -> Option<&Package> {
        let versions = self.packages.get(name)?;
        pinned
            .and_then(|pinned| versions.iter().find(|package| package.version == pinned))
            .or_else(|| {
                versions
                    .iter()
                    .max_by(|one, two| version::compare(&one.version, &two.version))
            })
    }

    /// Names of packages whose version `version_of` names provides what is asked for.
    pub(crate) fn providers(
        &self,
        wanted: &Dependency,
        version_of: impl Fn(&str) -> Option<String>,
    ) -> Vec<String> {
        let mut names: Vec<String> = self
            .providers
            .get(&wanted.name)
            .into_iter()
            .flatten()
            .filter(|provider| wanted.accepts_provided(provider.provided_version.as_deref()))
            .filter(|provider| {
                version_of(&provider.package).as_deref() == Some(provider.package_version.as_str())
            })
            .map(|provider| provider.package.clone())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Number of package names.
    pub(crate) fn len(&self) -> usize {
        self.packages.len()
    }
}
