//! The account at the registry that an image comes from.

use std::collections::BTreeMap;
use std::fmt;

use config::cloud_config::RegistryAuth;
use engine_api::{AuthConfig, base64};
use oci_image::reference::{DEFAULT_DOMAIN, Reference};
use oci_image::registry::{Credentials, RegistryOptions};

/// Docker Hub, as Docker's engine wants it named in an account.
const HUB: &str = "https://index.docker.io/v1/";

/// An account at a registry, as a request to pull carries it. What is printed of it has no secret.
#[derive(Clone, PartialEq)]
pub struct Account(AuthConfig);

impl Account {
    /// The account of `rancher.registry_auths` for the registry of an image.
    pub fn of(image: &str, auths: &BTreeMap<String, RegistryAuth>) -> Option<Account> {
        if auths.is_empty() {
            return None;
        }
        let reference = Reference::parse(image).ok()?;
        let domain = reference.domain();
        let table = RegistryOptions {
            accounts: accounts(auths),
            ..RegistryOptions::default()
        };
        let account = table.account_of(domain)?;
        let server = if domain == DEFAULT_DOMAIN {
            HUB
        } else {
            domain
        };
        Some(Account(AuthConfig {
            username: account.username.clone(),
            password: account.password.clone(),
            identitytoken: account.identity_token.clone(),
            registrytoken: account.registry_token.clone(),
            serveraddress: server.to_owned(),
            ..AuthConfig::default()
        }))
    }

    /// What the request carries.
    pub fn config(&self) -> &AuthConfig {
        &self.0
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({})", self.0.serveraddress)
    }
}

/// The accounts of `rancher.registry_auths` by their registries.
pub fn accounts(auths: &BTreeMap<String, RegistryAuth>) -> BTreeMap<String, Credentials> {
    auths
        .iter()
        .map(|(registry, auth)| (registry.clone(), credentials(auth)))
        .collect()
}

/// User and password may stand in one word, as Docker's own file has them; one that does not read is not an account, and the
/// registry says so.
fn credentials(auth: &RegistryAuth) -> Credentials {
    let word = auth
        .auth
        .as_deref()
        .and_then(|word| base64::decode(word.trim()).ok());
    let word = word
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or_default();
    let (user, password) = word.split_once(':').unwrap_or_default();
    let or = |own: &Option<String>, other: &str| own.clone().unwrap_or_else(|| other.to_owned());
    Credentials {
        username: or(&auth.username, user),
        password: or(&auth.password, password),
        identity_token: or(&auth.identitytoken, ""),
        registry_token: or(&auth.registrytoken, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_pulled_with_the_account_of_its_registry() {
        let auth = |word: &str| RegistryAuth {
            auth: Some(base64::encode(word.as_bytes())),
            ..RegistryAuth::default()
        };
        let auths = BTreeMap::from([
            ("https://r.example:5000/".to_owned(), auth("a:b:c")),
            ("index.docker.io".to_owned(), auth("hub:secret")),
        ]);
        let of = |image: &str| {
            let account = Account::of(image, &auths)?;
            assert!(!format!("{account:?}").contains("secret"));
            let config = account.config();
            Some(format!(
                "{} {} {}",
                config.username, config.password, config.serveraddress
            ))
        };
        for (image, want) in [
            ("r.example:5000/x:1", Some("a b:c r.example:5000")),
            ("nginx", Some("hub secret https://index.docker.io/v1/")),
            (
                "docker.io/me/x@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                Some("hub secret https://index.docker.io/v1/"),
            ),
            ("r.example/x", None),
            ("NOT A NAME", None),
        ] {
            assert_eq!(of(image).as_deref(), want, "{image}");
        }
    }
}
