//! The operator's terminal while a container has it: raw, its size passed on, restored at the end.

use std::os::fd::AsFd;

use sys::tty;

/// Raw mode on standard input for as long as this lives; nothing when it is not a terminal.
#[derive(Debug)]
pub(crate) struct Raw(Option<tty::Settings>);

impl Raw {
    /// Makes the terminal raw.
    ///
    /// # Errors
    /// When there is a terminal and it cannot be changed.
    pub(crate) fn enter() -> anyhow::Result<Raw> {
        if !is_input() {
            return Ok(Raw(None));
        }
        Ok(Raw(Some(tty::make_raw(std::io::stdin().as_fd())?)))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(settings) = &self.0 {
            // The terminal may be gone.
            let _ = tty::restore(std::io::stdin().as_fd(), settings);
        }
    }
}

/// Whether standard input is a terminal.
pub(crate) fn is_input() -> bool {
    tty::is_terminal(std::io::stdin().as_fd())
}

/// Rows and columns of the terminal, when standard output is one.
pub(crate) fn size() -> Option<(u16, u16)> {
    tty::winsize(std::io::stdout().as_fd())
        .ok()
        .filter(|(rows, columns)| *rows > 0 && *columns > 0)
}
