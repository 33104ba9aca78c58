//! `manifest.json`: what a version consists of, on every medium that carries one.

use serde::{Deserialize, Serialize};

use crate::error::Result;

/// The only schema so far.
const SCHEMA: u32 = 1;
/// Files of a version: some 20 today.
const MOST_FILES: usize = 1000;

/// A file of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its path on the medium, such as `rancheros/modules.squashfs`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256, in hexadecimal.
    pub sha256: String,
}

/// A version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Form of this file.
    pub schema: u32,
    /// The version's name, without a `v`.
    pub version: String,
    /// `x86_64` or `aarch64`.
    pub arch: String,
    /// Kernel parameters of an installed machine.
    pub arguments: Vec<String>,
    /// The kernel.
    pub kernel: Item,
    /// The initrd.
    pub initrd: Item,
    /// System images and modules, below `rancheros/`.
    pub files: Vec<Item>,
    /// The boot loader's parts: `boot.img`, `core.img`, and the program for UEFI by its name.
    pub loader: Vec<Item>,
    /// What it says about upgrades to it.
    #[serde(flatten)]
    pub release: Release,
}

/// What a version says about upgrades to it: `iso/release.toml` of its sources, and what the build knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Release {
    /// The oldest version that may upgrade to it directly; empty for any.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// Security floor: grows with a version that closes a hole which no older version may open again.
    pub floor: u32,
    /// Forms of what lies on the state partition.
    pub state: State,
    /// Release of the kernel, such as `6.12.118`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub linux: String,
    /// Version of User Docker, such as `26.1.5`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub docker: String,
    /// For people, one line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub notes: String,
}

/// Forms of the state partition's content, counted from 1; 0 in versions from before they were counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The form that it writes once it is kept.
    pub writes: u32,
    /// The newest form that it can read.
    pub reads: u32,
}

impl Manifest {
    /// Reads a manifest that anybody may have written.
    ///
    /// # Errors
    /// When it is not one, is of another schema, or names a path that leads out of the medium.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let manifest: Self = match serde_json::from_slice(text) {
            Ok(manifest) => manifest,
            Err(error) => invalid!("the manifest cannot be read: {error}"),
        };
        if manifest.schema != SCHEMA {
            invalid!(
                "the manifest has schema {}, only {SCHEMA} is known",
                manifest.schema
            );
        }
        if manifest.files.len() > MOST_FILES {
            invalid!("the manifest names {} files", manifest.files.len());
        }
        for item in manifest.items() {
            item.check()?;
        }
        Ok(manifest)
    }

    /// A manifest of this schema.
    #[must_use]
    pub fn new(
        version: &str,
        arch: &str,
        arguments: Vec<String>,
        kernel: Item,
        initrd: Item,
    ) -> Self {
        Self {
            schema: SCHEMA,
            version: version.to_owned(),
            arch: arch.to_owned(),
            arguments,
            kernel,
            initrd,
            files: Vec::new(),
            loader: Vec::new(),
            release: Release::default(),
        }
    }

    /// Every file.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        [&self.kernel, &self.initrd]
            .into_iter()
            .chain(&self.files)
            .chain(&self.loader)
    }

    /// What a slot and the store of layers hold: kernel, initrd, layers, modules.
    pub fn payload(&self) -> impl Iterator<Item = &Item> {
        [&self.kernel, &self.initrd].into_iter().chain(&self.files)
    }

    /// Bytes that the store of layers has to hold.
    #[must_use]
    pub fn store_bytes(&self) -> u64 {
        self.files.iter().map(|item| item.size).sum()
    }
}

impl Item {
    fn check(&self) -> Result<()> {
        let safe = !self.path.is_empty()
            && self
                .path
                .split('/')
                .all(|part| !matches!(part, "" | "." | "..") && !part.contains(char::is_control));
        if !safe {
            invalid!("the manifest names the path {:?}", self.path);
        }
        let digest = self.sha256.len() == 64
            && self
                .sha256
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !digest {
            invalid!("the manifest has no SHA-256 for {}", self.path);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(path: &str) -> Item {
        Item {
            path: path.to_owned(),
            size: 3,
            sha256: "0".repeat(64),
        }
    }

    #[test]
    fn paths_out_of_the_medium_and_missing_digests_are_refused() {
        let mut good = Manifest::new(
            "1.0",
            "x86_64",
            vec![],
            item("boot/vmlinuz"),
            item("boot/initrd"),
        );
        good.files.push(item("rancheros/images.json"));
        let parse = |manifest: &Manifest| Manifest::parse(&serde_json::to_vec(manifest).unwrap());
        assert_eq!(parse(&good).unwrap(), good);
        for path in ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/\nb"] {
            let mut bad = good.clone();
            bad.files[0].path = path.to_owned();
            assert!(parse(&bad).is_err(), "{path:?}");
        }
        let mut bad = good.clone();
        bad.kernel.sha256 = "0".repeat(63) + "Z";
        assert!(parse(&bad).is_err());
        let mut newer = good;
        newer.schema = 2;
        assert!(parse(&newer).unwrap_err().to_string().contains("schema 2"));
    }
}
