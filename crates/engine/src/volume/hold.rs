//! Volumes over an upgrade of the program: who holds them, and that they are mounted.

use super::{Volumes, options};

impl Volumes {
    /// Counts a container that acquired volumes from an earlier program of this process: they are mounted.
    pub(crate) fn hold(&self, names: &[String]) {
        let records = self.0.records.borrow();
        let mut mounted = self.0.mounted.borrow_mut();
        let mounts = |name: &&String| {
            records.get(*name).is_some_and(|record| {
                let options = record.options.clone().unwrap_or_default();
                matches!(options::parse(&options), Ok(Some(_)))
            })
        };
        for name in names.iter().filter(mounts) {
            *mounted.entry(name.clone()).or_insert(0) += 1;
        }
    }
}
