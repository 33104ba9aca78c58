//! What commands of the configuration did to the firewall, so that it goes with them.
//!
//! [`Saved`] is what iptables-save(8) prints of one family. A [`Note`] has the [`Changes`] between two of them, one before and one
//! after the commands of a group (`post_cmds`, or `post_up` of a link) ran, and says what takes them back: [`Restore`], a
//! text for `iptables-restore --noflush`, which makes all changes of a table or none.
//!
//! Who made a rule is not to be seen in the kernel. So what dockerd and `ros` make for User Docker is told by its form
//! (`owner.rs`) and never claimed; what somebody else adds just while a command runs is. System Docker's table is nf_tables' own
//! (crate network), which iptables-save does not show.
//!
//! Everything here is text to text. A line that is not understood costs itself only.

mod align;
mod changes;
mod note;
mod owner;
mod saved;
mod undo;

#[cfg(test)]
mod tests;

pub use changes::Changes;
pub use note::{Commands, Ended, Note, Texts, commands};
pub use saved::Saved;
pub use undo::Restore;

/// Where a rule is.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub(crate) struct Place {
    table: String,
    chain: String,
}
