//! A client for an engine's Unix socket: one connection per request, no pool.

mod containers;
mod engine;
mod exec;
mod images;
mod networks;
mod query;
mod stream;
mod system;
mod transport;
mod volumes;

pub use containers::{AttachQuery, LogsQuery};
pub use images::{CommitQuery, ImportQuery, RegistryAuth};
pub use stream::{ByteStream, Hijacked, JsonLines, MAX_LINE_BYTES};
pub use transport::{Client, MAX_ANSWER_BYTES};
