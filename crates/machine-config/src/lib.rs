//! The configuration of this machine as it lies on disk: the one place that knows the files, their order and their limits.
//!
//! PID 1 and `ros` read the same layers with it, so that they cannot disagree: the built-in configuration, the
//! vendor's file (OEM), the directory of cloud-init and the installer, what `ros config set` wrote, the kernel command
//! line, and the metadata of the datasource where all of these are silent; at last a name that a DHCP server gave.
//!
//! [`plan`] says what a change of it does to a running machine, and [`apply`] is what `ros` and PID 1 say to each other
//! about one.
//!
//! **Belongs here:** paths, order of precedence and limits of the files of configuration on this machine.
//!
//! **Not here:** this crate does not write, apply or fetch anything.
//!
//! **May import:** `config`, `json-reader`, `sys` of our crates.

pub mod apply;
pub mod catalogue;
pub mod defaults;
mod env_files;
mod files;
pub mod lease_names;
mod metadata;
pub mod plan;
pub mod preload;
pub mod reset;
mod service_files;
pub mod variables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config::include::{self, Include};
use config::{CommandLine, Loaded, Problem, Severity, Source};

use crate::lease_names::{LONGEST_NAME, LeaseName};

pub use metadata::{METADATA, Metadata, MetadataError, load_metadata};
pub use service_files::{is_built_in, with_files};

/// The built-in configuration; the lowest precedence.
pub const BUILT_IN: &str = config::BUILT_IN;
/// A vendor's configuration, on the file system that `rancher.state.oem_dev` names.
pub const OEM: &str = "/usr/share/ros/oem/oem-config.yml";
/// The machine's own configuration files.
pub const CONF: &str = "/var/lib/rancher/conf";
/// What cloud-init found and what the installer was given, below [`CONF`]; read in name order.
pub const CLOUD_CONFIG_DIRECTORY: &str = "cloud-config.d";
/// What `ros config set` and `merge` write, below [`CONF`]; it wins over the directory.
pub const CLOUD_CONFIG: &str = "cloud-config.yml";

/// The name of a machine that has none (RancherOS's default).
pub const DEFAULT_HOST_NAME: &str = "rancher";

/// Where the layers lie.
#[derive(Debug, Clone)]
pub struct Places {
    /// The built-in configuration.
    pub built_in: PathBuf,
    /// The vendor's configuration.
    pub oem: PathBuf,
    /// The directory of the machine's own files.
    pub conf: PathBuf,
    /// The kernel command line.
    pub command_line: PathBuf,
    /// The directory of what DHCP servers said.
    pub leases: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            built_in: BUILT_IN.into(),
            oem: OEM.into(),
            conf: CONF.into(),
            command_line: "/proc/cmdline".into(),
            leases: lease_names::DIRECTORY.into(),
        }
    }
}

/// User data begins so, in [`CLOUD_CONFIG_DIRECTORY`]: one file a document.
const USER_DATA: &str = "boot.yml";

impl Places {
    /// Whether a file is the machine's own: neither the system's nor its vendor's, nor user data, which is filled when it is kept.
    fn is_own(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.starts_with(&self.conf) && !name.starts_with(USER_DATA)
    }

    /// The files in order of precedence, the lowest first; some of them may not exist.
    fn files(&self) -> (Vec<PathBuf>, Vec<Problem>) {
        let mut files = vec![self.built_in.clone(), self.oem.clone()];
        let (found, problems) = files::directory(&self.conf.join(CLOUD_CONFIG_DIRECTORY));
        files.extend(found);
        files.push(self.conf.join(CLOUD_CONFIG));
        (files, problems)
    }
}

/// What the machine is told to be.
#[derive(Debug, Clone, Default)]
pub struct MachineConfig {
    /// Merged configuration with its problems.
    pub loaded: Loaded,
    /// Metadata of the datasource.
    pub metadata: Metadata,
    /// Kernel command line.
    pub command_line: CommandLine,
    /// The name that a DHCP server gave.
    pub lease: Option<LeaseName>,
    /// Services of catalogues that are on and whose files are not here, by name. A boot fetches them, so that it is not yet a problem.
    pub unfetched: BTreeMap<String, Problem>,
    /// Variables of the machine's own files that its datasource does not fill. Before it was asked that is not yet a problem.
    pub unfilled: Vec<Problem>,
}

