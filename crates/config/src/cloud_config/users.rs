//! Users and their passwords, as cloud-init writes them.

use serde::Deserialize;

/// An entry of `users`: a name, or everything about a user (cloud-init, users and groups).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum User {
    /// A name; `default` is rancher.
    Name(String),
    /// Everything about one.
    Full(Box<UserEntry>),
}

/// A user; see `schema::cloud_init` for what the fields mean.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[expect(
    missing_docs,
    reason = "the fields are cloud-init's keys, documented in the schema"
)]
pub struct UserEntry {
    pub name: Option<String>,
    pub expiredate: Option<String>,
    pub gecos: Option<String>,
    pub groups: serde_json::Value,
    pub hashed_passwd: Option<String>,
    pub homedir: Option<String>,
    pub lock_passwd: Option<bool>,
    pub no_create_home: Option<bool>,
    pub no_user_group: Option<bool>,
    pub passwd: Option<String>,
    pub plain_text_passwd: Option<String>,
    pub primary_group: Option<String>,
    pub shell: Option<String>,
    pub ssh_authorized_keys: Vec<String>,
    pub sudo: serde_json::Value,
    pub system: Option<bool>,
    pub uid: Option<String>,
}

/// `chpasswd`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Chpasswd {
    /// Whether the passwords must be changed at the first login.
    pub expire: Option<bool>,
    /// `user:password` lines.
    pub list: Vec<String>,
    /// The same as maps.
    pub users: Vec<UserPassword>,
}

/// One entry of `chpasswd.users`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct UserPassword {
    /// The user.
    pub name: Option<String>,
    /// Password or hash.
    pub password: Option<String>,
    /// `text`, `hash` or `RANDOM`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
}
