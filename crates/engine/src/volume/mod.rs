//! Volumes of the `local` driver: directories `<root>/volumes/<name>/_data`, or file systems mounted there while used.

mod copy;
mod hold;
mod options;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use engine_api::{
    Error, Filters, Result, Volume, VolumeCreate, VolumeList, VolumeUsage, VolumesPruneReport,
};
use serde::{Deserialize, Serialize};
use sys::mount::UnmountFlags;

use crate::timestamp::Timestamp;
pub use copy::copy_up;

/// Longest volume name, in characters: a directory name.
const NAME_MAX: usize = 255;
/// Deepest directory that is measured.
const DEPTH_MAX: usize = 256;
/// File that describes a volume.
const RECORD: &str = "volume.json";
/// Label that Docker puts on volumes nobody named.
pub const ANONYMOUS_LABEL: &str = "com.docker.volume.anonymous";

/// What volumes must know of the rest of the engine.
pub trait VolumeHooks {
    /// Containers that have the volume, running or not.
    fn users(&self, name: &str) -> Vec<String>;

    /// Publishes an event of type `volume`.
    fn event(&self, action: &str, name: &str, attributes: BTreeMap<String, String>);
}

/// A volume as it is on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    created: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    options: Option<BTreeMap<String, String>>,
}

impl Record {
    fn is_anonymous(&self) -> bool {
        self.labels
            .as_ref()
            .is_some_and(|labels| labels.contains_key(ANONYMOUS_LABEL))
    }

    fn labels(&self) -> BTreeMap<String, String> {
        self.labels.clone().unwrap_or_default()
    }
}

/// The volumes of an engine.
#[derive(Clone)]
pub struct Volumes(Rc<Inner>);

struct Inner {
    root: PathBuf,
    records: RefCell<BTreeMap<String, Record>>,
    /// Running containers by volume that mounts something.
    mounted: RefCell<BTreeMap<String, usize>>,
    hooks: RefCell<Option<Rc<dyn VolumeHooks>>>,
}

impl fmt::Debug for Volumes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volumes")
            .field("root", &self.0.root)
            .finish_non_exhaustive()
    }
}

fn no_such_volume(name: &str) -> Error {
    Error::not_found(format!("get {name}: no such volume"))
}

fn check_name(name: &str) -> Result<()> {
    if name.len() < 2 {
        return Err(Error::bad_parameter(
            "volume name is too short, names should be at least two alphanumeric characters",
        ));
    }
    let word = |b: u8| b.is_ascii_alphanumeric();
    let valid = name.len() <= NAME_MAX
        && name.bytes().next().is_some_and(word)
        && name
            .bytes()
            .all(|b| word(b) || matches!(b, b'_' | b'.' | b'-'));
    if valid {
        return Ok(());
    }
    Err(Error::bad_parameter(format!(
        "create {name}: {name:?} includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
    )))
}

