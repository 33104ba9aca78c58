//! Where services of catalogues are: a folder of this machine, or an address and the file that its answer is kept in.
//!
//! Only files are read at the boot: a repository that cannot be reached delays nothing. `ros service enable` fetches.

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
        if let Some(folder) = url
            .strip_prefix("file://")
            .or(url.starts_with('/').then_some(url))
        {
            let folder = Path::new(folder);
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
