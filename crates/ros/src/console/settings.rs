//! Time zone, locale, certificates and time servers.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context as _, ensure};
use config::cloud_config::{CaCerts, Ntp};

use super::write_files::put;
use crate::machine_config::CONF;

/// Certificates that programs of the console trust; `ssl` libraries of other consoles link here.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
];
/// Where dockerd's registries and curl find what the console trusted before the configuration's were added.
const KEPT: &str = "/etc/ssl/certs/ca-certificates.crt.image";

/// Largest file of settings that is read again; they have some KiB.
const MAX_CONFIG_BYTES: u64 = 4 << 20;

/// The time zone, if the image knows it.
pub(super) fn set_timezone(name: &str) -> anyhow::Result<()> {
    ensure!(
        !name.starts_with('/') && !name.split('/').any(|part| part == ".."),
        "{name:?} is not the name of a time zone"
    );
    let file = Path::new("/usr/share/zoneinfo").join(name);
    // Programs read TZ also where the console's image has no zones (tzset(3)).
    let profile = format!("export TZ='{}'\n", name.replace('\'', ""));
    put(
        Path::new("/etc/profile.d/timezone.sh"),
        profile.as_bytes(),
        0o644,
        (0, 0),
        false,
    )?;
    put(
        Path::new("/etc/timezone"),
        format!("{name}\n").as_bytes(),
        0o644,
        (0, 0),
        false,
    )?;
    ensure!(
        file.is_file(),
        "this console has no {}: times stay in UTC; a POSIX rule such as CET-1CEST,M3.5.0,M10.5.0/3 in TZ works",
        file.display()
    );
    let _ = fs::remove_file("/etc/localtime");
    symlink(&file, "/etc/localtime").context("cannot link /etc/localtime")
}

/// `LANG` of logins.
pub(super) fn set_locale(name: &str) -> anyhow::Result<()> {
    ensure!(
        name.chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '@')),
        "{name:?} is not the name of a locale"
    );
    put(
        Path::new("/etc/profile.d/locale.sh"),
        format!("export LANG='{name}'\n").as_bytes(),
        0o644,
        (0, 0),
        false,
    )
}

/// Adds certificates to the console's bundle, or makes them all of it.
pub(super) fn trust(certificates: &CaCerts) -> anyhow::Result<()> {
    let Some(bundle) = BUNDLES.iter().find(|path| Path::new(path).exists()) else {
        ensure!(
            certificates.trusted.is_empty(),
            "this console has no certificates to add to"
        );
        return Ok(());
    };
    let bad = certificates
        .trusted
        .iter()
        .filter(|text| !text.contains("-----BEGIN CERTIFICATE-----"))
        .count();
    if !Path::new(KEPT).exists() {
        fs::copy(bundle, KEPT).with_context(|| format!("cannot copy {bundle}"))?;
    }
    let mut text = if certificates.remove_defaults == Some(true) {
        String::new()
    } else {
        fs::read_to_string(KEPT).with_context(|| format!("cannot read {KEPT}"))?
    };
    for certificate in &certificates.trusted {
        if certificate.contains("-----BEGIN CERTIFICATE-----") {
            text.push_str(certificate.trim());
            text.push('\n');
        }
    }
    put(Path::new(bundle), text.as_bytes(), 0o644, (0, 0), false)?;
    ensure!(
        bad == 0,
        "{bad} of ca_certs.trusted are not PEM certificates"
    );
    Ok(())
}

/// chrony's servers, in the directory that the service ntp reads; changed only when they differ.
pub(super) fn set_time_servers(ntp: &Ntp) -> anyhow::Result<bool> {
    let path = Path::new(CONF).join("chrony/cloud-config.conf");
    // The service ntp has the directory, too: a pipe in its place must not hold the logins up.
    let old = sys::regular::read(&path, MAX_CONFIG_BYTES).unwrap_or_default();
    let old = String::from_utf8_lossy(&old);
    let new = chrony(ntp)?;
    if old == new {
        return Ok(false);
    }
    if new.is_empty() {
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    } else {
        put(&path, new.as_bytes(), 0o644, (0, 0), false)?;
    }
    Ok(true)
}

fn chrony(ntp: &Ntp) -> anyhow::Result<String> {
    let mut text = String::new();
    for (word, names) in [("server", &ntp.servers), ("pool", &ntp.pools)] {
        for name in names {
            let good = !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_'));
            ensure!(good, "{name:?} is not a time server");
            text.push_str(&format!("{word} {name} iburst\n"));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_servers_are_chronys_lines() {
        let ntp = Ntp {
            servers: vec!["10.0.0.1".into()],
            pools: vec!["pool.example.org".into()],
        };
        assert_eq!(
            chrony(&ntp).unwrap(),
            "server 10.0.0.1 iburst\npool pool.example.org iburst\n"
        );
        assert!(
            chrony(&Ntp {
                servers: vec!["a\nallow".into()],
                pools: vec![]
            })
            .is_err()
        );
    }
}
