//! `ros config apply`: a change of the configuration in the running machine, and its way back.
//!
//! PID 1 does it, because nothing that a change may stop can hold the timer. The earlier files are on the state disk before
//! anything is touched: a power cut while a change waits for its confirmation is a way back too (`files::recover`, at the next
//! boot). What a change does is `machine_config::plan`'s; how, is in `execute.rs`.

mod execute;
pub(crate) mod files;
mod peer;
mod serve;
mod verify;

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use engine::Engine;
use machine_config::apply::{APPLIED, Answer, CONFIRM_RANGE_S};
use machine_config::plan::Plan;
use sys::clock;
use tokio::sync::Mutex;
use tokio::time::timeout;

use self::files::Files;
use crate::machine::Machine;
use crate::{configuration, log, warnings};

/// How often the timer looks at the clock, which runs on while the machine sleeps.
const TICK: Duration = Duration::from_millis(500);
/// Longest read of the configuration, as in the boot phase.
const READ_DEADLINE: Duration = Duration::from_secs(40);
/// How long a change waits for its turn: one that is taken back is compared with the kernel's state for 20 s.
const TURN_DEADLINE: Duration = Duration::from_secs(30);
/// The subject of what is said about changes.
const SUBJECT: &str = "config-apply";

/// Applies changes, one at a time.
pub(crate) struct Applier {
    engine: Engine,
    /// The machine as it runs.
    machine: RefCell<Machine>,
    pending: RefCell<Option<Pending>>,
    /// Whoever applies a change or takes one back has it.
    turn: Mutex<()>,
}

/// A change that waits for its confirmation.
struct Pending {
    /// Since boot: when it is taken back, and when it was complete.
    deadline: Duration,
    applied: Duration,
    /// The network as it was.
    network: verify::Snapshot,
    /// The files that the change was read from: they may be edited while it waits.
    files: Files,
}

impl Applier {
    /// Keeps what the machine has booted with, and listens. Without it the machine runs on, and changes need a reboot.
    pub(crate) fn start(engine: &Engine, machine: Machine) -> Rc<Applier> {
        let applier = Rc::new(Applier {
            engine: engine.clone(),
            machine: RefCell::new(machine),
            pending: RefCell::new(None),
            turn: Mutex::new(()),
        });
        let files = Files::of_machine(&applier.machine.borrow().config);
        let kept = applier.keep_applied(&files);
        if let Err(error) = kept.and_then(|()| serve::listen(&applier)) {
            log::warning(&format!("config apply: {error:#}"));
        }
        applier
    }

    /// As [`Applier::start`] for a program that has taken over: a change that was pending goes on waiting.
    pub(crate) fn go_on(engine: &Engine) -> Rc<Applier> {
        let read = configuration::read(Machine::default());
        let machine = read.unwrap_or_default();
        crate::system::set_registries(engine, &machine);
        let applier = Rc::new(Applier {
            engine: engine.clone(),
            machine: RefCell::new(machine),
            pending: RefCell::new(None),
            turn: Mutex::new(()),
        });
        if let Some((deadline, applied)) = files::pending_times() {
            let files = Files::of_machine(&applier.machine.borrow().config);
            *applier.pending.borrow_mut() = Some(Pending {
                deadline,
                applied,
                network: verify::Snapshot::default(),
                files,
            });
            applier.watch();
        }
        if let Err(error) = serve::listen(&applier) {
            log::warning(&format!("config apply: {error:#}"));
        }
        applier
    }

    /// How long a shutdown may take, as the configuration has it now.
    pub(crate) fn shutdown_deadline(&self) -> Duration {
        crate::system::shutdown_deadline(&self.machine.borrow())
    }

    /// What the machine runs with, for the next comparison.
    fn keep_applied(&self, files: &Files) -> anyhow::Result<()> {
        let machine = self.machine.borrow();
        let yaml = config::emit::to_yaml(&machine.tree);
        files::write(Path::new(APPLIED), yaml.as_bytes())?;
        files.keep()
    }

    async fn apply(self: &Rc<Self>, confirm_s: Option<u64>, with_files: bool) -> Answer {
        if confirm_s.is_some_and(|seconds| !CONFIRM_RANGE_S.contains(&seconds)) {
            return self.refuse(&format!(
                "the time to confirm is {} to {} seconds",
                CONFIRM_RANGE_S.start(),
                CONFIRM_RANGE_S.end()
            ));
        }
        let Ok(_turn) = timeout(TURN_DEADLINE, self.turn.lock()).await else {
            return self.refuse("another change is being applied");
        };
        if self.pending.borrow().is_some() {
            return self.refuse(
                "a change waits for its confirmation: ros config confirm, or ros config revert",
            );
        }
        let confirm = confirm_s.map(Duration::from_secs);
        let answer = self.apply_now(confirm, with_files).await;
        answer.unwrap_or_else(|error| self.refuse(&format!("nothing was changed: {error:#}")))
    }

