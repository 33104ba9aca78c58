//! The start of a service that is always to run, tried again when it fails. An engine starts again only what has run, as
//! Docker does: without this a service whose first start fails would be missing until the next boot.

use std::time::Duration;

use compose::Step;
use engine_api::{Engine, Error, Result};

use crate::log;

/// From a failed start to the next one; each pause is twice as long as the one before, as between an engine's restarts.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Starts the container of a service. One with `restart: always` or `unless-stopped` has a second try at once, and further
/// ones later, which nobody waits for.
///
/// # Errors
/// Of the last try that was waited for.
pub(super) async fn start<E: Engine + Clone + 'static>(engine: &E, step: &Step) -> Result<()> {
    let name = step.container_name.as_str();
    let Err(error) = engine.container_start(name).await else {
        return Ok(());
    };
    let policy = step.request.host_config.restart_policy.name.as_str();
    if !matches!(policy, "always" | "unless-stopped") {
        return Err(error);
    }
    log::warning(&format!(
        "service: {}: {error}: tries to start it again",
        step.name
    ));
    tokio::time::sleep(FIRST_PAUSE).await;
    let Err(error) = engine.container_start(name).await else {
        return Ok(());
    };
    if let Ok(container) = engine.container_inspect(name).await {
        let tries = Tries {
            engine: engine.clone(),
            service: step.name.clone(),
            container: container.id,
            said: error.to_string(),
        };
        engine_api::tasks::spawn(tries.run());
    }
    Err(error)
}

/// Later tries to start one container.
struct Tries<E> {
    engine: E,
    service: String,
    /// Its id: a container that takes its place has its own tries.
    container: String,
    /// The error that was logged last: the same one is not logged each minute.
    said: String,
}

impl<E: Engine> Tries<E> {
    /// Until it runs, or somebody has started or removed it.
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            pause = (pause * 2).min(LONGEST_PAUSE);
            tokio::time::sleep(pause).await;
            if !self.is_still_to_start().await {
                return;
            }
            match self.engine.container_start(&self.container).await {
                Ok(()) => {
                    log::info(&format!("service: {}: started at last", self.service));
                    return;
                }
                Err(error) => self.say(&error),
            }
        }
    }

    /// Whether its last start failed. An engine that does not answer says nothing against it.
    async fn is_still_to_start(&self) -> bool {
        match self.engine.container_inspect(&self.container).await {
            Ok(container) => {
                let state = container.state;
                !state.running && !state.restarting && !state.error.is_empty()
            }
            Err(error) => !error.is_not_found(),
        }
    }

    fn say(&mut self, error: &Error) {
        let error = error.to_string();
        if self.said != error {
            log::warning(&format!("service: {}: {error}", self.service));
            self.said = error;
        }
    }
}
