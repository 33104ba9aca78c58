//! What PID 1 knows about the machine while it boots; every phase adds its part.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::phase::Record;
use crate::state::State;

/// The directory of the media that holds images, modules and firmware.
pub(crate) const MEDIA: &str = "/run/rancher/media";

/// The machine as the phases so far have left it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    /// `/proc/cmdline`, without the newline.
    pub(crate) command_line: String,
    /// The merged configuration; the built-in one until the state partition is there.
    pub(crate) config: config::Config,
    /// Mount point of the file system that has `/rancheros`, once it is found.
    pub(crate) media: Option<PathBuf>,
    /// Not all of an installed disk's version was there, or its partition could not be mounted as it should be.
    pub(crate) media_is_damaged: bool,
    /// The state partition, or none when the machine keeps everything in RAM.
    pub(crate) state: Option<State>,
    /// The same as a tree, for comparison with a later one.
    pub(crate) tree: config::Node,
    /// Kernel settings as they were before the configuration's own values were written.
    pub(crate) sysctls: BTreeMap<String, String>,
    /// What was wrong with the configuration, as far as it is reported.
    pub(crate) problems: Vec<config::Problem>,
    /// The host name that is set.
    pub(crate) hostname: String,
    /// Whether configuration or metadata give it. If not, the console follows the names that DHCP servers give.
    pub(crate) is_named: bool,
    /// How each phase went, in order.
    pub(crate) trace: Vec<Record>,
}

impl Machine {
    /// A file of the media, such as `modules.squashfs`.
    pub(crate) fn media_file(&self, name: &str) -> Option<PathBuf> {
        self.media
            .as_deref()
            .map(|media| media.join("rancheros").join(name))
    }

    /// Whether `file` exists on the mounted media.
    pub(crate) fn has_images(mount_point: &Path) -> bool {
        mount_point.join("rancheros/images.json").exists()
    }
}
