//! What the embedded DNS knows in the network child: names and addresses of containers, as the engine told them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;

use super::command::Servers;
use crate::dns::{self, Directory};
use crate::files::ResolverConfig;

/// All tables.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) resolv_conf: PathBuf,
    containers: BTreeMap<String, Table>,
    /// The table that is being told.
    pending: Option<(String, Table)>,
}

/// A container on the networks that have names.
#[derive(Debug)]
struct Table {
    servers: Servers,
    places: Vec<Place>,
}

/// A container on one network.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) network: String,
    pub(super) network_name: String,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) names: Vec<String>,
}

impl Tables {
    pub(super) fn begin(&mut self, container: String, servers: Servers) {
        let places = Vec::new();
        self.pending = Some((container, Table { servers, places }));
    }

    pub(super) fn add(&mut self, place: Place) {
        let Some((_, table)) = &mut self.pending else {
            return;
        };
        match table
            .places
            .iter_mut()
            .find(|known| known.network == place.network)
        {
            Some(known) => known.names.extend(place.names),
            None => table.places.push(place),
        }
    }

    pub(super) fn commit(&mut self) {
        self.containers.extend(self.pending.take());
    }

    pub(super) fn forget(&mut self, container: &str) {
        self.containers.remove(container);
    }

    /// Places on the networks of `asker`, its own included.
    fn neighbours(&self, asker: &str) -> impl Iterator<Item = &Place> {
        let own = self
            .containers
            .get(asker)
            .map_or(&[][..], |table| &table.places);
        self.containers
            .values()
            .flat_map(|table| &table.places)
            .filter(|place| own.iter().any(|own| own.network == place.network))
    }
}

impl Place {
    fn has_name(&self, name: &str) -> bool {
        let short = name
            .len()
            .checked_sub(self.network_name.len() + 1)
            .and_then(|at| name.split_at_checked(at))
            .filter(|(_, rest)| {
                rest.strip_prefix('.')
                    .is_some_and(|network| network.eq_ignore_ascii_case(&self.network_name))
            })
            .map(|(short, _)| short);
        self.names.iter().any(|known| {
            known.eq_ignore_ascii_case(name)
                || short.is_some_and(|short| known.eq_ignore_ascii_case(short))
        })
    }
}

/// The tables as one container sees them.
pub(super) struct View {
    pub(super) tables: Rc<RefCell<Tables>>,
    pub(super) container: String,
}

impl Directory for View {
    fn lookup(&self, name: &str) -> Option<Vec<IpAddr>> {
        let tables = self.tables.borrow();
        let matching = tables
            .neighbours(&self.container)
            .filter(|place| place.has_name(name));
        let addresses: Vec<IpAddr> = matching
            .flat_map(|place| place.addresses.iter().copied())
            .collect();
        (!addresses.is_empty()).then_some(addresses)
    }

    fn reverse(&self, address: IpAddr) -> Option<String> {
        let tables = self.tables.borrow();
        let place = tables
            .neighbours(&self.container)
            .find(|place| place.addresses.contains(&address))?;
        Some(format!("{}.{}", place.names.first()?, place.network_name))
    }

    fn upstreams(&self) -> Vec<SocketAddr> {
        let tables = self.tables.borrow();
        match tables
            .containers
            .get(&self.container)
            .map(|table| &table.servers)
        {
            Some(Servers::These(servers)) => servers.clone(),
            Some(Servers::Host) => {
                let config = ResolverConfig::read(&tables.resolv_conf);
                let addresses = config.servers.iter().filter_map(|text| text.parse().ok());
                dns::upstreams(addresses)
            }
            None => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(network: &str, last: u8, names: &[&str]) -> Place {
        Place {
            network: network.into(),
            network_name: network.to_uppercase(),
            addresses: vec![IpAddr::from([10, 0, 0, last])],
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn tell(tables: &Rc<RefCell<Tables>>, container: &str, places: Vec<Place>) -> View {
        let mut inner = tables.borrow_mut();
        inner.begin(container.into(), Servers::These(Vec::new()));
        places.into_iter().for_each(|place| inner.add(place));
        inner.commit();
        View {
            tables: tables.clone(),
            container: container.into(),
        }
    }

    #[test]
    fn names_are_known_on_shared_networks_only() {
        let tables = Rc::default();
        let web = tell(&tables, "1", vec![place("front", 1, &["web"])]);
        let db = tell(
            &tables,
            "2",
            vec![
                place("front", 2, &["db"]),
                place("front", 2, &["data"]),
                place("back", 3, &["db"]),
            ],
        );
        let backup = tell(&tables, "3", vec![place("back", 4, &["backup"])]);
        let address = |last| Some(vec![IpAddr::from([10, 0, 0, last])]);
        assert_eq!(web.lookup("DATA.front"), address(2));
        assert_eq!(web.lookup("db"), address(2));
        assert_eq!(web.lookup("backup"), None);
        assert_eq!(backup.lookup("db"), address(3));
        assert_eq!(db.lookup("é.front"), None);
        assert_eq!(
            web.reverse(IpAddr::from([10, 0, 0, 2])),
            Some("db.FRONT".into())
        );
        tables.borrow_mut().forget("2");
        assert_eq!(web.lookup("db"), None);
    }

    #[test]
    fn a_table_counts_when_it_is_complete() {
        let tables = Rc::default();
        let web = tell(&tables, "1", vec![place("front", 1, &["web"])]);
        let mut inner = tables.borrow_mut();
        inner.begin("1".into(), Servers::Host);
        drop(inner);
        assert!(web.lookup("web").is_some());
        tables.borrow_mut().commit();
        assert!(web.lookup("web").is_none());
    }
}
