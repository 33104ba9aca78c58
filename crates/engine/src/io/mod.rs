//! Standard streams of containers and execs: from their pipes or terminal to the log and to attached clients, and back.
//!
//! Everything here is bounded. A client that reads slowly holds the process back, as a pipe would; a client that goes
//! away is forgotten. What a process reads and writes lives in [`Descriptors`], not in tasks alone, so that a later
//! version of the engine can take the descriptors over.

mod pump;
mod streams;
mod terminal;

pub use pump::{Descriptors, Ends, Pumps};
pub use streams::{Streams, Wanted};
pub use terminal::Terminal;
