//! The cloud-config that an installed machine starts with: fetched, checked, and asked whether anybody can log in.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use config::{CommandLine, Severity, Source};
use sys::process::{Command, Output};

use crate::os::failure::{Failure, fail};

/// Longest transfer of a cloud-config.
const FETCH_DEADLINE: Duration = Duration::from_secs(60);
/// A name server or a switch that has just come up: one that does not answer is asked again.
const CONNECT_SECONDS: &str = "10";
const PAUSE: Duration = Duration::from_secs(2);
/// Exit codes of curl(1) for what may pass: no name, no connection, a deadline, TLS that broke off, nothing or not all came.
const PASSING: [i32; 7] = [5, 6, 7, 18, 28, 35, 56];

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
/// When it cannot be read, or is too long. A server that does not answer is asked again for a minute.
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
    let end = Instant::now() + FETCH_DEADLINE;
    loop {
        let output = curl(place, limit, end.saturating_duration_since(Instant::now()))?;
        if output.status.success() {
            return String::from_utf8(output.stdout)
                .with_context(|| format!("{place} is not text"));
        }
        let may_pass = output
            .status
            .code()
            .is_some_and(|code| PASSING.contains(&code));
        if !may_pass || Instant::now() + PAUSE > end {
            fail!(
                Download,
                "cannot fetch {place}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        std::thread::sleep(PAUSE);
    }
}

fn curl(place: &str, limit: usize, deadline: Duration) -> anyhow::Result<Output> {
    Command::new("curl")
        .args(["--fail", "--silent", "--show-error", "--location"])
        .args(["--connect-timeout", CONNECT_SECONDS])
        // 408, 429 and 5xx: a server that is about to start
        .args(["--retry", "3"])
        .args(["--max-filesize", &limit.to_string(), "--", place])
        .deadline(deadline.max(PAUSE))
        .run()
        .context(Failure::Download)
        .with_context(|| format!("cannot fetch {place}"))
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

    #[test]
    #[ignore = "needs curl: cargo test -- --include-ignored"]
    fn a_server_that_is_late_is_asked_again() {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let server = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(1));
            let listener = std::net::TcpListener::bind(address).unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            let answer =
                "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\nhostname: a\n";
            stream.write_all(answer.as_bytes()).unwrap();
        });
        assert_eq!(
            read(&format!("http://{address}/c.yml")).unwrap(),
            "hostname: a\n"
        );
        server.join().unwrap();
    }
}
