//! Volumes of the `local` driver: directories `<root>/volumes/<name>/_data`, or file systems mounted there while used.

mod hold;
mod mount;
mod options;
mod remove;
mod usage;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use engine_api::Timestamp;
use engine_api::{Error, Filters, Result, Volume, VolumeCreate, VolumeList};
use objects::Damage;
use objects::Patterns;
use runtime::NativeRuntime;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// Longest volume name, in characters: a directory name.
const NAME_MAX: usize = 255;
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

    /// Whether its content is what its options name, and not the volume's own.
    fn is_elsewhere(&self) -> bool {
        self.options
            .as_ref()
            .is_some_and(|options| !options.is_empty())
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
    /// Who mounts or unmounts a volume, by volume: one after the other.
    turns: RefCell<BTreeMap<String, Rc<Mutex<()>>>>,
    /// Unmounts that nobody waits for.
    leaving: RefCell<Vec<JoinHandle<()>>>,
    /// Whose processes mount, unmount and measure.
    runtime: NativeRuntime,
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
    /// Opens the volumes below the engine's root. What is damaged is set aside; a volume without its description still has
    /// its content.
    pub(crate) fn new(root: &Path, damage: &Damage, runtime: NativeRuntime) -> Self {
        let root = root.join("volumes");
        damage.directory(&root, 0o755);
        let mut records = BTreeMap::new();
        for path in damage.entries(&root) {
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(name) = name.map(str::to_owned) else {
                continue;
            };
            if name.starts_with('.') {
                // removed halfway; the next removal of a volume of that name would trip over it
                let _ = fs::remove_dir_all(&path);
                continue;
            }
            if check_name(&name).is_err() {
                continue;
            }
            if let Some(record) = open_one(&path, damage) {
                records.insert(name, record);
            }
        }
        Self(Rc::new(Inner {
            root,
            records: RefCell::new(records),
            mounted: RefCell::default(),
            turns: RefCell::default(),
            leaving: RefCell::default(),
            runtime,
            hooks: RefCell::default(),
        }))
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
            objects::ids::new_id()?
        } else {
            request.name.clone()
        };
        check_name(&name)?;
        options::parse(&request.driver_opts)
            .map_err(|error| error.context(&format!("create {name}")))?;
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
            created: now(),
            labels: (!labels.is_empty()).then_some(labels),
            options: (!options.is_empty()).then(|| options.clone()),
        };
        let directory = self.directory(name);
        let bytes = serde_json::to_vec(&record)?;
        let made = fs::create_dir_all(directory.join("_data")).and_then(|()| {
            objects::atomic_file::write_twice(&directory.join(RECORD), &bytes, 0o600)
        });
        if let Err(error) = made {
            // Half a volume would be a volume at the next start.
            let _ = fs::remove_dir_all(&directory);
            return Err(Error::server(format!(
                "create volume {name}: {}: {}",
                directory.display(),
                engine_api::cause(&error)
            )));
        }
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
        let names = Patterns::new(filters.get("name"));
        let records = self.0.records.borrow();
        let fits = |name: &str, record: &Record| {
            filters.matches_exact("driver", "local")
                && names.match_any(name)
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
}

/// Reads a volume's description; none when the directory is not a volume.
fn open_one(directory: &Path, damage: &Damage) -> Option<Record> {
    match fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            damage.set_aside(directory, "not a directory");
            return None;
        }
        Err(error) => {
            damage.set_aside(directory, &engine_api::cause(&error));
            return None;
        }
    }
    let saved = damage.load(&directory.join(RECORD), |_: &Record| Ok(()));
    let content = directory.join("_data");
    if saved.is_none() && fs::symlink_metadata(&content).is_err() {
        return None; // its creation was cut short
    }
    damage.directory(&content, 0o755);
    Some(saved.unwrap_or_else(|| Record {
        created: now(),
        labels: None,
        options: None,
    }))
}

/// The present in whole seconds: Docker shows the creation of a volume so.
fn now() -> String {
    Timestamp::from_unix(Timestamp::now().unix(), 0).to_string()
}