    /// # Errors
    /// Before anything is touched.
    async fn apply_now(
        self: &Rc<Self>,
        confirm: Option<Duration>,
        with_files: bool,
    ) -> anyhow::Result<Answer> {
        let after = self.read().await?;
        let plan = Plan::new(&self.machine.borrow().tree, &after.tree);
        if plan.is_empty() {
            return Ok(Answer::default());
        }
        let files = Files::of_machine(&after.config);
        let network = verify::Snapshot::take();
        if let Some(time) = confirm {
            files::save_pending(clock::boottime() + time)?;
        }
        log::info(&format!("config apply: {} keys change", plan.changes.len()));
        let failed = self.execute(after, &plan, with_files).await;
        let Some(time) = confirm else {
            self.keep_applied(&files)
                .context("applied, and not kept for the next comparison")?;
            return Ok(Answer {
                problems: failed,
                ..Answer::default()
            });
        };
        let applied = clock::boottime();
        *self.pending.borrow_mut() = Some(Pending {
            deadline: applied + time,
            applied,
            network,
            files,
        });
        if !failed.is_empty() {
            let mut answer = self.refuse(&format!("{}: taken back", failed.join("; ")));
            answer.problems = self.take_back("it failed").await;
            answer.pending_s = None;
            return Ok(answer);
        }
        files::set_times(applied + time, applied)?;
        self.watch();
        Ok(self.state())
    }

    /// The configuration as the files have it now.
    async fn read(&self) -> anyhow::Result<Machine> {
        let mut before = self.machine.borrow().clone();
        let mut machine = before.clone();
        warnings::clear("configuration");
        machine.problems.clear();
        let read = tokio::task::spawn_blocking(move || {
            configuration::add_fetched(&mut before);
            (before, configuration::read(machine))
        });
        let (before, read) = timeout(READ_DEADLINE, read)
            .await
            .context("the configuration is not read in time")??;
        *self.machine.borrow_mut() = before;
        read
    }

    /// Makes the machine what `after` says; what failed.
    async fn execute(&self, after: Machine, plan: &Plan, with_files: bool) -> Vec<String> {
        let before = self.machine.borrow().clone();
        let (machine, failed) =
            execute::execute(&self.engine, before, after, plan, with_files).await;
        *self.machine.borrow_mut() = machine;
        failed
    }

    /// Takes the pending change back when its time is over.
    fn watch(self: &Rc<Self>) {
        let applier = Rc::clone(self);
        engine_api::tasks::spawn(async move {
            loop {
                tokio::time::sleep(TICK).await;
                let deadline = applier
                    .pending
                    .borrow()
                    .as_ref()
                    .map(|pending| pending.deadline);
                let Some(deadline) = deadline else { return };
                if clock::boottime() >= deadline {
                    applier.revert("it was not confirmed").await;
                    return;
                }
            }
        });
    }

    fn confirm(&self, pid: Option<i32>) -> Answer {
        let pending = self.pending.borrow();
        let Some(change) = pending.as_ref() else {
            return self.refuse("nothing waits for a confirmation");
        };
        let began = pid.and_then(peer::connection_began);
        if began.is_none_or(|began| began < change.applied) {
            drop(pending);
            return self.refuse(
                "this login is older than the change and proves nothing: log in again, and confirm there",
            );
        }
        drop(pending);
        // The earlier files go first: from here on a power cut keeps the change.
        let kept = files::forget_pending().and_then(|()| {
            let pending = self.pending.borrow();
            pending
                .as_ref()
                .map_or(Ok(()), |change| self.keep_applied(&change.files))
        });
        if let Err(error) = kept {
            return self.refuse(&format!("{error:#}"));
        }
        *self.pending.borrow_mut() = None;
        log::info("config apply: confirmed");
        Answer::default()
    }

    /// Takes the pending change back when its turn comes; what is wrong then.
    async fn revert(self: &Rc<Self>, why: &str) -> Vec<String> {
        let _turn = self.turn.lock().await;
        self.take_back(why).await
    }

    /// Brings the earlier configuration back and looks whether the machine has it; what is wrong then. The caller has
    /// the turn.
    async fn take_back(self: &Rc<Self>, why: &str) -> Vec<String> {
        let Some(change) = self.pending.borrow_mut().take() else {
            return Vec::new();
        };
        warnings::warn(
            SUBJECT,
            &format!("a change of the configuration is taken back: {why}"),
        );
        let mut wrong = Vec::new();
        let during = verify::Snapshot::take();
        match files::recover() {
            Ok(_) => match self.read().await {
                Ok(before) => {
                    let plan = Plan::new(&self.machine.borrow().tree, &before.tree);
                    wrong.extend(self.execute(before, &plan, false).await);
                }
                Err(error) => wrong.push(format!("{error:#}")),
            },
            Err(error) => wrong.push(format!("{error:#}")),
        }
        let machine = self.machine.borrow().clone();
        wrong.extend(verify::machine(&machine));
        wrong.extend(change.network.back(&during).await);
        if let Err(error) = self.keep_applied(&Files::of_machine(&machine.config)) {
            wrong.push(format!("{error:#}"));
        }
        for problem in &wrong {
            warnings::warn(
                SUBJECT,
                &format!("after the change was taken back: {problem}"),
            );
        }
        if wrong.is_empty() {
            log::info("config apply: the earlier configuration is back");
        }
        wrong
    }

    fn state(&self) -> Answer {
        let pending = self.pending.borrow();
        let left = pending
            .as_ref()
            .map(|pending| pending.deadline.saturating_sub(clock::boottime()).as_secs());
        Answer {
            pending_s: left,
            ..Answer::default()
        }
    }

    fn refuse(&self, why: &str) -> Answer {
        Answer {
            error: Some(why.to_owned()),
            ..self.state()
        }
    }
}
