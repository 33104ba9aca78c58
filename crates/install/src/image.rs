//! Paths in the image that carries a version: an ordinary OCI image in which every file is a separate layer.
//!
//! A layer is found by the history of the image's configuration: `docker load` and a push by another Docker keep that and
//! the order of the layers, but neither annotations nor the compressed digests. What a layer holds is checked by the digests
//! of the signed manifest, so that the history needs no trust.

/// The folder of a version's files.
pub const FOLDER: &str = "dist";
/// The folder of the boot loader's parts.
const LOADER: &str = "dist/loader";
/// The manifest.
pub const MANIFEST: &str = "dist/rancheros/manifest.json";
/// Signatures over the manifest in minisign's form, one behind the other.
pub const SIGNATURE: &str = "dist/rancheros/manifest.json.minisig";
/// The program that the image starts.
pub const PROGRAM: &str = "usr/bin/ros";

/// Largest manifest that is read, in bytes: 10 kB today.
pub const MANIFEST_MAX: u64 = 1 << 20;
/// Largest list of signatures that is read, in bytes: some 300 each.
pub const SIGNATURE_MAX: u64 = 16 << 10;

/// Where the image has a file of a version.
#[must_use]
pub fn file(path: &str) -> String {
    format!("{FOLDER}/{path}")
}

/// Where it has a part of the boot loader.
#[must_use]
pub fn loader(name: &str) -> String {
    format!("{LOADER}/{name}")
}

/// What a layer's entry in the history says: who made it, and the one path that it has.
#[must_use]
pub fn history(path: &str) -> String {
    format!("{HISTORY}{path}")
}

/// The path of a layer, by its entry in the history.
#[must_use]
pub fn path_of(created_by: &str) -> Option<&str> {
    created_by.strip_prefix(HISTORY)
}

/// What the history of such a layer begins with.
const HISTORY: &str = "rancheros file ";
