//! Each service with a realistic answer, and with answers that it must not believe.

mod answers;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::*;
use crate::http::Failure;
use crate::http::server::{Question, Reply, Server, ok};
use crate::media::Contents;
use crate::service::table::{SERVICES, by_name};

/// A misbehaviour and its name.
type Case = (&'static str, fn() -> Reply);

fn ask(name: &str, address: SocketAddr, limit: Duration) -> Asked {
    let place = Place {
        authority: Some(format!("http://{address}")),
        gateway: Some("192.0.2.1".parse().unwrap()),
        ..Place::default()
    };
    fetch(by_name(name).unwrap(), &place, Instant::now() + limit)
}

fn asked(name: &str, server: &Server) -> Contents {
    ask(name, server.address, Duration::from_secs(30))
        .unwrap_or_else(|failure| panic!("{name}: {failure}"))
}

/// A server with the realistic answers of a service.
fn realistic(name: &str) -> Server {
    let pages = answers::of(name);
    let service = by_name(name).unwrap();
    Server::start(move |question| reply(service, &pages, question))
}

/// As the real ones: without the token or the header they refuse.
fn reply(service: &Service, pages: &[(&'static str, &'static str)], question: &Question) -> Reply {
    let mut words = question.line.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    if let Some(token) = service.token {
        if method == "PUT"
            && path == token.path
            && question
                .headers
                .contains_key(&token.lifetime.0.to_ascii_lowercase())
        {
            return ok("AQAEAtoken==");
        }
        if question
            .headers
            .get(&token.header.to_ascii_lowercase())
            .map(String::as_str)
            != Some("AQAEAtoken==")
        {
            return Reply::Says(401, vec![]);
        }
    }
    for (name, value) in service.headers {
        if question
            .headers
            .get(&name.to_ascii_lowercase())
            .map(String::as_str)
            != Some(*value)
        {
            return Reply::Says(403, vec![]);
        }
    }
    let Some((_, body)) = pages.iter().find(|(known, _)| *known == path) else {
        return Reply::Says(404, b"<html>Not Found</html>".to_vec());
    };
    match service.sign {
        Some((name, value)) => Reply::With(name, value, body.as_bytes().to_vec()),
        None => ok(body),
    }
}

#[test]
fn each_service_is_understood() {
    for service in SERVICES {
        let name = service.name;
        let want = answers::expected(name);
        let contents = asked(name, &realistic(name));
        assert_eq!(contents.notes, want.notes, "{name}");
        let data = contents
            .user_data
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let data = data.map(|data| String::from_utf8(data).unwrap());
        assert_eq!(data.as_deref(), Some(want.user_data), "{name}");
        let found = contents.metadata.unwrap().unwrap();
        assert_eq!(found.source.as_deref(), Some(name));
        assert_eq!(found.instance_id.as_deref(), Some(want.id), "{name}");
        assert_eq!(found.hostname.as_deref(), want.hostname, "{name}");
        assert_eq!(found.ssh_authorized_keys, want.keys, "{name}");
        let addresses =
            [&found.public_ipv4, &found.private_ipv4, &found.public_ipv6].map(Option::as_deref);
        assert_eq!(addresses, want.addresses, "{name}");
        let network: serde_json::Value = serde_json::from_str(want.network).unwrap();
        assert_eq!(found.network.unwrap_or_default(), network, "{name}");
    }
}

#[test]
fn what_a_service_cannot_say_is_not_believed() {
    let portal = || ok("<!DOCTYPE html><html><title>Log in</title></html>");
    for service in SERVICES {
        let name = service.name;
        let refused: [Case; 4] = [
            ("html", portal),
            ("elsewhere", || {
                Reply::Redirects("https://portal.example.org/")
            }),
            ("words", || ok("this is not what you look for")),
            ("forbidden", || Reply::Says(403, vec![])),
        ];
        for (what, reply) in refused {
            let server = Server::start(move |_| reply());
            let failure = ask(name, server.address, Duration::from_secs(30))
                .expect_err(&format!("{name} took {what}"));
            assert!(
                matches!(failure, Failure::Wrong(_)),
                "{name}, {what}: {failure}"
            );
        }
    }
}

/// The promise of five seconds, with less, for every service; all of them at once, since they only wait.
#[test]
fn a_dead_service_costs_no_more_than_the_time_given() {
    const GIVEN: Duration = Duration::from_millis(400);
    // What the machine of the test may be late by: two cores, five people.
    const LATE: Duration = Duration::from_secs(6);
    let dead: [Case; 5] = [
        ("silent", || Reply::Silent),
        ("slow", || Reply::Slow),
        ("broken", || Reply::Says(500, vec![])),
        ("truncated", || Reply::Truncated(b"{\"id\": ".to_vec())),
        ("overloaded", || Reply::Says(429, vec![])),
    ];
    for (what, reply) in dead {
        let server = Server::start(move |_| reply());
        let address = server.address;
        std::thread::scope(|scope| {
            for service in SERVICES {
                scope.spawn(move || {
                    let name = service.name;
                    let start = Instant::now();
                    let failure =
                        ask(name, address, GIVEN).expect_err(&format!("{name} took {what}"));
                    assert!(failure.is_passing(), "{name}, {what}: {failure}");
                    let cost = start.elapsed();
                    assert!(cost < GIVEN + LATE, "{name}, {what}: {cost:?}");
                });
            }
        });
    }
}

/// A machine without user data: each service says no in its own way, and none is asked twice but those that may not be ready.
#[test]
fn a_service_that_has_nothing_for_this_machine_is_absent() {
    // Those that say no at once have all the time that a busy machine needs
    let given = |may_come_later| Duration::from_millis(if may_come_later { 400 } else { 20_000 });
    for status in [404, 410] {
        std::thread::scope(|scope| {
            for service in SERVICES {
                scope.spawn(move || {
                    let name = service.name;
                    let server = Server::start(move |_| Reply::Says(status, vec![]));
                    let failure =
                        ask(name, server.address, given(service.may_come_later)).expect_err(name);
                    let is_absent = matches!(failure, Failure::Absent(_));
                    // One that may come later can run out of time in the middle of a question.
                    let may_pass = service.may_come_later && failure.is_passing();
                    assert!(is_absent || may_pass, "{name}, {status}: {failure}");
                    let most = service.bases.len() * (1 + usize::from(service.token.is_some()));
                    let questions = server.questions().len();
                    assert!(
                        service.may_come_later || questions <= most,
                        "{name}: {questions}"
                    );
                });
            }
        });
    }
}

/// A page that is not there, or is somebody else's, costs what it has and nothing else.
#[test]
fn what_is_missing_does_not_cost_the_rest() {
    let replies: [Case; 3] = [
        ("not found", || Reply::Says(404, vec![])),
        ("forbidden", || Reply::Says(403, vec![])),
        ("html", || ok("<!DOCTYPE html><html></html>")),
    ];
    for service in SERVICES {
        let name = service.name;
        let optional = service.pages.iter().filter(|page| !page.required);
        for page in optional.filter(|page| !page.path.is_empty()) {
            for (what, missing) in replies {
                let (pages, path) = (answers::of(name), page.path);
                let server = Server::start(move |question| {
                    let asked = question.line.split(' ').nth(1);
                    if asked == Some(path) {
                        return missing();
                    }
                    reply(service, &pages, question)
                });
                let contents = asked(name, &server);
                let metadata = contents.metadata.unwrap().unwrap();
                let want = answers::expected(name);
                assert_eq!(
                    metadata.instance_id.as_deref(),
                    Some(want.id),
                    "{name}{path}: {what}"
                );
            }
        }
    }
}

#[test]
fn not_found_means_not_yet_where_it_does() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let (pages, service) = (answers::of("openstack"), by_name("openstack").unwrap());
    let server = Server::start(move |question| {
        match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0..4 => Reply::Says(404, vec![]),
            _ => reply(service, &pages, question),
        }
    });
    assert!(asked("openstack", &server).metadata.unwrap().is_some());
    let server = Server::start(|_| Reply::Says(404, vec![]));
    assert!(matches!(
        ask("ec2", server.address, Duration::from_secs(30)),
        Err(Failure::Absent(_))
    ));
}