impl Volumes {
    /// Opens the volumes below the engine's root.
    ///
    /// # Errors
    /// When the directory cannot be made or read.
    pub fn new(root: &Path) -> Result<Self> {
        let root = root.join("volumes");
        fs::create_dir_all(&root)?;
        let mut records = BTreeMap::new();
        for entry in fs::read_dir(&root)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if name.starts_with('.') {
                // removed halfway; the next removal of a volume of that name would trip over it
                let _ = fs::remove_dir_all(entry.path());
                continue;
            }
            if check_name(&name).is_ok() && entry.path().join("_data").is_dir() {
                records.insert(name, read_record(&entry.path()));
            }
        }
        Ok(Self(Rc::new(Inner {
            root,
            records: RefCell::new(records),
            mounted: RefCell::default(),
            hooks: RefCell::default(),
        })))
    }

    /// Tells volumes about containers and events; the engine calls this once.
    pub fn set_hooks(&self, hooks: Rc<dyn VolumeHooks>) {
        *self.0.hooks.borrow_mut() = Some(hooks);
    }

    fn directory(&self, name: &str) -> PathBuf {
        self.0.root.join(name)
    }

    /// Where a volume's content is.
    pub fn mountpoint(&self, name: &str) -> PathBuf {
        self.directory(name).join("_data")
    }

    /// Whether there is such a volume.
    pub fn exists(&self, name: &str) -> bool {
        self.0.records.borrow().contains_key(name)
    }

    /// Makes a volume; one that exists is answered as it is. An empty name makes an anonymous one.
    ///
    /// # Errors
    /// 400 for a bad name, driver or option.
    pub fn create(&self, request: &VolumeCreate) -> Result<Volume> {
        if !request.driver.is_empty() && request.driver != "local" {
            return Err(Error::not_found(format!(
                "create {}: error looking up volume plugin {}: plugin {:?} not found",
                request.name, request.driver, request.driver
            )));
        }
        if request.cluster_volume_spec.is_some() {
            return Err(Error::unavailable(
                "cluster volumes need swarm, which System Docker leaves to User Docker",
            ));
        }
        let mut labels = request.labels.clone();
        let name = if request.name.is_empty() {
            labels.insert(ANONYMOUS_LABEL.to_owned(), String::new());
            crate::ids::new_id()?
        } else {
            request.name.clone()
        };
        check_name(&name)?;
        options::parse(&request.driver_opts)?;
        if !self.exists(&name) {
            self.make(&name, labels, &request.driver_opts)?;
        }
        self.inspect(&name)
    }

    fn make(
        &self,
        name: &str,
        labels: BTreeMap<String, String>,
        options: &BTreeMap<String, String>,
    ) -> Result<()> {
        let record = Record {
            created: Timestamp::now().to_string(),
            labels: (!labels.is_empty()).then_some(labels),
            options: (!options.is_empty()).then(|| options.clone()),
        };
        let directory = self.directory(name);
        let failed =
            |error: std::io::Error| Error::server(format!("create volume {name}: {error}"));
        fs::create_dir_all(directory.join("_data")).map_err(failed)?;
        crate::atomic_file::write(
            &directory.join(RECORD),
            &serde_json::to_vec(&record)?,
            0o600,
        )
        .map_err(failed)?;
        self.0.records.borrow_mut().insert(name.to_owned(), record);
        self.event("create", name);
        Ok(())
    }

    /// One volume.
    ///
    /// # Errors
    /// 404 when there is none.
    pub fn inspect(&self, name: &str) -> Result<Volume> {
        let records = self.0.records.borrow();
        let record = records.get(name).ok_or_else(|| no_such_volume(name))?;
        Ok(self.describe(name, record))
    }

    fn describe(&self, name: &str, record: &Record) -> Volume {
        Volume {
            created_at: record.created.clone(),
            driver: "local".to_owned(),
            labels: record.labels.clone(),
            mountpoint: self.mountpoint(name).display().to_string(),
            name: name.to_owned(),
            options: record.options.clone(),
            scope: "local".to_owned(),
            ..Volume::default()
        }
    }

    /// Volumes that the filters `dangling`, `driver`, `label` and `name` select, by name.
    ///
    /// # Errors
    /// 400 for other filters.
    pub fn list(&self, filters: &Filters) -> Result<VolumeList> {
        filters.validate(&["dangling", "driver", "label", "name"])?;
        let dangling = filters.flag("dangling")?;
        let names = filters.get("name");
        let records = self.0.records.borrow();
        let fits = |name: &str, record: &Record| {
            filters.matches_exact("driver", "local")
                && (names.is_empty() || names.iter().any(|part| name.contains(part.as_str())))
                && filters.matches_labels(&record.labels())
                && dangling.is_none_or(|wanted| wanted == self.users(name).is_empty())
        };
        let fitting = records.iter().filter(|(name, record)| fits(name, record));
        Ok(VolumeList {
            volumes: fitting
                .map(|(name, record)| self.describe(name, record))
                .collect(),
            warnings: None,
        })
    }

    fn users(&self, name: &str) -> Vec<String> {
        let hooks = self.0.hooks.borrow().clone();
        hooks.map_or_else(Vec::new, |hooks| hooks.users(name))
    }

    fn event(&self, action: &str, name: &str) {
        let hooks = self.0.hooks.borrow().clone();
        if let Some(hooks) = hooks {
            let attributes = BTreeMap::from([("driver".to_owned(), "local".to_owned())]);
            hooks.event(action, name, attributes);
        }
    }

    /// Removes a volume. With `force`, one that does not exist is fine.
    ///
    /// # Errors
    /// 404 when there is none, 409 when a container has it.
    pub async fn remove(&self, name: &str, force: bool) -> Result<()> {
        if !self.exists(name) {
            return if force {
                Ok(())
            } else {
                Err(no_such_volume(name))
            };
        }
        let users = self.users(name);
        if !users.is_empty() {
            return Err(Error::conflict(format!(
                "remove {name}: volume is in use - [{}]",
                users.join(", ")
            )));
        }
        self.destroy(name).await
    }

    /// Takes the volume out of sight by one rename, then removes its files.
    async fn destroy(&self, name: &str) -> Result<()> {
        self.0.mounted.borrow_mut().remove(name);
        // an engine before this one may have left it mounted: what is removed below must be the volume's own
        while is_mounted(&self.mountpoint(name))? {
            self.unmount(name)?;
        }
        let doomed = self.0.root.join(format!(".{name}"));
        match fs::rename(self.directory(name), &doomed) {
            // Somebody has removed the directory: what is left of the volume goes too.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            renamed => {
                renamed.map_err(|error| Error::server(format!("remove volume {name}: {error}")))?
            }
        }
        self.0.records.borrow_mut().remove(name);
        self.event("destroy", name);
        let removed = tokio::task::spawn_blocking(move || fs::remove_dir_all(&doomed)).await;
        let removed =
            removed.map_err(|error| Error::server(format!("remove volume {name}: {error}")))?;
        match removed {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => {
                removed.map_err(|error| Error::server(format!("remove volume {name}: {error}")))
            }
        }
    }

    /// Removes volumes that no container has: anonymous ones, or with the filter `all=true` all of them.
    ///
    /// # Errors
    /// 400 for other filters than `all`, `label` and `label!`.
    pub async fn prune(&self, filters: &Filters) -> Result<VolumesPruneReport> {
        filters.validate(&["all", "label", "label!"])?;
        let all = filters.flag("all")?.unwrap_or(false);
        let doomed: Vec<String> = {
            let records = self.0.records.borrow();
            let fits = |name: &str, record: &Record| {
                (all || record.is_anonymous())
                    && filters.matches_labels(&record.labels())
                    && self.users(name).is_empty()
            };
            let fitting = records.iter().filter(|(name, record)| fits(name, record));
            fitting.map(|(name, _)| name.clone()).collect()
        };
        let mut report = VolumesPruneReport::default();
        let mut deleted = Vec::new();
        for name in doomed {
            let size = self.measure(&name).await;
            // a container may have taken it meanwhile
            if self.remove(&name, true).await.is_ok() {
                report.space_reclaimed += size;
                deleted.push(name);
            }
        }
        report.volumes_deleted = (!deleted.is_empty()).then_some(deleted);
        Ok(report)
    }

    /// All volumes with their sizes and users, for `system df`.
    pub async fn usage(&self) -> Vec<Volume> {
        let names: Vec<String> = self.0.records.borrow().keys().cloned().collect();
        let mut volumes = Vec::new();
        for name in names {
            let size = self.measure(&name).await;
            let Ok(mut volume) = self.inspect(&name) else {
                continue;
            };
            volume.usage_data = Some(VolumeUsage {
                ref_count: i64::try_from(self.users(&name).len()).unwrap_or(i64::MAX),
                size: i64::try_from(size).unwrap_or(i64::MAX),
            });
            volumes.push(volume);
        }
        volumes
    }

    async fn measure(&self, name: &str) -> u64 {
        let path = self.mountpoint(name);
        // a size that cannot be found out is shown as nothing
        tokio::task::spawn_blocking(move || size_of(&path, 0))
            .await
            .unwrap_or(0)
    }

    /// Prepares a volume for a container that starts and returns its directory; mounts what its options say, once for all.
    ///
    /// # Errors
    /// 404 when there is none, 500 when the mount fails.
    pub async fn acquire(&self, name: &str) -> Result<PathBuf> {
        let options = {
            let records = self.0.records.borrow();
            let record = records.get(name).ok_or_else(|| no_such_volume(name))?;
            options::parse(&record.options.clone().unwrap_or_default())?
        };
        let target = self.mountpoint(name);
        let Some(options) = options else {
            return Ok(target);
        };
        let left_mounted = is_mounted(&target)?;
        let first = {
            let mut mounted = self.0.mounted.borrow_mut();
            let count = mounted.entry(name.to_owned()).or_insert(0);
            *count += 1;
            *count == 1
        };
        if first
            && !left_mounted
            && let Err(error) = mount(options, target.clone()).await
        {
            self.0.mounted.borrow_mut().remove(name);
            return Err(Error::server(format!(
                "error while mounting volume '{}': {error}",
                target.display()
            )));
        }
        Ok(target)
    }

    /// The container that acquired the volume has stopped.
    ///
    /// # Errors
    /// When the last one was it and the volume cannot be unmounted.
    pub fn release(&self, name: &str) -> Result<()> {
        let last = {
            let mut mounted = self.0.mounted.borrow_mut();
            let Some(count) = mounted.get_mut(name) else {
                return Ok(());
            };
            *count = count.saturating_sub(1);
            let last = *count == 0;
            if last {
                mounted.remove(name);
            }
            last
        };
        if last { self.unmount(name) } else { Ok(()) }
    }

    fn unmount(&self, name: &str) -> Result<()> {
        let unmounted = sys::mount::unmount(self.mountpoint(name), UnmountFlags::DETACH);
        unmounted.map_err(|error| Error::server(format!("volume {name}: {error}")))
    }
}

