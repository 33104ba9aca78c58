//! The cloud-config schema as data: every key, the type of its value, where and when it takes effect, and what it means.
//!
//! Facts: the structs of RancherOS 1.5.8 (`config/types.go`), cloud-init's schema-cloud-config-v1, and the keys that
//! this system adds. `cargo xtask docs` makes docs/configuration.md and the JSON schema of these tables.

mod cloud_init;
mod docker;
mod network;
mod rancher;
mod rule;
mod service;

pub use rancher::RANCHER;
pub use rule::{Rule, is_listen_address};
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
    /// The first kind when the value is a scalar, the second when it is a list or a map.
    Either(&'static Kind, &'static Kind),
    /// Anything: not looked into.
    Any,
}

/// Where and when the value of a key takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// When this service starts; a change holds after a restart of the service.
    Service(&'static str),
    /// PID 1 applies it during the boot, user data of this very boot included; a change holds after a reboot.
    Boot,
    /// Read before user data is: the kernel command line, or a file that an earlier boot or the installer left.
    EarlyBoot,
    /// The kernel command line alone, for this reason. Reported as a warning wherever else it is set.
    CommandLine(&'static str),
    /// When a command of `ros` is used.
    Command(&'static str),
    /// Nothing is to be done, for this reason: the system behaves as the key asks anyway. Not reported.
    Given(&'static str),
    /// The system always behaves so, for this reason. A value that asks for the opposite is reported as a warning.
    Always(&'static str),
    /// The system never does so, for this reason. A value that asks for it is reported as a warning; one that says no is not.
    NotDone(&'static str),
    /// Not applied, for this reason. Reported as a warning wherever it is set.
    Never(&'static str),
    /// As `Never`, unless the value is one of these.
    Only(&'static [&'static str], &'static str),
    /// A map whose keys say it each for itself.
    Inside,
}

/// Who brought a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// RancherOS 1.5.8.
    RancherOs,
    /// BurmillaOS.
    BurmillaOs,
    /// cloud-init.
    CloudInit,
    /// This system.
    Here,
}

/// A key of an [`Kind::Object`].
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The key.
    pub name: &'static str,
    /// Type of its value.
    pub kind: Kind,
    /// Where and when it takes effect.
    pub effect: Effect,
    /// Who brought it.
    pub origin: Origin,
    /// What a value must be beyond its type.
    pub rule: Option<Rule>,
    /// What it means, in one line.
    pub doc: &'static str,
}

impl Field {
    const fn from(self, origin: Origin) -> Field {
        Field { origin, ..self }
    }

    const fn rule(self, rule: Rule) -> Field {
        Field {
            rule: Some(rule),
            ..self
        }
    }
}

/// Shorthand for the tables.
const fn f(name: &'static str, kind: Kind, effect: Effect, doc: &'static str) -> Field {
    Field {
        name,
        kind,
        effect,
        origin: Origin::RancherOs,
        rule: None,
        doc,
    }
}

/// The same for keys that cloud-init brought.
const fn c(name: &'static str, kind: Kind, effect: Effect, doc: &'static str) -> Field {
    f(name, kind, effect, doc).from(Origin::CloudInit)
}

/// What the console applies when it starts.
const CONSOLE: Effect = Effect::Service("console");

/// The whole document.
pub const CLOUD_CONFIG: Kind = Kind::Object(cloud_init::TOP);

impl Kind {
    /// The known keys, if this is an object.
    pub fn fields(&self) -> &'static [Field] {
        match self {
            Kind::Object(fields) => fields,
            Kind::Either(_, second) => second.fields(),
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
            Kind::Either(first, _) => first.describe(),
            Kind::Any => "anything",
        }
    }
}

/// The field at a dotted path of known keys; free keys of maps are any word.
pub fn field(path: &str) -> Option<&'static Field> {
    let mut kind = &CLOUD_CONFIG;
    let mut found = None;
    for part in path.split('.') {
        match kind {
            Kind::MapOf(inner) | Kind::ListOf(inner) => kind = inner,
            Kind::Object(fields) | Kind::Either(_, Kind::Object(fields)) => {
                let field = fields.iter().find(|field| field.name == part)?;
                found = Some(field);
                kind = &field.kind;
            }
            _ => return found,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{CLOUD_CONFIG, Effect, Kind};

    /// A list is compared as a whole: what it leaves to its keys would wait for a reboot, which nobody is told.
    #[test]
    fn only_what_has_keys_leaves_the_effect_to_them() {
        fn look(kind: &Kind, path: &str) {
            for field in kind.fields() {
                let path = format!("{path}.{}", field.name);
                let has_keys = matches!(field.kind, Kind::Object(_) | Kind::MapOf(_));
                assert!(field.effect != Effect::Inside || has_keys, "{path}");
                match field.kind {
                    Kind::MapOf(inner) | Kind::ListOf(inner) => look(inner, &path),
                    kind => look(&kind, &path),
                }
            }
        }
        look(&CLOUD_CONFIG, "");
    }
}
