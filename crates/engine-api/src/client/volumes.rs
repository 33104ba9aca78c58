//! Calls about volumes.

use http::Method;

use super::Client;
use super::query::Target;
use super::system::filters_text;
use crate::{Filters, Result, Volume, VolumeCreate, VolumeList, VolumesPruneReport};

fn of(name: &str) -> Target {
    Target::of("volumes", name, "")
}

impl Client {
    /// Volumes.
    ///
    /// # Errors
    /// 400 for an unknown filter.
    pub async fn volume_list(&self, filters: &Filters) -> Result<VolumeList> {
        self.get(&Target::new("/volumes").with_some("filters", filters_text(filters)))
            .await
    }

    /// One volume.
    ///
    /// # Errors
    /// 404 when there is no such volume.
    pub async fn volume_inspect(&self, name: &str) -> Result<Volume> {
        self.get(&of(name)).await
    }

    /// Makes a volume, or returns the one of that name.
    ///
    /// # Errors
    /// 400 for a wrong name or option.
    pub async fn volume_create(&self, request: &VolumeCreate) -> Result<Volume> {
        self.post_json(&Target::new("/volumes/create"), request)
            .await
    }

    /// Removes a volume.
    ///
    /// # Errors
    /// 404 when there is no such volume, 409 when containers use it.
    pub async fn volume_remove(&self, name: &str, force: bool) -> Result<()> {
        self.unit(Method::DELETE, &of(name).flag("force", force))
            .await
    }

    /// Removes unused volumes.
    ///
    /// # Errors
    /// 400 for an unknown filter.
    pub async fn volumes_prune(&self, filters: &Filters) -> Result<VolumesPruneReport> {
        self.post_empty(&Target::new("/volumes/prune").with_some("filters", filters_text(filters)))
            .await
    }
}
