//! RancherOS's cloud-config schema as data: every key, and the type its value must have.
//!
//! Facts: the structs of RancherOS 1.5.8 (`config/types.go`), plus the keys this system adds, which say so.

mod network;
mod rancher;
mod service;

pub use rancher::RANCHER;
pub use service::SERVICE;

/// The type of a value.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `true`, `yes`, `on` and their opposites.
    Bool,
    /// A whole number, quoted or not.
    Int,
    /// Text; numbers and booleans are taken as they are written.
    String,
    /// `true`/`false` or text, kept as text (`bridge: true`, `bridge: br0`).
    Word,
    /// A list of strings; a single one is a list of one.
    Strings,
    /// A list of words, or a string that is split as a shell does.
    Command,
    /// A list whose items are strings (for `sh -c`) or lists of words.
    Commands,
    /// A map of strings, or a list of `NAME=VALUE`; a value may be absent.
    StringMap,
    /// A map with free keys and values of one kind.
    MapOf(&'static Kind),
    /// A list with values of one kind; a single map is a list of one.
    ListOf(&'static Kind),
    /// A map with known keys.
    Object(&'static [Field]),
    /// Anything: not looked into.
    Any,
}

/// A key of an [`Kind::Object`].
#[derive(Debug)]
pub struct Field {
    /// The key.
    pub name: &'static str,
    /// Type of its value.
    pub kind: Kind,
}

/// Shorthand for the tables.
const fn f(name: &'static str, kind: Kind) -> Field {
    Field { name, kind }
}

/// The whole document.
pub const CLOUD_CONFIG: Kind = Kind::Object(&[
    f("bootcmd", Kind::Commands),
    f("hostname", Kind::String),
    f("mounts", Kind::ListOf(&Kind::Strings)),
    f("rancher", RANCHER),
    f("runcmd", Kind::Commands),
    f("ssh_authorized_keys", Kind::Strings),
    f("write_files", Kind::ListOf(&WRITE_FILE)),
]);

/// One entry of `write_files`.
const WRITE_FILE: Kind = Kind::Object(&[
    f("container", Kind::String),
    f("content", Kind::String),
    f("encoding", Kind::String),
    f("owner", Kind::String),
    f("path", Kind::String),
    f("permissions", Kind::String),
]);

/// Keys of other cloud-init implementations: known by name, so that the report says "not supported" and not "unknown".
pub const OTHER_CLOUD_INIT_KEYS: &[&str] = &[
    "apt",
    "chpasswd",
    "disk_setup",
    "final_message",
    "fs_setup",
    "groups",
    "growpart",
    "locale",
    "manage_etc_hosts",
    "manage_resolv_conf",
    "network",
    "ntp",
    "package_update",
    "package_upgrade",
    "packages",
    "password",
    "phone_home",
    "power_state",
    "resize_rootfs",
    "ssh_pwauth",
    "swap",
    "timezone",
    "users",
    "yum_repos",
];

impl Kind {
    /// The known keys, if this is an object.
    pub fn fields(&self) -> &'static [Field] {
        match self {
            Kind::Object(fields) => fields,
            _ => &[],
        }
    }

    /// The type as a reader of a message would name it.
    pub fn describe(&self) -> &'static str {
        match self {
            Kind::Bool => "true or false",
            Kind::Int => "a number",
            Kind::String => "a string",
            Kind::Word => "a string or true or false",
            Kind::Strings => "a list of strings",
            Kind::Command => "a command: a string or a list of strings",
            Kind::Commands => "a list of commands",
            Kind::StringMap => "a map of strings or a list of NAME=VALUE",
            Kind::MapOf(_) | Kind::Object(_) => "a map",
            Kind::ListOf(_) => "a list",
            Kind::Any => "anything",
        }
    }
}
