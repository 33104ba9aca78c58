//! The file that `ros config set`, `merge` and `ros service enable` write: the machine's own configuration.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use config::schema::CLOUD_CONFIG;
use config::{Location, Node, Problem, Severity, Value, check, emit, merge, parse};

/// The file, read.
#[derive(Debug)]
pub(crate) struct OwnFile {
    path: PathBuf,
    tree: Node,
}

impl OwnFile {
    /// Reads it; an absent one is empty.
    ///
    /// # Errors
    /// One that is not YAML is not overwritten.
    pub(crate) fn read() -> anyhow::Result<Self> {
        Self::read_from(machine_config::own_file())
    }

    fn read_from(path: PathBuf) -> anyhow::Result<Self> {
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            result => result.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let (tree, _) =
            parse(&path.display().to_string(), &text).context("mend or remove the file first")?;
        Ok(Self { path, tree })
    }

    /// Sets a key to a value in YAML; `null` takes the key out.
    ///
    /// # Errors
    /// A key that is not known, or a value that does not fit it.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> anyhow::Result<Vec<Problem>> {
        let parts = config::command_line::key_parts(key);
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let (value, _) = parse("VALUE", &format!("value: {value}"))
            .or_else(|_| parse("VALUE", &format!("value: {:?}", value)))?;
        let Some(value) = value.get("value").cloned() else {
            bail!("the value is empty: null takes a key out");
        };
        if value.value.is_nothing() {
            remove(&mut self.tree, &parts);
            return Ok(Vec::new());
        }
        let at = Location::built_in();
        let mut change = Node::empty();
        change.set(&parts, &at, value.clone());
        let problems = checked(change)?;
        self.tree.set(&parts, &at, value);
        Ok(problems)
    }

    /// Sets a key that is known to be text.
    pub(crate) fn set_text(&mut self, key: &str, text: &str) {
        let parts: Vec<&str> = key.split('.').collect();
        let at = Location::built_in();
        let value = Node::new(at.clone(), Value::String(text.to_owned()));
        self.tree.set(&parts, &at, value);
    }

    /// As [`Self::set`], with the key in parts: a part may have dots.
    ///
    /// # Errors
    /// As for [`Self::set`].
    pub(crate) fn set_at(&mut self, parts: &[&str], value: &str) -> anyhow::Result<()> {
        let (value, _) = parse("VALUE", &format!("value: {value}"))?;
        match value.get("value") {
            Some(value) if !value.value.is_nothing() => {
                self.tree.set(parts, &Location::built_in(), value.clone());
            }
            _ => remove(&mut self.tree, parts),
        }
        Ok(())
    }

    /// Lays a document over it.
    ///
    /// # Errors
    /// A document with an error.
    pub(crate) fn merge(&mut self, name: &str, text: &str) -> anyhow::Result<Vec<Problem>> {
        let (node, mut problems) = parse(name, text)?;
        if problems
            .iter()
            .any(|problem| problem.severity == Severity::Error)
        {
            bail!("{}", lines(&problems));
        }
        problems.extend(checked(node.clone())?);
        merge(&mut self.tree, node);
        Ok(problems)
    }

    /// Writes it, for nobody else to read: it holds passwords.
    ///
    /// # Errors
    /// A file that cannot be written; the old one then stands.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        let text = format!("#cloud-config\n{}", emit::to_yaml(&self.tree));
        Ok(cloud_init::store::write_atomic(
            &self.path,
            text.as_bytes(),
            0o600,
        )?)
    }

    /// The file's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// What is wrong with a change, if all of it can be taken; an unknown key is an error here: somebody is there to read it.
fn checked(change: Node) -> anyhow::Result<Vec<Problem>> {
    let mut problems = Vec::new();
    check(change, &CLOUD_CONFIG, &mut problems);
    let bad: Vec<Problem> = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error || problem.is_unknown_key())
        .cloned()
        .collect();
    if bad.is_empty() {
        return Ok(problems);
    }
    bail!("{}", lines(&bad))
}

fn lines(problems: &[Problem]) -> String {
    let line = |problem: &Problem| {
        // Here the whole change is refused.
        let words = problem
            .message
            .trim_end_matches("it is ignored")
            .trim_end_matches("It is ignored")
            .trim_end();
        format!("{}: {words}", problem.key)
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Takes a key out, and the maps above it that are empty then.
pub(crate) fn remove(node: &mut Node, path: &[&str]) {
    let (Value::Map(map), Some((first, rest))) = (&mut node.value, path.split_first()) else {
        return;
    };
    if rest.is_empty() {
        map.remove(*first);
        return;
    }
    if let Some(entry) = map.get_mut(*first) {
        remove(&mut entry.node, rest);
        if entry
            .node
            .as_map()
            .is_some_and(std::collections::BTreeMap::is_empty)
        {
            map.remove(*first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (tempfile::TempDir, OwnFile) {
        let folder = tempfile::tempdir().unwrap();
        let file = OwnFile::read_from(folder.path().join("cloud-config.yml")).unwrap();
        (folder, file)
    }

    #[test]
    fn values_are_yaml_and_come_back_after_writing() {
        let (_folder, mut file) = file();
        for (key, value) in [
            ("hostname", "a"),
            ("rancher.network.dns.search", "[a, b]"),
            ("rancher.debug", "true"),
            ("rancher.sysctl.net.ipv4.ip_forward", "1"),
            ("rancher.docker.registry_mirror", "https://m:5000"),
            ("rancher.docker.extra_args", "[]"),
        ] {
            file.set(key, value).unwrap();
        }
        file.write().unwrap();
        let again = OwnFile::read_from(file.path().to_owned()).unwrap();
        let get = |key: &str| again.tree.get(key).map(emit::to_yaml).unwrap_or_default();
        assert_eq!(get("rancher.network.dns.search"), "- a\n- b\n");
        assert_eq!(get("rancher.docker.extra_args"), "[]\n");
        assert_eq!(get("rancher.sysctl.net.ipv4.ip_forward"), "1\n");
        assert_eq!(get("rancher.docker.registry_mirror"), "https://m:5000\n");
    }

    #[test]
    fn what_does_not_fit_is_refused_and_null_takes_a_key_out() {
        let (_folder, mut file) = file();
        assert!(
            file.set("hostnam", "a")
                .unwrap_err()
                .to_string()
                .contains("hostname")
        );
        assert!(file.set("rancher.debug", "perhaps").is_err());
        assert!(file.merge("x", "rancher: {debug: [a]}").is_err());
        assert!(file.merge("x", "a: [\n").is_err());
        file.set("rancher.debug", "true").unwrap();
        file.set("rancher.debug", "null").unwrap();
        assert_eq!(emit::to_yaml(&file.tree), "{}\n");
        let warned = file.set("rancher.console", "debian").unwrap();
        assert!(warned[0].message.starts_with("not applied"));
    }

    #[test]
    fn a_document_is_laid_over_what_is_there() {
        let (_folder, mut file) = file();
        file.set("hostname", "a").unwrap();
        file.merge("x", "#cloud-config\r\nrancher:\r\n  debug: true\r\n")
            .unwrap();
        assert_eq!(
            emit::to_yaml(&file.tree),
            "hostname: a\nrancher:\n  debug: true\n"
        );
    }

    #[test]
    fn a_file_that_is_not_yaml_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.yml");
        fs::write(&path, "a: [\n").unwrap();
        assert!(OwnFile::read_from(path).is_err());
    }
}
