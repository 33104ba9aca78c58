//! `print!` and `println!` for commands in pipes: the end of the reader (`system-docker ps | head -1`) ends the command
//! quietly, where std's panic.
//!
//! Other programs do this by leaving SIGPIPE at its default. Here that would also end the command when the engine closes
//! a connection, whose error is to be told.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

/// The exit code that a shell shows for a program ended by SIGPIPE: 128 + 13 (signal(7)).
pub const PIPE_CLOSED: u8 = 141;

/// As `std::println!`.
#[macro_export]
macro_rules! println {
    () => {
        $crate::output::text(format_args!("\n"))
    };
    ($($arguments:tt)*) => {
        $crate::output::text(format_args!("{}\n", format_args!($($arguments)*)))
    };
}

/// As `std::print!`.
#[macro_export]
macro_rules! print {
    ($($arguments:tt)*) => {
        $crate::output::text(format_args!($($arguments)*))
    };
}

/// Writes to standard output; nothing more can be done for a command whose output nobody reads.
pub fn text(arguments: Arguments<'_>) {
    let Err(error) = std::io::stdout().write_fmt(arguments) else {
        return;
    };
    let code = if error.kind() == ErrorKind::BrokenPipe {
        PIPE_CLOSED
    } else {
        eprintln!("cannot write to standard output: {error}");
        1
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "as SIGPIPE ends other programs; println! has no result to hand to main"
    )]
    std::process::exit(code.into());
}

/// Whether an error is the end of standard output's reader.
#[must_use]
pub fn is_closed(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
