//! Container logs in Docker's json-file format, rotated by size, with readers that follow.

mod file;
mod reader;
mod record;

pub use file::{LogFile, LogLimits};
