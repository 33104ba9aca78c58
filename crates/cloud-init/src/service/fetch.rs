//! Asks a service for its pages and makes user data and metadata of them.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::found::Found;
use super::{Form, Page, Reach, Service};
use crate::http::{self, Answer, Ask, Dial, Failure};
use crate::metadata;
use crate::{media::Contents, user_data};

/// Between two tries of a service that does not answer, or is not ready.
const PAUSE: Duration = Duration::from_millis(300);
/// Most keys of an index: each costs a question.
const MOST_KEYS: usize = 32;

/// Where the machine is, as far as an address of a service needs it.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// Index of the link that the service is on.
    pub link: Option<u32>,
    /// Default gateway.
    pub gateway: Option<IpAddr>,
    /// Who gave the address.
    pub dhcp_server: Option<IpAddr>,
    /// `http://HOST:PORT` in place of the service's own, for tests.
    pub authority: Option<String>,
}

/// What a service said.
pub type Asked = Result<Contents, Failure>;

/// Asks until there is an answer, a mistake that time does not mend, or `deadline`.
///
/// # Errors
/// When no base of the service answered as it should.
pub fn fetch(service: &Service, place: &Place, deadline: Instant) -> Asked {
    loop {
        let mut failure = None;
        let bases: Vec<String> = service
            .bases
            .iter()
            .filter_map(|base| place.fill(base))
            .collect();
        let count = bases.len();
        for (index, base) in bases.into_iter().enumerate() {
            // One that accepts and is silent must leave time for the others.
            let left = deadline.saturating_duration_since(Instant::now());
            let share = if index + 1 == count {
                deadline
            } else {
                Instant::now() + left / 2
            };
            let mut session = Session::new(service, place, base, share);
            match session.run() {
                Ok(()) => return Ok(session.found.finish()),
                Err(error) if failure.is_none() || !error.is_passing() => failure = Some(error),
                Err(_) => {}
            }
        }
        let failure = failure
            .unwrap_or_else(|| Failure::Wrong("none of its addresses is known here".to_owned()));
        let again = failure.is_passing()
            || (service.may_come_later && matches!(failure, Failure::Absent(_)));
        let left = deadline.saturating_duration_since(Instant::now());
        if !again || left <= PAUSE {
            return Err(failure);
        }
        std::thread::sleep(PAUSE);
    }
}

impl Place {
    /// A base with what is known of this place; none when that is not enough.
    pub(super) fn fill(&self, base: &str) -> Option<String> {
        let mut filled = base.to_owned();
        for (word, address) in [
            ("{gateway}", self.gateway),
            ("{dhcp-server}", self.dhcp_server),
        ] {
            if filled.contains(word) {
                filled = filled.replace(word, &address?.to_string());
            }
        }
        let Some(authority) = &self.authority else {
            return Some(filled);
        };
        let (_, rest) = filled.split_once("://")?;
        let path = rest.find('/').map_or("", |at| &rest[at..]);
        Some(format!("{authority}{path}"))
    }
}

/// Questions to one base.
struct Session<'s> {
    service: &'s Service,
    base: String,
    link: Option<u32>,
    deadline: Instant,
    token: Option<String>,
    found: Found,
}

impl<'s> Session<'s> {
    fn new(service: &'s Service, place: &Place, base: String, deadline: Instant) -> Session<'s> {
        Session {
            service,
            base,
            link: place.link,
            deadline,
            token: None,
            found: Found::new(service.name),
        }
    }

    fn run(&mut self) -> Result<(), Failure> {
        self.get_token()?;
        for page in self.service.pages {
            if page.path.is_empty() {
                self.found.take(page, &Value::Null);
                continue;
            }
            match self.page(page) {
                Ok(()) => {}
                Err(failure) if page.required => return Err(failure),
                Err(Failure::Absent(_)) => {}
                Err(failure) => self.found.failed(page, &failure),
            }
            if page.required && self.found.metadata.instance_id.is_none() {
                return Err(Failure::Wrong(format!(
                    "{}{}: the answer has no id of a machine",
                    self.base, page.path
                )));
            }
        }
        Ok(())
    }

    /// A service without tokens answers 403, 404 or 405: it is asked without one (clones of EC2, old ones).
    fn get_token(&mut self) -> Result<(), Failure> {
        let Some(token) = self.service.token else {
            return Ok(());
        };
        let url = format!("{}{}", self.base, token.path);
        let headers = [token.lifetime];
        let ask = Ask {
            method: "PUT",
            ..Ask::get(&url, &headers, 4096)
        };
        match http::fetch(&self.dial(false), &ask, self.deadline) {
            Ok(answer) => {
                let text = answer.text()?.trim();
                if text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic()) {
                    return Err(Failure::Wrong(format!("{url}: the answer is not a token")));
                }
                self.token = Some(text.to_owned());
            }
            Err(failure @ Failure::Unreachable(_)) => return Err(failure),
            Err(_) => {}
        }
        Ok(())
    }

