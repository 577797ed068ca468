//! Files through `/files/`, by curl.

use std::io::Write;
use std::process::{Command, Stdio};

use super::Web;
use crate::support::site::{PASSWORD, Site, client, until};
use crate::support::{names, noise, ok};

const MIB: usize = 1 << 20;

#[test]
fn curl_takes_the_pin_of_the_address_and_moves_files_both_ways() {
    let web = Web::new("64M");
    let bytes = noise(3 * MIB + 17, 1);
    for version in ["--http1.1", "--http2"] {
        let name = format!("/files/a%20{}.bin", &version[6..]);
        assert_eq!(web.put(&name, &bytes, &[version]).status, 201);
        assert_eq!(web.put(&name, &bytes, &[version]).status, 204, "it was there");
        let got = web.ask(&name, &[version]);
        assert!(got.status == 200 && got.body == bytes, "{}", got.headers);
        assert_eq!(got.header("content-length"), Some(&*bytes.len().to_string()));
        assert_eq!(got.header("content-type"), Some("application/octet-stream"));
        assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(got.header("content-disposition"), Some("attachment"));
        assert!(got.header("content-security-policy").unwrap().starts_with("sandbox;"));
        let head = web.ask(&name, &[version, "-I"]);
        assert_eq!((head.status, head.body.len()), (200, 0));
        for header in ["content-length", "etag", "last-modified", "accept-ranges"] {
            assert_eq!(head.header(header), got.header(header), "{header}");
        }
        assert_eq!(web.ask(&name, &[version, "-X", "DELETE"]).status, 204);
        assert_eq!(web.ask(&name, &[version]).problem(), "not-found");
    }
    let wrong = ["--pinnedpubkey", "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="];
    let output = web.curl().args(wrong).arg(web.url("/files/a")).output().unwrap();
    assert_eq!(output.status.code(), Some(90), "curl refuses another pin");
}

#[test]
fn what_came_by_https_goes_by_sealane_and_the_other_way_round() {
    let web = Web::new("64M");
    let bytes = noise(2 * MIB, 2);
    assert_eq!(web.put("/files/f", &bytes, &[]).status, 201);
    let to = web.site.local().join("back");
    let address = web.site.address(&web.server, "ann", "f");
    ok(client(["get", &address, to.to_str().unwrap()]).output().unwrap());
    assert!(std::fs::read(&to).unwrap() == bytes);
    let address = web.site.address(&web.server, "ann", "g");
    ok(client(["put", to.to_str().unwrap(), &address]).output().unwrap());
    assert!(web.get("/files/g") == bytes);
}

#[test]
fn parts_and_versions_are_what_was_asked_for() {
    let web = Web::new("64M");
    assert_eq!(web.put("/files/f", b"0123456789", &[]).status, 201);
    let whole = web.ask("/files/f", &[]);
    let tag = whole.header("etag").unwrap().to_owned();
    assert!(tag.starts_with('"'), "strong: {tag}");
    let part = web.ask("/files/f", &["-r", "2-4"]);
    assert_eq!((part.status, part.text().as_str()), (206, "234"));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
    assert_eq!(web.ask("/files/f", &["-r", "-3"]).text(), "789");
    let many = web.ask("/files/f", &["-r", "0-0,5-6"]);
    assert_eq!((many.status, many.text().as_str()), (200, "0123456789"));
    let none = web.ask("/files/f", &["-r", "10-"]);
    assert_eq!((none.status, none.header("content-range")), (416, Some("bytes */10")));
    assert_eq!(none.problem(), "no-such-range");
    let same = format!("If-Range: {tag}");
    assert_eq!(web.ask("/files/f", &["-r", "2-4", "-H", &same]).status, 206);
    assert_eq!(web.ask("/files/f", &["-r", "2-4", "-H", "If-Range: \"x\""]).status, 200);
    let known = web.ask("/files/f", &["-H", &format!("If-None-Match: \"x\", W/{tag}")]);
    assert_eq!((known.status, known.body.len()), (304, 0));
    assert_eq!(known.header("etag"), Some(&*tag));
    let since = format!("If-Modified-Since: {}", whole.header("last-modified").unwrap());
    assert_eq!(web.ask("/files/f", &["-H", &since]).status, 304);
    assert_eq!(web.put("/files/f", b"9876543210", &[]).status, 204);
    assert_ne!(web.ask("/files/f", &["-I"]).header("etag"), Some(&*tag));
    assert_eq!(web.ask("/files/f", &["-r", "2-4", "-H", &same]).text(), "9876543210");
    assert_eq!(web.ask("/files/f", &["-H", &format!("If-Match: {tag}")]).status, 412);
}

