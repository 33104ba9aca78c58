//! How RancherOS lies on a disk: partitions, boot records, slots, and which slot a boot chooses.
//!
//! The machine (`ros install`, `ros os`, PID 1) and the build (`cargo xtask cloud-image`) write disks with the same code. The
//! boot loader reads what is written here with its own script, `iso/boot.cfg`; [`choose`] is the same choice in Rust,
//! and `cargo xtask grub-test` holds one against the other.
//!
//! **Belongs here:** the layout of a disk, its boot records and slots, and the order in which they are written.
//!
//! **Not here:** this crate opens no file and no device: it returns bytes, or writes through [`Disk`]. It knows nothing about
//! configuration, images or containers, and does not decide when a version is good.
//!
//! **May import:** none of our crates.

#[macro_use]
mod error;
mod begin;
mod bios;
mod chooser;
#[cfg(any(test, feature = "model"))]
pub mod crash;
mod data_disk;
mod disk;
pub mod fat;
mod gpt;
mod grow;
mod guid;
mod history;
pub mod image;
mod kept;
mod layout;
mod loader;
mod manifest;
#[cfg(any(test, feature = "model"))]
pub mod model;
mod records;
mod slot;
mod steps;
pub mod store;
mod version;

pub use begin::begin;
pub use bios::{BOOT_CODE_BYTES, boot_code, embed_core};
pub use chooser::{Decision, Why, choose};
pub use data_disk::{Share, Table};
pub use disk::{Disk, Memory};
pub use error::{Error, Result};
pub use gpt::{Entry, read_second_table, read_table, write_table};
pub use grow::{Growth, grow};
pub use guid::Guid;
pub use history::{Event, History, Outcome};
pub use kept::kept_layout;
pub use layout::{Layout, MIB, Partition, Role};
pub use loader::{BOOT_IMAGE, CORE_IMAGE, Loader, core_of_disc, plain_core, update_bios};
pub use manifest::{Item, Manifest, Release, State};
pub use records::{
    BLOCK_BYTES, Block, Choice, RECORD_BYTES, Records, TRIES, Tries, Which, envelope,
};
pub use slot::{Slot, SlotFiles, clear_slot, environment, environment_values, write_slot};
pub use steps::{Step, arm, cancel, commit, finish, free, install, refill, reject, repair, spend};
pub use version::{Refusal, compare, refusal};
