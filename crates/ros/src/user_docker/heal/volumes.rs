//! What Docker knows of volumes; what is in them is not looked at (volume/local/local.go).

use std::fs;

use super::fits;
use super::{Healer, entries, name};

pub(super) fn heal(healer: &mut Healer) {
    for directory in entries(&healer.root.join("volumes")) {
        if !directory.is_dir() {
            continue; // the database, and backingFsBlockDev; dockerd skips what it does not know
        }
        let called = name(&directory);
        let lost = format!(
            "volume {called} has lost its options (device, type): if it had some, remove it and make it again before its containers start"
        );
        let options = directory.join("opts.json");
        // dockerd does not start with an empty one either.
        let fits = |bytes: &[u8]| fits::value(bytes).map(drop);
        healer.file(&options, &fits, &lost);
        let data = directory.join("_data");
        if fs::symlink_metadata(&data).is_err() {
            healer.say(format!(
                "volume {called} has lost its directory {}: containers that use it do not start; look for it in lost+found of the state disk",
                data.display()
            ));
        }
    }
}