impl MachineConfig {
    /// Reads everything; a file that cannot be read is a problem among the others.
    pub fn load() -> Self {
        Self::load_from(&Places::default())
    }

    /// The machine's own part: without what the system and its vendor bring.
    pub fn load_own() -> Self {
        Self::load_from(&Places {
            built_in: "/nonexistent".into(),
            oem: "/nonexistent".into(),
            ..Places::default()
        })
    }

    /// The built-in configuration and the command line: what there is before the state partition is found.
    pub fn load_early() -> Self {
        Self::load_from(&Places {
            oem: "/nonexistent".into(),
            conf: "/nonexistent".into(),
            leases: "/nonexistent".into(),
            ..Places::default()
        })
    }

    /// What documents make of a machine that has no other files, laid over each other and over what the system brings: each
    /// with its name. Nothing of this machine counts but the files of services that they include. `system` is what the system
    /// brings, for a machine that does not run it.
    pub fn of_documents(documents: Vec<(String, String)>, system: &str) -> Self {
        let places = Places::default();
        let mut problems = Vec::new();
        let built_in = files::read(&places.built_in, &mut problems);
        let built_in = built_in.unwrap_or_else(|| system.to_owned());
        let mut texts = vec![(places.built_in.display().to_string(), built_in)];
        texts.extend(documents);
        let loaded = defaults::load(&sources(&texts), &CommandLine::default());
        let mut machine = Self {
            loaded,
            ..Self::default()
        };
        machine.finish(&places, problems);
        machine
    }

    /// Reads the layers of `places`.
    pub fn load_from(places: &Places) -> Self {
        let (files, mut problems) = places.files();
        let line = files::read(&places.command_line, &mut problems).unwrap_or_default();
        let command_line = CommandLine::parse(&line);
        let metadata = load_metadata(&places.conf).unwrap_or_else(|error| {
            problems.push(files::problem(
                &places.conf.join(METADATA),
                &error.to_string(),
            ));
            Metadata::default()
        });
        let mut unfilled = Vec::new();
        let mut texts = Vec::new();
        for path in &files {
            let name = path.display().to_string();
            if let Some(text) = files::read(path, &mut problems) {
                let text = if places.is_own(path) {
                    variables::fill_file(&name, text, &metadata, &mut unfilled)
                } else {
                    text
                };
                texts.push((name, text));
            }
        }
        let mut machine = Self {
            loaded: load_over(&sources(&texts), &command_line, &metadata, places),
            metadata,
            command_line,
            lease: LeaseName::load(&places.leases),
            unfilled,
            ..Self::default()
        };
        machine.finish(places, problems);
        machine
    }

    /// Adds the services that are included, and what is wrong beyond the documents.
    fn finish(&mut self, places: &Places, mut problems: Vec<Problem>) {
        let loaded = &mut self.loaded;
        for include in include::includes(loaded) {
            match include {
                Include::File(path) => match files::try_read(Path::new(&path), &mut problems) {
                    Ok(Some(text)) => include::add(loaded, &path, &text),
                    Ok(None) => add_unwritten(loaded, &path),
                    Err(error) => include::refuse(loaded, &path, &error.to_string()),
                },
                Include::BuiltIn(name, text) => include::add(loaded, &name, text),
                Include::Catalogue(name) => {
                    if add_fetched(loaded, &name, &places.conf, &mut problems) {
                        continue;
                    }
                    if catalogue::is_elsewhere(&loaded.config, &name, &places.conf) {
                        let said = include::refusal(loaded, &name, include::NOT_FETCHED);
                        self.unfetched.insert(name, said);
                    } else {
                        include::refuse(loaded, &name, include::reason(&name));
                    }
                }
                Include::Refused(name, reason) => include::refuse(loaded, &name, &reason),
            }
        }
        env_files::add(loaded);
        loaded.problems.extend(problems);
        self.check_hostname();
    }

    /// Adds the services of catalogues whose files have come since this was read.
    pub fn add_fetched(loaded: &mut Loaded) {
        for include in include::includes(loaded) {
            if let Include::Catalogue(name) = include {
                // What is wrong with it is said when all is read
                add_fetched(loaded, &name, Path::new(CONF), &mut Vec::new());
            }
        }
    }

