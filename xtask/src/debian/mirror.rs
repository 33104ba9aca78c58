//! Finds Debian's archives in the host's apt configuration and reads their package indices.

use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use duct::cmd;
use reqwest::blocking::Client;

use super::index::{Index, Origin};
use super::release::Release;
use super::sources::{self, Source};
use crate::workspace::Arch;
use crate::{download, progress};

/// The release whose packages the system images are made of.
pub(crate) const SUITE: &str = "trixie";
/// Parts of the archive in use: firmware is in the second.
const COMPONENTS: [&str; 2] = ["main", "non-free-firmware"];
/// Names the main archive in place of apt's.
const MIRROR_VARIABLE: &str = "RANCHEROS_DEBIAN_MIRROR";
/// Names the security archive in place of apt's.
const SECURITY_VARIABLE: &str = "RANCHEROS_DEBIAN_SECURITY_MIRROR";

/// Base addresses of the archives in use.
#[derive(Debug)]
pub(crate) struct Mirror {
    main: String,
    security: Option<String>,
    releases: Vec<(String, Origin, Release)>,
}

impl Mirror {
    /// Finds and verifies the archives.
    pub(crate) fn find(client: &Client) -> Result<Self> {
        let sources = sources::read(Path::new("/etc/apt"))?;
        let now = SystemTime::now();
        let (main, release) = find_archive(client, &main_candidates(&sources), SUITE, "Debian", now)?.with_context(|| {
            format!(
                "none of the host's apt sources is a Debian mirror with {SUITE}: set {MIRROR_VARIABLE} to the base address of one \
                 (and {SECURITY_VARIABLE} to one of the security archive)"
            )
        })?;
        let mut releases = vec![(format!("{main}/dists/{SUITE}"), Origin::Main, release)];
        let updates = format!("{SUITE}-updates");
        if let Some((_, release)) =
            find_archive(client, std::slice::from_ref(&main), &updates, "Debian", now)?
        {
            releases.push((format!("{main}/dists/{updates}"), Origin::Main, release));
        }
        let suite = format!("{SUITE}-security");
        let found = find_archive(
            client,
            &security_candidates(&sources, &main),
            &suite,
            "Debian-Security",
            now,
        )?;
        let security = found.map(|(uri, release)| {
            releases.push((format!("{uri}/dists/{suite}"), Origin::Security, release));
            uri
        });
        if security.is_none() {
            progress::warn(&format!(
                "no archive with {suite} was found (set {SECURITY_VARIABLE}): the images lack security updates"
            ));
        }
        Ok(Self {
            main,
            security,
            releases,
        })
    }

    /// The line of apt's sources.list(5) for the main archive.
    pub(crate) fn source_line(&self) -> String {
        format!("deb {} {SUITE} main", self.main)
    }

    /// Address of a file of an archive.
    pub(crate) fn url(&self, origin: Origin, path: &str) -> Result<String> {
        let base = match origin {
            Origin::Main => &self.main,
            Origin::Security => self.security.as_ref().with_context(|| {
                format!(
                    "{path} is in the security archive, and none was found: set {SECURITY_VARIABLE}"
                )
            })?,
        };
        Ok(format!("{base}/{path}"))
    }

    /// Downloads, verifies and reads the package indices of all suites.
    pub(crate) fn index(&self, client: &Client, arch: Arch) -> Result<Index> {
        let mut index = Index::default();
        for (base, origin, release) in &self.releases {
            for component in COMPONENTS {
                let path = format!("{component}/binary-{}/Packages", arch.debian());
                if let Some(text) = packages(client, base, release, &path)? {
                    index
                        .add(&text, *origin)
                        .with_context(|| format!("read {base}/{path}"))?;
                }
            }
        }
        progress::note(
            "package index",
            &format!("{} packages of {SUITE}", index.len()),
        );
        Ok(index)
    }
}