#[test]
fn a_put_with_a_condition_changes_only_what_it_expects() {
    let web = Web::new("64M");
    let new = ["-H", "If-None-Match: *"];
    let made = web.put("/files/f", b"one", &new);
    assert_eq!(made.status, 201);
    let tag = made.header("etag").unwrap().to_owned();
    assert_eq!(web.ask("/files/f", &["-I"]).header("etag"), Some(&*tag));
    let there = web.put("/files/f", b"two", &new);
    assert_eq!((there.status, there.problem().as_str()), (412, "precondition-failed"));
    let expected = format!("If-Match: {tag}");
    let second = web.put("/files/f", b"three", &["-H", &expected]);
    assert_eq!(second.status, 204);
    assert_eq!(web.put("/files/f", b"four", &["-H", &expected]).status, 412);
    assert_eq!(web.put("/files/g", b"five", &["-H", "If-Match: *"]).status, 412);
    assert_eq!(web.ask("/files/f", &["-X", "DELETE", "-H", &expected]).status, 412);
    assert_eq!(web.get("/files/f"), b"three");
    assert_eq!(names(&web.site.home("ann")), ["f"]);
}

#[test]
fn a_put_that_cannot_be_whole_is_refused_before_it_begins() {
    let web = Web::new("64M");
    for (header, status, problem) in [
        ("Content-Range: bytes 0-2/10", 400, "bad-request"),
        ("Content-Encoding: gzip", 415, "content-encoding"),
    ] {
        let told = web.put("/files/f", b"abc", &["-H", header]);
        assert_eq!((told.status, told.problem().as_str()), (status, problem));
    }
    let told = web.put("/files/no/f", b"abc", &[]);
    assert_eq!((told.status, told.problem().as_str()), (409, "no-directory"));
    std::fs::create_dir(web.site.home("ann").join("d")).unwrap();
    let told = web.put("/files/d", b"abc", &[]);
    assert_eq!((told.status, told.problem().as_str()), (405, "is-a-directory"));
    assert_eq!(web.ask("/files/d", &[]).status, 405);
    assert_eq!(web.ask("/files/", &["-X", "DELETE"]).status, 403, "the home stays");
    let told = web.ask("/files/d", &["-X", "POST", "-d", "x"]);
    assert_eq!((told.status, told.header("allow")), (405, Some("GET, HEAD, PUT, DELETE")));
    assert_eq!(names(&web.site.home("ann")), ["d"]);
}

#[test]
fn the_quota_ends_a_chunked_put_in_the_middle_and_the_old_version_stays() {
    let web = Web::new("4M");
    assert_eq!(web.put("/files/f", b"old", &[]).status, 201);
    let large = noise(6 * MIB, 3);
    let told = web.put("/files/f", &large, &["-H", "Transfer-Encoding: chunked", "--http1.1"]);
    assert_eq!((told.status, told.problem().as_str()), (507, "quota"));
    assert_eq!(web.get("/files/f"), b"old");
    // With its length it is refused before a byte of it comes.
    let told = web.put("/files/g", &large, &["-w", "%{stderr}%{size_upload}"]);
    assert_eq!((told.status, told.problem().as_str()), (507, "quota"));
    let fits = noise(3 * MIB, 4);
    let told = web.put("/files/f", &fits, &["-H", "Transfer-Encoding: chunked"]);
    assert_eq!(told.status, 204, "what did not fit takes no room: {told:?}");
    assert!(web.stored("f") == fits);
}

