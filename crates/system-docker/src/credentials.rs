//! Credentials for registries, in docker's own file, so that both clients share them: `~/.docker/config.json`.
//!
//! Programs that keep credentials elsewhere (`credsStore`, `credHelpers`) are not asked.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use engine_api::client::RegistryAuth;
use engine_api::{AuthConfig, base64};
use serde_json::{Map, Value, json};
use sys::atomic_file::{self, hidden};

/// Docker's key for Docker Hub.
pub(super) const HUB: &str = "https://index.docker.io/v1/";
/// Names of Docker Hub.
const HUB_NAMES: [&str; 5] = [
    "",
    "docker.io",
    "index.docker.io",
    "registry-1.docker.io",
    "index.docker.io/v1/",
];

/// The file's content.
pub(super) struct Credentials {
    path: PathBuf,
    document: Map<String, Value>,
}

impl Credentials {
    /// Reads the user's file; one that is not there is empty.
    ///
    /// # Errors
    /// When it cannot be read, or is not a JSON object.
    pub(super) fn open() -> anyhow::Result<Credentials> {
        let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".docker"));
        let folder = std::env::var_os("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(home)
            .context("neither HOME nor DOCKER_CONFIG is set")?;
        Credentials::read(folder.join("config.json"))
    }

    fn read(path: PathBuf) -> anyhow::Result<Credentials> {
        let document = match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).with_context(|| path.display().to_string())?,
            Err(error) if error.kind() == ErrorKind::NotFound => Map::new(),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        Ok(Credentials { path, document })
    }

    /// Where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is known for a registry.
    pub(super) fn get(&self, registry: &str) -> Option<AuthConfig> {
        let registry = key(registry);
        let (_, entry) = self
            .document
            .get("auths")?
            .as_object()?
            .iter()
            .find(|(name, _)| key(name) == registry)?;
        let field = |name: &str| {
            let value = entry.get(name).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let auth = base64::decode(&field("auth")).ok()?;
        let auth = String::from_utf8(auth).ok()?;
        let (username, password) = auth.split_once(':').unwrap_or((&auth, ""));
        Some(AuthConfig {
            username: username.to_owned(),
            password: password.to_owned(),
            identitytoken: field("identitytoken"),
            registrytoken: field("registrytoken"),
            serveraddress: registry,
            ..AuthConfig::default()
        })
    }

    /// Keeps credentials, for `auth.serveraddress`.
    pub(super) fn set(&mut self, auth: &AuthConfig) -> anyhow::Result<()> {
        // A token stands for the password (docker's cli, cli/config/configfile).
        let entry = if auth.identitytoken.is_empty() {
            let text = format!("{}:{}", auth.username, auth.password);
            json!({ "auth": base64::encode(text.as_bytes()) })
        } else {
            let text = format!("{}:", auth.username);
            json!({ "auth": base64::encode(text.as_bytes()), "identitytoken": auth.identitytoken })
        };
        let mut auths = self.take_auths();
        auths.insert(key(&auth.serveraddress), entry);
        self.write(auths)
    }

    /// Forgets a registry's credentials; returns whether there were any.
    pub(super) fn remove(&mut self, registry: &str) -> anyhow::Result<bool> {
        let registry = key(registry);
        let mut auths = self.take_auths();
        let before = auths.len();
        auths.retain(|name, _| key(name) != registry);
        if auths.len() == before {
            self.document
                .insert("auths".to_owned(), Value::Object(auths));
            return Ok(false);
        }
        self.write(auths)?;
        Ok(true)
    }

    /// What the document has under `auths`, taken out of it.
    fn take_auths(&mut self) -> Map<String, Value> {
        match self.document.remove("auths") {
            Some(Value::Object(auths)) => auths,
            _ => Map::new(),
        }
    }

    /// Only the user may read it; a write that fails leaves the file as it was.
    fn write(&mut self, auths: Map<String, Value>) -> anyhow::Result<()> {
        self.document
            .insert("auths".to_owned(), Value::Object(auths));
        let what = || format!("cannot write {}", self.path.display());
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).with_context(what)?;
        let text = serde_json::to_string_pretty(&self.document)?;
        atomic_file::write(&self.path, &hidden(&self.path), text.as_bytes(), 0o600)
            .map_err(|error| error.source)
            .with_context(what)
    }
}

/// Credentials for the registry of an image, as the engine takes them.
///
/// # Errors
/// When docker's file cannot be read.
pub(super) fn for_image(image: &str) -> anyhow::Result<Option<RegistryAuth>> {
    let known = Credentials::open()?.get(registry_of(image));
    Ok(known.as_ref().map(RegistryAuth::new).transpose()?)
}

/// Credentials for a registry by its host; `docker.io` is Docker Hub.
///
/// # Errors
/// When docker's file cannot be read.
pub fn for_registry(domain: &str) -> anyhow::Result<Option<AuthConfig>> {
    Ok(Credentials::open()?.get(domain))
}

/// The registry that an image's name begins with; empty for Docker Hub.
fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "",
    }
}

/// A registry's key: Docker Hub's own, or host and port.
pub(super) fn key(registry: &str) -> String {
    let name = registry
        .trim_start_matches("https://")
        .trim_start_matches("http://");
    if HUB_NAMES.contains(&name) {
        return HUB.to_owned();
    }
    name.split('/').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_dockers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".docker/config.json");
        let mut credentials = Credentials::read(path.clone()).unwrap();
        assert!(credentials.get("r.example:5000").is_none());
        let auth = AuthConfig {
            username: "me".to_owned(),
            password: "a:b".to_owned(),
            serveraddress: "https://r.example:5000/v2/".to_owned(),
            ..AuthConfig::default()
        };
        credentials.set(&auth).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        // base64 of "me:a:b"
        assert_eq!(document["auths"]["r.example:5000"]["auth"], "bWU6YTpi");
        let mut again = Credentials::read(path).unwrap();
        let known = again.get("r.example:5000").unwrap();
        assert_eq!(
            (known.username.as_str(), known.password.as_str()),
            ("me", "a:b")
        );
        assert!(again.remove("r.example:5000").unwrap());
        assert!(!again.remove("r.example:5000").unwrap());
    }

    #[test]
    fn what_docker_wrote_is_kept_and_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let text = r#"{"detachKeys": "ctrl-x", "auths": {"https://index.docker.io/v1/": {"auth": "bWU6eA=="}}}"#;
        fs::write(&path, text).unwrap();
        let mut credentials = Credentials::read(path.clone()).unwrap();
        for name in ["", "docker.io", HUB] {
            assert_eq!(credentials.get(name).unwrap().username, "me", "{name}");
        }
        credentials.remove("docker.io").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("ctrl-x"), "{text}");
        fs::write(&path, "[").unwrap();
        let error = Credentials::read(path).err().unwrap();
        assert!(format!("{error:#}").contains("config.json"));
    }

    #[test]
    fn images_name_their_registry() {
        for (image, registry) in [
            ("busybox", HUB),
            ("me/app:1", HUB),
            ("localhost/app", "localhost"),
            ("r.example:5000/a/b", "r.example:5000"),
        ] {
            assert_eq!(key(registry_of(image)), registry, "{image}");
        }
    }
}
