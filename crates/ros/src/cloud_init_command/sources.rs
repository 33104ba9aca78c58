//! Asks the datasources that this machine has, one after the other; the first that has something wins.

use std::path::Path;
use std::time::{Duration, Instant};

use cloud_init::media::{self, Contents, Format, Media};
use cloud_init::platform::{Choice, Wanted, is_local};
use cloud_init::seed::{Place as SeedPlace, Seed};
use cloud_init::service::{self, Place, Reach, Service, table};
use cloud_init::{Error, Result, UserData, address, azure, nocloud, ovf, user_data};

use super::early_network::{self, EarlyNetwork};
use super::{guestinfo, loudly};
use crate::machine_config::MachineConfig;
use sys::netlink::Rtnetlink;

/// Where media is mounted while it is read; /run is a tmpfs of the container's own.
const MOUNT_POINT: &str = "/run/cloud-init/media";
/// What a service that does not answer costs at most, all services of a machine together.
const ANSWER: Duration = Duration::from_secs(5);
/// What telling Azure's host costs at most.
const REPORT: Duration = Duration::from_secs(3);

/// What a datasource had.
pub(super) struct Found {
    /// Its name, for messages.
    pub(super) name: String,
    pub(super) contents: Contents,
    /// The documents of its user data, included ones among them.
    pub(super) documents: Result<Vec<UserData>>,
}

/// How asking ended.
pub(super) struct Asked {
    /// The first that had something.
    pub(super) found: Option<Found>,
    /// False when one of those before it was not as it should be, which was said.
    pub(super) good: bool,
    /// Whether a service or an address gave nothing, and may later.
    pub(super) may_come_later: bool,
}

/// Asks them all until one has something.
pub(super) fn ask(choice: &Choice, machine: &MachineConfig) -> Asked {
    let mut asking = Asking::new(machine, false);
    let found = asking.all(choice);
    if let Some(network) = asking.network {
        network.down();
    }
    Asked {
        may_come_later: found.is_none() && asking.asked_far,
        found,
        good: asking.good,
    }
}

/// Asks what is on the network once more, by the network that the machine has now. Nothing is said: it was before.
pub(super) fn ask_again(choice: &Choice, machine: &MachineConfig) -> Option<Found> {
    let mut far = choice.clone();
    far.wanted.retain(|wanted| !is_local(&wanted.name));
    far.seed = far
        .seed
        .filter(|seed| matches!(seed.place, Some(SeedPlace::Url(_))));
    Asking::new(machine, true).all(&far)
}

struct Asking<'m> {
    machine: &'m MachineConfig,
    /// The machine has its own network already, and its owner has been told.
    again: bool,
    network: Option<EarlyNetwork>,
    /// When services and addresses have had their time; set with the first of them.
    deadline: Option<Instant>,
    /// Media with a label; looking at every device once is enough.
    media: Option<Vec<Media>>,
    /// Whether anything on the network was asked.
    asked_far: bool,
    good: bool,
}

