//! Platforms: operating system and CPU in Go's words, and which of them run here.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Operating system and CPU of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// CPU, in Go's words: amd64, arm64.
    #[serde(default)]
    pub architecture: String,
    /// Operating system: linux.
    #[serde(default)]
    pub os: String,
    /// CPU variant: v7, v8.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Version of the operating system, used by Windows images.
    #[serde(
        default,
        rename = "os.version",
        skip_serializing_if = "String::is_empty"
    )]
    pub os_version: String,
}

impl Platform {
    /// The platform this program runs on.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self {
            architecture: architecture.to_owned(),
            os: "linux".to_owned(),
            ..Self::default()
        }
    }

    /// Parses `os/architecture[/variant]` as `docker pull --platform` takes it.
    ///
    /// # Errors
    /// When a part is empty, or there are more than three.
    pub fn parse(text: &str) -> Result<Self> {
        const COMPONENT: &str = "^[A-Za-z0-9_-]+$";
        let parts: Vec<&str> = text.split('/').collect();
        let valid = |part: &str| {
            !part.is_empty()
                && part.len() <= 64
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        };
        if let Some(wrong) = parts.iter().find(|part| !valid(part)) {
            return Err(Error::Platform(format!(
                "{wrong:?} is an invalid component of {text:?}: platform specifier component must match {COMPONENT:?}: invalid argument"
            )));
        }
        let mut platform = Self::host();
        match parts[..] {
            [only] if is_os(only) => platform.os = canonical_os(only),
            [only] if is_architecture(only) => {
                platform.architecture = canonical_architecture(only).to_owned()
            }
            [_] => {
                return Err(Error::Platform(format!(
                    "{text:?}: unknown operating system or architecture: invalid argument"
                )));
            }
            [os, architecture] | [os, architecture, _] => {
                platform.os = canonical_os(os);
                platform.architecture = canonical_architecture(architecture).to_owned();
                platform.variant = parts.get(2).map_or_else(String::new, |v| (*v).to_owned());
            }
            _ => {
                return Err(Error::Platform(format!(
                    "{text:?}: cannot parse platform specifier: invalid argument"
                )));
            }
        }
        Ok(platform)
    }

    /// `os/architecture[/variant]`.
    pub fn name(&self) -> String {
        if self.variant.is_empty() {
            return format!("{}/{}", self.os, self.architecture);
        }
        format!("{}/{}/{}", self.os, self.architecture, self.variant)
    }

    /// Whether `candidate` is this platform, or one that its CPU runs too.
    pub fn accepts(&self, candidate: &Platform) -> bool {
        self.score(candidate) > 0
    }

    /// How well `candidate` runs here: 2 the same, 1 another variant of the same CPU, 0 not at all.
    pub(super) fn score(&self, candidate: &Platform) -> u8 {
        let architecture = canonical_architecture(&candidate.architecture);
        if candidate.os != self.os || architecture != self.architecture {
            return 0;
        }
        let same = self.normal_variant() == candidate.normal_variant();
        if !self.variant.is_empty() && !same {
            return 0;
        }
        1 + u8::from(same)
    }

    fn normal_variant(&self) -> &str {
        match (
            canonical_architecture(&self.architecture),
            self.variant.as_str(),
        ) {
            ("arm64", "v8" | "8") | ("amd64", "v1") => "",
            (_, variant) => variant,
        }
    }
}

/// Whether Go knows this operating system.
fn is_os(word: &str) -> bool {
    const KNOWN: &str = " aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris windows zos ";
    KNOWN.contains(&format!(" {} ", canonical_os(word)))
}

fn canonical_os(word: &str) -> String {
    match word.to_lowercase().as_str() {
        "macos" => "darwin".to_owned(),
        other => other.to_owned(),
    }
}

/// Whether Go knows this CPU.
fn is_architecture(word: &str) -> bool {
    const KNOWN: &str = " 386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mips64 mips64le mips64p32 mips64p32le mipsle ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm ";
    KNOWN.contains(&format!(" {} ", canonical_architecture(word)))
}

fn canonical_architecture(word: &str) -> &str {
    match word {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
