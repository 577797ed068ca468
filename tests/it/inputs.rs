//! What people type and what lies on their disks: each bad input has its own words and exit code,
//! and nothing is lost or half written.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::process::Stdio;

use crate::support::site::{client, sealane, until};
use crate::support::{Site, Stage, fails, names, noise, ok, result, stderr, stdout};

#[test]
fn several_files_go_into_a_directory_and_come_back_into_one() {
    let stage = Stage::new();
    let (one, two) = (stage.site.file("one", b"1"), stage.site.file("two", &noise(3 << 20, 1)));
    ok(sealane(["mkdir", "-p", &stage.at("in/side")]));
    ok(client([OsStr::new("put"), one.as_ref(), two.as_ref(), stage.at("in/side/").as_ref()])
        .output()
        .unwrap());
    assert_eq!(names(&stage.home("in/side")), ["one", "two"]);
    // One file to an existing directory goes inside, as with cp and scp.
    ok(sealane(["put", one.to_str().unwrap(), &stage.at("in")]));
    assert!(stage.home("in/one").is_file());
    let back = stage.local("back");
    std::fs::create_dir(&back).unwrap();
    let output = ok(sealane([
        "get",
        "--json",
        &stage.at("in/side/one"),
        &stage.at("in/side/two"),
        back.to_str().unwrap(),
    ]));
    assert_eq!(result(&output)["files"], 2);
    assert!(std::fs::read(back.join("two")).unwrap() == noise(3 << 20, 1));
}

#[test]
fn standard_input_and_output_work_as_dashes() {
    let stage = Stage::new();
    let bytes = noise(5 << 20, 2);
    let mut put = client(["put", "-", &stage.at("piped")]).stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut put.stdin.take().unwrap(), &bytes).unwrap();
    assert!(put.wait().unwrap().success());
    let output = ok(sealane(["get", &stage.at("piped"), "-"]));
    assert!(output.stdout == bytes);
    fails(sealane(["put", "-", &stage.at("")]), 2, "needs a file name");
}

#[test]
fn sources_that_are_no_files_are_named_and_nothing_arrives() {
    let stage = Stage::new();
    let local = stage.site.local();
    let fifo = local.join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    fails(sealane(["put", "/does/not/exist", &stage.at("x")]), 3, "/does/not/exist: no such file");
    fails(sealane(["put", local.to_str().unwrap(), &stage.at("x")]), 1, "it is a directory");
    fails(sealane(["put", fifo.to_str().unwrap(), &stage.at("x")]), 1, "not a regular file");
    assert_eq!(names(&stage.home("")), Vec::<String>::new());
}

#[test]
fn an_unreadable_source_is_denied() {
    if rustix::process::geteuid().is_root() {
        println!("skipped: root can read everything");
        return;
    }
    let stage = Stage::new();
    let file = stage.site.file("secret", b"x");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    fails(sealane(["put", file.to_str().unwrap(), &stage.at("x")]), 1, "permission denied");
}

#[test]
fn some_of_several_files_failing_is_exit_9_and_the_others_arrive() {
    let stage = Stage::new();
    let one = stage.site.file("one", b"1");
    let output = sealane(["put", "--json", "/none", one.to_str().unwrap(), &stage.at("")]);
    assert_eq!(
        (result(&output)["failed"].as_u64(), result(&output)["files"].as_u64()),
        (Some(1), Some(1))
    );
    fails(output, 9, "/none: no such file");
    assert_eq!(std::fs::read(stage.home("one")).unwrap(), b"1");
}

