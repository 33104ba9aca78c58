//! Servers that misbehave.

use super::server::{Reply, Server, ok};
use super::*;

fn get(server: &Server, path: &str) -> Result<Answer, Failure> {
    within(server, path, Duration::from_secs(20))
}

fn within(server: &Server, path: &str, limit: Duration) -> Result<Answer, Failure> {
    fetch(
        &Dial::default(),
        &Ask::get(&server.url(path), &[("X-Token", "t")], 1000),
        Instant::now() + limit,
    )
}

#[test]
fn an_answer_comes_with_its_headers() {
    let server = Server::of(&[(
        "/a",
        Reply::With("Metadata-Flavor", "Google", b"text".to_vec()),
    )]);
    let answer = get(&server, "/a").unwrap();
    assert_eq!(
        (answer.text().unwrap(), answer.header("metadata-flavor")),
        ("text", Some("Google"))
    );
    let question = &server.questions()[0];
    assert_eq!(question.line, "GET /a HTTP/1.1");
    assert_eq!(question.headers["x-token"], "t");
    assert!(question.headers["user-agent"].starts_with("rancheros/"));
}

#[test]
fn each_misbehaviour_has_its_name() {
    let server = Server::of(&[
        ("/500", Reply::Says(500, vec![])),
        ("/401", Reply::Says(401, vec![])),
        ("/403", Reply::Says(403, vec![])),
        ("/302", Reply::Redirects("https://login.example.org/")),
        ("/cut", Reply::Truncated(b"{\"a\":".to_vec())),
        (
            "/html",
            ok("\n <!DOCTYPE html><html><body>Welcome</body></html>"),
        ),
        ("/large", Reply::Says(200, vec![b'x'; 1001])),
        ("/empty", ok("")),
    ]);
    let failure = |path: &str| get(&server, path).unwrap_err();
    assert!(matches!(failure("/none"), Failure::Absent(text) if text.contains("404")));
    assert!(matches!(failure("/500"), Failure::Unreachable(text) if text.contains("500")));
    assert!(matches!(failure("/401"), Failure::Unauthorized(_)));
    assert!(matches!(failure("/403"), Failure::Wrong(_)));
    assert!(
        matches!(failure("/302"), Failure::Wrong(text) if text.contains("redirected to https://login.example.org/"))
    );
    assert!(matches!(failure("/cut"), Failure::Unreachable(_)));
    assert!(matches!(failure("/html"), Failure::Wrong(text) if text.contains("web page")));
    assert!(
        matches!(failure("/large"), Failure::Wrong(text) if text.contains("larger than 1000 bytes"))
    );
    assert_eq!(get(&server, "/empty").unwrap().bytes, b"");
}

#[test]
fn a_slow_or_silent_server_costs_the_time_given() {
    let server = Server::of(&[("/slow", Reply::Slow), ("/silent", Reply::Silent)]);
    for path in ["/slow", "/silent"] {
        let failure = within(&server, path, Duration::from_millis(300)).unwrap_err();
        assert!(failure.is_passing(), "{failure}");
    }
    assert!(within(&server, "/slow", Duration::ZERO).is_err());
}

#[test]
fn nobody_there_is_said() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let failure = fetch(
        &Dial::default(),
        &Ask::get(&url, &[], 10),
        Instant::now() + Duration::from_secs(5),
    )
    .unwrap_err();
    assert!(
        failure.is_passing() && failure.to_string().contains(&url),
        "{failure}"
    );
}

#[test]
fn the_owners_address_may_be_redirected() {
    let second = Server::of(&[("/b", ok("there"))]);
    let to: &'static str = Box::leak(second.url("/b").into_boxed_str());
    let first = Server::of(&[("/a", Reply::Redirects(to))]);
    let url = first.url("/a");
    let ask = Ask {
        redirects: true,
        ..Ask::get(&url, &[], 1000)
    };
    let answer = fetch(
        &Dial::default(),
        &ask,
        Instant::now() + Duration::from_secs(20),
    )
    .unwrap();
    assert_eq!(answer.text().unwrap(), "there");
}

#[test]
fn a_socket_file_answers_whatever_the_address() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = [0; 1024];
        let _ = std::io::Read::read(&mut stream, &mut bytes);
        std::io::Write::write_all(
            &mut stream,
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        )
        .unwrap();
    });
    let dial = Dial {
        socket_file: Some(path),
        ..Dial::default()
    };
    let answer = fetch(
        &dial,
        &Ask::get("http://lxd/1.0", &[], 10),
        Instant::now() + Duration::from_secs(20),
    )
    .unwrap();
    assert_eq!(answer.bytes, b"hi");
}