/// Addresses to try for the main archive: the override alone, or everything apt has.
fn main_candidates(sources: &[Source]) -> Vec<String> {
    match variable(MIRROR_VARIABLE) {
        Some(uri) => vec![uri],
        None => distinct(
            sources
                .iter()
                .filter(|source| !is_security(source))
                .map(|source| source.uri.clone()),
        ),
    }
}

/// Addresses to try for the security archive: the override, apt's, and the usual place next to the main archive.
fn security_candidates(sources: &[Source], main: &str) -> Vec<String> {
    if let Some(uri) = variable(SECURITY_VARIABLE) {
        return vec![uri];
    }
    let from_apt = sources
        .iter()
        .filter(|source| is_security(source))
        .map(|source| source.uri.clone());
    distinct(from_apt.chain([format!("{main}-security"), main.to_owned()]))
}

fn is_security(source: &Source) -> bool {
    source
        .suites
        .iter()
        .any(|suite| suite.ends_with("-security") || suite.ends_with("/updates"))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.is_empty())
        .map(|value| value.trim_end_matches('/').to_owned())
}

fn distinct(uris: impl Iterator<Item = String>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for uri in uris {
        if !found.contains(&uri) {
            found.push(uri);
        }
    }
    found
}

/// The first address that has the suite with Debian's signature and the wanted label.
fn find_archive(
    client: &Client,
    candidates: &[String],
    suite: &str,
    label: &str,
    now: SystemTime,
) -> Result<Option<(String, Release)>> {
    let mut refused = None;
    for uri in candidates {
        let url = format!("{uri}/dists/{suite}/InRelease");
        let Some(bytes) = download::text(client, &url)? else {
            continue;
        };
        match Release::verify(&bytes, &url, now) {
            Ok(release)
                if release.origin == "Debian"
                    && release.label == label
                    && release.codename == suite =>
            {
                return Ok(Some((uri.clone(), release)));
            }
            Ok(release) => progress::warn(&format!(
                "{url} is {} {}, not Debian's {suite}",
                release.origin, release.codename
            )),
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) => Err(error),
        None => Ok(None),
    }
}

/// One `Packages` file, by the best compression the release has; `None` when the component is not there.
fn packages(client: &Client, base: &str, release: &Release, path: &str) -> Result<Option<String>> {
    for (extension, tool) in [(".xz", "xz"), (".gz", "gzip")] {
        let packed = format!("{path}{extension}");
        let Some((sha256, size)) = release.file(&packed) else {
            continue;
        };
        let folder = packed.rsplit_once('/').map_or("", |(folder, _)| folder);
        let url = match release.by_hash {
            true => format!("{base}/{folder}/by-hash/SHA256/{sha256}"),
            false => format!("{base}/{packed}"),
        };
        let item = download::Item {
            name: packed,
            url,
            sha256: sha256.to_owned(),
            size,
        };
        let file = download::fetch(client, &item, &progress::bytes("package index", size))
            .map_err(anyhow::Error::from)?;
        let text = cmd!(tool, "-dc", &file)
            .stdout_capture()
            .run()
            .with_context(|| {
                format!(
                    "unpack {} with {tool} (cargo xtask setup installs it)",
                    item.name
                )
            })?
            .stdout;
        return Ok(Some(
            String::from_utf8(text).with_context(|| format!("{} is not text", item.name))?,
        ));
    }
    if release.file(path).is_some_and(|(_, size)| size > 0) {
        bail!("{base}/{path} is there in no compression this build knows");
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(uri: &str, suite: &str) -> Source {
        Source {
            uri: uri.into(),
            suites: vec![suite.into()],
        }
    }

    #[test]
    fn security_archive_is_taken_from_apt_then_guessed() {
        let sources = [
            source("http://a.test/debian", "bookworm"),
            source("http://b.test/sec", "bookworm-security"),
        ];
        assert_eq!(main_candidates(&sources), ["http://a.test/debian"]);
        let found = security_candidates(&sources, "http://a.test/debian");
        assert_eq!(
            found,
            [
                "http://b.test/sec",
                "http://a.test/debian-security",
                "http://a.test/debian"
            ]
        );
    }
}