#[test]
fn names_are_checked_on_both_ends() {
    let stage = Stage::new();
    let file = stage.site.file("file", b"x");
    let file = file.to_str().unwrap();
    for (path, words) in [
        ("a%00b", "character that is not allowed"),
        ("a/../b", "'.' or '..'"),
        ("%2e%2e/b", "'.' or '..'"),
        ("a%1b[2J", "character that is not allowed"),
        ("a%e2%80%aeb", "character that is not allowed"),
        ("%ff", "UTF-8"),
        (&"n".repeat(256), "longer than 255 bytes"),
    ] {
        let output = sealane(["put", file, &stage.at(path)]);
        assert_eq!(output.status.code(), Some(2), "{path}");
        assert!(stderr(&output).contains(words), "{path}: {}", stderr(&output));
    }
    let longest = "é".repeat(127) + "n";
    ok(sealane(["put", file, &stage.at(&longest)]));
    assert_eq!(names(&stage.home("")), [longest]);

    let odd = stage.local(OsStr::from_bytes(b"caf\xe9"));
    std::fs::write(&odd, b"x").unwrap();
    let output = client([OsStr::new("put"), odd.as_ref(), stage.at("").as_ref()]).output().unwrap();
    fails(output, 2, "not UTF-8");
    // Given a name of its own on the server, it goes.
    ok(client([OsStr::new("put"), odd.as_ref(), stage.at("cafe").as_ref()]).output().unwrap());
}

#[test]
fn hostile_names_on_the_server_never_reach_a_terminal() {
    let stage = Stage::new();
    std::fs::write(stage.home("evil\u{1b}]52;c;AAAA\u{7}"), b"x").unwrap();
    std::fs::write(stage.home("good"), b"x").unwrap();
    let output = ok(sealane(["ls", &stage.at("")]));
    assert_eq!(stdout(&output), "good\n");
    assert!(stderr(&output).contains("1 more with names that cannot be shown"));
    assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b));
}

