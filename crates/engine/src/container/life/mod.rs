//! What happens to a container without anybody asking: its end and what follows, health, restarts, and their order.

pub(super) mod health;
pub(super) mod monitor;
pub(super) mod oom;
pub(super) mod order;
pub(super) mod restart;
pub(super) mod wait;
