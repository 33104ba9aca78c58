//! `docker container prune`.

use engine_api::options::RemoveOptions;

use engine_api::{ContainersPruneReport, Filters, Result};

use crate::Engine;
use crate::container::Status;
use crate::container::list::filter::PruneFilter;

impl Engine {
    /// `POST /containers/prune`: removes what does not run.
    ///
    /// # Errors
    /// 400 for bad filters.
    pub async fn containers_prune(&self, filters: &Filters) -> Result<ContainersPruneReport> {
        let filter = PruneFilter::new(filters)?;
        let mut deleted = Vec::new();
        let mut space = 0;
        for container in self.all_containers() {
            let idle = matches!(
                container.status(),
                Status::Created | Status::Exited | Status::Dead
            );
            if !idle || !filter.passes(&container.record()) {
                continue;
            }
            let size = self.container_size(&container).await;
            // One that was started meanwhile stays.
            if self
                .container_remove(&container.id, RemoveOptions::default())
                .await
                .is_ok()
            {
                space += u64::try_from(size.changed).unwrap_or(0);
                deleted.push(container.id.clone());
            }
        }
        self.pruned("container", space);
        let containers_deleted = (!deleted.is_empty()).then_some(deleted);
        Ok(ContainersPruneReport {
            containers_deleted,
            space_reclaimed: space,
        })
    }

    /// Tells listeners that a prune of things of this kind has ended, whether anything went or not.
    pub fn pruned(&self, kind: &str, reclaimed: u64) {
        let attributes = [("reclaimed".to_owned(), reclaimed.to_string())].into();
        self.0.events.publish(kind, "prune", "", attributes);
    }
}
