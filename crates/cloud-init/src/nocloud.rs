//! NoCloud's files on a web server or in a directory, as a seed names them.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::http::{self, Ask, Dial, Failure};
use crate::media::{self, Contents, Format};
use crate::seed::{Place, Seed};
use crate::{Error, Metadata, Result, metadata, network, user_data};

/// User data, metadata, and the network's description.
pub const FILES: [&str; 3] = ["user-data", "meta-data", "network-config"];

/// Between two tries of a server that does not answer.
const PAUSE: Duration = Duration::from_millis(300);

/// Reads the files that a seed names, from the network until `deadline`. The words of the seed itself fill what
/// they do not say.
///
/// # Errors
/// A place that cannot be read, or has neither user data nor metadata.
pub fn read(seed: &Seed, deadline: Instant) -> Result<Contents> {
    let mut contents = match &seed.place {
        None => Contents::empty(),
        Some(Place::Directory(path)) => directory(Path::new(path))?,
        Some(Place::Url(base)) => until(deadline, || from_server(base, deadline))?,
        Some(Place::Unsupported(place)) => {
            return Err(Error::Service(format!(
                "{place} is not supported: a seed is http, https or a directory"
            )));
        }
    };
    if let Ok(metadata) = &mut contents.metadata {
        let metadata = metadata.get_or_insert_default();
        metadata.source = Some("nocloud".to_owned());
        metadata.hostname = seed.hostname.clone().or(metadata.hostname.take());
        metadata.instance_id = seed.instance_id.clone().or(metadata.instance_id.take());
    }
    Ok(contents)
}

fn directory(path: &Path) -> Result<Contents> {
    let contents = media::read_directory(path, Format::NoCloud);
    if matches!(
        (&contents.user_data, &contents.metadata),
        (Ok(None), Ok(None))
    ) {
        return Err(Error::Service(format!(
            "{} has neither user-data nor meta-data",
            path.display()
        )));
    }
    Ok(contents)
}

/// Tries until it works, fails for good, or `deadline`.
pub(crate) fn until<T>(
    deadline: Instant,
    mut work: impl FnMut() -> std::result::Result<T, Failure>,
) -> Result<T> {
    loop {
        match work() {
            Ok(value) => return Ok(value),
            Err(failure) if failure.is_passing() && Instant::now() + PAUSE < deadline => {
                std::thread::sleep(PAUSE)
            }
            Err(failure) => return Err(Error::Service(failure.to_string())),
        }
    }
}

