//! The cloud-config that an installed machine starts with: fetched, checked, and asked whether anybody can log in.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use config::{CommandLine, Severity, Source};
use sys::process::Command;

/// Longest transfer of a cloud-config.
const FETCH_DEADLINE: Duration = Duration::from_secs(60);

/// A checked cloud-config, or none.
pub(super) struct CloudConfig {
    /// Its text.
    pub(super) text: Option<String>,
    warnings: Vec<String>,
}

impl CloudConfig {
    /// Reads a file or an http(s) address. `append` are the kernel parameters, which can let somebody in, too.
    ///
    /// # Errors
    /// When it cannot be read, or has errors: an installed machine would leave those parts out.
    pub(super) fn get(place: Option<&str>, append: &str) -> anyhow::Result<Self> {
        let text = place.map(read).transpose()?;
        let sources: Vec<Source<'_>> = text
            .iter()
            .map(|text| Source {
                name: place.unwrap_or_default(),
                text,
            })
            .collect();
        let loaded = config::load(&sources, &CommandLine::parse(append));
        let (errors, warnings): (Vec<_>, Vec<_>) = loaded
            .problems
            .iter()
            .partition(|problem| problem.severity == Severity::Error);
        let tell = |problem: &&config::Problem| problem.to_string();
        ensure!(
            errors.is_empty(),
            "the cloud-config has errors, nothing was changed:\n{}",
            errors.iter().map(tell).collect::<Vec<_>>().join("\n")
        );
        let mut warnings: Vec<String> = warnings.iter().map(tell).collect();
        if !somebody_can_log_in(&loaded.config) {
            warnings.push(
                "nobody will be able to log in: give ssh_authorized_keys with -c, or -a rancher.password=...".to_owned(),
            );
        }
        Ok(Self { text, warnings })
    }

    /// For the plan.
    pub(super) fn lines(&self) -> Vec<String> {
        self.warnings
            .iter()
            .map(|warning| format!("  warning: {warning}"))
            .collect()
    }
}

fn somebody_can_log_in(config: &config::Config) -> bool {
    let keys = &config.ssh_authorized_keys;
    keys.iter()
        .any(|key| cloud_init::authorized_keys::is_public_key(key.trim()))
        || config.rancher.password.is_some()
        || !config.rancher.autologin.is_empty()
}

/// A text of a file or of an http(s) address.
///
/// # Errors
/// When it cannot be read, or is too long.
pub(crate) fn read(place: &str) -> anyhow::Result<String> {
    let limit = config::MAX_DOCUMENT_BYTES;
    if !place.starts_with("http://") && !place.starts_with("https://") {
        let length = std::fs::metadata(place)
            .with_context(|| format!("cannot read {place}"))?
            .len();
        ensure!(
            length <= limit as u64,
            "{place} has {length} bytes, more than {limit}"
        );
        return std::fs::read_to_string(place).with_context(|| format!("cannot read {place}"));
    }
    ensure!(
        super::foreign::files().is_none(),
        "{place} cannot be fetched in a container of the image: give a file with -v"
    );
    let output = Command::new("curl")
        .args([
            "--fail",
            "--silent",
            "--show-error",
            "--location",
            "--max-filesize",
        ])
        .args([&limit.to_string(), "--", place])
        .deadline(FETCH_DEADLINE)
        .run()
        .with_context(|| format!("cannot fetch {place}"))?;
    if !output.status.success() {
        bail!(
            "cannot fetch {place}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("{place} is not text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str, append: &str) -> anyhow::Result<CloudConfig> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        CloudConfig::get(file.path().to_str(), append)
    }

    #[test]
    fn errors_stop_the_installation_and_a_machine_without_a_door_is_told() {
        let error = given("hostname: [a]\n", "").err().unwrap().to_string();
        assert!(
            error.contains("nothing was changed") && error.contains("hostname"),
            "{error}"
        );
        assert!(given("a: [\n", "").is_err());
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1bqGHqFYX2kWYhPVvZTnKmTn5Ci6f2vGxzEHY8mJ0w me";
        let with_key = given(&format!("ssh_authorized_keys: ['{key}']\n"), "").unwrap();
        assert!(with_key.lines().is_empty(), "{:?}", with_key.lines());
        for (text, append, warned) in [
            ("hostname: a\n", "", true),
            ("ssh_authorized_keys: [nonsense]\n", "", true),
            ("hostname: a\n", "rancher.password=x", false),
            ("hostname: a\n", "rancher.autologin=tty1", false),
        ] {
            let lines = given(text, append).unwrap().lines().join("\n");
            assert_eq!(lines.contains("nobody"), warned, "{text} {append}: {lines}");
        }
        assert!(
            CloudConfig::get(None, "")
                .unwrap()
                .lines()
                .join("")
                .contains("nobody")
        );
        assert!(CloudConfig::get(Some("/no/such/file"), "").is_err());
    }
}
