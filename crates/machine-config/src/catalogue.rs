//! Where services of catalogues are: a folder of this machine, or an address and the file that its answer is kept in.
//!
//! Only files are read at the boot: a repository that cannot be reached delays nothing. `ros service enable` fetches, and so does the
//! console for what is on and not here.

use std::path::{Path, PathBuf};

use config::Config;
use config::include::is_catalogue_name;

/// What was fetched, next to the directory of the machine's configuration.
const CACHE: &str = "cache/services";
/// Longest name of a kept file, below the 255 bytes of file systems.
const LONGEST_NAME: usize = 200;

/// Where a service may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file of a folder.
    File(PathBuf),
    /// An address, and where its answer is kept.
    Kept {
        /// The address.
        url: String,
        /// The file.
        file: PathBuf,
    },
}

impl Place {
    /// The file that is read.
    pub fn file(&self) -> &Path {
        match self {
            Place::File(file) | Place::Kept { file, .. } => file,
        }
    }
}

/// The places of a service, by its name in the repositories in their order, or by its own address. `conf` is the directory of
/// the machine's configuration.
pub fn places(config: &Config, name: &str, conf: &Path) -> Vec<Place> {
    let cache = conf.parent().unwrap_or(conf).join(CACHE);
    if name.contains("://") {
        let file = cache.join(file_name(name));
        return vec![Place::Kept {
            url: name.to_owned(),
            file,
        }];
    }
    if !is_catalogue_name(name) {
        return Vec::new();
    }
    let first = name.get(..1).unwrap_or("");
    let mut places = Vec::new();
    for (repository, entry) in &config.rancher.repositories {
        let Some(url) = entry.url.as_deref() else {
            continue;
        };
        let url = url.trim_end_matches('/');
        if let Some(folder) = folder(url) {
            places.push(Place::File(folder.join(first).join(format!("{name}.yml"))));
            places.push(Place::File(folder.join(format!("{name}.yml"))));
        } else {
            places.push(Place::Kept {
                url: format!("{url}/{first}/{name}.yml"),
                file: cache
                    .join(file_name(repository))
                    .join(format!("{name}.yml")),
            });
        }
    }
    places
}

/// The file of a service that is here.
pub fn file(config: &Config, name: &str, conf: &Path) -> Option<PathBuf> {
    let places = places(config, name, conf);
    let mut files = places.iter().map(Place::file);
    files.find(|file| file.is_file()).map(Path::to_owned)
}

/// Whether a service may be somewhere else than on this machine.
pub fn is_elsewhere(config: &Config, name: &str, conf: &Path) -> bool {
    let places = places(config, name, conf);
    let mut places = places.iter();
    places.any(|place| matches!(place, Place::Kept { .. }))
}

/// The places of the repositories' lists of services (`index.yml`). `conf` is the directory of the machine's configuration.
pub fn indexes(config: &Config, conf: &Path) -> Vec<Place> {
    let cache = conf.parent().unwrap_or(conf).join(CACHE);
    let repositories = config.rancher.repositories.iter();
    repositories
        .filter_map(|(repository, entry)| {
            let url = entry.url.as_deref()?.trim_end_matches('/');
            Some(match folder(url) {
                Some(folder) => Place::File(folder.join("index.yml")),
                None => Place::Kept {
                    url: format!("{url}/index.yml"),
                    // Next to the repository's folder: in it, this would be the file of a service with the name index
                    file: cache.join(format!("{}.index.yml", file_name(repository))),
                },
            })
        })
        .collect()
}

/// The folder of this machine that a repository's address names.
fn folder(url: &str) -> Option<&Path> {
    url.strip_prefix("file://")
        .or(url.starts_with('/').then_some(url))
        .map(Path::new)
}

/// A name for a file, and nothing that leads elsewhere; two addresses that differ only in odd characters share one.
fn file_name(text: &str) -> String {
    let name: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') {
                c
            } else {
                '_'
            }
        })
        .collect();
    let from = name.len().saturating_sub(LONGEST_NAME);
    format!("u{}", &name[from..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_in_every_repository() {
        let text = "rancher: {repositories: {core: {url: 'https://r.example/os/'}, own: {url: /opt/catalogue}}}";
        let source = config::Source {
            name: "t.yml",
            text,
        };
        let loaded = config::load(&[source], &config::CommandLine::default());
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        let conf = Path::new("/var/lib/rancher/conf");
        let found = places(&loaded.config, "web", conf);
        assert_eq!(
            found[0],
            Place::Kept {
                url: "https://r.example/os/w/web.yml".into(),
                file: "/var/lib/rancher/cache/services/ucore/web.yml".into(),
            }
        );
        assert_eq!(found[1].file(), Path::new("/opt/catalogue/w/web.yml"));
        assert_eq!(found[2].file(), Path::new("/opt/catalogue/web.yml"));
        let lists = indexes(&loaded.config, conf);
        assert_eq!(
            lists[0],
            Place::Kept {
                url: "https://r.example/os/index.yml".into(),
                file: "/var/lib/rancher/cache/services/ucore.index.yml".into(),
            }
        );
        assert_eq!(lists[1], Place::File("/opt/catalogue/index.yml".into()));
        for bad in ["../x", "a/b", ".hidden", ""] {
            assert!(places(&loaded.config, bad, conf).is_empty(), "{bad}");
        }
        let url = places(&loaded.config, "https://e.example/../a.yml", conf);
        assert_eq!(
            url[0].file(),
            Path::new("/var/lib/rancher/cache/services/uhttps___e.example_.._a.yml")
        );
    }
}