#[test]
fn a_clone_of_ec2_without_tokens_is_asked_without() {
    let pages = answers::of("ec2");
    for status in [403, 404, 405] {
        let pages = pages.clone();
        let server = Server::start(move |question| {
            let path = question.line.split(' ').nth(1).unwrap_or("");
            let page = pages
                .iter()
                .find(|(known, _)| *known == path && question.line.starts_with("GET"));
            page.map_or(Reply::Says(status, vec![]), |(_, body)| ok(body))
        });
        // Its other pages may be missing with any of these.
        let contents = asked("ec2", &server);
        assert_eq!(
            contents.metadata.unwrap().unwrap().instance_id.as_deref(),
            Some("i-0a1b2c3d4e5f67890")
        );
    }
}

#[test]
fn an_old_token_is_renewed_once() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let pages = answers::of("ec2");
    let server = Server::start(move |question| {
        if question.line.starts_with("PUT") {
            return ok(&format!(
                "token{}",
                count.fetch_add(1, std::sync::atomic::Ordering::SeqCst)
            ));
        }
        if question
            .headers
            .get("x-aws-ec2-metadata-token")
            .map(String::as_str)
            != Some("token1")
        {
            return Reply::Says(401, vec![]);
        }
        let path = question.line.split(' ').nth(1).unwrap_or("");
        pages
            .iter()
            .find(|(known, _)| *known == path)
            .map_or(Reply::Says(404, vec![]), |(_, body)| ok(body))
    });
    assert!(asked("ec2", &server).user_data.unwrap().is_some());
}

