//! Passwords of users, by cloud-init's rules.

use std::path::Path;

use config::Config;

use super::{default_user, entries, set_field};
use crate::console::accounts::{self, RANCHER};

/// Passwords of the configuration: user, password or hash, and whether it must be changed at the first login.
pub(in crate::console) fn passwords(config: &Config) -> (Vec<(String, String, bool)>, Vec<String>) {
    let mut passwords = Vec::new();
    let mut bad = Vec::new();
    if let Some(password) = &config.password {
        for name in [RANCHER].into_iter().chain(default_user(config)) {
            passwords.push((name.to_owned(), password.clone(), false));
        }
    }
    for entry in entries(config) {
        let name = entry.name.clone().unwrap_or_else(|| RANCHER.to_owned());
        let unlocked = entry.lock_passwd == Some(false);
        let own = entry.passwd.as_ref().or(entry.plain_text_passwd.as_ref());
        match (entry.hashed_passwd.as_ref().or(own), unlocked) {
            (Some(password), true) => passwords.push((name, password.clone(), false)),
            (Some(_), false) => bad.push(format!(
                "user {name}: it has a password and stays locked, since lock_passwd is not false"
            )),
            (None, _) => {}
        }
    }
    let expire = config.chpasswd.expire == Some(true);
    let listed = config.chpasswd.list.iter().flat_map(|text| text.lines());
    for line in listed.map(str::trim).filter(|line| !line.is_empty()) {
        match line.split_once(':') {
            Some((name, "R" | "RANDOM")) => bad.push(format!(
                "chpasswd: {name}: random passwords are not made, nobody would see them"
            )),
            Some((name, password)) => {
                passwords.push((name.to_owned(), password.to_owned(), expire))
            }
            None => bad.push("chpasswd.list: a line is not user:password".to_owned()),
        }
    }
    for user in &config.chpasswd.users {
        match (&user.name, &user.password, user.kind.as_deref()) {
            (Some(name), _, Some("RANDOM")) => bad.push(format!(
                "chpasswd: {name}: random passwords are not made, nobody would see them"
            )),
            (Some(name), Some(password), _) => {
                passwords.push((name.clone(), password.clone(), expire))
            }
            _ => bad.push("chpasswd.users: an entry has no name or no password".to_owned()),
        }
    }
    (passwords, bad)
}

/// Makes a password one that must be changed at the next login (shadow(5), date of last change).
pub(in crate::console) fn expire(name: &str) -> anyhow::Result<()> {
    let etc = Path::new("/etc");
    let mut shadow = accounts::read(etc, "shadow")?;
    set_field(&mut shadow, name, 2, "0");
    accounts::write(etc, "shadow", &shadow, 0o600)
}
