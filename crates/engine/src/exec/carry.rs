//! Execs over an upgrade.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use engine_api::Result;
use runtime::Process;
use sys::process::Signal;

use super::Exec;
use crate::Engine;
use crate::upgrade::{ExecState, Inheritance, Kept, RunState, carry, revive};

impl Engine {
    /// An exec whose process has ended and whose monitor has not seen it yet.
    pub(crate) fn unsettled_exec(&self) -> Option<String> {
        let execs = self.0.execs.borrow();
        let ending = |exec: &Exec| {
            let state = exec.state.borrow();
            state.running && !self.0.reaper.is_watched(state.pid)
        };
        let found = execs.values().find(|exec| ending(exec))?;
        Some(format!("the end of exec {}", found.id))
    }

    /// All execs as the next program needs them.
    pub(crate) fn carry_execs(&self, kept: &mut Kept) -> BTreeMap<String, ExecState> {
        let execs = self.0.execs.borrow();
        let wanted = execs.iter().filter(|(_, exec)| exec.matters());
        wanted
            .map(|(id, exec)| (id.clone(), exec.carry(kept)))
            .collect()
    }

    /// Takes an exec over. Its container is there.
    pub(crate) fn adopt_exec(
        &self,
        id: &str,
        state: &ExecState,
        inheritance: &Inheritance,
    ) -> Result<()> {
        let container = self.find(&state.container)?;
        let exec = Rc::new(Exec::new(id.to_owned(), &container, state.config.clone()));
        exec.probe.set(state.probe);
        exec.settled.send_replace(state.started);
        exec.ended.send_replace(state.exit_code);
        exec.ended_at
            .set(state.ended_at_ms.map(Duration::from_millis));
        {
            let mut own = exec.state.borrow_mut();
            own.started = state.started;
            own.pid = state.pid;
        }
        self.0
            .execs
            .borrow_mut()
            .insert(id.to_owned(), Rc::clone(&exec));
        let Some(run) = &state.run else {
            return Ok(());
        };
        let failed = |error: sys::Error| engine_api::Error::server(error.to_string());
        let process = Process::adopt(run.pid).map_err(failed)?;
        if state.probe {
            // Whoever waited for it is gone; its container is probed from the start. It may have ended by itself.
            let _ = process.pidfd.send_signal(Signal::KILL);
        }
        let ended = self.0.reaper.adopt(run.pid);
        let pumps = revive(&run.streams, &exec.streams, inheritance)?;
        {
            let mut own = exec.state.borrow_mut();
            own.running = true;
            own.process = Some(Rc::new(process));
            own.ends = pumps.ends();
        }
        *exec.terminal.borrow_mut() = pumps.terminal();
        let (engine, watched) = (self.clone(), exec);
        engine_api::tasks::spawn(async move { engine.monitor_exec(watched, ended, pumps).await });
        Ok(())
    }
}

impl Exec {
    /// Whether anybody can still ask for it: probes that have ended are the engine's own.
    fn matters(&self) -> bool {
        !self.probe.get() || self.state.borrow().running
    }

    fn carry(&self, kept: &mut Kept) -> ExecState {
        let state = self.state.borrow();
        let run = state.running.then(|| RunState {
            pid: state.pid,
            streams: carry(&self.streams, &state.ends, kept),
        });
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        ExecState {
            container: self.container.id.clone(),
            config: self.config.clone(),
            started: state.started,
            pid: state.pid,
            run,
            exit_code: *self.ended.borrow(),
            ended_at_ms: self.ended_at.get().map(milliseconds),
            probe: self.probe.get(),
        }
    }
}
