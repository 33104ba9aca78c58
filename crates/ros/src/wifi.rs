//! Cards that join Wi-Fi networks: the service network tells wpa_supplicant, which runs in the service wifi, by its control socket.
//!
//! The protocol is one of datagrams, a command and its answer (wpa_supplicant's doc/ctrl_iface.doxygen, "global interface").

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use cloud_init::store::write_atomic;
use netconf::Plan;
use sys::regular;

/// Seen by both services under this name (rootfs/os-config.yml, rootfs/catalogue/wifi.yml).
pub(crate) const DIRECTORY: &str = "/run/rancher/wifi";
/// wpa_supplicant's socket, in the directory.
const CONTROL: &str = "control";
/// How long wpa_supplicant may take to answer: it sets a card up before it does.
const DEADLINE: Duration = Duration::from_secs(10);
/// So often in a row it may be missed before that is said: it starts next to the service network, and starts again when it ends.
const PATIENCE: u32 = 3;
/// Longest configuration of a card.
const MAX_SETTINGS_BYTES: u64 = 16 << 10;
/// Longest answer, a list of links.
const MAX_ANSWER_BYTES: usize = 4096;

/// wpa_supplicant, as its socket in a directory.
#[derive(Debug)]
pub(crate) struct Supplicant {
    directory: PathBuf,
    /// How often in a row it was missed.
    missed: u32,
}