    fn dial(&self, low_port: bool) -> Dial {
        let socket_file = match self.service.reach {
            Reach::SocketFile(path) => Some(PathBuf::from(path)),
            _ => None,
        };
        Dial {
            link: self.link,
            low_port,
            // A test's server has an address.
            socket_file: socket_file.filter(|_| !self.base.starts_with("http://127.0.0.1:")),
        }
    }

    /// One question. A token that has expired is asked for once more; what passes is asked again.
    fn ask(&mut self, path: &str, low_port: bool, limit: u64) -> Result<Answer, Failure> {
        let mut renewed = false;
        loop {
            let url = format!("{}{path}", self.base);
            let mut headers: Vec<(&str, &str)> = self.service.headers.to_vec();
            if let (Some(token), Some(text)) = (self.service.token, &self.token) {
                headers.push((token.header, text));
            }
            let asked = http::fetch(
                &self.dial(low_port),
                &Ask::get(&url, &headers, limit),
                self.deadline,
            );
            match asked {
                Err(Failure::Unauthorized(_)) if self.service.token.is_some() && !renewed => {
                    renewed = true;
                    self.token = None;
                    self.get_token()?;
                }
                // Once the service has answered, a page that fails is worth a second question.
                Err(failure)
                    if failure.is_passing() && self.found.metadata.instance_id.is_some() =>
                {
                    if self.deadline.saturating_duration_since(Instant::now()) <= PAUSE {
                        return Err(failure);
                    }
                    std::thread::sleep(PAUSE);
                }
                asked => return asked,
            }
        }
    }

    fn page(&mut self, page: &Page) -> Result<(), Failure> {
        let limit = if page.form == Form::Bytes {
            user_data::MAX_BYTES
        } else {
            metadata::MAX_BYTES
        };
        let answer = self.ask(page.path, page.low_port, limit)?;
        if let Some((name, value)) = self.service.sign
            && answer.header(name) != Some(value)
        {
            return Err(Failure::Wrong(format!(
                "{}{}: the answer lacks the header {name}: {value}",
                self.base, page.path
            )));
        }
        let wrong = |error: &str| {
            Failure::Wrong(format!(
                "{}: the answer is not what it should be: {error}",
                page.path
            ))
        };
        match page.form {
            Form::Bytes => self.found.user_data(answer.bytes),
            Form::Text => self
                .found
                .take(page, &Value::String(answer.text()?.trim().to_owned())),
            Form::Json => {
                let value = serde_json::from_slice(&answer.bytes)
                    .map_err(|error| wrong(&error.to_string()))?;
                self.found.take(page, &value);
            }
            Form::Yaml => {
                let (node, _) = config::parse(page.path, answer.text()?)
                    .map_err(|error| wrong(&error.message))?;
                self.found.take(page, &node.to_json());
            }
            Form::KeyIndex => {
                let names: Vec<String> = answer.text()?.lines().map(str::to_owned).collect();
                for name in names.iter().take(MOST_KEYS) {
                    let Some(number) = name.split('=').next().filter(|n| n.parse::<u32>().is_ok())
                    else {
                        continue;
                    };
                    let path = format!("{}{number}/openssh-key", page.path);
                    let key = self.ask(&path, false, metadata::MAX_BYTES)?;
                    self.found
                        .add_keys(metadata::keys(Some(&Value::String(key.text()?.to_owned()))));
                }
            }
        }
        Ok(())
    }
}
