//! Time zone, locale, certificates, time servers and accounts at registries.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context as _, ensure};
use config::Config;
use config::cloud_config::{CaCerts, Ntp, RegistryAuth};
use sys::guarded::Place;

use super::write_files::put;
use super::{accounts, users};
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

/// Docker Hub's entry in config.json.
const HUB: &str = "https://index.docker.io/v1/";

/// Accounts at registries into the files where docker and system-docker look: config.json of root, rancher and the default
/// user.
pub(super) fn set_registry_auths(config: &Config) -> anyhow::Result<()> {
    let auths = &config.rancher.registry_auths;
    let named = users::default_user(config);
    let mut failures = Vec::new();
    for name in ["root", accounts::RANCHER].into_iter().chain(named) {
        let Ok(user) = accounts::user(name) else {
            continue;
        };
        // One user's file must not keep the other's from being written.
        let set = set_auths_of(Path::new(&user.home), (user.uid, user.gid), auths);
        failures.extend(set.err().map(|error| format!("{name}: {error:#}")));
    }
    ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

/// The user may put anything in the place of these names: no link is followed, and no pipe is waited for.
fn set_auths_of(
    home: &Path,
    owner: (u32, u32),
    auths: &BTreeMap<String, RegistryAuth>,
) -> anyhow::Result<()> {
    let folder = home.join(".docker");
    Place::make(&folder)?.make_directory(0o700, owner)?;
    let path = folder.join("config.json");
    let old = match Place::make(&path)?.find()? {
        None => String::new(),
        Some(found) => {
            ensure!(
                found.is_readable_by(owner),
                "{} is another user's",
                path.display()
            );
            let text = String::from_utf8(found.read(MAX_CONFIG_BYTES)?);
            text.with_context(|| format!("{} is not text", path.display()))?
        }
    };
    let text =
        with_auths(&old, auths).with_context(|| format!("{} is not read", path.display()))?;
    if text != old {
        put(&path, text.as_bytes(), 0o600, owner, false)?;
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
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::{MetadataExt as _, chown};

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

    #[test]
    #[ignore = "needs root: cargo test -- --include-ignored"]
    fn a_users_config_leads_root_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("home")).unwrap();
        chown(at("home"), Some(1100), Some(1100)).unwrap();
        let auths = [("r:5000".to_owned(), RegistryAuth::default())].into();
        let set = || set_auths_of(&at("home"), (1100, 1100), &auths);
        set().unwrap();
        let path = at("home/.docker/config.json");
        assert_eq!(fs::metadata(&path).unwrap().uid(), 1100);
        fs::write(at("secret"), "{\"a\": 1}").unwrap();
        fs::remove_file(&path).unwrap();
        symlink(at("secret"), &path).unwrap();
        assert!(set().is_err());
        fs::remove_file(&path).unwrap();
        // Without the look at it this would wait for its other end.
        let here = fs::File::open(at("home/.docker")).unwrap();
        let (kind, name) = (sys::fs::NodeKind::Fifo, Path::new("config.json"));
        sys::fs::make_node(here.as_fd(), name, kind, 0o600, (0, 0)).unwrap();
        assert!(set().is_err());
        assert_eq!(fs::read_to_string(at("secret")).unwrap(), "{\"a\": 1}");
    }
}