#[test]
fn a_body_that_is_cut_keeps_the_old_version() {
    let web = Web::new("64M");
    assert_eq!(web.put("/files/f", b"old", &[]).status, 201);
    for length in ["Content-Length: 3000000", "Transfer-Encoding: chunked"] {
        let mut connection = web.connect();
        let credential = Web::credential();
        let head = format!("PUT /files/f HTTP/1.1\r\nHost: h\r\n{credential}{length}\r\n\r\n");
        connection.write_all(head.as_bytes()).unwrap();
        let is_chunked = length.starts_with('T');
        if is_chunked {
            connection.write_all(b"200000\r\n").unwrap();
        }
        connection.write_all(&noise(2 * MIB, 5)).unwrap();
        let part = || names(&web.site.partials("ann")).iter().any(|name| name.ends_with(".part"));
        until("the body is being written", part);
        drop(connection);
        assert_eq!(web.get("/files/f"), b"old", "{length}");
    }
    assert_eq!(names(&web.site.home("ann")), ["f"]);
    assert_eq!(web.put("/files/f", b"new", &[]).status, 204);
    assert_eq!(web.stored("f"), b"new");
}

#[test]
fn a_login_is_refused_with_a_challenge_and_a_password_is_checked_once_a_connection() {
    let web = Web::new("64M");
    web.put("/files/f", b"x", &[]);
    let mut curl = Command::new("curl");
    curl.args(["-sSk"]).stdin(Stdio::null());
    let told = web.ask_as(curl, "/files/f", &[]);
    assert_eq!((told.status, told.problem().as_str()), (401, "login-refused"));
    let challenge = "Basic realm=\"sealane\", charset=\"UTF-8\"";
    assert_eq!(told.header("www-authenticate"), Some(challenge));
    for user in ["ann:wrong", "eve:x", "ann", "x:y:z"] {
        assert_eq!(web.ask("/files/f", &["-u", &format!("{user}:")]).status, 401, "{user}");
    }
    let domain = format!("HOME\\ann:{PASSWORD}");
    assert_eq!(web.ask("/files/f", &["-u", &domain]).status, 200, "as Windows names an account");
    let before = evaluations(&web);
    let urls: Vec<_> = (0..20).map(|_| web.url("/files/f")).collect();
    ok(web.curl().args(&urls).output().unwrap());
    assert_eq!(evaluations(&web) - before, 1);
    ok(web.curl().args(["--http2", "-Z"]).args(&urls).output().unwrap());
    assert!(evaluations(&web) - before <= 1 + 20);
}

fn evaluations(web: &Web) -> u64 {
    let status = ok(web.site.admin(["status", "--json"]));
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    status["evaluations"].as_u64().unwrap()
}

#[test]
fn a_session_that_is_killed_ends_in_the_middle_of_a_body() {
    let web = Web::new("64M");
    web.put("/files/f", &vec![7; 48 * MIB], &[]);
    for version in ["--http1.1", "--http2"] {
        let mut curl = web.curl();
        curl.args([version, "--limit-rate", "4M"]).arg(web.url("/files/f"));
        let mut down = curl.stdout(Stdio::null()).spawn().unwrap();
        let is_there = || {
            let status = ok(web.site.admin(["status", "--json"]));
            let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
            let sessions = status["sessions"].as_array().unwrap();
            sessions.iter().any(|session| session["transfers"] == 1 && session["account"] == "ann")
        };
        until("the download runs", is_there);
        ok(web.site.admin(["sessions", "kill", "--account", "ann"]));
        let ended = down.wait().unwrap();
        assert!(!ended.success(), "{version}: {ended}");
    }
}

