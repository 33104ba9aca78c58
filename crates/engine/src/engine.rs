//! The engine: what it is made of, its start, and what ties its parts together. The verbs are in the modules that
//! do them: `container`, `exec`, `stats`, `storage`, `system`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::{Rc, Weak};

use engine_api::options::EventsQuery;
use engine_api::{Error, EventMessage, Result};
use images::{Images, ImagesOptions};
use network::Networks;
use network::helper::Launcher;
use objects::Damage;
use objects::{atomic_file, ids};
use runtime::{NativeRuntime, RuntimeOptions, apparmor};
use tokio::sync::mpsc;

use crate::cgroup::Tree;
use crate::container::Container;
use crate::engine_options::EngineOptions;
use crate::events::EventBus;
use crate::exec::Exec;
use crate::hooks::Hooks;
use crate::open_files;
use crate::reaper::Reaper;
use crate::upgrade::{Inheritance, Quiet, Upgrades};
use crate::volume::Volumes;

/// The engine. Clones share it.
#[derive(Clone, Debug)]
pub struct Engine(pub(crate) Rc<Inner>);

/// Everything of the engine. Kernel objects are in [`Container::live`] and in the networks, never in tasks alone.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) root: PathBuf,
    pub(crate) run: PathBuf,
    pub(crate) program: PathBuf,
    pub(crate) version: String,
    /// The machine's identity in `info`.
    pub(crate) id: String,
    pub(crate) cgroups: Tree,
    /// What was found damaged.
    pub(crate) damage: Damage,
    /// The AppArmor profile of containers that name none; empty: none.
    pub(crate) apparmor_profile: &'static str,
    pub(crate) events: EventBus,
    pub(crate) reaper: Rc<Reaper>,
    pub(crate) runtime: NativeRuntime,
    pub(crate) images: Images,
    pub(crate) volumes: Volumes,
    pub(crate) networks: Networks,
    pub(crate) containers: RefCell<BTreeMap<String, Rc<Container>>>,
    /// Names without slashes, to identifiers.
    pub(crate) names: RefCell<BTreeMap<String, String>>,
    pub(crate) execs: RefCell<BTreeMap<String, Rc<Exec>>>,
    /// Number of the last start.
    pub(crate) start_counter: Cell<u64>,
    pub(crate) shutting_down: Cell<bool>,
    /// Panics that were contained.
    pub(crate) panics: Cell<u64>,
    /// What is under way and must not be cut.
    pub(crate) quiet: Rc<Quiet>,
    /// Replacing the program.
    pub(crate) upgrades: Upgrades,
}

impl Engine {
    /// Starts an engine: reads its state, ends what an earlier engine left running. Inside a `LocalSet`. Nothing is
    /// started; see [`Self::resume`].
    ///
    /// # Errors
    /// When child processes cannot be watched, or random numbers are not to be had. Damaged state, or state that cannot be
    /// written, is said ([`Self::warnings`]) and the rest works.
    pub async fn new(options: EngineOptions) -> Result<Self> {
        let engine = Self::open(options)?;
        engine.restore();
        // No container of an earlier engine lives on: its endpoints go.
        for warning in engine.0.networks.reconcile(|_| None) {
            crate::report(&warning);
        }
        Ok(engine)
    }

    /// Takes over from an earlier program of this process: what runs goes on. Inside a `LocalSet`. Until the caller
    /// yields to the event loop nothing is read, reaped or started: [`Inheritance::commit`] comes before that.
    ///
    /// # Errors
    /// When its directories cannot be read, or what was handed over is not there.
    pub fn inherit(mut options: EngineOptions, inheritance: &Inheritance) -> Result<Self> {
        options.program = inheritance.program();
        let engine = Self::open(options)?;
        engine.take_over(inheritance)?;
        Ok(engine)
    }

    /// Opens everything but containers.
    fn open(options: EngineOptions) -> Result<Self> {
        open_files::raise();
        let damage = Damage::new(&options.root);
        make_directories(&options, &damage);
        let reaper = Reaper::start()
            .map_err(|error| Error::server(format!("watch child processes: {error}")))?;
        let images = ImagesOptions {
            root: options.root.clone(),
            run: options.run.clone(),
            worker: options.worker,
            registry: options.registry,
        };
        let images = Images::new(images, &damage);
        let runtime = NativeRuntime::new(RuntimeOptions {
            program: options.program.clone(),
            confinement: options.confinement,
            ..RuntimeOptions::default()
        });
        let volumes = Volumes::new(&options.root, &damage, runtime.clone());
        // The networks are opened before the engine that their events go to exists.
        let place: Rc<RefCell<Weak<Inner>>> = Rc::default();
        let sink = Rc::clone(&place);
        let networks = Networks::open(
            options.network,
            Launcher::Program(options.program.clone()),
            Box::new(move |action, id, attributes| {
                if let Some(engine) = sink.borrow().upgrade() {
                    engine.events.publish("network", action, id, attributes);
                }
            }),
            &damage,
        )?;
        let inner = Rc::new(Inner {
            id: machine_id(&options.root, &damage),
            damage,
            cgroups: Tree::open(&options.cgroup_parent),
            apparmor_profile: apparmor::default_profile(options.apparmor_policy.as_deref()),
            events: EventBus::default(),
            reaper,
            runtime,
            images,
            volumes,
            networks,
            containers: RefCell::default(),
            names: RefCell::default(),
            execs: RefCell::default(),
            start_counter: Cell::default(),
            shutting_down: Cell::default(),
            panics: Cell::default(),
            quiet: Rc::default(),
            upgrades: Upgrades::default(),
            root: options.root,
            run: options.run,
            program: options.program,
            version: options.version,
        });
        *place.borrow_mut() = Rc::downgrade(&inner);
        let engine = Self(inner);
        let hooks = Rc::new(Hooks::new(&engine.0));
        engine.0.images.set_hooks(hooks.clone());
        engine.0.volumes.set_hooks(hooks);
        for warning in engine.0.networks.warnings() {
            crate::report(&warning);
        }
        Ok(engine)
    }