#[test]
fn user_data_that_does_not_come_is_an_error_and_keys_still_count() {
    let (pages, service) = (answers::of("ec2"), by_name("ec2").unwrap());
    let server = Server::start(move |question| {
        if question.line.contains("/latest/user-data") {
            return Reply::Says(403, vec![]);
        }
        reply(service, &pages, question)
    });
    let contents = asked("ec2", &server);
    assert!(contents.user_data.unwrap_err().to_string().contains("403"));
    assert_eq!(
        contents
            .metadata
            .unwrap()
            .unwrap()
            .ssh_authorized_keys
            .len(),
        2
    );
}

#[test]
fn scaleway_is_asked_for_user_data_from_a_low_port() {
    let server = realistic("scaleway");
    asked("scaleway", &server);
    for question in server.questions() {
        let is_user_data = question.line.contains("/user_data/");
        assert_eq!(
            question.from.port() < 1024,
            is_user_data,
            "{}",
            question.line
        );
    }
}

#[test]
fn addresses_of_a_place_are_filled_in() {
    let place = Place {
        gateway: Some("192.0.2.1".parse().unwrap()),
        ..Place::default()
    };
    assert_eq!(
        place.fill("http://{gateway}").as_deref(),
        Some("http://192.0.2.1")
    );
    assert_eq!(place.fill("http://{dhcp-server}"), None);
    let test = Place {
        authority: Some("http://127.0.0.1:1".to_owned()),
        ..place
    };
    assert_eq!(
        test.fill("http://169.254.169.254/opc/v2").as_deref(),
        Some("http://127.0.0.1:1/opc/v2")
    );
    assert_eq!(
        test.fill("http://[fd00:ec2::254]").as_deref(),
        Some("http://127.0.0.1:1")
    );
}
