//! The configuration of this machine as it lies on disk, read in order of precedence.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use cloud_init::{Metadata, store};
use config::{CommandLine, Loaded, Location, Problem, Severity, Source};

/// The built-in configuration.
pub(crate) const BUILT_IN: &str = "/usr/share/ros/os-config.yml";
/// The machine's own configuration files.
pub(crate) const CONF: &str = "/var/lib/rancher/conf";

/// The name of a machine that has none.
const DEFAULT_HOSTNAME: &str = "rancher";

/// Most files of cloud-config.d that are read.
const MAX_FILES: usize = 256;

/// What the machine is told to be.
#[derive(Debug)]
pub(crate) struct MachineConfig {
    /// Merged configuration with its problems.
    pub(crate) loaded: Loaded,
    /// Metadata of the datasource.
    pub(crate) metadata: Metadata,
    /// Kernel command line.
    pub(crate) command_line: CommandLine,
}

impl MachineConfig {
    /// Reads everything; a file that cannot be read is a problem among the others.
    pub(crate) fn load() -> Self {
        Self::load_from(
            Path::new(BUILT_IN),
            Path::new(CONF),
            Path::new("/proc/cmdline"),
        )
    }

    /// The machine's own part: without the built-in configuration.
    pub(crate) fn load_own() -> Self {
        Self::load_from(
            Path::new("/nonexistent"),
            Path::new(CONF),
            Path::new("/proc/cmdline"),
        )
    }

    fn load_from(built_in: &Path, conf: &Path, cmdline: &Path) -> Self {
        let mut problems = Vec::new();
        let mut files = vec![built_in.to_owned()];
        files.extend(cloud_config_d(&conf.join("cloud-config.d")));
        files.push(conf.join("cloud-config.yml"));
        let texts: Vec<(String, String)> = files
            .iter()
            .filter_map(|path| Some((path.display().to_string(), read(path, &mut problems)?)))
            .collect();
        let sources: Vec<Source<'_>> = texts
            .iter()
            .map(|(name, text)| Source { name, text })
            .collect();
        let command_line = CommandLine::parse(&fs::read_to_string(cmdline).unwrap_or_default());
        let mut loaded = config::load(&sources, &command_line);
        let metadata = store::load_metadata(conf).unwrap_or_else(|error| {
            problems.push(problem(&conf.join(store::METADATA), &error.to_string()));
            Metadata::default()
        });
        loaded.problems.extend(problems);
        Self {
            loaded,
            metadata,
            command_line,
        }
    }

    /// Name of the machine: configuration, then metadata, then the default.
    pub(crate) fn hostname(&self) -> &str {
        let config = &self.loaded.config;
        let names = [
            &config.hostname,
            &self.metadata.hostname,
            &config.rancher.defaults.hostname,
        ];
        let name = names.into_iter().flatten().find(|name| is_hostname(name));
        name.map_or(DEFAULT_HOSTNAME, String::as_str)
    }

    /// Keys of the metadata and of the configuration, those that can be keys, each once; and those that cannot.
    pub(crate) fn authorized_keys(&self) -> (Vec<String>, Vec<String>) {
        let mut good: Vec<String> = Vec::new();
        let mut bad = Vec::new();
        let configured = &self.loaded.config.ssh_authorized_keys;
        for key in self.metadata.ssh_authorized_keys.iter().chain(configured) {
            let key = key.trim().to_owned();
            if !cloud_init::authorized_keys::is_public_key(&key) {
                bad.push(key);
            } else if !good.contains(&key) {
                good.push(key);
            }
        }
        (good, bad)
    }

    /// Whether `rancher.disable` names a feature.
    pub(crate) fn is_disabled(&self, feature: &str) -> bool {
        self.loaded
            .config
            .rancher
            .disable
            .iter()
            .any(|name| name == feature)
    }

    /// Problems that cost a value or a file.
    pub(crate) fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.loaded
            .problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
    }
}