    /// The images.
    #[must_use]
    pub fn images(&self) -> &Images {
        &self.0.images
    }

    /// The volumes.
    #[must_use]
    pub fn volumes(&self) -> &Volumes {
        &self.0.volumes
    }

    /// The networks.
    #[must_use]
    pub fn networks(&self) -> &Networks {
        &self.0.networks
    }

    /// `GET /events`.
    #[must_use]
    pub fn events(&self, query: EventsQuery) -> mpsc::Receiver<EventMessage> {
        self.0.events.subscribe(query)
    }

    /// What the operator should know: state that was damaged and set aside, what cannot be written, limits that have no
    /// effect. `info` shows it.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.0.cgroups.warnings.clone();
        warnings.extend(crate::room::complaint(&self.0.root));
        warnings.extend(self.0.damage.said());
        warnings
    }

    /// Whether a small file can be written below the engine's root.
    ///
    /// # Errors
    /// The cause when it cannot: a full disk, one that became read-only, one that fails.
    pub fn check_state(&self) -> std::result::Result<(), String> {
        crate::room::check(&self.0.root)
    }

    /// The one reaper; PID 1's own children are waited for here too.
    #[must_use]
    pub fn reaper(&self) -> &Rc<Reaper> {
        &self.0.reaper
    }

    /// Whether [`Self::shutdown`] has begun.
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        self.0.shutting_down.get()
    }

    /// Runs work to its end even when the caller goes away (a client that hangs up must not leave a container half
    /// started), and contains its panics.
    ///
    /// # Errors
    /// Those of the work; 500 when it panicked.
    pub async fn detached<T, F>(&self, work: impl FnOnce(Self) -> F + 'static) -> Result<T>
    where
        T: 'static,
        F: Future<Output = Result<T>> + 'static,
    {
        let engine = self.clone();
        let turn = self.0.quiet.work("a change of a container");
        let task = engine_api::tasks::spawn(async move {
            let _turn = turn;
            work(engine).await
        });
        match task.await {
            Ok(result) => result,
            Err(error) => {
                self.0.panics.set(self.0.panics.get() + 1);
                crate::report(&format!("contained: {error}"));
                Err(Error::server(format!("internal error: {error}")))
            }
        }
    }

    /// How many panics of requests and of work behind them were contained, those before a replacement of the program included.
    #[must_use]
    pub fn contained_panics(&self) -> u64 {
        crate::panics::contained() + self.0.panics.get()
    }

    /// Publishes an event of a container.
    pub(crate) fn publish(&self, container: &Container, action: &str) {
        self.0.events.publish(
            "container",
            action,
            &container.id,
            container.event_attributes(),
        );
    }
}

/// Makes the engine's own directories, which root alone enters.
fn make_directories(options: &EngineOptions, damage: &Damage) {
    let own = ["containers", "layers"].map(|name| options.root.join(name));
    for directory in [&options.root, &options.run].into_iter().chain(&own) {
        damage.directory(directory, PRIVATE);
        if let Err(error) = keep_private(directory) {
            damage.say(format!(
                "{}: {}",
                directory.display(),
                engine_api::cause(&error)
            ));
        }
    }
}

/// What identifies this machine's engine in `info`; made once.
fn machine_id(root: &std::path::Path, damage: &Damage) -> String {
    let path = root.join("engine-id");
    let fits = |bytes: &[u8]| {
        let is_id = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b'-';
        let text = bytes.trim_ascii();
        (text.len() == 36 && text.iter().all(is_id))
            .then_some(())
            .ok_or_else(|| "not an identifier".to_owned())
    };
    if let Some(id) = damage.bytes(&path, fits) {
        return String::from_utf8_lossy(id.trim_ascii()).into_owned();
    }
    let id = ids::new_id().unwrap_or_default();
    let uuid: Vec<&str> = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)]
        .iter()
        .filter_map(|(from, to)| id.get(*from..*to))
        .collect();
    let uuid = uuid.join("-");
    if let Err(error) = atomic_file::write(&path, uuid.as_bytes(), 0o600) {
        damage.say(format!(
            "write {}: {}",
            path.display(),
            engine_api::cause(&error)
        ));
    }
    uuid
}

/// Mode of the engine's directories, as Docker's: what is below has set-user-id programs of images and files of containers, which
/// no other user of the machine may reach by their paths (CVE-2021-41091).
const PRIVATE: u32 = 0o710;

/// Makes a directory that root alone enters, and closes one that an earlier version left open.
fn keep_private(directory: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE)
        .create(directory)?;
    let mode = std::fs::metadata(directory)?.permissions().mode() & 0o7777;
    if mode != PRIVATE
        && let Err(error) = std::fs::set_permissions(directory, PermissionsExt::from_mode(PRIVATE))
    {
        // A state disk that takes no writes must not keep the machine down.
        crate::report(&format!("close {}: {error}", directory.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn directories_are_closed_to_others() {
        let work = tempfile::tempdir().unwrap();
        let (old, new) = (work.path().join("old"), work.path().join("new/below"));
        std::fs::create_dir(&old).unwrap();
        for directory in [&old, &new] {
            keep_private(directory).unwrap();
            let mode = std::fs::metadata(directory).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o710, "{}", directory.display());
        }
    }
}
