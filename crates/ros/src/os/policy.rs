//! What this machine takes: its keys, and whether it asks for signatures at all.

use anyhow::bail;
use config::cloud_config::{CaCerts, Rancher};

use super::trust::Keys;
use crate::machine_config::MachineConfig;

/// The part of the configuration that upgrades are about.
pub(crate) struct Policy {
    /// Registries, image and the rest.
    pub(crate) rancher: Rancher,
    /// Authorities of registries.
    pub(crate) ca_certs: CaCerts,
    keys: Keys,
    /// Whether it takes what nobody has signed.
    pub(crate) insecure: bool,
}

impl Policy {
    /// This machine's; `insecure` is the flag of that name.
    ///
    /// # Errors
    /// When a key of the configuration is not one.
    pub(crate) fn of_machine(insecure: bool) -> anyhow::Result<Self> {
        let config = MachineConfig::load().loaded.config;
        let rancher = config.rancher;
        let keys = Keys::of_machine(&rancher.upgrade.keys)?;
        Ok(Self {
            insecure: insecure || rancher.upgrade.insecure == Some(true),
            keys,
            rancher,
            ca_certs: config.ca_certs,
        })
    }

    /// A machine that knows these keys.
    #[cfg(test)]
    pub(crate) fn with_keys(keys: &[String]) -> Self {
        let keys = Keys::of_file(std::path::Path::new("/nonexistent"), keys);
        Self {
            rancher: Rancher::default(),
            ca_certs: CaCerts::default(),
            keys: keys.expect("keys of a test are good"),
            insecure: false,
        }
    }

    /// The image whose registry is asked for versions.
    ///
    /// # Errors
    /// When the configuration does not name one.
    pub(crate) fn image(&self) -> anyhow::Result<&str> {
        match self.rancher.upgrade.image.as_deref() {
            Some(image) => Ok(image),
            None => bail!(
                "name an image or an ISO file, or set rancher.upgrade.image to the image whose registry has the versions"
            ),
        }
    }

    /// Whether a signature could be checked at all.
    pub(crate) fn knows_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Checks the signatures over the manifest of `name`. Returns where the key is from that has signed it; none when there is no
    /// good signature and this machine does not ask for one.
    ///
    /// # Errors
    /// When there is no good signature, and this machine asks for one.
    pub(crate) fn check(
        &self,
        name: &str,
        manifest: &[u8],
        signatures: Option<&[u8]>,
    ) -> anyhow::Result<Option<String>> {
        match self.keys.check(manifest, signatures) {
            Ok(key) => Ok(Some(key.to_owned())),
            Err(error) if self.insecure => {
                eprintln!("warning: {name}: {}", error.root_cause());
                Ok(None)
            }
            Err(error) => Err(error.context(format!("{name} (--insecure takes it all the same)"))),
        }
    }
}
