//! Accounts at registries, in the files where docker and system-docker look: config.json of root, rancher and the default user.
//!
//! An account that has left the configuration leaves the file, too. What was written is remembered next to it, as digests: what
//! somebody has put there since, by `docker login`, is another entry and stays.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, ensure};
use config::Config;
use config::cloud_config::RegistryAuth;
use oci_image::Digest;
use serde_json::{Map, Value};
use sys::guarded::Place;

use super::write_files::put;
use super::{accounts, users};

/// Docker Hub's entry in config.json.
const HUB: &str = "https://index.docker.io/v1/";
/// Largest file that is read again; they have some KiB.
const MAX_BYTES: u64 = 4 << 20;
/// What was written, next to config.json: it goes where the home goes.
const WRITTEN: &str = "ros-registry-auths.json";

/// Entries of config.json, by registry.
type Auths = BTreeMap<String, Value>;
/// Digests of entries that were written, by registry.
type Written = BTreeMap<String, BTreeSet<String>>;

/// Writes the accounts of the configuration, and takes those out that have left it.
pub(super) fn set_all(config: &Config) -> anyhow::Result<()> {
    let auths = entries(&config.rancher.registry_auths);
    let named = users::default_user(config);
    let mut failures = Vec::new();
    for name in ["root", accounts::RANCHER].into_iter().chain(named) {
        let Ok(user) = accounts::user(name) else {
            continue;
        };
        if let Some(owner) = accounts::stranger(Path::new(&user.home), user.uid) {
            let why = format!("{name}: the home belongs to the user number {owner}");
            failures.extend((!auths.is_empty()).then_some(why));
            continue;
        }
        // One user's file must not keep the other's from being written.
        let set = set_of(Path::new(&user.home), (user.uid, user.gid), &auths);
        failures.extend(set.err().map(|error| format!("{name}: {error:#}")));
    }
    ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

/// The user may put anything in the place of these names: no link is followed, and no pipe is waited for.
fn set_of(home: &Path, owner: (u32, u32), auths: &Auths) -> anyhow::Result<()> {
    let folder = home.join(".docker");
    let (path, remembered) = (folder.join("config.json"), folder.join(WRITTEN));
    // The folder may be the user's own link, which is refused below.
    if auths.is_empty() && remembered.symlink_metadata().is_err() {
        return Ok(()); // nothing was ever written
    }
    Place::make(&folder)?.make_directory(0o700, owner)?;
    let before = read(&remembered, owner)?;
    // One that is damaged is as good as none: what it names stays.
    let known: Written = serde_json::from_str(&before).unwrap_or_default();
    if auths.is_empty() && known.is_empty() {
        return Ok(());
    }
    let remember = |written: &Written, old: &str| -> anyhow::Result<String> {
        let text = serde_json::to_string(written)?;
        if text != old {
            put(&remembered, text.as_bytes(), 0o600, owner, false)?;
        }
        Ok(text)
    };
    let mut all = known.clone();
    let new = digests(auths);
    for (host, digests) in &new {
        all.entry(host.clone()).or_default().extend(digests.clone());
    }
    // Before the entries: the power may fail between the two.
    let before = remember(&all, &before)?;
    let old = read(&path, owner)?;
    let text =
        changed(&old, auths, &known).with_context(|| format!("{} is not read", path.display()))?;
    if text != old {
        put(&path, text.as_bytes(), 0o600, owner, false)?;
    }
    remember(&new, &before).map(drop)
}

fn read(path: &Path, owner: (u32, u32)) -> anyhow::Result<String> {
    let place = Place::make(path)?;
    let Some(found) = place.find()? else {
        return Ok(String::new());
    };
    ensure!(
        found.is_readable_by(owner),
        "{} is another user's",
        path.display()
    );
    let text = String::from_utf8(found.read(MAX_BYTES)?);
    text.with_context(|| format!("{} is not text", path.display()))
}

fn entries(auths: &BTreeMap<String, RegistryAuth>) -> Auths {
    let of = |(host, auth): (&String, &RegistryAuth)| {
        let host = match host.as_str() {
            "docker.io" | "index.docker.io" | "registry-1.docker.io" => HUB,
            host => host,
        };
        (host.to_owned(), entry(auth))
    };
    auths.iter().map(of).collect()
}

fn entry(auth: &RegistryAuth) -> Value {
    let mut entry = Map::new();
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
    entry.into()
}

fn digests(auths: &Auths) -> Written {
    let one = |(host, entry): (&String, &Value)| (host.clone(), BTreeSet::from([digest(entry)]));
    auths.iter().map(one).collect()
}

fn digest(entry: &Value) -> String {
    Digest::sha256(entry.to_string().as_bytes())
        .hex()
        .to_owned()
}

/// A config.json with these accounts among what it has, and without those that were written and are not asked for any more.
fn changed(old: &str, auths: &Auths, written: &Written) -> anyhow::Result<String> {
    let mut json: Value = if old.trim().is_empty() {
        serde_json::json!({})
    } else {
        serde_json::from_str(old).context("it is not JSON")?
    };
    let map = json.as_object_mut().context("it is not a map")?;
    let known = map.entry("auths").or_insert_with(|| serde_json::json!({}));
    let known = known.as_object_mut().context("its auths are not a map")?;
    let mut is_changed = false;
    for (host, digests) in written
        .iter()
        .filter(|(host, _)| !auths.contains_key(*host))
    {
        let is_ours = known
            .get(host)
            .is_some_and(|entry| digests.contains(&digest(entry)));
        is_changed |= is_ours && known.remove(host).is_some();
    }
    for (host, entry) in auths {
        is_changed |= known.insert(host.clone(), entry.clone()).as_ref() != Some(entry);
    }
    // A file that says the same already keeps its words.
    if is_changed {
        Ok(serde_json::to_string_pretty(&json)?)
    } else {
        Ok(old.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::{MetadataExt as _, chown, symlink};

    use super::*;

    fn auths(hosts: &[(&str, &str)]) -> Auths {
        let of = |(host, auth): &(&str, &str)| {
            let auth = RegistryAuth {
                auth: Some((*auth).to_owned()),
                ..RegistryAuth::default()
            };
            ((*host).to_owned(), auth)
        };
        entries(&hosts.iter().map(of).collect())
    }

    #[test]
    fn accounts_are_added_to_what_a_user_has() {
        let mut all = auths(&[("r:5000", "eDp5")]);
        let hub = RegistryAuth {
            username: Some("u".into()),
            password: Some("p".into()),
            ..RegistryAuth::default()
        };
        all.extend(entries(&[("docker.io".to_owned(), hub)].into()));
        let old = r#"{"auths": {"own": {"auth": "b3du"}}, "psFormat": "x"}"#;
        let text = changed(old, &all, &Written::new()).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["auths"][HUB]["auth"], "dTpw");
        assert_eq!(json["auths"]["r:5000"]["auth"], "eDp5");
        assert_eq!(json["auths"]["own"]["auth"], "b3du");
        assert_eq!(json["psFormat"], "x");
        assert!(changed("{", &all, &Written::new()).is_err());
        let same = r#"{ "auths":{"r:5000":{"auth":"eDp5"}} }"#;
        assert_eq!(
            changed(same, &auths(&[("r:5000", "eDp5")]), &Written::new()).unwrap(),
            same
        );
    }

    #[test]
    fn accounts_leave_with_the_configuration_and_those_of_people_stay() {
        let home = tempfile::tempdir().unwrap();
        let found = fs::metadata(home.path()).unwrap();
        let set = |auths: &Auths| set_of(home.path(), (found.uid(), found.gid()), auths).unwrap();
        let path = home.path().join(".docker/config.json");
        let hosts = || {
            let json: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            let auths = json["auths"].as_object().unwrap();
            auths.keys().cloned().collect::<Vec<_>>()
        };
        set(&Auths::new());
        assert!(!home.path().join(".docker").exists());
        set(&auths(&[("a", "MQ=="), ("b", "MQ=="), ("c", "MQ==")]));
        set(&auths(&[("a", "MQ=="), ("b", "Mg=="), ("c", "MQ==")]));
        assert_eq!(hosts(), ["a", "b", "c"]);
        // docker login, to a registry of the configuration and to another one.
        let text = fs::read_to_string(&path).unwrap();
        let mut json: Value = serde_json::from_str(&text).unwrap();
        json["auths"]["c"]["auth"] = "bWluZQ==".into();
        json["auths"]["d"] = serde_json::json!({"auth": "MQ=="});
        fs::write(&path, json.to_string()).unwrap();
        set(&auths(&[("a", "MQ==")]));
        assert_eq!(hosts(), ["a", "c", "d"]);
        // Somebody logs in there with the very words that were in the configuration.
        json["auths"]["b"] = serde_json::json!({"auth": "Mg=="});
        fs::write(&path, json.to_string()).unwrap();
        set(&Auths::new());
        set(&Auths::new());
        assert_eq!(hosts(), ["b", "c", "d"]);
    }

    #[test]
    #[ignore = "needs root: cargo test -- --include-ignored"]
    fn a_folder_that_is_the_users_link_is_refused_only_when_it_matters() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        fs::create_dir_all(home.join("own")).unwrap();
        symlink("own", home.join(".docker")).unwrap();
        for name in ["", "own", ".docker"] {
            std::os::unix::fs::lchown(home.join(name), Some(1100), Some(1100)).unwrap();
        }
        let set = |auths: &Auths| set_of(&home, (1100, 1100), auths);
        set(&Auths::new()).unwrap();
        set(&auths(&[("a", "MQ==")])).unwrap_err();
        // Written when it was a folder: somebody has to take that away.
        fs::write(home.join("own").join(WRITTEN), "{}").unwrap();
        set(&Auths::new()).unwrap_err();
    }

    #[test]
    #[ignore = "needs root: cargo test -- --include-ignored"]
    fn a_users_config_leads_root_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("home")).unwrap();
        chown(at("home"), Some(1100), Some(1100)).unwrap();
        let set = || set_of(&at("home"), (1100, 1100), &auths(&[("r:5000", "eDp5")]));
        set().unwrap();
        fs::write(at("secret"), "{\"a\": 1}").unwrap();
        for name in [
            "home/.docker/config.json",
            &format!("home/.docker/{WRITTEN}"),
        ] {
            let path = at(name);
            assert_eq!(fs::metadata(&path).unwrap().uid(), 1100);
            fs::remove_file(&path).unwrap();
            symlink(at("secret"), &path).unwrap();
            assert!(set().is_err(), "{name}");
            fs::remove_file(&path).unwrap();
            // Without the look at it this would wait for its other end.
            let here = fs::File::open(at("home/.docker")).unwrap();
            let kind = sys::fs::NodeKind::Fifo;
            let pipe = Path::new(path.file_name().unwrap());
            sys::fs::make_node(here.as_fd(), pipe, kind, 0o600, (0, 0)).unwrap();
            assert!(set().is_err(), "{name}");
            fs::remove_file(&path).unwrap();
            set().unwrap();
        }
        assert_eq!(fs::read_to_string(at("secret")).unwrap(), "{\"a\": 1}");
    }
}