fn is_mounted(path: &Path) -> Result<bool> {
    let mounts = sys::mount::mountinfo().map_err(|error| Error::server(error.to_string()))?;
    let path = fs::canonicalize(path)?;
    Ok(mounts.iter().any(|entry| entry.target == path))
}

/// Mounts in another thread: a network file system can take its time.
async fn mount(options: options::MountOptions, target: PathBuf) -> Result<()> {
    let mounted = tokio::task::spawn_blocking(move || {
        if options.bind {
            sys::mount::bind(&options.device, &target, options.recursive)?;
            if options.flags.bits() == 0 {
                return Ok(());
            }
            return sys::mount::remount_bind(&target, options.flags);
        }
        sys::mount::mount(
            &options.device,
            &target,
            &options.kind,
            options.flags,
            &options.data,
        )
    });
    let mounted = mounted
        .await
        .map_err(|error| Error::server(error.to_string()))?;
    mounted.map_err(|error| Error::server(error.to_string()))
}

fn read_record(directory: &Path) -> Record {
    let read = fs::read(directory.join(RECORD)).ok();
    // a volume whose description is lost still has its content
    read.and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_else(|| Record {
            created: Timestamp::now().to_string(),
            labels: None,
            options: None,
        })
}

/// Bytes on disk below a directory; symlinks are not followed.
fn size_of(directory: &Path, depth: usize) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    let mut size = 0;
    for entry in entries.flatten() {
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        size += if metadata.is_dir() && depth < DEPTH_MAX {
            size_of(&entry.path(), depth + 1)
        } else {
            metadata.blocks() * 512
        };
    }
    size
}