#[test]
fn links_and_fifos_in_a_home_are_listed_and_never_opened() {
    let stage = Stage::new();
    let secret = stage.site.file("outside", b"secret");
    std::os::unix::fs::symlink(&secret, stage.home("link")).unwrap();
    std::os::unix::fs::symlink("/", stage.home("root")).unwrap();
    let fifo = stage.home("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    assert_eq!(stdout(&ok(sealane(["ls", &stage.at("")]))), "fifo\nlink@\nroot@\n");
    for path in ["link", "fifo", "root"] {
        fails(sealane(["get", &stage.at(path), "-"]), 1, "not a regular file");
    }
    fails(sealane(["get", &stage.at("root/etc/passwd"), "-"]), 1, "not a directory");
    fails(sealane(["put", secret.to_str().unwrap(), &stage.at("link")]), 1, "not a regular file");
    assert_eq!(std::fs::read(secret).unwrap(), b"secret");
}

#[test]
fn a_full_quota_says_by_how_much_and_keeps_the_old_file() {
    let stage = Stage::new();
    stage.site.account("bob", "3M");
    let at = |path: &str| stage.site.address(&stage.server, "bob", path);
    let old = stage.site.file("old", &noise(2 << 20, 3));
    let new = stage.site.file("new", &noise((2 << 20) + 5, 4));
    ok(sealane(["put", old.to_str().unwrap(), &at("file")]));
    let output = sealane(["put", new.to_str().unwrap(), &at("file")]);
    assert!(stderr(&output).contains("(1048581 bytes)"), "{}", stderr(&output));
    fails(output, 7, "over the quota");
    assert!(std::fs::read(stage.site.home("bob").join("file")).unwrap() == noise(2 << 20, 3));
    assert_eq!(result(&ok(sealane(["df", "--json", &at("")])))["used"], 2 << 20);
}

#[test]
fn a_source_that_changes_while_it_is_read_is_stored_as_it_was_at_some_moment_or_not_at_all() {
    let stage = Stage::new();
    for change in ["grow", "shrink", "rewrite"] {
        let size = 40 << 20;
        let bytes = noise(size, 5);
        let path = stage.site.file("busy", &bytes);
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        let mut put = client(["put", "--limit-rate", "100M", path.to_str().unwrap()]);
        let put = put.arg(stage.at(change)).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut put = put.spawn().unwrap();
        let partials = stage.site.partials("ann");
        until("the upload begins", || {
            let begun = partials.is_dir() && !names(&partials).is_empty();
            begun || put.try_wait().unwrap().is_some()
        });
        match change {
            "grow" => file.write_all_at(b"more", size as u64).unwrap(),
            "shrink" => file.set_len(1 << 20).unwrap(),
            _ => {
                let mut number = 0u64;
                while put.try_wait().unwrap().is_none() {
                    number += 1;
                    file.write_all_at(&number.to_be_bytes(), 0).unwrap();
                }
            }
        }
        let output = put.wait_with_output().unwrap();
        let stored = std::fs::read(stage.home(change));
        match change {
            "grow" => {
                assert!(stderr(&output).contains("as it was when it was opened"));
                assert!(stored.unwrap() == bytes);
            }
            "shrink" => assert!(stored.unwrap() == bytes[..1 << 20]),
            _ => {
                fails(output, 8, "changed while it was being read");
                assert!(stored.is_err());
                continue;
            }
        }
        ok(output);
    }
}

#[test]
fn an_empty_file_and_a_sparse_one_arrive() {
    let stage = Stage::new();
    let empty = stage.site.file("empty", b"");
    ok(sealane(["put", empty.to_str().unwrap(), &stage.at("empty")]));
    assert_eq!(std::fs::metadata(stage.home("empty")).unwrap().len(), 0);
    let sparse = stage.local("sparse");
    let file = std::fs::File::create(&sparse).unwrap();
    file.set_len((40 << 20) + 1).unwrap();
    file.write_all_at(b"x", 17 << 20).unwrap();
    ok(sealane(["put", sparse.to_str().unwrap(), &stage.at("sparse")]));
    assert!(std::fs::read(stage.home("sparse")).unwrap() == std::fs::read(&sparse).unwrap());
}

#[test]
fn the_root_is_what_b3sum_prints() {
    let stage = Stage::new();
    let bytes = noise(5_000_001, 6);
    let file = stage.site.file("file", &bytes);
    let output = ok(sealane(["put", "--json", file.to_str().unwrap(), &stage.at("file")]));
    let lines = stdout(&output);
    let mut objects = lines.lines().map(|line| serde_json::from_str(line).unwrap());
    let file_object = objects.find(|object: &serde_json::Value| object["type"] == "file").unwrap();
    // The crate behind b3sum, hashing the file in one go.
    assert_eq!(file_object["root"], blake3::hash(&bytes).to_hex().as_str());
    let verified = ok(sealane(["verify", file.to_str().unwrap(), &stage.at("file")]));
    assert!(stdout(&verified).starts_with(blake3::hash(&bytes).to_hex().as_str()));
    std::fs::write(&file, b"other").unwrap();
    fails(sealane(["verify", file.to_str().unwrap(), &stage.at("file")]), 8, "differs");
}

#[test]
fn without_a_pin_or_with_a_wrong_one_nothing_is_sent() {
    let stage = Stage::new();
    let good = stage.at("");
    let bare = good.split('?').next().unwrap();
    fails(sealane(["ls", bare]), 5, "your password was not sent");
    let wrong = format!("{bare}?pin=sha256.{}", "A".repeat(43));
    let output = sealane(["ls", &wrong]);
    assert!(stderr(&output).contains("received: sha256//"), "{}", stderr(&output));
    fails(output, 5, "does not match its pin; nothing was sent");
    assert!(!stage.server.log().contains("logged in"));
    // The flag counts, not the address: curl's form of the right key makes the wrong address good.
    let shown = ok(stage.site.admin(["cert", "show"]));
    let text = stdout(&shown);
    let pin = text.split_whitespace().find(|word| word.starts_with("sha256//")).unwrap();
    ok(sealane(["ls", "--pin", pin, &wrong]));
}

#[test]
fn a_wrong_password_and_an_unknown_account_look_alike() {
    let stage = Stage::new();
    let nobody = stage.site.address(&stage.server, "nobody", "");
    let mut texts = Vec::new();
    for address in [stage.at(""), nobody] {
        let output = client(["ls", &address]).env("SEALANE_PASSWORD", "wrong").output().unwrap();
        texts.push(stderr(&output));
        fails(output, 4, "login refused");
    }
    assert_eq!(texts[0], texts[1]);
    assert!(!stage.server.log().contains("wrong horse"));
}

#[test]
fn a_server_that_is_not_there_or_not_sealane_is_told_apart() {
    let stage = Stage::new();
    let pin = stage.at("");
    let pin = pin.split('?').nth(1).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = std::io::Write::write_all(&mut stream, b"220 FTP ready\r\n");
        }
    });
    fails(
        sealane(["ls", &format!("sealane://ann@127.0.0.1:{port}/?{pin}")]),
        5,
        "does not speak TLS",
    );
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    fails(sealane(["ls", &format!("sealane://ann@127.0.0.1:{gone}/?{pin}")]), 6, "cannot reach");
}

