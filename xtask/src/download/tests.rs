//! Downloads against a server on loopback: transfers that break off, ranges, files that are not there.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::thread::JoinHandle;

use super::*;

/// Serves `answers` on loopback, one a connection; each gives what the client may see of its request's `Range`.
fn serve(answers: Vec<&'static str>) -> (String, JoinHandle<Vec<Option<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!(
        "http://{}/file",
        listener.local_addr().expect("its address")
    );
    let server = std::thread::spawn(move || {
        let answer = |text: &str| {
            let (mut client, _) = listener.accept().expect("a client");
            let range = BufReader::new(&client)
                .lines()
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("range: ")
                        .map(str::to_owned)
                });
            client.write_all(text.as_bytes()).expect("the client reads");
            range
        };
        answers.into_iter().map(answer).collect()
    });
    (url, server)
}

fn item(url: String) -> Item {
    Item {
        name: "file".to_owned(),
        url,
        sha256: String::new(), // `append` does not look at it
        size: 10,
    }
}

#[test]
fn a_transfer_that_broke_off_goes_on_where_it_was() {
    let (url, server) = serve(vec![
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234",
        "HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nContent-Range: bytes 5-9/10\r\n\r\n56789",
    ]);
    let folder = tempfile::tempdir().expect("a folder");
    let partial = folder.path().join("partial");
    let client = client().expect("a client");
    let (item, bar) = (item(url), ProgressBar::hidden());
    append(&client, &item, &partial, &bar).expect_err("half of it came");
    append(&client, &item, &partial, &bar).expect("the other half came");
    assert_eq!(fs::read(&partial).expect("the file"), b"0123456789");
    let ranges = server.join().expect("the server ended");
    assert_eq!(ranges, [None, Some("bytes=5-".to_owned())]);
}

#[test]
fn a_server_that_ignores_the_range_starts_the_file_again() {
    let (url, server) = serve(vec![
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",
    ]);
    let folder = tempfile::tempdir().expect("a folder");
    let partial = folder.path().join("partial");
    fs::write(&partial, "old").expect("written");
    append(
        &client().expect("a client"),
        &item(url),
        &partial,
        &ProgressBar::hidden(),
    )
    .expect("it came whole");
    assert_eq!(fs::read(&partial).expect("the file"), b"0123456789");
    server.join().expect("the server ended");
}

#[test]
fn a_file_that_the_server_does_not_have_is_told_from_a_failure() {
    let (url, server) = serve(vec!["HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"]);
    let folder = tempfile::tempdir().expect("a folder");
    let failure = append(
        &client().expect("a client"),
        &item(url),
        &folder.path().join("partial"),
        &ProgressBar::hidden(),
    );
    assert!(matches!(failure, Err(Failure::Vanished(_))), "{failure:?}");
    server.join().expect("the server ended");
}