impl<'m> Asking<'m> {
    fn new(machine: &'m MachineConfig, again: bool) -> Asking<'m> {
        Asking {
            machine,
            again,
            network: None,
            deadline: None,
            media: None,
            asked_far: false,
            good: true,
        }
    }

    fn all(&mut self, choice: &Choice) -> Option<Found> {
        if let Some(seed) = &choice.seed {
            println!("nocloud: {} names a seed", seed.named_by);
            let result = self.seed(seed);
            if let Some(found) = self.said("nocloud", result) {
                return Some(found);
            }
        }
        for wanted in &choice.wanted {
            let result = self.one(wanted);
            if let Some(found) = self.said(&wanted.name, result) {
                return Some(found);
            }
        }
        None
    }

    /// An error is said, and the next datasource is asked.
    fn said(&mut self, name: &str, result: Result<Option<Contents>>) -> Option<Found> {
        match result {
            Ok(contents) => contents.map(|contents| self.found(name, contents)),
            Err(error) => {
                if !self.again {
                    loudly(&format!("{name}: {error}"));
                }
                self.good = false;
                None
            }
        }
    }

    /// Parses user data, and fetches what it includes.
    fn found(&mut self, name: &str, mut contents: Contents) -> Found {
        let user_data = std::mem::replace(&mut contents.user_data, Ok(None));
        let parsed = user_data.and_then(|bytes| user_data::documents(&bytes.unwrap_or_default()));
        let documents = parsed.map(|documents| {
            let (documents, errors) = user_data::expand(documents, |url| {
                let deadline = self.connect(Reach::Dhcp)?;
                address::url(url, deadline)?
                    .user_data
                    .map(Option::unwrap_or_default)
            });
            for error in errors {
                loudly(&format!("{name}: {error}"));
                self.good = false;
            }
            documents
        });
        Found {
            name: name.to_owned(),
            contents,
            documents,
        }
    }

    fn seed(&mut self, seed: &Seed) -> Result<Option<Contents>> {
        let deadline = match seed.place {
            Some(SeedPlace::Url(_)) => self.connect(Reach::Dhcp)?,
            _ => Instant::now(),
        };
        // Words alone go with a disc.
        let disc = match seed.place {
            None => self.on_media(Format::NoCloud)?,
            Some(_) => None,
        };
        let mut contents = nocloud::read(seed, deadline)?;
        if let Some(disc) = disc {
            contents.add(disc);
        }
        Ok(Some(contents))
    }

    fn one(&mut self, wanted: &Wanted) -> Result<Option<Contents>> {
        if !is_local(&wanted.name) {
            println!("{}: {}", wanted.name, wanted.reason);
        }
        match (wanted.name.as_str(), wanted.argument.as_deref()) {
            ("configdrive", _) => self.on_media(Format::ConfigDrive),
            ("nocloud", _) => self.on_media(Format::NoCloud),
            ("file", Some(path)) => address::file(Path::new(path)).map(Some),
            ("url", Some(url)) => {
                let deadline = self.connect(Reach::Dhcp)?;
                address::url(url, deadline).map(Some)
            }
            ("file" | "url", None) => {
                Err(Error::Service("it needs a place behind a colon".to_owned()))
            }
            ("ovf", _) => ovf::find(Path::new(MOUNT_POINT)),
            ("vmware", _) => self.vmware(),
            ("azure", _) => self.azure().map(Some),
            (name, _) => match table::by_name(name) {
                Some(service) => self.service(service),
                None => Err(Error::Service(
                    "this version does not have this datasource".to_owned(),
                )),
            },
        }
    }

    fn service(&mut self, service: &Service) -> Result<Option<Contents>> {
        if let Reach::SocketFile(path) = service.reach {
            if !Path::new(path).exists() {
                return Ok(None);
            }
            return answer(service, &Place::default(), Instant::now() + ANSWER).map(Some);
        }
        let deadline = self.connect(service.reach)?;
        answer(service, &self.place(), deadline).map(Some)
    }

    /// The machine's settings, else an appliance's disc.
    fn vmware(&mut self) -> Result<Option<Contents>> {
        match guestinfo::find() {
            Ok(None) => ovf::find(Path::new(MOUNT_POINT)),
            Ok(found) => Ok(found),
            Err(error) => match ovf::find(Path::new(MOUNT_POINT)) {
                Ok(None) => Err(error),
                other => other,
            },
        }
    }

    /// The disc first: the host may take it away when the machine is ready.
    fn azure(&mut self) -> Result<Contents> {
        let disc = ovf::find(Path::new(MOUNT_POINT)).unwrap_or_else(|error| {
            loudly(&format!("azure: {error}"));
            None
        });
        let Some(service) = table::by_name("azure") else {
            return Err(Error::Service("it is not in the table".to_owned()));
        };
        let deadline = self.connect(service.reach)?;
        let contents = azure::join(disc, service::fetch(service, &self.place(), deadline))?;
        // Else making the machine ends as a failure, though it runs.
        if let Err(error) = azure::report(azure::HOST, None, Instant::now() + REPORT) {
            loudly(&format!(
                "azure: the host was not told that the machine is ready: {error}"
            ));
            self.good = false;
        }
        Ok(contents)
    }

    fn on_media(&mut self, format: Format) -> Result<Option<Contents>> {
        let all = self.media.get_or_insert_with(media::list);
        let Some((found, others)) = media::choose(all, format) else {
            return Ok(None);
        };
        if let Some(others) = others {
            loudly(&others);
        }
        println!("reading {} from {}", format.name(), found.device.display());
        media::read(found, Path::new(MOUNT_POINT)).map(Some)
    }

    /// A network for the first that needs one, and the time until which all of them may ask.
    fn connect(&mut self, reach: Reach) -> Result<Instant> {
        self.asked_far = true;
        if self.network.is_none() && !self.again {
            let network = EarlyNetwork::up(self.machine, reach);
            self.network =
                Some(network.map_err(|error| Error::Service(format!("no network: {error:#}")))?);
        }
        Ok(*self.deadline.get_or_insert_with(|| Instant::now() + ANSWER))
    }

    fn place(&mut self) -> Place {
        match &mut self.network {
            Some(network) => network.place(),
            None => Rtnetlink::open()
                .map(|mut netlink| early_network::place(&mut netlink))
                .unwrap_or_default(),
        }
    }
}

fn answer(service: &Service, place: &Place, deadline: Instant) -> Result<Contents> {
    service::fetch(service, place, deadline).map_err(|failure| Error::Service(failure.to_string()))
}
