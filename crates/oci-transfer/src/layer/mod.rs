//! Layers: tar streams of file system changes, and directories in the form overlayfs takes as a lower layer.
//!
//! In a tar a deletion is a file `.wh.NAME` and a replaced directory holds `.wh..wh..opq`; overlayfs wants a character
//! device 0:0 and the attribute `trusted.overlay.opaque`. [`unpack`] translates one way, [`pack`] the other.
//! Source: OCI image-spec layer.md; Linux Documentation/filesystems/overlayfs.rst.

mod header;
mod lease;
mod pack;
mod pax;
mod reader;
mod rooted;
mod sparse;
mod split;
mod unpack;
mod writer;

pub use header::{Entry, Extent, Kind};
pub use lease::past_lease;
pub use pack::{PackOptions, pack, pack_directory, pack_file};
pub use reader::{Limits, TarReader};
pub use rooted::confined_file;
pub use split::{SplitWriter, assemble};
pub use unpack::{Form, UnpackOptions, Unpacked, adopt_implied, unpack, unpack_into};
pub use writer::TarWriter;

/// Prefix of whiteout files in a layer tar.
pub const WHITEOUT_PREFIX: &str = ".wh.";
/// Name of the file that makes its directory opaque in a layer tar.
pub const OPAQUE_MARKER: &str = ".wh..wh..opq";
/// Prefix of other aufs bookkeeping files, which carry no content of the image.
const AUFS_PREFIX: &str = ".wh..wh.";
/// Attribute that makes a directory opaque in overlayfs.
pub(crate) const OPAQUE_XATTR: &str = "trusted.overlay.opaque";

/// Tar block size in bytes.
pub(crate) const BLOCK: usize = 512;

#[cfg(test)]
mod tests;
