//! Terminals: pty(7), tty_ioctl(4), termios(3).

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, Winsize};

use crate::error::{Context, Error, Result, check};

/// A new pseudo-terminal.
#[derive(Debug)]
pub struct Pty {
    /// The side that a terminal emulator holds.
    pub master: OwnedFd,
    /// The side that a program has as its terminal.
    pub slave: OwnedFd,
}

/// Opens a pseudo-terminal of the /dev/pts that this process sees.
///
/// # Errors
/// When there is no devpts or it is full.
pub fn open_pty() -> Result<Pty> {
    let what = || "open pseudo-terminal".to_owned();
    let master =
        rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .what(what)?;
    let slave = open_slave(&master)?;
    Ok(Pty { master, slave })
}

/// Unlocks and opens the other side of a master, whatever lies at its path (TIOCGPTPEER).
///
/// # Errors
/// When `master` is not the master of a pseudo-terminal.
pub fn open_slave(master: impl AsFd) -> Result<OwnedFd> {
    let what = || "open slave of pseudo-terminal".to_owned();
    rustix::pty::unlockpt(&master).what(what)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    rustix::pty::ioctl_tiocgptpeer(&master, flags).what(what)
}

/// Number N of a master's `/dev/pts/N`.
///
/// # Errors
/// When `master` is not the master of a pseudo-terminal.
pub fn slave_number(master: impl AsFd) -> Result<u32> {
    let what = || "name of pseudo-terminal".to_owned();
    let name = rustix::pty::ptsname(master, Vec::new()).what(what)?;
    let number = name
        .to_string_lossy()
        .rsplit('/')
        .next()
        .and_then(|number| number.parse().ok());
    number.ok_or_else(|| Error::other(what(), format!("{name:?} has no number")))
}

/// Bytes written to a terminal or socket that its other side has not read yet (TIOCOUTQ, which is SIOCOUTQ).
///
/// # Errors
/// When it is neither.
pub fn unread_output(fd: impl AsFd) -> Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: the kernel writes one int, which lives across the call.
    let result = unsafe {
        libc::ioctl(
            fd.as_fd().as_raw_fd(),
            libc::TIOCOUTQ,
            std::ptr::from_mut(&mut count),
        )
    };
    check(i64::from(result)).what(|| "count unread output".into())?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Sets the size in rows and columns; the foreground job gets SIGWINCH.
///
/// # Errors
/// When `terminal` is not one.
pub fn set_winsize(terminal: impl AsFd, rows: u16, columns: u16) -> Result<()> {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(terminal, size)
        .what(|| format!("set terminal size {rows}x{columns}"))
}

/// The size in rows and columns.
///
/// # Errors
/// When `terminal` is not one.
pub fn winsize(terminal: impl AsFd) -> Result<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(terminal).what(|| "read terminal size".into())?;
    Ok((size.ws_row, size.ws_col))
}

/// A terminal's settings, to be put back.
#[derive(Debug, Clone)]
pub struct Settings(rustix::termios::Termios);

/// Passes every byte on, unchanged and at once (cfmakeraw(3)). Returns the settings as they were.
///
/// # Errors
/// When `terminal` is not one.
pub fn make_raw(terminal: impl AsFd) -> Result<Settings> {
    let what = || "make terminal raw".to_owned();
    let before = rustix::termios::tcgetattr(&terminal).what(what)?;
    let mut settings = before.clone();
    settings.make_raw();
    rustix::termios::tcsetattr(&terminal, OptionalActions::Now, &settings).what(what)?;
    Ok(Settings(before))
}

/// Puts settings back.
///
/// # Errors
/// When `terminal` is not one.
pub fn restore(terminal: impl AsFd, settings: &Settings) -> Result<()> {
    rustix::termios::tcsetattr(terminal, OptionalActions::Now, &settings.0)
        .what(|| "restore terminal".into())
}

/// Whether it is a terminal (isatty(3)).
#[must_use]
pub fn is_terminal(file: impl AsFd) -> bool {
    rustix::termios::isatty(file)
}

/// Opens a terminal for reading and writing, without making it this session's.
///
/// # Errors
/// When it cannot be opened.
pub fn open(path: &std::path::Path) -> Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    rustix::fs::open(
        path,
        OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map(|fd| OwnedFd::from(File::from(fd)))
    .what(|| format!("open terminal {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_see_the_same_size() {
        let pty = open_pty().unwrap();
        set_winsize(&pty.master, 33, 101).unwrap();
        assert_eq!(winsize(&pty.slave).unwrap(), (33, 101));
        assert!(is_terminal(&pty.slave));
        slave_number(&pty.master).unwrap();
    }
}
