//! What PID 1's program must not hold: the crates of TLS, HTTP clients, archives and compression. What reads those is the
//! program `worker`. The whole closure of the package counts, not what the linker keeps of it.
//!
//! hyper's client is there, for Unix sockets alone: docs/decisions/2026-11-30-pid-1-asks-user-docker.md. What would take it to
//! the internet is refused, too: a crate or feature that connects to addresses or resolves names.

use anyhow::{Context, Result};
use duct::cmd;

use crate::workspace::Build;

/// The package whose program is PID 1.
const PACKAGE: &str = "init";

/// Names of crates, and why each is none of PID 1's business. A name stands for those that begin with it and a hyphen, too.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "it reads archives and registries",
        &["oci-transfer", "worker"],
    ),
    (
        "it is TLS",
        &[
            "rustls",
            "webpki",
            "ring",
            "aws-lc",
            "openssl",
            "native-tls",
            "boring",
        ],
    ),
    (
        "it is an HTTP client",
        &["ureq", "reqwest", "curl", "attohttpc", "isahc"],
    ),
    ("it resolves names", &["hickory", "trust-dns", "dns-lookup"]),
    (
        "it reads archives",
        &["tar", "cpio", "zip", "astral-tokio-tar", "tokio-tar"],
    ),
    (
        "it inflates",
        &[
            "flate2",
            "zlib-rs",
            "libz",
            "miniz_oxide",
            "libdeflate",
            "libdeflater",
            "async-compression",
            "zstd",
            "ruzstd",
            "bzip2",
            "libbz2",
            "lzma",
            "liblzma",
            "xz2",
            "lz4",
            "lz4_flex",
            "brotli",
            "snap",
        ],
    ),
];

/// Features of crates that are there otherwise, and why each is none of PID 1's business.
const FORBIDDEN_FEATURES: &[(&str, &str, &str)] = &[
    (
        "hyper-util",
        "client-legacy",
        "it connects to addresses and resolves names",
    ),
    ("hyper-util", "client-proxy", "it connects by proxies"),
];

/// Fails with each forbidden crate and feature of the closure.
pub(super) fn check(build: &Build) -> Result<Vec<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let text = cmd!(
        cargo,
        "tree",
        "--package",
        PACKAGE,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p} {f}",
        "--target",
        build.arch.target()
    )
    .dir(&build.root)
    .read()
    .context("run cargo tree")?;
    Ok(complaints(&text))
}

fn complaints(tree: &str) -> Vec<String> {
    let crates = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter_map(|name| {
            let (why, _) = FORBIDDEN
                .iter()
                .find(|(_, names)| names.iter().any(|known| stands_for(known, name)))?;
            Some(format!(
                "package {PACKAGE} depends on {name}, which PID 1 must not hold: {why} (xtask/src/tidy/closure.rs)"
            ))
        });
    let features = tree.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        let enabled = words.next_back()?;
        let (_, feature, why) = FORBIDDEN_FEATURES.iter().find(|(known, feature, _)| {
            *known == name && enabled.split(',').any(|word| word == *feature)
        })?;
        Some(format!(
            "package {PACKAGE} has the feature {feature} of {name}, which PID 1 must not hold: {why} (xtask/src/tidy/closure.rs)"
        ))
    });
    let mut found: Vec<String> = crates.chain(features).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn stands_for(known: &str, name: &str) -> bool {
    name.strip_prefix(known)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_crates_are_told_once_with_their_reason() {
        let tree = "init v0.1.0 (/x)\nserde v1.0.0\nrustls-webpki v0.1.0\nrustls-webpki v0.1.0 (*)\ntar v0.4.0\nstartar v1.0.0\n";
        let found = complaints(tree);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("depends on rustls-webpki") && found[0].contains("it is TLS"));
        assert!(found[1].contains("depends on tar,"));
    }

    #[test]
    fn a_client_that_reaches_the_internet_is_told_and_one_of_unix_sockets_is_not() {
        let tree = "hyper v1.12.0 client,default,http1,server\nhyper-util v0.1.21 default,tokio\n";
        assert_eq!(complaints(tree), Vec::<String>::new());
        let tree = "hyper-util v0.1.21 client,client-legacy,default,tokio\nhyper-util v0.1.21 client,client-legacy,tokio\n";
        let found = complaints(tree);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("the feature client-legacy of hyper-util"));
    }
}
