//! The order in which services come up, with an engine that only remembers what it was asked.

mod kept;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use engine_api::{
    AuthConfig, ContainerInspect, ContainerSummary, ContainerUpdate, CreateRequest, Engine, Error,
    Filters, ImageInspect, MountPoint, Result,
};
use tokio::task::LocalSet;

use super::Launch;
use crate::machine::Machine;

/// Longest wait for what must happen.
const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Clone, Default)]
struct Fake(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    /// What was asked, in order.
    calls: Vec<String>,
    /// Containers by name, with what they were made from.
    containers: BTreeMap<String, CreateRequest>,
    /// How many containers were made.
    made: usize,
    /// Names of containers by their ids.
    names: BTreeMap<String, String>,
    /// Whether no container can be made.
    makes_none: bool,
    /// Names of images that stand for another image than those of containers.
    moved: BTreeSet<String>,
    /// How many more starts of a container fail, by its name.
    failing: BTreeMap<String, u32>,
    /// Containers whose last start failed.
    failed: BTreeSet<String>,
}

impl Fake {
    fn note(&self, call: String) {
        self.0.borrow_mut().calls.push(call);
    }

    /// The name of a container that is called by its name or by its id.
    fn name(&self, id: &str) -> String {
        let state = self.0.borrow();
        state.names.get(id).map_or(id, String::as_str).to_owned()
    }

    fn rename(&self, old: &str, new: &str) {
        let state = &mut *self.0.borrow_mut();
        if let Some(request) = state.containers.remove(old) {
            state.containers.insert(new.to_owned(), request);
        }
        for name in state.names.values_mut().filter(|name| *name == old) {
            new.clone_into(name);
        }
    }

    /// Has another container. Its id.
    fn add(&self, name: &str, request: CreateRequest) -> String {
        let state = &mut *self.0.borrow_mut();
        state.made += 1;
        let id = format!("id {}", state.made);
        state.names.insert(id.clone(), name.to_owned());
        state.containers.insert(name.to_owned(), request);
        id
    }

    fn place(&self, call: &str) -> usize {
        let calls = &self.0.borrow().calls;
        calls
            .iter()
            .position(|known| known == call)
            .unwrap_or_else(|| panic!("{call} was not asked: {calls:?}"))
    }

    fn was_asked(&self, call: &str) -> bool {
        self.0.borrow().calls.iter().any(|known| known == call)
    }
}

impl Engine for Fake {
    async fn image(&self, reference: &str) -> Result<Option<ImageInspect>> {
        tokio::task::yield_now().await;
        let age = if self.0.borrow().moved.contains(reference) {
            "new"
        } else {
            "old"
        };
        let image = ImageInspect {
            id: format!("{age} {reference}"),
            ..ImageInspect::default()
        };
        Ok((!reference.starts_with("remote")).then_some(image))
    }

    async fn image_pull(&self, reference: &str, account: Option<&AuthConfig>) -> Result<()> {
        let user = account.map_or("nobody", |account| account.username.as_str());
        self.note(format!("pull {reference} as {user}"));
        std::future::pending().await
    }

    async fn container_list(&self, _: bool, _: &Filters) -> Result<Vec<ContainerSummary>> {
        Ok(Vec::new())
    }

    async fn container_inspect(&self, id: &str) -> Result<ContainerInspect> {
        let name = self.name(id);
        let state = self.0.borrow();
        match state.containers.get(&name) {
            Some(request) => {
                let mut ids = state.names.iter();
                let id = ids.find_map(|(id, known)| (*known == name).then_some(id));
                let mut container = ContainerInspect {
                    id: id.cloned().unwrap_or_default(),
                    image: format!("old {}", request.config.image),
                    config: request.config.clone(),
                    host_config: request.host_config.clone(),
                    mounts: vec![anonymous_volume()],
                    ..ContainerInspect::default()
                };
                if state.failed.contains(&name) {
                    container.state.error = "no answer".to_owned();
                }
                Ok(container)
            }
            None => Err(Error::not_found(format!("no {id}"))),
        }
    }

    async fn container_create(&self, name: &str, request: CreateRequest) -> Result<String> {
        tokio::task::yield_now().await;
        self.note(format!("create {name} {}", request.config.image));
        if self.0.borrow().makes_none {
            return Err(Error::server("no room"));
        }
        Ok(self.add(name, request))
    }

