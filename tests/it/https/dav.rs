//! WebDAV through `/dav/`, by curl, and by litmus if it is there.

use std::process::Command;

use super::Web;
use super::site::Answer;
use crate::support::site::PASSWORD;
use crate::support::{names, noise, ok};

fn dav(web: &Web, method: &str, path: &str, arguments: &[&str]) -> Answer {
    web.ask(path, &[&["-X", method], arguments].concat())
}

fn found(web: &Web, path: &str, depth: &str) -> String {
    let depth = format!("Depth: {depth}");
    let told = dav(web, "PROPFIND", path, &["-H", &depth]);
    assert_eq!(told.status, 207, "{told:?}");
    told.text()
}

#[test]
fn a_tree_is_made_filled_listed_copied_moved_and_removed() {
    let web = Web::new("64M");
    let told = dav(&web, "OPTIONS", "/dav/", &[]);
    assert_eq!((told.status, told.header("dav")), (200, Some("1, 2")));
    assert_eq!(dav(&web, "MKCOL", "/dav/a%20b", &[]).status, 201);
    assert_eq!(dav(&web, "MKCOL", "/dav/a%20b/", &[]).status, 405);
    assert_eq!(dav(&web, "MKCOL", "/dav/no/x", &[]).status, 409);
    assert_eq!(dav(&web, "MKCOL", "/dav/x", &["-d", "body"]).status, 415);
    let bytes = noise(1 << 20, 1);
    assert_eq!(web.put("/dav/a%20b/%26%3Cf%3E", &bytes, &[]).status, 201);
    let listed = found(&web, "/dav/", "1");
    assert!(listed.contains("<D:href>/dav/a%20b/</D:href>"), "{listed}");
    assert!(listed.contains("<D:quota-used-bytes>1048576</D:quota-used-bytes>"), "{listed}");
    let listed = found(&web, "/dav/a%20b/", "1");
    assert!(listed.contains("<D:href>/dav/a%20b/%26%3Cf%3E</D:href>"), "{listed}");
    assert!(listed.contains("<D:displayname>&amp;&lt;f&gt;</D:displayname>"), "{listed}");
    assert!(listed.contains("<D:getcontentlength>1048576</D:getcontentlength>"), "{listed}");
    assert!(listed.ends_with("</D:multistatus>\n"), "{listed}");
    let to = |path: &str| format!("Destination: {}", web.url(path));
    let copied = dav(&web, "COPY", "/dav/a%20b/", &["-H", &to("/dav/c")]);
    assert_eq!(copied.status, 201);
    assert!(web.stored("c/&<f>") == bytes);
    let over = dav(&web, "MOVE", "/dav/a%20b", &["-H", &to("/dav/c"), "-H", "Overwrite: F"]);
    assert_eq!(over.status, 412);
    assert_eq!(dav(&web, "MOVE", "/dav/a%20b", &["-H", &to("/dav/c")]).status, 204);
    assert_eq!(names(&web.site.home("ann")), ["c"]);
    let inside = dav(&web, "COPY", "/dav/c", &["-H", &to("/dav/c/d")]);
    assert_eq!((inside.status, inside.problem().as_str()), (403, "into-itself"));
    let away = dav(&web, "MOVE", "/dav/c", &["-H", "Destination: https://elsewhere/x"]);
    assert_eq!(away.status, 502);
    assert_eq!(dav(&web, "MOVE", "/dav/c", &["-H", &to("/dav/%2e%2e/x")]).status, 400);
    assert_eq!(web.put("/dav/g", b"old", &[]).status, 201);
    assert_eq!(dav(&web, "COPY", "/dav/c/%26%3Cf%3E", &["-H", &to("/dav/g")]).status, 204);
    assert!(web.stored("g") == bytes);
    assert_eq!(dav(&web, "DELETE", "/dav/c/", &[]).status, 204);
    assert_eq!(dav(&web, "PROPFIND", "/dav/c", &["-H", "Depth: 0"]).status, 404);
    let infinite = dav(&web, "PROPFIND", "/dav/", &[]);
    assert_eq!(infinite.status, 403);
    assert!(infinite.text().contains("<D:propfind-finite-depth/>"));
    assert_eq!(names(&web.site.home("ann")), ["g"]);
}