#[test]
fn a_second_server_on_the_same_data_or_port_is_refused() {
    let stage = Stage::new();
    let program = env!("CARGO_BIN_EXE_sealaned");
    let run = |config: &std::path::Path| {
        std::process::Command::new(program).arg("--config").arg(config).output().unwrap()
    };
    fails(run(&stage.site.config()), 2, "data");
    let other = Site::new();
    let text = std::fs::read_to_string(other.config()).unwrap();
    let text = text.replace("127.0.0.1:0", &stage.server.address.to_string());
    std::fs::write(other.config(), text).unwrap();
    fails(run(&other.config()), 2, "cannot listen on");
}

#[test]
fn a_full_disk_says_so_and_keeps_the_old_file() {
    let stage = Stage::new();
    let data = stage.site.root().join("small");
    std::fs::create_dir(&data).unwrap();
    let mount = |arguments: &[&OsStr]| {
        std::process::Command::new("mount")
            .args(arguments)
            .output()
            .is_ok_and(|out| out.status.success())
    };
    let options = ["-t", "tmpfs", "-o", "size=6m", "none"].map(OsStr::new);
    if !mount(&[&options[..], &[data.as_os_str()]].concat()) {
        println!("skipped: a small file system cannot be mounted here");
        return;
    }
    let text = std::fs::read_to_string(stage.site.config()).unwrap();
    std::fs::write(stage.site.config(), text.replace("\"data\"", "\"small\"")).unwrap();
    let server = stage.site.start();
    let at = |path: &str| stage.site.address(&server, "ann", path);
    let old = stage.site.file("old", &noise(2 << 20, 7));
    ok(sealane(["put", old.to_str().unwrap(), &at("file")]));
    let new = stage.site.file("new", &noise(5 << 20, 8));
    fails(sealane(["put", new.to_str().unwrap(), &at("file")]), 7, "the server's disk is full");
    let kept = std::fs::read(data.join("homes/ann/file")).unwrap();
    ok(sealane(["rm", &at("file")]));
    ok(sealane(["put", new.to_str().unwrap(), &at("file")]));
    drop(server);
    std::process::Command::new("umount").arg(&data).status().unwrap();
    assert!(kept == noise(2 << 20, 7));
}

#[test]
fn four_gibibytes_and_one_byte_with_holes_arrive() {
    if std::env::var("SEALANE_LONG").is_err() {
        println!("skipped: takes 8 GiB of disk; scripts/torture runs it");
        return;
    }
    let stage = Stage::new();
    stage.site.account("big", "9G");
    let at = stage.site.address(&stage.server, "big", "sparse");
    let sparse = stage.local("sparse");
    let file = std::fs::File::create(&sparse).unwrap();
    file.set_len((4 << 30) + 1).unwrap();
    file.write_all_at(b"the last byte but", (4 << 30) - 16).unwrap();
    ok(sealane(["put", sparse.to_str().unwrap(), &at]));
    assert_eq!(result(&ok(sealane(["stat", "--json", &at])))["size"], (4u64 << 30) + 1);
    ok(sealane(["verify", sparse.to_str().unwrap(), &at]));
}
