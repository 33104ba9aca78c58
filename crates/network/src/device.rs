//! The device that a network needs on the host, by its driver.

use engine_api::Result;

use super::record::NetworkRecord;
use super::{Driver, bridge, macvlan};

/// Creates it, unless it is there.
///
/// # Errors
/// What the kernel refuses.
pub(super) fn ensure(network: &NetworkRecord) -> Result<()> {
    match network.driver() {
        Driver::Bridge => bridge::ensure(network),
        Driver::Macvlan | Driver::Ipvlan => macvlan::ensure(network),
        Driver::Host | Driver::Null => Ok(()),
    }
}

/// Removes it.
///
/// # Errors
/// What the kernel refuses.
pub(super) fn remove(network: &NetworkRecord) -> Result<()> {
    match network.driver() {
        Driver::Bridge => bridge::remove(network),
        Driver::Macvlan | Driver::Ipvlan => macvlan::remove(network),
        Driver::Host | Driver::Null => Ok(()),
    }
}
