//! Keys of the configuration, as problems name them.

/// The key of a service.
pub(crate) fn path(name: &str) -> String {
    format!("rancher.services.{name}")
}
