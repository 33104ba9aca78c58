//! Debian packages: found, pinned, verified, downloaded, unpacked.
//!
//! Nothing here runs maintainer scripts; what they would have done is data in `rootfs/`.

mod control;
pub(crate) mod deb;
mod dependency;
mod index;
mod lock;
mod mirror;
mod release;
mod resolver;
mod sources;
mod tool;
mod version;

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use reqwest::blocking::Client;

use crate::cache::Inputs;
use crate::download::{self, Failure};
use crate::progress;
use crate::workspace::Build;
use index::{Index, Origin};
pub(crate) use lock::Lock;
use lock::{Closure, Pin};
use mirror::Mirror;
pub(crate) use mirror::SUITE;
pub(crate) use resolver::Request;
pub(crate) use tool::Tool;

/// A package that is on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    /// Name.
    pub(crate) name: String,
    /// Version.
    pub(crate) version: String,
    /// The `.deb` in the cache.
    pub(crate) file: PathBuf,
    /// Its SHA-256.
    pub(crate) sha256: String,
}

/// The line of apt's sources.list(5) for the archive that the build takes its packages from.
pub(crate) fn source_line() -> Result<String> {
    Ok(Mirror::find(&download::client()?)?.source_line())
}

/// The lock file and the downloads are one thread's at a time: kernel and images are made side by side.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fetches one package by name, without its dependencies, as pinned in the lock file; returns the `.deb`.
pub(crate) fn fetch_package(build: &Build, name: &str) -> Result<PathBuf> {
    let _turn = turn();
    let mut archive = Archive::open(build)?;
    archive.add_single(name, false)?;
    let names = BTreeSet::from([name.to_owned()]);
    let fetched = match archive.fetch(&names) {
        Err(error) if error.is::<Vanished>() => {
            archive.refuse_change(&error)?;
            progress::warn(&format!(
                "{error:#}; taking the current version and updating the lock file"
            ));
            archive.add_single(name, true)?;
            archive.fetch(&names)?
        }
        other => other?,
    };
    archive.save()?;
    match fetched.into_iter().next() {
        Some(package) => Ok(package.file),
        None => bail!("package {name} was not fetched"),
    }
}

/// A package of a suite that is not built from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolFile {
    /// What the user sees.
    pub(crate) name: &'static str,
    /// Path below the archive's base address.
    pub(crate) path: &'static str,
    /// SHA-256 in hexadecimal.
    pub(crate) sha256: &'static str,
    /// Size in bytes.
    pub(crate) size: u64,
}

/// Fetches a package that no lock file names; returns the `.deb`.
pub(crate) fn fetch_pool_file(file: &PoolFile) -> Result<PathBuf> {
    let _turn = turn();
    if let Some(known) = download::cached(file.sha256, file.size)? {
        return Ok(known);
    }
    let client = download::client()?;
    let item = download::Item {
        name: file.name.to_owned(),
        url: Mirror::find(&client)?.url(Origin::Main, file.path)?,
        sha256: file.sha256.to_owned(),
        size: file.size,
    };
    let fetched = download::fetch_all(&client, file.name, &[item]);
    fetched
        .into_iter()
        .next()
        .context("nothing was fetched")?
        .map_err(anyhow::Error::from)
        .with_context(|| format!("fetch package {}", file.name))
}

/// Fetches the closures of several requests; later ones may leave out what an earlier one has by `present`.
/// The answer has the requests' order, each closure in the order of unpacking.
pub(crate) fn fetch_closures(
    build: &Build,
    requests: &[(String, ClosureRequest)],
) -> Result<Vec<Vec<Fetched>>> {
    let _turn = turn();
    let mut archive = Archive::open(build)?;
    for (name, request) in requests {
        archive.resolve(name, request, false)?;
    }
    let fetched = match archive.fetch(&archive.names(requests)) {
        Err(error) if error.is::<Vanished>() => {
            archive.refuse_change(&error)?;
            progress::warn(&format!(
                "{error:#}; resolving again and updating the lock file"
            ));
            for (name, request) in requests {
                archive.resolve(name, request, true)?;
            }
            archive.fetch(&archive.names(requests))?
        }
        other => other?,
    };
    archive.save()?;
    let find = |name: &String| {
        fetched
            .iter()
            .find(|package| package.name == *name)
            .cloned()
            .with_context(|| format!("package {name} was not fetched"))
    };
    requests
        .iter()
        .map(|(image, _)| {
            archive.lock.closures[image]
                .packages
                .iter()
                .map(find)
                .collect()
        })
        .collect()
}

/// A request whose `below` names earlier requests that are layers under it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClosureRequest {
    /// Packages that are wanted.
    pub(crate) packages: Vec<String>,
    /// Packages that are left out though something depends on them.
    pub(crate) exclude: Vec<String>,
    /// Closures that are there already.
    pub(crate) below: Vec<String>,
}

/// Some pinned packages are no longer on the mirror.
#[derive(Debug)]
struct Vanished(Vec<String>);

impl std::fmt::Display for Vanished {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "no longer on the mirror: {}", self.0.join(", "))
    }
}

impl std::error::Error for Vanished {}

/// The lock file with, only when they are needed, the mirror and its index.
struct Archive<'a> {
    build: &'a Build,
    client: Client,
    lock: Lock,
    mirror: OnceCell<Mirror>,
    index: OnceCell<Index>,
}

