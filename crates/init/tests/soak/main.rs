//! "Nothing kills PID 1": the engine as an ordinary process (`init engine`) in a network namespace of its own, killed at
//! random instants, and under more clients, bytes, lines and containers than anybody has. Needs root and
//! busybox-static; without them every test passes and says so. The long ones are ignored: `cargo xtask soak` runs them.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy.toml's exception does not see

mod copies;
mod damage;
mod files;
mod full;
mod http;
mod in_memory;
mod kill;
mod load;
mod machine;
mod memory;
mod network;
mod order;
#[path = "../upgrade/program.rs"]
mod program;
mod volumes;
