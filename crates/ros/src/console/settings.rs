//! Time zone, locale, certificates, time servers and accounts at registries.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context as _, ensure};
use config::cloud_config::{CaCerts, Ntp, RegistryAuth};

use super::accounts;
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
    let old = fs::read_to_string(&path).unwrap_or_default();
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

/// Docker Hub's entry in config.json.
const HUB: &str = "https://index.docker.io/v1/";

/// Accounts at registries into the files where docker and system-docker look: root's and rancher's config.json.
pub(super) fn set_registry_auths(auths: &BTreeMap<String, RegistryAuth>) -> anyhow::Result<()> {
    for name in ["root", accounts::RANCHER] {
        let Ok(user) = accounts::user(name) else {
            continue;
        };
        let folder = Path::new(&user.home).join(".docker");
        let path = folder.join("config.json");
        let old = fs::read_to_string(&path).unwrap_or_default();
        let text =
            with_auths(&old, auths).with_context(|| format!("{} is not read", path.display()))?;
        if text != old {
            put(&path, text.as_bytes(), 0o600, (user.uid, user.gid), false)?;
            sys::fs::set_owner(&folder, user.uid, user.gid)?;
            sys::fs::set_mode(&folder, 0o700)?;
        }
    }
    Ok(())
}

/// A config.json with these accounts among what it has.
fn with_auths(old: &str, auths: &BTreeMap<String, RegistryAuth>) -> anyhow::Result<String> {
    let mut json: serde_json::Value = if old.trim().is_empty() {
        serde_json::json!({})
    } else {
        serde_json::from_str(old).context("it is not JSON")?
    };
    let map = json.as_object_mut().context("it is not a map")?;
    let known = map.entry("auths").or_insert_with(|| serde_json::json!({}));
    let known = known.as_object_mut().context("its auths are not a map")?;
    for (host, auth) in auths {
        let host = if matches!(
            host.as_str(),
            "docker.io" | "index.docker.io" | "registry-1.docker.io"
        ) {
            HUB
        } else {
            host
        };
        let mut entry = serde_json::Map::new();
        let packed = auth.auth.clone().or_else(|| {
            let pair = format!(
                "{}:{}",
                auth.username.as_deref()?,
                auth.password.as_deref()?
            );
            Some(engine_api::base64::encode(pair.as_bytes()))
        });
        for (name, value) in [
            ("auth", &packed),
            ("identitytoken", &auth.identitytoken),
            ("registrytoken", &auth.registrytoken),
        ] {
            if let Some(value) = value {
                entry.insert(name.to_owned(), value.clone().into());
            }
        }
        known.insert(host.to_owned(), entry.into());
    }
    Ok(serde_json::to_string_pretty(&json)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_added_to_what_a_user_has() {
        let auths = [
            (
                "docker.io".to_owned(),
                RegistryAuth {
                    username: Some("u".into()),
                    password: Some("p".into()),
                    ..RegistryAuth::default()
                },
            ),
            (
                "r:5000".to_owned(),
                RegistryAuth {
                    auth: Some("eDp5".into()),
                    ..RegistryAuth::default()
                },
            ),
        ]
        .into();
        let text = with_auths(
            r#"{"auths": {"own": {"auth": "b3du"}}, "psFormat": "x"}"#,
            &auths,
        )
        .unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["auths"][HUB]["auth"], "dTpw");
        assert_eq!(json["auths"]["r:5000"]["auth"], "eDp5");
        assert_eq!(json["auths"]["own"]["auth"], "b3du");
        assert_eq!(json["psFormat"], "x");
        assert!(with_auths("{", &auths).is_err());
    }

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
