//! Services of catalogues: fetched when they are switched on, kept, and read from there at every boot.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use config::{Config, Severity, include};
use machine_config::CONF;
use machine_config::catalogue::{Place, places};

use crate::curl;

/// Most bytes of a service's file.
const MAX_BYTES: usize = 1 << 20;

/// Fetches a service again, or finds it in a folder; it must be good.
///
/// # Errors
/// A name that no repository has, an address that does not answer, a file without a service.
pub(super) fn fetch(config: &Config, name: &str) -> anyhow::Result<()> {
    if include::built_in(name).is_some() {
        return Ok(());
    }
    let places = places(config, name, Path::new(CONF));
    if places.is_empty() {
        bail!("{name} is not a valid service: {}", include::reason(name));
    }
    let mut errors = Vec::new();
    for place in &places {
        let done = match place {
            Place::File(file) => fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))
                .and_then(|text| check(&file.display().to_string(), &text)),
            Place::Kept { url, file } => keep(config, url, file),
        };
        match done {
            Ok(()) => return Ok(()),
            Err(error) => errors.push(format!("{error:#}")),
        }
    }
    bail!("{name} is not a valid service: {}", errors.join("; "))
}

fn keep(config: &Config, url: &str, file: &Path) -> anyhow::Result<()> {
    let text = get(config, url)?;
    check(url, &text)?;
    store(file, &text)
}

/// Keeps what was fetched; the directory is made.
pub(super) fn store(file: &Path, text: &str) -> anyhow::Result<()> {
    Ok(cloud_init::store::write_atomic(
        file,
        text.as_bytes(),
        0o600,
    )?)
}

/// Fetches a small text.
pub(super) fn get(config: &Config, url: &str) -> anyhow::Result<String> {
    ensure!(
        url.starts_with("https://") || url.starts_with("http://"),
        "{url}: only http and https are fetched"
    );
    let most = ["--max-filesize".to_owned(), MAX_BYTES.to_string()];
    let command = curl::command(&config.rancher.network, url, &most);
    let output = command.run().context("cannot run curl")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{url}: {}", said.trim());
    ensure!(
        output.stdout.len() <= MAX_BYTES,
        "{url}: more than {MAX_BYTES} bytes"
    );
    String::from_utf8(output.stdout).with_context(|| format!("{url} is not text"))
}

/// What is wrong is printed; a file without a service that can be taken is refused.
pub(super) fn check(name: &str, text: &str) -> anyhow::Result<()> {
    let mut loaded = config::Loaded::default();
    include::add(&mut loaded, name, text);
    for problem in &loaded.problems {
        eprintln!("{problem}");
    }
    let mut problems = loaded.problems.iter();
    let failed = problems.any(|problem| problem.severity == Severity::Error);
    ensure!(
        !failed && !loaded.config.rancher.services.is_empty(),
        "{name} has no services that can be taken"
    );
    Ok(())
}