    /// Name of the machine: configuration, then metadata, then a DHCP server's, then the default.
    pub fn hostname(&self) -> &str {
        let lease = self.lease.as_ref().map(|lease| lease.name.as_str());
        let default = self.loaded.config.rancher.defaults.hostname.as_deref();
        self.given_hostname()
            .or(lease)
            .or(default.filter(|name| is_hostname(name)))
            .unwrap_or(DEFAULT_HOST_NAME)
    }

    /// The name that the configuration or the metadata give it: no DHCP server changes that.
    pub fn given_hostname(&self) -> Option<&str> {
        let config = &self.loaded.config;
        let (first, second) = if config.prefer_fqdn_over_hostname == Some(true) {
            (&config.fqdn, &config.hostname)
        } else {
            (&config.hostname, &config.fqdn)
        };
        let names = [first, second, &self.metadata.hostname];
        let name = names.into_iter().flatten().find(|name| is_hostname(name));
        name.map(String::as_str)
    }

    /// Whether `rancher.disable` names a feature.
    pub fn is_disabled(&self, feature: &str) -> bool {
        let disabled = &self.loaded.config.rancher.disable;
        disabled.iter().any(|name| name == feature)
    }

    /// Problems that cost a value or a file.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        let problems = self.loaded.problems.iter();
        problems.filter(|problem| problem.severity == Severity::Error)
    }

    /// A name that no host can have is not silently replaced by another one.
    fn check_hostname(&mut self) {
        let Some(node) = self.loaded.tree.get("hostname") else {
            return;
        };
        if !node.as_str().is_some_and(is_hostname) {
            let message = format!(
                "expected a host name (letters, digits, '-' and '.', at most {LONGEST_NAME} characters); it is ignored"
            );
            let problem = Problem::error(&node.at, "hostname", message);
            self.loaded.problems.push(problem);
        }
    }
}

fn sources(texts: &[(String, String)]) -> Vec<Source<'_>> {
    texts
        .iter()
        .map(|(name, text)| Source { name, text })
        .collect()
}

/// The layers, with the network of the datasource below the machine's own files and above what the system brings.
fn load_over(
    sources: &[Source<'_>],
    command_line: &CommandLine,
    metadata: &Metadata,
    places: &Places,
) -> Loaded {
    let loaded = defaults::load(sources, command_line);
    let Some(text) = metadata.network_document(&loaded.tree) else {
        return loaded;
    };
    let name = places.conf.join(METADATA).display().to_string();
    let mut sources = sources.to_vec();
    let below = [&places.built_in, &places.oem].map(|path| path.display().to_string());
    let place = sources
        .iter()
        .take_while(|source| below.iter().any(|path| path == source.name))
        .count();
    sources.insert(
        place,
        Source {
            name: &name,
            text: &text,
        },
    );
    defaults::load(&sources, command_line)
}

/// Adds a service of a catalogue. False when its file is not here.
fn add_fetched(loaded: &mut Loaded, name: &str, conf: &Path, problems: &mut Vec<Problem>) -> bool {
    let file = catalogue::file(&loaded.config, name, conf);
    let Some((text, path)) = file.and_then(|path| Some((files::read(&path, problems)?, path)))
    else {
        return false;
    };
    include::add(loaded, &path.display().to_string(), &text);
    true
}

/// Adds a file of services that is not there: `write_files` may have its text, which cloud-init has not written yet.
fn add_unwritten(loaded: &mut Loaded, path: &str) {
    let mut files = loaded.config.write_files.iter().rev();
    let file = files.find(|file| file.path.as_deref() == Some(path) && file.container.is_none());
    match file {
        Some(file) if file.encoding.is_none() => {
            let text = file.content.clone().unwrap_or_default();
            include::add(loaded, path, &text);
        }
        Some(_) => {} // cloud-init unpacks it, and the configuration is read again
        None => include::refuse(loaded, path, "the file does not exist"),
    }
}

/// Whether a name can be a host name: letters, digits, `-`, `_` and dots, at most 64 characters (sethostname(2)).
pub fn is_hostname(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && !name.starts_with(['-', '.'])
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))
}

/// The path that `ros config set` writes.
pub fn own_file() -> PathBuf {
    Path::new(CONF).join(CLOUD_CONFIG)
}

#[cfg(test)]
mod tests;