#[test]
fn a_newer_upload_takes_over_whichever_door_it_comes_by() {
    let web = Web::new("64M");
    let (old, new) = (noise(2 * MIB, 8), noise(3 * MIB, 9));
    let file = web.site.file("new", &new);
    let by_sealane = || {
        let address = web.site.address(&web.server, "ann", "f");
        ok(client(["put", file.to_str().unwrap(), &address]).output().unwrap());
    };
    let by_curl = || assert!([201, 204].contains(&web.put("/files/f", &new, &[]).status));
    for newer in [&by_sealane as &dyn Fn(), &by_curl] {
        let (mut connection, credential) = (web.connect(), Web::credential());
        let length = 3 * MIB;
        let head = format!(
            "PUT /files/f HTTP/1.1\r\nHost: h\r\n{credential}Content-Length: {length}\r\n\r\n"
        );
        connection.write_all(head.as_bytes()).unwrap();
        connection.write_all(&old).unwrap();
        let is_there = |name: &String| name.ends_with(".part");
        until("it is begun", || {
            web.site.partials("ann").exists()
                && names(&web.site.partials("ann")).iter().any(is_there)
        });
        newer();
        let told = super::site::first(&mut connection);
        assert!(told.starts_with("HTTP/1.1 409") && told.contains("superseded"), "{told}");
        assert!(web.stored("f") == new);
        std::fs::remove_file(web.site.home("ann").join("f")).unwrap();
    }
}

#[test]
fn a_door_has_its_own_certificate_and_takes_up_another_one() {
    let site = Site::new();
    site.account("ann", "64M");
    let certs = site.root().join("certs");
    let place = || {
        let made = sealane_tls::generate::key_pair(time::OffsetDateTime::now_utc()).unwrap();
        // The key first: until both are there, they do not fit.
        let key = certs.join("https.key");
        std::fs::write(&key, made.key_pem.expose()).unwrap();
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        std::fs::write(certs.join("https.crt"), &made.certificate_pem).unwrap();
        made.pin.to_string()
    };
    let first = place();
    site.append(
        "[[door]]\nkind = \"https\"\nlisten = \"127.0.0.1:0\"\n\
         certificate = \"certs/https.crt\"\nkey = \"certs/https.key\"\n",
    );
    let web = Web::on(site);
    let takes = |pin: &str| {
        let output = web.curl().args(["--pinnedpubkey", pin]).arg(web.url("/files/no")).output();
        output.unwrap().status.success()
    };
    assert!(takes(&first) && !takes(&web.pin()));
    std::fs::write(certs_of(&web).join("https.key"), "nonsense").unwrap();
    assert!(takes(&first), "what does not fit together is not taken");
    let second = place();
    until("the new one is shown", || takes(&second));
    assert!(!takes(&first));
}

fn certs_of(web: &Web) -> std::path::PathBuf {
    web.site.root().join("certs")
}

#[test]
fn a_server_that_is_told_to_stop_sends_what_it_has_begun() {
    for version in ["--http1.1", "--http2"] {
        let mut web = Web::new("64M");
        let bytes = noise(24 * MIB, 10);
        web.put("/files/f", &bytes, &[]);
        let to = web.site.local().join("got");
        let mut curl = web.curl();
        curl.args([version, "--limit-rate", "16M", "-o"]).arg(&to).arg(web.url("/files/f"));
        let mut down = curl.spawn().unwrap();
        until("it has begun", || std::fs::metadata(&to).is_ok_and(|file| file.len() > 0));
        let server = rustix::process::Pid::from_raw(web.server.child.id() as i32).unwrap();
        rustix::process::kill_process(server, rustix::process::Signal::TERM).unwrap();
        assert!(down.wait().unwrap().success(), "{version}");
        assert!(std::fs::read(&to).unwrap() == bytes);
        assert!(web.server.child.wait().unwrap().success(), "{version}");
    }
}
