//! How far the installation is: a line that is written over on a terminal, a line for each tenth elsewhere.

use std::io::{self, Write as _};

/// Counts bytes of all files.
pub(crate) struct Progress {
    total: u64,
    done: u64,
    shown: u64,
    terminal: bool,
}

impl Progress {
    /// Nothing of `total` bytes is done.
    pub(crate) fn new(total: u64) -> Self {
        Self {
            total: total.max(1),
            done: 0,
            shown: 0,
            terminal: sys::tty::is_terminal(io::stdout()),
        }
    }

    /// Some more bytes are done.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.done += bytes;
        let percent = (self.done * 100 / self.total).min(100);
        let step = if self.terminal { 1 } else { 10 };
        if percent / step > self.shown / step {
            self.show(percent);
        }
    }

    fn show(&mut self, percent: u64) {
        self.shown = percent;
        let (start, end) = if self.terminal {
            ("\r", "")
        } else {
            ("", "\n")
        };
        print!("{start}  copying: {percent:3} %{end}");
        // A line that is shown late does no harm
        let _ = io::stdout().flush();
    }

    /// Everything is done: what was there before needed no copy.
    pub(crate) fn end(&mut self) {
        if self.shown < 100 {
            self.show(100);
        }
        if self.terminal {
            println!();
        }
    }
}