/// The names are added to the address as it is: one that should end in `/` must.
fn from_server(base: &str, deadline: Instant) -> std::result::Result<Contents, Failure> {
    let get = |name: &str, limit: u64| {
        let url = format!("{base}{name}");
        let ask = Ask {
            redirects: true,
            ..Ask::get(&url, &[], limit)
        };
        match http::fetch(&Dial::default(), &ask, deadline) {
            Ok(answer) => Ok(Some(answer)),
            Err(Failure::Absent(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    };
    let [user_data, meta_data, network] = FILES;
    let data = get(user_data, user_data::MAX_BYTES)?;
    let described = get(meta_data, metadata::MAX_BYTES)?;
    if data.is_none() && described.is_none() {
        return Err(Failure::Absent(format!(
            "{base}{user_data} and {base}{meta_data} do not exist"
        )));
    }
    let metadata = described.map(|answer| {
        metadata::no_cloud(
            answer
                .text()
                .map_err(|error| Error::Metadata(error.to_string()))?,
        )
    });
    let mut contents = Contents {
        user_data: Ok(data.map(|answer| answer.bytes)),
        metadata: metadata.transpose(),
        notes: Vec::new(),
    };
    match get(network, metadata::MAX_BYTES) {
        Ok(None) => {}
        Ok(Some(answer)) => {
            let text = answer.text().map_err(|error| error.to_string());
            contents.add_network(network, text.and_then(network::network_config));
        }
        Err(failure) => contents.notes.push(failure.to_string()),
    }
    Ok(contents)
}

impl Contents {
    /// Nothing yet.
    pub fn empty() -> Contents {
        Contents {
            user_data: Ok(None),
            metadata: Ok(None),
            notes: Vec::new(),
        }
    }

    /// Adds what a disc says; the words of a seed win over its metadata.
    pub fn add(&mut self, disc: Contents) {
        let said = std::mem::replace(self, disc);
        if let (Ok(metadata), Ok(Some(said))) = (&mut self.metadata, said.metadata) {
            let metadata = metadata.get_or_insert_default();
            metadata.hostname = said.hostname.or(metadata.hostname.take());
            metadata.instance_id = said.instance_id.or(metadata.instance_id.take());
        }
    }

    /// User data alone.
    pub(crate) fn of_user_data(bytes: Option<Vec<u8>>, source: &str) -> Contents {
        Contents {
            user_data: Ok(bytes),
            metadata: Ok(Some(Metadata {
                source: Some(source.to_owned()),
                ..Metadata::default()
            })),
            notes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::server::{Reply, Server, ok};

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    fn seed(place: Place) -> Seed {
        Seed {
            place: Some(place),
            hostname: Some("from-the-line".to_owned()),
            ..Seed::default()
        }
    }

    #[test]
    fn files_come_from_a_server() {
        let network = "network: {version: 1, config: [{type: physical, name: eth0, subnets: [{type: dhcp}]}]}";
        let server = Server::of(&[
            ("/s/user-data", ok("#cloud-config\nhostname: a\n")),
            (
                "/s/meta-data",
                ok("instance-id: i-1\nlocal-hostname: b\npublic-keys: [ssh-rsa A]\n"),
            ),
            ("/s/network-config", ok(network)),
        ]);
        let contents = read(&seed(Place::Url(server.url("/s/"))), soon()).unwrap();
        assert!(
            contents
                .user_data
                .unwrap()
                .unwrap()
                .starts_with(b"#cloud-config")
        );
        let metadata = contents.metadata.unwrap().unwrap();
        assert_eq!(metadata.hostname.as_deref(), Some("from-the-line"));
        assert_eq!(metadata.instance_id.as_deref(), Some("i-1"));
        assert_eq!(metadata.ssh_authorized_keys, ["ssh-rsa A"]);
        assert_eq!(
            metadata.network.unwrap()["interfaces"]["eth0"]["dhcp"],
            true
        );
    }

    #[test]
    fn a_server_that_misbehaves_is_named() {
        let misbehaving = [
            (Reply::Says(404, vec![]), "do not exist"),
            (Reply::Says(403, vec![]), "403"),
            (ok("<html>"), "web page"),
        ];
        for (reply, words) in misbehaving {
            let server = Server::start(move |_| reply.clone());
            let error = read(&seed(Place::Url(server.url("/"))), soon()).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
        // What may pass is tried until the time is over.
        for reply in [
            Reply::Says(500, vec![]),
            Reply::Silent,
            Reply::Truncated(b"#cl".to_vec()),
        ] {
            let server = Server::start(move |_| reply.clone());
            let deadline = Instant::now() + Duration::from_millis(700);
            assert!(read(&seed(Place::Url(server.url("/"))), deadline).is_err());
            assert!(Instant::now() < deadline + Duration::from_secs(10));
        }
    }

    #[test]
    fn a_server_that_comes_up_late_is_waited_for() {
        let count = std::sync::atomic::AtomicUsize::new(0);
        let server = Server::start(move |question| {
            match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                0 | 1 => Reply::Says(503, vec![]),
                _ if question.line.contains("user-data") => ok("#cloud-config\n"),
                _ => Reply::Says(404, vec![]),
            }
        });
        let contents = read(&seed(Place::Url(server.url("/"))), soon()).unwrap();
        assert!(contents.user_data.unwrap().is_some());
    }

    #[test]
    fn a_directory_and_words_alone_are_seeds_too() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Directory(folder.path().display().to_string());
        assert!(read(&seed(place.clone()), soon()).is_err());
        std::fs::write(folder.path().join("user-data"), "#cloud-config\n").unwrap();
        assert!(
            read(&seed(place), soon())
                .unwrap()
                .user_data
                .unwrap()
                .is_some()
        );
        let words = Seed {
            hostname: Some("h".to_owned()),
            ..Seed::default()
        };
        assert_eq!(
            read(&words, soon())
                .unwrap()
                .metadata
                .unwrap()
                .unwrap()
                .hostname
                .as_deref(),
            Some("h")
        );
        assert!(read(&seed(Place::Unsupported("ftp://a/".into())), soon()).is_err());
    }
}
