//! What no client says: headers without an end, paths with tricks, peers that take nothing.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::Web;
use super::site::{converse, rest};
use crate::support::names;

/// Short limits, as far as they must be waited for.
const SHORT: [(&str, &str); 4] =
    [("login_seconds", "2"), ("queue_seconds", "1"), ("idle_seconds", "4"), ("stall_seconds", "1")];

#[test]
fn a_connection_without_a_login_ends_at_the_deadline_whatever_it_says() {
    let web = Web::with("64M", &SHORT);
    for said in ["", "GET /files/f HTTP/1.1\r\nHost: h\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r\n"] {
        let (mut connection, began) = (web.connect(), Instant::now());
        converse(&mut connection, said);
        let lasted = began.elapsed();
        assert!(lasted > Duration::from_millis(500), "{said:?}: {lasted:?}");
        assert!(lasted < Duration::from_secs(20), "{said:?}: {lasted:?}");
    }
    // One that says a little all the time does not last longer.
    let (mut connection, began) = (web.connect(), Instant::now());
    connection.write_all(b"GET /files/f HTTP/1.1\r\n").unwrap();
    let mut number = 0;
    while connection.write_all(format!("X-{number}: y\r\n").as_bytes()).is_ok() {
        number += 1;
        assert!(began.elapsed() < Duration::from_secs(30), "it is still there");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn after_a_login_half_a_header_ends_a_connection_soon_and_silence_later() {
    let web = Web::with("64M", &SHORT);
    web.put("/files/f", b"~", &[]);
    let ask = format!("GET /files/f HTTP/1.1\r\nHost: h\r\n{}\r\n", Web::credential());
    let lasts = |then: &str| {
        let (mut connection, began) = (web.connect(), Instant::now());
        connection.write_all(ask.as_bytes()).unwrap();
        let mut answer = [0; 12];
        connection.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        while !until_end(&mut connection) {}
        converse(&mut connection, then);
        began.elapsed()
    };
    let (silent, half) = (lasts(""), lasts("GET /files/f HTTP/1.1\r\n"));
    assert!(silent > Duration::from_secs(3), "{silent:?}");
    assert!(half < silent, "{half:?} {silent:?}");
}

/// Reads one byte more; says whether it was the body of the answer.
fn until_end(connection: &mut super::site::Connection) -> bool {
    let mut byte = [0];
    connection.read_exact(&mut byte).unwrap();
    byte == *b"~"
}

#[test]
fn a_header_that_is_too_large_is_refused() {
    let web = Web::new("64M");
    let many: String = (0..200).map(|number| format!("X-{number}: y\r\n")).collect();
    let large = format!("X: {}\r\n", "y".repeat(40_000));
    for header in [many, large] {
        let mut connection = web.connect();
        let request = format!("GET /files/f HTTP/1.1\r\nHost: h\r\n{header}\r\n");
        let answer = converse(&mut connection, &request);
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    // One without an end is not read for ever.
    let mut connection = web.connect();
    connection.write_all(b"GET / HTTP/1.1\r\nX: ").unwrap();
    let (piece, mut sent) = ([b'y'; 4096], 0usize);
    while sent < 64 << 20 && connection.write_all(&piece).is_ok() {
        sent += piece.len();
    }
    assert!(sent < 16 << 20, "{sent} bytes were taken");
    let long = web.ask("/files/f", &["--http2", "-H", &format!("X: {}", "y".repeat(40_000))]);
    assert_eq!(long.status, 431);
}

#[test]
fn tricks_with_paths_are_refused_and_lead_nowhere() {
    let web = Web::new("64M");
    web.put("/files/f", b"x", &[]);
    for path in [
        "/files/../f",
        "/files/a/../f",
        "/files/%2e%2e/f",
        "/files/%2E%2E%2Ff",
        "/files/a%2ff",
        "/files/f%00",
        "/files/%ff",
        "/files/f%",
        "/files//f",
        "/files/a%5Cb",
        "/files/%0d%0aX:y",
        "/files/%E2%80%AEf",
        "/files/./f",
    ] {
        for method in ["GET", "DELETE", "PUT"] {
            let told = web.ask(path, &["-X", method]);
            assert_eq!(told.status, 400, "{method} {path}: {told:?}");
            told.problem();
        }
    }
    for path in ["/filesf", "/", "/f", "/FILES/f", "/files%2ff", "/etc/passwd"] {
        assert_eq!(web.ask(path, &[]).status, 404, "{path}");
    }
    assert_eq!(web.get("/files/f?x=y"), b"x");
    assert_eq!(names(&web.site.home("ann")), ["f"]);
}

#[test]
fn a_link_in_a_home_is_not_followed() {
    let web = Web::new("64M");
    assert_eq!(web.put("/files/f", b"x", &[]).status, 201);
    std::os::unix::fs::symlink("/etc/passwd", web.site.home("ann").join("link")).unwrap();
    std::os::unix::fs::symlink("/etc", web.site.home("ann").join("etc")).unwrap();
    assert_eq!(web.ask("/files/link", &[]).status, 403);
    assert_eq!(web.ask("/files/etc/passwd", &[]).status, 409);
    assert_eq!(web.put("/files/link", b"x", &[]).status, 403);
}

#[test]
fn a_request_that_could_be_two_is_refused() {
    let web = Web::new("64M");
    assert_eq!(web.put("/files/there", b"x", &[]).status, 201);
    let credential = Web::credential();
    for header in [
        "Content-Length: 3\r\nContent-Length: 4",
        "Transfer-Encoding: gzip",
        "Content-Length: 3, 4",
        "Content-Length: +3",
        "Host: other\r\nContent-Length: 3",
        "Content-Length : 3",
        "Content-Length: 3\r\n folded: 4",
    ] {
        let mut connection = web.connect();
        let request = format!(
            "PUT /files/f HTTP/1.1\r\nConnection: close\r\nHost: h\r\n{credential}{header}\r\n\r\nabc"
        );
        let answer = converse(&mut connection, &request);
        assert!(answer.starts_with("HTTP/1.1 400"), "{header}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{header}: {answer}");
    }
    assert_eq!(names(&web.site.home("ann")), ["there"]);
    let mut connection = web.connect();
    let request = format!("GET /files/f HTTP/1.1\r\nConnection: close\r\n{credential}\r\n");
    assert!(converse(&mut connection, &request).starts_with("HTTP/1.1 400"), "without a host");
}

#[test]
fn a_body_that_stops_is_given_up_and_so_is_a_peer_that_takes_nothing() {
    let web = Web::with("64M", &SHORT);
    let credential = Web::credential();
    let mut connection = web.connect();
    let head = format!("PUT /files/f HTTP/1.1\r\nHost: h\r\n{credential}Content-Length: 9\r\n\r\n");
    let answer = converse(&mut connection, &(head + "abc"));
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let bytes = vec![b'x'; 32 << 20];
    assert_eq!(web.put("/files/g", &bytes, &[]).status, 201);
    let mut connection = web.connect();
    let request = format!("GET /files/g HTTP/1.1\r\nHost: h\r\n{credential}\r\n");
    connection.write_all(request.as_bytes()).unwrap();
    let mut first = [0; 1];
    connection.read_exact(&mut first).unwrap();
    let transfers = || {
        let status = web.site.admin(["status", "--json"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        status["sessions"].as_array().unwrap().len()
    };
    crate::support::site::until("the download is given up", || transfers() == 0);
    assert!(rest(&mut connection).len() < bytes.len());
}

#[test]
fn a_file_that_changes_while_it_is_sent_ends_the_connection() {
    let web = Web::new("64M");
    assert_eq!(web.put("/files/f", &vec![b'a'; 32 << 20], &[]).status, 201);
    let mut connection = web.connect();
    let request = format!("GET /files/f HTTP/1.1\r\nHost: h\r\n{}\r\n", Web::credential());
    connection.write_all(request.as_bytes()).unwrap();
    connection.read_exact(&mut [0; 100]).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(web.site.home("ann").join("f"));
    let mut file = file.unwrap();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(31 << 20)).unwrap();
    file.write_all(&vec![b'b'; 1 << 20]).unwrap();
    file.sync_all().unwrap();
    let got = rest(&mut connection);
    let body = got.split("\r\n\r\n").last().unwrap();
    assert!(body.len() < 32 << 20 && !body.contains('b'), "{} bytes", body.len());
}