/// Whether a name can be a host name: letters, digits, `-` and dots, at most 64 characters (sethostname(2)).
fn is_hostname(name: &str) -> bool {
    const LONGEST: usize = 64;
    !name.is_empty()
        && name.len() <= LONGEST
        && !name.starts_with(['-', '.'])
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))
}

/// Files of a directory in name order; hidden ones are left out.
fn cloud_config_d(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files.truncate(MAX_FILES);
    files
}

fn read(path: &Path, problems: &mut Vec<Problem>) -> Option<String> {
    let limit = config::MAX_DOCUMENT_BYTES as u64 + 1;
    let mut text = String::new();
    let result = fs::File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text));
    match result {
        Ok(_) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            problems.push(problem(path, &format!("cannot be read: {error}")));
            None
        }
    }
}

fn problem(path: &Path, message: &str) -> Problem {
    let file = std::sync::Arc::from(path.display().to_string());
    Problem::error(&Location::new(&file, 0, 0), "", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)], cmdline: &str) -> MachineConfig {
        let root = tempfile::tempdir().unwrap();
        let conf = root.path().join("conf");
        fs::create_dir_all(conf.join("cloud-config.d")).unwrap();
        for (name, text) in files {
            fs::write(root.path().join(name), text).unwrap();
        }
        fs::write(root.path().join("cmdline"), cmdline).unwrap();
        MachineConfig::load_from(
            &root.path().join("os.yml"),
            &conf,
            &root.path().join("cmdline"),
        )
    }

    #[test]
    fn files_are_laid_over_each_other_in_order() {
        let machine = machine(
            &[
                (
                    "os.yml",
                    "hostname: built-in\nrancher: {defaults: {hostname: d}}",
                ),
                (
                    "conf/cloud-config.d/a.yml",
                    "hostname: a\nrancher: {debug: true}",
                ),
                ("conf/cloud-config.d/b.yml", "hostname: b"),
                ("conf/cloud-config.d/.hidden", "hostname: ["),
                ("conf/cloud-config.yml", "rancher: {debug: false}"),
            ],
            "cc.ssh_authorized_keys=['ssh-rsa AAAA k']",
        );
        assert!(
            machine.loaded.problems.is_empty(),
            "{:?}",
            machine.loaded.problems
        );
        assert_eq!(machine.hostname(), "b");
        assert_eq!(machine.loaded.config.rancher.debug, Some(false));
        assert_eq!(machine.authorized_keys().0, ["ssh-rsa AAAA k"]);
    }

    #[test]
    fn metadata_fills_what_the_configuration_leaves_open() {
        let machine = machine(
            &[
                (
                    "conf/metadata",
                    r#"{"hostname": "meta", "ssh_authorized_keys": ["ssh-rsa AAAA m", "junk"]}"#,
                ),
                (
                    "conf/cloud-config.yml",
                    "ssh_authorized_keys: [ssh-rsa AAAA c, ssh-rsa AAAA m]",
                ),
            ],
            "",
        );
        assert_eq!(machine.hostname(), "meta");
        let (good, bad) = machine.authorized_keys();
        assert_eq!(good, ["ssh-rsa AAAA m", "ssh-rsa AAAA c"]);
        assert_eq!(bad, ["junk"]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_problem_and_not_the_end() {
        let machine = machine(
            &[
                ("conf/cloud-config.yml", "hostname: [\n"),
                ("conf/metadata", "{"),
            ],
            "cc.hostname=x",
        );
        assert_eq!(machine.hostname(), "x");
        assert_eq!(machine.errors().count(), 2);
    }

    #[test]
    fn names_that_no_host_can_have_are_not_taken() {
        for name in ["", "-a", "a b", "a/b", "é", &"x".repeat(65)] {
            assert!(!is_hostname(name), "{name}");
        }
        assert!(is_hostname("node-1.example.org"));
    }
}
