//! Azure: the provisioning disc has the custom data, the metadata service the rest, and the host must be told that the machine
//! is ready (Azure's "Instance Metadata Service" and the protocol of its Linux agent, version 2012-11-30).

use std::time::Instant;

use crate::http::{self, Ask, Dial, Failure};
use crate::media::Contents;
use crate::{Error, Result, metadata, nocloud, ovf};

/// The host's own service.
pub const HOST: &str = "http://168.63.129.16";

const AGENT: [(&str, &str); 2] = [
    ("x-ms-agent-name", "WALinuxAgent"),
    ("x-ms-version", "2012-11-30"),
];

/// What disc and service say together: user data of the disc, which alone has it, and the service's metadata.
///
/// # Errors
/// When there is neither.
pub fn join(
    disc: Option<Contents>,
    service: std::result::Result<Contents, Failure>,
) -> Result<Contents> {
    match (disc, service) {
        (Some(disc), Ok(mut service)) => {
            if !matches!(disc.user_data, Ok(None)) {
                service.user_data = disc.user_data;
            }
            if let (Ok(Some(all)), Ok(Some(of_disc))) = (&mut service.metadata, disc.metadata) {
                all.hostname = all.hostname.take().or(of_disc.hostname);
                for key in of_disc.ssh_authorized_keys {
                    if !all.ssh_authorized_keys.contains(&key) {
                        all.ssh_authorized_keys.push(key);
                    }
                }
            }
            Ok(service)
        }
        (Some(mut disc), Err(failure)) => {
            disc.notes.push(failure.to_string());
            Ok(disc)
        }
        (None, Ok(service)) => Ok(service),
        (None, Err(failure)) => Err(Error::Service(failure.to_string())),
    }
}

/// Tells the host that the machine is ready, or why not; without it, making the machine ends as a failure.
///
/// # Errors
/// When the host does not take it until `deadline`.
pub fn report(host: &str, trouble: Option<&str>, deadline: Instant) -> Result<()> {
    let goal = nocloud::until(deadline, || {
        let url = format!("{host}/machine/?comp=goalstate");
        let answer = http::fetch(
            &Dial::default(),
            &Ask::get(&url, &AGENT, metadata::MAX_BYTES),
            deadline,
        )?;
        Goal::parse(answer.text()?).map_err(|error| Failure::Wrong(format!("{url}: {error}")))
    })?;
    let url = format!("{host}/machine?comp=health");
    let body = goal.health(trouble);
    let headers = [
        AGENT[0],
        AGENT[1],
        ("Content-Type", "text/xml; charset=utf-8"),
    ];
    let ask = Ask {
        method: "POST",
        body: &body,
        ..Ask::get(&url, &headers, metadata::MAX_BYTES)
    };
    nocloud::until(deadline, || http::fetch(&Dial::default(), &ask, deadline)).map(|_| ())
}

/// Which machine, in which state, the host speaks of.
#[derive(Debug, PartialEq, Eq)]
struct Goal {
    incarnation: String,
    container: String,
    instance: String,
}

impl Goal {
    fn parse(text: &str) -> std::result::Result<Goal, String> {
        let document = ovf::document(text)?;
        let word = |name: &str| {
            ovf::text_of(document.root(), name).ok_or_else(|| format!("it has no {name}"))
        };
        Ok(Goal {
            incarnation: word("Incarnation")?,
            container: word("ContainerId")?,
            instance: word("InstanceId")?,
        })
    }

    fn health(&self, trouble: Option<&str>) -> String {
        let health = match trouble {
            None => "<State>Ready</State>".to_owned(),
            Some(trouble) => format!(
                "<State>NotReady</State><Details><SubStatus>ProvisioningFailed</SubStatus><Description>{}</Description></Details>",
                escaped(trouble)
            ),
        };
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Health><GoalStateIncarnation>{}</GoalStateIncarnation><Container>\
             <ContainerId>{}</ContainerId><RoleInstanceList><Role><InstanceId>{}</InstanceId><Health>{health}</Health></Role>\
             </RoleInstanceList></Container></Health>",
            escaped(&self.incarnation),
            escaped(&self.container),
            escaped(&self.instance)
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metadata;
    use crate::http::server::{Reply, Server, ok};
    use std::time::Duration;

    const GOAL: &str = "<?xml version=\"1.0\"?><GoalState><Version>2012-11-30</Version><Incarnation>1</Incarnation><Container>\
        <ContainerId>c-1</ContainerId><RoleInstanceList><RoleInstance><InstanceId>i&amp;1</InstanceId></RoleInstance>\
        </RoleInstanceList></Container></GoalState>";

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn the_host_is_told() {
        let server = Server::of(&[
            ("/machine/?comp=goalstate", ok(GOAL)),
            ("/machine?comp=health", ok("")),
        ]);
        report(&server.url(""), None, soon()).unwrap();
        report(&server.url(""), Some("no <user data>"), soon()).unwrap();
        let questions = server.questions();
        assert_eq!(questions[0].headers["x-ms-version"], "2012-11-30");
        assert_eq!(questions[1].line, "POST /machine?comp=health HTTP/1.1");
        assert_eq!(
            questions[1].headers["content-type"],
            "text/xml; charset=utf-8"
        );
        let body = &questions[1].body;
        for words in [
            "<State>Ready</State>",
            "<ContainerId>c-1</ContainerId>",
            "<InstanceId>i&amp;1</InstanceId>",
        ] {
            assert!(body.contains(words), "{body}");
        }
        assert!(
            questions[3].body.contains("no &lt;user data&gt;"),
            "{}",
            questions[3].body
        );
    }

    #[test]
    fn a_host_that_is_none_is_an_error() {
        let server = Server::of(&[("/machine/?comp=goalstate", ok("<GoalState/>"))]);
        assert!(report(&server.url(""), None, soon()).is_err());
        let server = Server::start(|_| Reply::Says(500, vec![]));
        assert!(
            report(
                &server.url(""),
                None,
                Instant::now() + Duration::from_millis(400)
            )
            .is_err()
        );
    }

    #[test]
    fn the_disc_has_the_custom_data_and_the_service_the_rest() {
        let contents = |data: Option<&str>, name: &str| Contents {
            user_data: Ok(data.map(|data| data.as_bytes().to_vec())),
            metadata: Ok(Some(Metadata {
                hostname: Some(name.to_owned()),
                ssh_authorized_keys: vec![name.to_owned()],
                ..Metadata::default()
            })),
            notes: vec![],
        };
        let data = |joined: Result<Contents>| joined.unwrap().user_data.unwrap();
        let both = join(
            Some(contents(Some("disc"), "d")),
            Ok(contents(Some("service"), "s")),
        )
        .unwrap();
        let metadata = both.metadata.unwrap().unwrap();
        assert_eq!(both.user_data.unwrap().unwrap(), b"disc");
        assert_eq!(
            (metadata.hostname.as_deref(), metadata.ssh_authorized_keys),
            (Some("s"), vec!["s".to_owned(), "d".to_owned()])
        );
        assert_eq!(
            data(join(
                Some(contents(None, "d")),
                Ok(contents(Some("service"), "s"))
            ))
            .unwrap(),
            b"service"
        );
        let failure = || Err(Failure::Unreachable("nobody".to_owned()));
        assert_eq!(
            join(Some(contents(Some("disc"), "d")), failure())
                .unwrap()
                .notes,
            ["nobody"]
        );
        assert!(join(None, failure()).is_err());
    }
}