impl<'a> Archive<'a> {
    fn open(build: &'a Build) -> Result<Self> {
        let lock = Lock::read(&Lock::path(build))?;
        Ok(Self {
            build,
            client: download::client()?,
            lock,
            mirror: OnceCell::new(),
            index: OnceCell::new(),
        })
    }

    fn save(&mut self) -> Result<()> {
        self.lock.write(&Lock::path(self.build), self.build.locked)
    }

    fn mirror(&self) -> Result<&Mirror> {
        if let Some(mirror) = self.mirror.get() {
            return Ok(mirror);
        }
        let mirror = Mirror::find(&self.client)?;
        Ok(self.mirror.get_or_init(|| mirror))
    }

    fn index(&self) -> Result<&Index> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let index = self.mirror()?.index(&self.client, self.build.arch)?;
        Ok(self.index.get_or_init(|| index))
    }

    /// With `--locked` the lock file cannot follow the mirror.
    fn refuse_change(&self, cause: &anyhow::Error) -> Result<()> {
        if self.build.locked {
            bail!("{cause:#}, and --locked forbids taking other versions");
        }
        Ok(())
    }

    /// Pins a package that is not part of a closure; `newest` takes the newest though one is pinned.
    fn add_single(&mut self, name: &str, newest: bool) -> Result<()> {
        self.lock.singles.insert(name.to_owned());
        if newest || self.lock.pin(name).is_none() {
            let found = self.index()?.candidate(name, None);
            let pin =
                Pin::from(found.with_context(|| format!("package {name} is not in the archive"))?);
            self.lock.set(pin);
        }
        Ok(())
    }

    /// Brings the lock's closure in line with the request.
    fn resolve(&mut self, name: &str, request: &ClosureRequest, newest: bool) -> Result<()> {
        let mut present = Vec::new();
        for below in &request.below {
            let closure = self.lock.closures.get(below);
            present.extend(
                closure
                    .with_context(|| format!("{name} is on {below}, which is not resolved"))?
                    .packages
                    .clone(),
            );
        }
        let mut key = Inputs::new("closure");
        for (kind, list) in [
            ("package", &request.packages),
            ("exclude", &request.exclude),
            ("present", &present),
        ] {
            for entry in list {
                key.text(kind, entry);
            }
        }
        let key = key.key();
        let known = self.lock.closures.get(name).is_some_and(|closure| {
            closure.request == key
                && closure
                    .packages
                    .iter()
                    .all(|package| self.lock.pin(package).is_some())
        });
        if known && !newest {
            return Ok(());
        }
        let request = Request {
            packages: request.packages.clone(),
            exclude: request.exclude.clone(),
            present,
        };
        let pins = self.lock.versions();
        let resolved = resolver::resolve(self.index()?, &request, &pins)
            .with_context(|| format!("resolve image {name}"))?;
        let pinned: Vec<Pin> = resolved.into_iter().map(Pin::from).collect();
        let packages = pinned.iter().map(|pin| pin.name.clone()).collect();
        pinned.into_iter().for_each(|pin| self.lock.set(pin));
        self.lock.closures.insert(
            name.to_owned(),
            Closure {
                request: key,
                packages,
            },
        );
        Ok(())
    }

    /// Every package of the closures.
    fn names(&self, requests: &[(String, ClosureRequest)]) -> BTreeSet<String> {
        let closures = requests
            .iter()
            .filter_map(|(name, _)| self.lock.closures.get(name));
        closures
            .flat_map(|closure| closure.packages.iter().cloned())
            .collect()
    }

    /// Downloads what the cache does not have.
    fn fetch(&self, names: &BTreeSet<String>) -> Result<Vec<Fetched>> {
        let mut fetched = Vec::new();
        let mut missing = Vec::new();
        for name in names {
            let pin = self
                .lock
                .pin(name)
                .with_context(|| format!("package {name} is not pinned"))?;
            match download::cached(&pin.sha256, pin.size)? {
                Some(file) => fetched.push(Self::fetched(pin, file)),
                None => missing.push(pin),
            }
        }
        if missing.is_empty() {
            return Ok(fetched);
        }
        let mirror = self.mirror()?;
        let items = missing
            .iter()
            .map(|pin| {
                let url = mirror.url(pin.origin, &pin.path)?;
                Ok(download::Item {
                    name: pin.name.clone(),
                    url,
                    sha256: pin.sha256.clone(),
                    size: pin.size,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let mut vanished = Vec::new();
        for (pin, result) in
            missing
                .iter()
                .zip(download::fetch_all(&self.client, "Debian packages", &items))
        {
            match result {
                Ok(file) => fetched.push(Self::fetched(pin, file)),
                Err(Failure::Vanished(_)) => vanished.push(format!("{} {}", pin.name, pin.version)),
                Err(Failure::Other(error)) => {
                    return Err(error.context(format!("fetch package {}", pin.name)));
                }
            }
        }
        if !vanished.is_empty() {
            return Err(Vanished(vanished).into());
        }
        Ok(fetched)
    }

    fn fetched(pin: &Pin, file: PathBuf) -> Fetched {
        Fetched {
            name: pin.name.clone(),
            version: pin.version.clone(),
            file,
            sha256: pin.sha256.clone(),
        }
    }
}
