//! `ports` and `expose`.

use config::service::{LongPort, Port};
use engine_api::{ContainerConfig, HostConfig};

use super::Converter;
use crate::ports;

impl Converter<'_> {
    pub(super) fn ports(&mut self, config: &mut ContainerConfig, host: &mut HostConfig) {
        for entry in &self.service.ports {
            let entry = match entry {
                Port::Short(text) => text.clone(),
                Port::Long(long) => short(long),
            };
            match ports::parse(&entry) {
                Ok(published) => {
                    for (port, binding) in published {
                        config
                            .exposed_ports
                            .insert(port.clone(), serde_json::json!({}));
                        let bindings = host.port_bindings.entry(port).or_default();
                        bindings.get_or_insert_default().push(binding);
                    }
                }
                Err(error) => self.error("ports", format!("{entry:?}: {error}")),
            }
        }
        for entry in &self.service.expose {
            let (range, protocol) = entry.split_once('/').unwrap_or((entry, "tcp"));
            match ports::range(range) {
                Ok((first, last)) => {
                    for port in first..=last {
                        config
                            .exposed_ports
                            .insert(format!("{port}/{protocol}"), serde_json::json!({}));
                    }
                }
                Err(error) => self.error("expose", error),
            }
        }
    }
}

/// The entry as one line.
fn short(port: &LongPort) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let mut entry = text(&port.target);
    if port.published.is_some() || port.host_ip.is_some() {
        entry = format!("{}:{entry}", text(&port.published));
    }
    match port.host_ip.as_deref() {
        Some(address) if address.contains(':') => entry = format!("[{address}]:{entry}"),
        Some(address) => entry = format!("{address}:{entry}"),
        None => {}
    }
    match port.protocol.as_deref() {
        Some(protocol) => format!("{entry}/{protocol}"),
        None => entry,
    }
}
