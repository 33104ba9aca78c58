//! `autologin USER[:TTY]`: a login without a password, on the terminal it is started on or on the named one.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

/// Login programs, the first that exists.
const LOGIN: &[&str] = &["/bin/login", "/usr/bin/login"];

/// Becomes `login -f USER`.
pub(crate) fn main(arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let argument = arguments
        .get(1)
        .and_then(|a| a.to_str())
        .context("usage: autologin USER[:TTY]")?;
    let (user, tty) = argument.split_once(':').unwrap_or((argument, ""));
    if !tty.is_empty() {
        let path = Path::new("/dev").join(tty);
        let terminal =
            sys::tty::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        // Fails for a session that has a terminal already; then that one stays.
        let _ = sys::process::setsid();
        let _ = sys::process::set_controlling_tty(&terminal);
        for number in 0..3 {
            sys::process::set_stdio(&terminal, number)?;
        }
    }
    let login = LOGIN
        .iter()
        .map(Path::new)
        .find(|path| path.exists())
        .context("no login program")?;
    let environment = sys::process::environment();
    Err(sys::process::exec(
        login,
        &["login".into(), "-f".into(), OsString::from(user)],
        &environment,
    )
    .into())
}