impl Supplicant {
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            missed: 0,
        }
    }

    /// Gives wpa_supplicant the cards of the plan and takes the others from it; the errors, each with the card's name. Does nothing when it
    /// has them, so that it may be called again and again: wpa_supplicant may start late, or start again.
    pub(crate) fn follow(&mut self, plan: &Plan) -> Vec<String> {
        let cards = plan.links.iter();
        let cards = cards.filter_map(|link| Some((link.name.as_str(), link.wifi.as_deref()?)));
        let cards: Vec<(&str, &str)> = cards.collect();
        let gone = self.gone(&cards);
        if cards.is_empty() && gone.is_empty() {
            return Vec::new();
        }
        let present = self.present();
        for name in &gone {
            self.forget(name);
        }
        match present {
            Ok(present) => {
                self.missed = 0;
                self.update(&cards, &gone, &present)
            }
            Err(_) if cards.is_empty() => Vec::new(),
            Err(error) => {
                self.missed = self.missed.saturating_add(1);
                if self.missed < PATIENCE {
                    return Vec::new();
                }
                let names: Vec<&str> = cards.iter().map(|(name, _)| *name).collect();
                vec![format!(
                    "{}: the service wifi does not answer ({error:#}): `ros service enable wifi` and `ros service up wifi` start it",
                    names.join(", ")
                )]
            }
        }
    }

    /// Cards that wpa_supplicant was given and the plan does not have any more. It has other links, too, which are not ours to take.
    fn gone(&self, cards: &[(&str, &str)]) -> Vec<String> {
        let files = fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten();
        let names = files.filter_map(|file| {
            let name = file.file_name().into_string().ok()?;
            let name = name.strip_suffix(".conf")?;
            let is_planned = cards.iter().any(|(card, _)| *card == name);
            (is_plain(name) && !is_planned).then(|| name.to_owned())
        });
        names.collect()
    }

    /// A passphrase does not stay longer than the card's entry, whether wpa_supplicant runs or not.
    fn forget(&self, name: &str) {
        // One that stays is looked at again.
        let _ = fs::remove_file(self.settings(name));
    }

    /// Names of the cards that it has.
    fn present(&self) -> anyhow::Result<Vec<String>> {
        let answer = self.ask("INTERFACES")?;
        // They become names of files.
        let names = answer.lines().filter(|name| is_plain(name));
        Ok(names.map(str::to_owned).collect())
    }

    fn update(&self, cards: &[(&str, &str)], gone: &[String], present: &[String]) -> Vec<String> {
        let mut errors = Vec::new();
        for name in gone.iter().filter(|name| present.contains(name)) {
            errors.extend(
                self.remove(name)
                    .err()
                    .map(|error| format!("{name}: {error:#}")),
            );
        }
        for (name, settings) in cards {
            let is_present = present.iter().any(|present| present == name);
            // The service wifi can put anything there.
            let known = regular::read(&self.settings(name), MAX_SETTINGS_BYTES).unwrap_or_default();
            if is_present && known == settings.as_bytes() {
                continue;
            }
            let added = self.add(name, settings, is_present);
            errors.extend(added.err().map(|error| format!("{name}: {error:#}")));
        }
        errors
    }

    fn settings(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.conf"))
    }

    fn add(&self, name: &str, settings: &str, is_present: bool) -> anyhow::Result<()> {
        if is_present {
            self.remove(name)?;
        }
        let path = self.settings(name);
        write_atomic(&path, settings.as_bytes(), 0o600)?;
        let command = format!("INTERFACE_ADD {name}\t{}\tnl80211", path.display());
        let added = self.command(&command);
        if added.is_err() {
            // So that the next call tries again.
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        added.context("wpa_supplicant does not take the card")
    }

    fn remove(&self, name: &str) -> anyhow::Result<()> {
        self.command(&format!("INTERFACE_REMOVE {name}"))
    }

    fn command(&self, command: &str) -> anyhow::Result<()> {
        match self.ask(command)?.trim() {
            "OK" => Ok(()),
            "FAIL" => bail!("wpa_supplicant refuses (`system-docker logs wifi`)"),
            _ => bail!("wpa_supplicant answers in words that are not known"),
        }
    }

    /// The state of a card, as wpa_supplicant names it: `SCANNING`, `COMPLETED` ...
    pub(crate) fn state(&self, name: &str) -> Option<String> {
        let answer = self.ask(&format!("IFNAME={name} STATUS")).ok()?;
        let state = answer
            .lines()
            .find_map(|line| line.strip_prefix("wpa_state="))?;
        is_plain(state).then(|| state.to_owned())
    }

    fn ask(&self, command: &str) -> anyhow::Result<String> {
        let control = self.directory.join(CONTROL);
        let client = Client::new(&self.directory)?;
        let socket = &client.socket;
        socket
            .connect(&control)
            .with_context(|| format!("cannot connect to {}", control.display()))?;
        socket.set_read_timeout(Some(DEADLINE))?;
        socket.set_write_timeout(Some(DEADLINE))?;
        socket
            .send(command.as_bytes())
            .context("cannot ask wpa_supplicant")?;
        let mut answer = vec![0; MAX_ANSWER_BYTES];
        let length = socket
            .recv(&mut answer)
            .context("wpa_supplicant does not answer")?;
        answer.truncate(length);
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// Whether a word of an answer is one, and nothing that leads elsewhere or moves a terminal's cursor.
fn is_plain(word: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '@');
    !word.is_empty() && word.len() < 64 && !word.starts_with('.') && word.chars().all(fits)
}

/// A socket with a name, which wpa_supplicant answers to; the name goes with it.
struct Client {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Client {
    fn new(directory: &Path) -> anyhow::Result<Self> {
        let mut builder = fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        // Each question has another name, or an answer that came too late would be taken for that of the next one.
        static QUESTIONS: AtomicU64 = AtomicU64::new(0);
        let number = QUESTIONS.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("client-{}-{number}", std::process::id()));
        // One of an earlier process of this number that was killed.
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path)
            .with_context(|| format!("cannot make the socket {}", path.display()))?;
        Ok(Self { socket, path })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use netconf::LinkPlan;

    use super::*;

    /// Answers as wpa_supplicant does, and tells what it was asked.
    fn imitate(directory: &Path) -> mpsc::Receiver<String> {
        let socket = UnixDatagram::bind(directory.join(CONTROL)).unwrap();
        let (sender, asked) = mpsc::channel();
        std::thread::spawn(move || {
            let mut cards: Vec<String> = Vec::new();
            let mut bytes = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                let (verb, rest) = text.split_once(' ').unwrap_or((&text, ""));
                let answer = match verb {
                    "INTERFACES" => cards.iter().map(|card| format!("{card}\n")).collect(),
                    "INTERFACE_ADD" if rest.starts_with("bad") => "FAIL\n".to_owned(),
                    "INTERFACE_ADD" => {
                        cards.push(rest.split('\t').next().unwrap().to_owned());
                        "OK\n".to_owned()
                    }
                    "INTERFACE_REMOVE" => {
                        cards.retain(|card| card != rest);
                        "OK\n".to_owned()
                    }
                    _ => "bssid=x\nwpa_state=COMPLETED\n".to_owned(),
                };
                if verb.starts_with("INTERFACE") && verb != "INTERFACES" {
                    let _ = sender.send(text);
                }
                socket.send_to_addr(answer.as_bytes(), &from).unwrap();
            }
        });
        asked
    }

    fn plan(cards: &[(&str, &str)]) -> Plan {
        let link = |(name, settings): &(&str, &str)| LinkPlan {
            name: (*name).to_owned(),
            wifi: Some((*settings).to_owned()),
            ..LinkPlan::default()
        };
        Plan {
            links: cards.iter().map(link).collect(),
            ..Plan::default()
        }
    }

    #[test]
    fn wpa_supplicant_has_the_cards_of_the_plan() {
        let folder = tempfile::tempdir().unwrap();
        let mut supplicant = Supplicant::new(folder.path());
        let one = plan(&[("wlan0", "a")]);
        for _ in 1..PATIENCE {
            assert!(supplicant.follow(&one).is_empty(), "said too early");
        }
        let missed = supplicant.follow(&one);
        assert!(
            missed[0].contains("wlan0: the service wifi does not answer"),
            "{missed:?}"
        );
        assert_eq!(supplicant.follow(&one), missed);
        fs::write(folder.path().join("gone.conf"), "psk").unwrap();
        let asked = imitate(folder.path());
        let add = |name: &str| {
            format!(
                "INTERFACE_ADD {name}\t{}/{name}.conf\tnl80211",
                folder.path().display()
            )
        };
        let mut step = |plan: &Plan, want: &[String]| {
            let errors = supplicant.follow(plan);
            assert_eq!(asked.try_iter().collect::<Vec<_>>(), want);
            errors
        };
        assert!(step(&one, &[add("wlan0")]).is_empty());
        assert_eq!(
            fs::read_to_string(folder.path().join("wlan0.conf")).unwrap(),
            "a"
        );
        assert!(step(&one, &[]).is_empty(), "it has it");
        let remove = "INTERFACE_REMOVE wlan0".to_owned();
        step(&plan(&[("wlan0", "b")]), &[remove.clone(), add("wlan0")]);
        let errors = step(&plan(&[("bad0", "c")]), &[remove, add("bad0")]);
        assert!(
            errors[0].contains("bad0: wpa_supplicant does not take the card"),
            "{errors:?}"
        );
        assert_eq!(supplicant.state("wlan0").as_deref(), Some("COMPLETED"));
        let left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["control"]);
    }
}
