//! The networks that always exist: `bridge`, `host` and `none`.

use std::collections::BTreeMap;

use engine_api::{Ipam, IpamConfig, Result};

use super::record::NetworkRecord;
use super::{DEFAULT_NETWORK, Driver, NetworkOptions, driver_options};

/// Adds them to `networks`; the default bridge follows the options, its id stays. `save` is given each that is not on disk as
/// it is now.
///
/// # Errors
/// When the random pool cannot be read.
pub(super) fn complete(
    networks: &mut BTreeMap<String, NetworkRecord>,
    options: &NetworkOptions,
    save: impl Fn(&NetworkRecord),
) -> Result<()> {
    for (name, driver) in [
        ("host", Driver::Host),
        ("none", Driver::Null),
        (DEFAULT_NETWORK, Driver::Bridge),
    ] {
        let existing = networks
            .values()
            .find(|network| network.name == name)
            .cloned();
        let mut record = match existing.clone() {
            Some(record) => record,
            None => NetworkRecord::new(name, driver)?,
        };
        if driver == Driver::Bridge {
            default_bridge(&mut record, options);
        }
        if existing.as_ref() != Some(&record) {
            save(&record);
        }
        networks.insert(record.id.clone(), record);
    }
    Ok(())
}

fn default_bridge(record: &mut NetworkRecord, options: &NetworkOptions) {
    let config = IpamConfig {
        subnet: options.bridge_address.network().to_string(),
        gateway: options.bridge_address.address().to_string(),
        ..IpamConfig::default()
    };
    record.ipam = Ipam {
        driver: "default".into(),
        options: None,
        config: vec![config],
    };
    let pairs = [
        (driver_options::DEFAULT_BRIDGE, "true"),
        (driver_options::ICC, "true"),
        (driver_options::MASQUERADE, "true"),
        (driver_options::HOST_BINDING, "0.0.0.0"),
        (driver_options::BRIDGE_NAME, &options.bridge_device),
        (driver_options::MTU, "1500"),
    ];
    record.options = pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
}
