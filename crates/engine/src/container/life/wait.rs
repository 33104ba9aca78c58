//! `docker wait`: one watch, three conditions.

use engine_api::options::WaitCondition;
use engine_api::{Result, WaitError, WaitResponse};
use futures_util::future::LocalBoxFuture;

use crate::Engine;
use crate::container::{Exits, Status};

impl Engine {
    /// `POST /containers/{id}/wait`: looks the container up now and answers when the condition holds.
    ///
    /// # Errors
    /// 404.
    pub fn container_wait(
        &self,
        reference: &str,
        condition: WaitCondition,
    ) -> Result<LocalBoxFuture<'static, Result<WaitResponse>>> {
        let container = self.find(reference)?;
        let mut watch = container.exits.subscribe();
        let begun = watch.borrow().count;
        let runs = container.status().is_alive() || container.status() == Status::Restarting;
        drop(container);
        let holds = move |exits: &Exits| match condition {
            WaitCondition::NotRunning => !runs || exits.count > begun || exits.removed,
            WaitCondition::NextExit => exits.count > begun || exits.removed,
            WaitCondition::Removed => exits.removed,
        };
        Ok(Box::pin(async move {
            // An error means that the container is gone from memory: its last word counts.
            let _ = watch.wait_for(holds).await;
            let exits = watch.borrow().clone();
            let error = (!exits.error.is_empty()).then(|| WaitError {
                message: exits.error.clone(),
            });
            Ok(WaitResponse {
                status_code: i64::from(exits.code),
                error,
            })
        }))
    }
}