    async fn container_start(&self, id: &str) -> Result<()> {
        let name = self.name(id);
        let image = match self.0.borrow().containers.get(&name) {
            Some(request) => request.config.image.clone(),
            None => String::new(),
        };
        self.note(format!("start {name} {image}"));
        let state = &mut *self.0.borrow_mut();
        match state.failing.get_mut(&name) {
            Some(left) if *left > 0 => {
                *left -= 1;
                state.failed.insert(name);
                Err(Error::server("no answer"))
            }
            _ => {
                state.failed.remove(&name);
                Ok(())
            }
        }
    }

    async fn container_stop(&self, id: &str, _: Option<i64>) -> Result<()> {
        self.note(format!("stop {}", self.name(id)));
        Ok(())
    }

    async fn container_wait(&self, id: &str) -> Result<i64> {
        // Long enough for whatever does not wait to get ahead.
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        self.note(format!("ended {}", self.name(id)));
        Ok(0)
    }

    async fn container_rename(&self, id: &str, name: &str) -> Result<()> {
        let old = self.name(id);
        self.note(format!("rename {old} {name}"));
        self.rename(&old, name);
        Ok(())
    }

    async fn container_update(&self, id: &str, update: ContainerUpdate) -> Result<()> {
        let name = self.name(id);
        self.note(format!("update {name} {}", update.restart_policy.name));
        Ok(())
    }

    async fn container_remove(&self, id: &str, _: bool) -> Result<()> {
        let name = self.name(id);
        self.note(format!("remove {name}"));
        let state = &mut *self.0.borrow_mut();
        state.containers.remove(&name);
        state.names.retain(|_, known| *known != name);
        Ok(())
    }
}

/// What every container of this engine has.
fn anonymous_volume() -> MountPoint {
    MountPoint {
        typ: "volume".to_owned(),
        name: "a".repeat(64),
        destination: "/data".to_owned(),
        rw: true,
        ..MountPoint::default()
    }
}

fn machine(services: &str) -> Machine {
    machine_of("t", services)
}

/// With services that stand in a file of this name.
fn machine_of(file: &str, services: &str) -> Machine {
    let text = format!("rancher:\n  services:\n{services}");
    let source = config::Source {
        name: file,
        text: &text,
    };
    let loaded = config::load(&[source], &config::CommandLine::default());
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    Machine {
        config: loaded.config,
        tree: loaded.tree,
        ..Machine::default()
    }
}

/// cloud-init, which reloads the configuration; and what comes after it.
const BEFORE: &str = "    cloud-init: {image: base, labels: {io.rancher.os.scope: system, io.rancher.os.detach: 'false', io.rancher.os.reloadconfig: 'true'}}
    console: {image: old, labels: {io.rancher.os.scope: system, io.rancher.os.after: cloud-init}}
    kept: {image: same, labels: {io.rancher.os.scope: system, io.rancher.os.after: cloud-init}}
    gone: {image: same, labels: {io.rancher.os.scope: system, io.rancher.os.after: cloud-init}}
    free: {image: same, labels: {io.rancher.os.scope: system}}
";

/// What user data makes of it.
const AFTER: &str = "    cloud-init: {image: base, labels: {io.rancher.os.scope: system, io.rancher.os.detach: 'false', io.rancher.os.reloadconfig: 'true'}}
    console: {image: new, labels: {io.rancher.os.scope: system, io.rancher.os.after: cloud-init}}
    kept: {image: same, labels: {io.rancher.os.scope: system, io.rancher.os.after: cloud-init}}
    free: {image: same, labels: {io.rancher.os.scope: system}}
    mine: {image: own, labels: {io.rancher.os.scope: system, io.rancher.os.after: console}}
    far: {image: 'remote:1', labels: {io.rancher.os.scope: system}}
    behind: {image: own, labels: {io.rancher.os.scope: system, io.rancher.os.after: far}}
";

fn run(fake: &Fake, before: &str, reread: fn(Machine) -> anyhow::Result<Machine>) -> Machine {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("an event loop");
    let mut machine = machine(before);
    LocalSet::new().block_on(&runtime, async {
        let mut launch = Launch::new(fake, &machine);
        launch.reread = reread;
        tokio::time::timeout(DEADLINE, launch.run(&mut machine))
            .await
            .expect("the boot goes on");
        assert_eq!(launch.errors(), None);
    });
    machine
}