#[test]
fn a_copy_that_has_no_room_leaves_what_it_would_have_replaced() {
    let web = Web::new("4M");
    for path in ["/dav/a", "/dav/b"] {
        assert_eq!(dav(&web, "MKCOL", path, &[]).status, 201);
    }
    assert_eq!(web.put("/dav/a/f", &noise(3 << 20, 2), &[]).status, 201);
    assert_eq!(web.put("/dav/b/old", b"old", &[]).status, 201);
    assert_eq!(web.put("/dav/g", b"old", &[]).status, 201);
    for (from, to) in [("/dav/a", "/dav/b"), ("/dav/a/f", "/dav/g"), ("/dav/a", "/dav/c")] {
        let to = format!("Destination: {}", web.url(to));
        let told = dav(&web, "COPY", from, &["-H", &to]);
        assert_eq!((told.status, told.problem().as_str()), (507, "quota"), "{from}");
    }
    assert_eq!(web.stored("b/old"), b"old");
    assert_eq!(web.stored("g"), b"old");
    assert_eq!(names(&web.site.home("ann")), ["a", "b", "g"]);
}

pub const LOCK: &str = "<?xml version='1.0'?><D:lockinfo xmlns:D='DAV:'><D:lockscope><D:exclusive/>\
                    </D:lockscope><D:locktype><D:write/></D:locktype><D:owner>me &amp; you\
                    </D:owner></D:lockinfo>";

fn lock(web: &Web, path: &str, time: &str) -> (u16, String) {
    let told = dav(web, "LOCK", path, &["-d", LOCK, "-H", &format!("Timeout: {time}")]);
    let token = told.header("lock-token").unwrap_or_default().to_owned();
    (told.status, token)
}

#[test]
fn a_lock_holds_for_its_time_and_for_its_account_alone() {
    let web = Web::new("64M");
    web.site.account("bob", "64M");
    let (status, token) = lock(&web, "/dav/f", "Second-600");
    assert_eq!((status, web.stored("f").len()), (201, 0), "what is locked is there");
    assert_eq!(lock(&web, "/dav/f", "Second-600").0, 423);
    for path in ["/dav/f", "/files/f"] {
        let told = web.put(path, b"x", &[]);
        assert_eq!((told.status, told.problem().as_str()), (423, "locked"), "{path}");
        assert_eq!(dav(&web, "DELETE", path, &[]).status, 423);
    }
    let shown = found(&web, "/dav/f", "0");
    assert!(shown.contains("<D:owner>me &amp; you</D:owner>"), "{shown}");
    let held = format!("If: ({token})");
    assert_eq!(web.put("/dav/f", b"x", &["-H", &held]).status, 204);
    let other = ["-u", &format!("bob:{PASSWORD}")];
    assert_eq!(web.put("/dav/f", b"bob's", &other).status, 201);
    assert!(
        !web.ask("/dav/f", &[&other[..], &["-X", "PROPFIND", "-H", "Depth: 0"]].concat())
            .text()
            .contains("activelock")
    );
    let wrong = ["-H", "Lock-Token: <urn:uuid:x>"];
    assert_eq!(dav(&web, "UNLOCK", "/dav/f", &wrong).status, 409);
    let given = format!("Lock-Token: {token}");
    assert_eq!(dav(&web, "UNLOCK", "/dav/f", &["-H", &given]).status, 204);
    assert_eq!(web.put("/dav/f", b"y", &[]).status, 204);
    assert_eq!(web.put("/dav/f", b"y", &["-H", &held]).status, 412, "nothing holds any more");
    // One whose holder is gone does not stay for ever.
    assert_eq!(lock(&web, "/dav/f", "Second-1").0, 200);
    crate::support::site::until("the lock is over", || web.put("/dav/f", b"z", &[]).status == 204);
}

#[test]
fn an_account_has_so_many_locks_and_no_more() {
    let web = Web::new("64M");
    let file = web.site.file("lock.xml", LOCK.as_bytes());
    let mut curl = web.curl();
    curl.args(["-X", "LOCK", "-o", "/dev/null", "-w", "%{http_code}\n", "--http1.1"]);
    curl.arg("-d").arg(format!("@{}", file.display())).arg(web.url("/dav/f[1-260]"));
    let told = ok(curl.output().unwrap());
    let told = String::from_utf8(told.stdout).unwrap();
    let count = |status: &str| told.lines().filter(|line| *line == status).count();
    assert_eq!((count("201"), count("503")), (256, 4), "{told}");
}

