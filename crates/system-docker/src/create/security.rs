//! `--security-opt`: docker's client reads a seccomp profile from a file and opens the system's paths by itself, so the engine
//! never sees the file's name.

use std::fs;

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// What the flags say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Security {
    /// What the engine reads.
    pub(super) options: Vec<String>,
    /// `systempaths=unconfined`: no path below /proc and /sys is masked or read-only.
    pub(super) open_paths: bool,
}

impl Security {
    /// # Errors
    /// Docker's words for an option without a value, and for a profile that cannot be read.
    pub(super) fn read(flags: &[String]) -> anyhow::Result<Self> {
        let mut security = Self::default();
        for flag in flags {
            if flag == "no-new-privileges" {
                security.options.push(flag.clone());
                continue;
            }
            let parts = flag.split_once('=').or_else(|| flag.split_once(':'));
            let (key, value) =
                parts.with_context(|| format!("invalid --security-opt: {flag:?}"))?;
            match (key, value) {
                ("seccomp", "unconfined" | "builtin") => security.options.push(flag.clone()),
                ("seccomp", path) => security
                    .options
                    .push(format!("seccomp={}", seccomp_profile(path)?)),
                ("systempaths", value) => {
                    ensure!(value == "unconfined", "invalid --security-opt: {flag:?}");
                    security.open_paths = true;
                }
                _ => security.options.push(flag.clone()),
            }
        }
        Ok(security)
    }
}

/// The profile in a file, on one line.
fn seccomp_profile(path: &str) -> anyhow::Result<Value> {
    let text = fs::read(path)
        .with_context(|| format!("opening seccomp profile ({path}) failed: open {path}"))?;
    serde_json::from_slice(&text)
        .with_context(|| format!("compacting json for seccomp profile ({path}) failed"))
}