#[test]
fn what_cloud_init_has_written_holds_for_everything_after_it() {
    let fake = Fake::default();
    let after = run(&fake, BEFORE, |_| Ok(machine(AFTER)));
    assert!(after.config.rancher.services.contains_key("mine"));
    let ended = fake.place("ended cloud-init");
    for call in [
        "start console new",
        "start kept same",
        "start mine own",
        "start free same",
    ] {
        assert!(
            ended < fake.place(call),
            "{call} came too early: {:?}",
            fake.0.borrow().calls
        );
    }
    // Made while cloud-init ran: kept as it is, replaced where user data says otherwise, removed when it is gone.
    assert!(fake.place("create kept same") < ended);
    assert!(fake.place("create console old") < ended && ended < fake.place("create console new"));
    assert!(!fake.was_asked("start console old") && !fake.was_asked("start gone same"));
    assert!(fake.was_asked("remove gone"));
    assert!(fake.place("start console new") < fake.place("start mine own"));
}

#[test]
fn an_image_that_must_be_pulled_holds_up_nobody_but_what_comes_after_it() {
    let fake = Fake::default();
    run(&fake, BEFORE, |_| Ok(machine(AFTER)));
    // `run` has returned although this pull never ends.
    assert!(fake.was_asked("pull remote:1 as nobody"));
    assert!(!fake.was_asked("start far remote:1") && !fake.was_asked("start behind own"));
}

#[test]
fn a_configuration_that_cannot_be_read_again_costs_nothing() {
    let fake = Fake::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("an event loop");
    let mut machine = machine(BEFORE);
    LocalSet::new().block_on(&runtime, async {
        let mut launch = Launch::new(&fake, &machine);
        launch.reread = |_| anyhow::bail!("no disk");
        tokio::time::timeout(DEADLINE, launch.run(&mut machine))
            .await
            .expect("the boot goes on");
        assert!(
            launch
                .errors()
                .is_some_and(|errors| errors.contains("no disk"))
        );
    });
    assert!(fake.was_asked("start console old"));
}

/// Starts these services with an engine in which so many starts of each fail. What the boot reports, and how often each was
/// tried within the hour after it.
fn failing(services: &str, failing: &[(&str, u32)]) -> (Option<String>, Vec<usize>) {
    let fake = Fake::default();
    fake.0.borrow_mut().failing = failing
        .iter()
        .map(|(name, times)| ((*name).to_owned(), *times))
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("an event loop");
    let mut machine = machine(services);
    let errors = LocalSet::new().block_on(&runtime, async {
        let mut launch = Launch::new(&fake, &machine);
        launch.run(&mut machine).await;
        tokio::time::sleep(Duration::from_secs(3600)).await;
        launch.errors()
    });
    let starts = |name: &str| {
        let call = format!("start {name} ");
        let state = fake.0.borrow();
        state
            .calls
            .iter()
            .filter(|known| known.starts_with(&call))
            .count()
    };
    (
        errors,
        failing.iter().map(|(name, _)| starts(name)).collect(),
    )
}

#[test]
fn a_service_that_is_always_to_run_is_started_again_when_its_start_failed() {
    let services = "    once: {image: i, restart: always, labels: {io.rancher.os.scope: system}}
    often: {image: i, restart: always, labels: {io.rancher.os.scope: system}}
    plain: {image: i, labels: {io.rancher.os.scope: system}}
";
    let (errors, tries) = failing(services, &[("once", 1), ("often", 7), ("plain", 1)]);
    assert_eq!(tries, [2, 8, 1]);
    // A second try that is good is not a failure of the boot; the third and later ones come after its report.
    let errors = errors.expect("two have failed");
    assert!(!errors.contains("once"), "{errors}");
    assert!(
        errors.contains("often") && errors.contains("plain"),
        "{errors}"
    );
}

#[test]
fn a_service_that_never_starts_is_tried_once_a_minute() {
    let services = "    bad: {image: i, restart: always, labels: {io.rancher.os.scope: system}}\n";
    let (_, tries) = failing(services, &[("bad", u32::MAX)]);
    assert!((55..=70).contains(&tries[0]), "{tries:?}");
}