#[test]
fn a_time_can_be_set_and_other_properties_cannot() {
    let web = Web::new("64M");
    web.put("/dav/f", b"x", &[]);
    let set = |properties: &str| {
        let body = format!(
            "<D:propertyupdate xmlns:D='DAV:' xmlns:w='urn:schemas-microsoft-com:'><D:set><D:prop>\
             {properties}</D:prop></D:set></D:propertyupdate>"
        );
        let told = dav(&web, "PROPPATCH", "/dav/f", &["-d", &body]);
        assert_eq!(told.status, 207, "{told:?}");
        told.text()
    };
    let time = "<w:Win32LastModifiedTime>Sun, 06 Nov 1994 08:49:37 GMT</w:Win32LastModifiedTime>";
    let refused = set(&format!("{time}<w:other>x</w:other>"));
    assert!(refused.contains("403 Forbidden") && refused.contains("424 Failed Dependency"));
    assert!(!found(&web, "/dav/f", "0").contains("1994"), "all or nothing");
    assert!(set(time).contains("200 OK"));
    assert!(found(&web, "/dav/f", "0").contains("Sun, 06 Nov 1994 08:49:37 GMT"));
    let told = web.put("/dav/f", b"y", &["-H", "X-OC-Mtime: 784111777"]);
    assert_eq!((told.status, told.header("x-oc-mtime")), (204, Some("accepted")));
    assert!(found(&web, "/dav/f", "0").contains("Sun, 06 Nov 1994 08:49:37 GMT"));
}

#[test]
fn hostile_xml_is_refused_and_the_server_goes_on() {
    let web = Web::new("64M");
    let bomb = "<!DOCTYPE a [<!ENTITY b 'b'><!ENTITY c '&b;&b;&b;'>]><D:propfind xmlns:D='DAV:'>\
                <D:prop><D:x>&c;</D:x></D:prop></D:propfind>";
    let nested = "<a>".repeat(9000);
    let many = format!(
        "<D:propfind xmlns:D='DAV:'><D:prop>{}</D:prop></D:propfind>",
        "<D:x/>".repeat(5000)
    );
    let endless = "<a>".to_owned() + &"x".repeat(1 << 20);
    for (body, status) in
        [(bomb, 400), (&*nested, 400), (&*many, 400), (&*endless, 413), ("<a", 400), ("\0", 400)]
    {
        let file = web.site.file("body", body.as_bytes());
        let data = format!("@{}", file.display());
        for method in ["PROPFIND", "PROPPATCH", "LOCK"] {
            let arguments = ["-H", "Depth: 0", "--data-binary", &data];
            let told = dav(&web, method, "/dav/", &arguments);
            assert_eq!(told.status, status, "{method} {}", &body[..body.len().min(20)]);
        }
    }
    assert_eq!(found(&web, "/dav/", "0").matches("<D:response>").count(), 1);
}

/// What litmus finds wrong here, by suite, and why that is right. Properties of its own are not
/// stored, and `propget` looks for one of them. HTTP has no fragments: the library below us takes
/// one off before anything here sees the URL.
const EXPECTED: [&str; 7] = [
    "basic: 9. delete_fragment WARNING",
    "props: 6. propset FAIL",
    "props: 26. propmanyns FAIL",
    "props: 27. propget FAIL",
    "locks: 11. owner_modify FAIL",
    "locks: 26. owner_modify FAIL",
    "locks: 33. owner_modify FAIL",
];

#[test]
fn litmus_finds_nothing_wrong_but_properties_that_are_not_stored() {
    if Command::new("litmus").arg("--version").output().is_err() {
        return println!("skipped: there is no litmus");
    }
    let web = Web::new("64M");
    let mut litmus = Command::new("litmus");
    litmus.current_dir(web.site.local()).arg("-k").arg(web.url("/dav/")).args(["ann", PASSWORD]);
    let output = litmus.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let (mut suite, mut found) = ("", Vec::new());
    for line in told.lines() {
        if let Some((_, name)) = line.split_once("-> running `") {
            suite = name.trim_end_matches(['\'', ':']);
        }
        let last = line.rsplit('\r').next().unwrap().trim();
        for word in ["FAIL", "WARNING"].into_iter().filter(|word| last.contains(word)) {
            let name = last.split("..").next().unwrap();
            found.push(format!("{suite}: {name} {word}"));
            let is_property = last.contains("403 Forbidden") || name.contains("propget");
            assert!(word == "WARNING" || is_property, "{told}");
        }
    }
    assert_eq!(found, EXPECTED, "{told}");
    assert_eq!(told.matches("<- summary for").count(), 5, "{told}");
}
