//! Paths on the partition of layers: each content lies there once, by its digest, and every version has a folder of hard
//! links that looks like a medium.
//!
//! A content that no slot links any more has one name left, and can go.

use crate::manifest::Item;
use crate::slot::Slot;

/// The folder of all contents.
pub const STORE: &str = "files";
/// What became of versions on this machine.
pub const HISTORY: &str = "history.json";

/// The name of a content: `files/SHA256`.
#[must_use]
pub fn stored(item: &Item) -> String {
    format!("{STORE}/{}", item.sha256)
}

/// The folder of a version, which PID 1 takes as its medium: `slots/4`.
#[must_use]
pub fn slot_folder(slot: Slot) -> String {
    format!("slots/{slot}")
}

/// The name of a file in a version: `slots/4/rancheros/images.json`.
#[must_use]
pub fn linked(slot: Slot, item: &Item) -> String {
    format!("{}/{}", slot_folder(slot), item.path)
}

/// The manifest of a version: `slots/4/rancheros/manifest.json`.
#[must_use]
pub fn manifest(slot: Slot) -> String {
    format!("{}/{MANIFEST}", slot_folder(slot))
}

/// The signatures over it: `slots/4/rancheros/manifest.json.minisig`; not there for what nobody has signed.
#[must_use]
pub fn signature(slot: Slot) -> String {
    format!("{}/{SIGNATURE}", slot_folder(slot))
}

/// The manifest on a medium.
pub const MANIFEST: &str = "rancheros/manifest.json";
/// Signatures over the manifest of a medium, in minisign's form.
pub const SIGNATURE: &str = "rancheros/manifest.json.minisig";
