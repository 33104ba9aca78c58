//! Where images to be loaded at the boot are, and where it is noted which were: `ros preload-images` loads them, a reset forgets the
//! notes.

/// Archives for User Docker (RancherOS's place); each one's note is next to it.
pub const USER_DOCKER: &str = "/var/lib/rancher/preload/docker";
/// Archives for System Docker; each one's note is next to it.
pub const SYSTEM_DOCKER: &str = "/var/lib/rancher/preload/system-docker";
/// Notes about archives of the media, which is read-only.
pub const OF_MEDIA: &str = "/var/lib/rancher/preload/media";
/// The ending of a note.
pub const NOTE_ENDING: &str = "done";
