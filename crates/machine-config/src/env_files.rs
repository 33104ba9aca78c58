//! `env_file` of services: files of `NAME=VALUE` lines, below what the service's own `environment` says.
//!
//! PID 1 reads them, so they are few, small, root's, and below the machine's own files.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path};

use config::cloud_config::StringMap;
use config::{Loaded, Location, Problem};

use crate::CONF;

/// Most bytes of a file: more than a hundred long variables.
const MAX_BYTES: u64 = 64 << 10;
/// Most files of a service that are read.
const MAX_FILES: usize = 16;
const ROOT: u32 = 0;

/// Gives each service the variables of its files; a file that cannot be taken is a problem.
pub(crate) fn add(loaded: &mut Loaded) {
    add_below(loaded, Path::new(CONF), ROOT);
}

fn add_below(loaded: &mut Loaded, folder: &Path, owner: u32) {
    for (name, service) in &mut loaded.config.rancher.services {
        let at = service.at.clone().unwrap_or_else(Location::built_in);
        let mut problem = |message: String| {
            let key = format!("rancher.services.{name}.env_file");
            loaded.problems.push(Problem::error(&at, key, message));
        };
        if service.env_file.len() > MAX_FILES {
            problem(format!("only the first {MAX_FILES} files are read"));
        }
        let mut variables = StringMap::new();
        for path in service.env_file.iter().take(MAX_FILES) {
            match read(Path::new(path), folder, owner).and_then(|text| parse(&text)) {
                Ok(found) => variables.extend(found),
                Err(error) => problem(format!("{path}: {error}")),
            }
        }
        for (name, value) in variables {
            service.environment.entry(name).or_insert(value);
        }
    }
}

fn read(path: &Path, folder: &Path, owner: u32) -> Result<String, String> {
    let climbs = path.components().any(|part| part == Component::ParentDir);
    if !path.starts_with(folder) || climbs {
        return Err(format!("only files below {} are read", folder.display()));
    }
    let file = sys::regular::open(path).map_err(|error| error.to_string())?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if metadata.uid() != owner || metadata.mode() & 0o022 != 0 {
        return Err("not read: it must be root's, and nobody else's to write".to_owned());
    }
    let bytes = sys::regular::read_all(file, MAX_BYTES, path).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

/// Lines as docker's `--env-file` has them: nothing is quoted, and a name alone takes the machine's variable.
fn parse(text: &str) -> Result<StringMap, String> {
    let mut variables = StringMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (line.trim_end(), None),
        };
        if name.is_empty() || name.contains(char::is_whitespace) || line.contains('\0') {
            // The line itself may have a password.
            return Err(format!("line {} is not NAME=VALUE", index + 1));
        }
        variables.insert(name.to_owned(), value);
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// The variables of a service with these files, and what is wrong.
    fn variables(folder: &Path, files: &[&str]) -> (Vec<String>, Vec<String>) {
        let owner = fs::metadata(folder).unwrap().uid();
        let files: Vec<String> = files
            .iter()
            .map(|name| format!("'{}'", folder.join(name).display()))
            .collect();
        let text = format!(
            "rancher: {{services: {{a: {{image: x, environment: [OWN=1], env_file: [{}]}}}}}}",
            files.join(", ")
        );
        let source = config::Source {
            name: "t.yml",
            text: &text,
        };
        let mut loaded = config::load(&[source], &config::CommandLine::default());
        add_below(&mut loaded, folder, owner);
        let service = &loaded.config.rancher.services["a"];
        let variables = service.environment.iter();
        let variables = variables.map(|(name, value)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        });
        let problems = loaded.problems.iter().map(ToString::to_string);
        (variables.collect(), problems.collect())
    }

    #[test]
    fn variables_of_files_are_below_the_services_own() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        };
        write("one", "# a comment\n\nOWN=2\nA='q' # b\nB=\n  HOME\r\n");
        write("two", "B=c=d");
        let (variables, problems) = variables(folder.path(), &["one", "two"]);
        assert_eq!(variables, ["A='q' # b", "B=c=d", "HOME", "OWN=1"]);
        assert!(problems.is_empty(), "{problems:?}");
    }

    #[test]
    fn what_root_did_not_write_there_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("open"), "A=1").unwrap();
        fs::set_permissions(at("open"), fs::Permissions::from_mode(0o666)).unwrap();
        for (name, text) in [
            ("large", "#".repeat(70_000)),
            ("bad", "A=1\npass word=secret\n".to_owned()),
        ] {
            fs::write(at(name), text).unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        for (name, want) in [
            ("open", "it must be root's"),
            ("large", "it is larger than 65536 bytes"),
            ("bad", "line 2 is not NAME=VALUE"),
            ("missing", "no such file or directory"),
            ("../x", "only files below"),
            (".", "it is a directory"),
        ] {
            let (variables, problems) = variables(folder.path(), &[name]);
            assert_eq!(variables, ["OWN=1"], "{name}");
            assert!(
                problems.len() == 1
                    && problems[0].contains(want)
                    && !problems[0].contains("secret"),
                "{name}: {problems:?}"
            );
        }
    }
}
