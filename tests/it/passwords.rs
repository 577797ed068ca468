//! Where a password may come from, who may read it on the way, and how it may be spelt.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::site::{PASSWORD, client, until};
use crate::support::{Person, Stage, fails, ok, stderr, text};

/// `sealane` without a password in its environment.
fn without(arguments: &[&str]) -> Command {
    let mut command = client(arguments);
    command.env_remove("SEALANE_PASSWORD");
    command
}

fn private(stage: &Stage, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = stage.site.file(name, bytes);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn a_password_comes_from_anything_that_can_be_read() {
    let stage = Stage::new();
    let file = private(&stage, "password", format!("{PASSWORD}\n").as_bytes());
    ok(without(&["--password-file", text(&file), "ls", &stage.at("")]).output().unwrap());
    let program = env!("CARGO_BIN_EXE_sealane");
    for script in [
        // Process substitution, an open descriptor of a pipe and one of a file, a named pipe,
        // stdin.
        "exec \"$0\" --password-file <(echo \"$P\"; sleep 0) ls \"$1\"",
        "exec \"$0\" --password-file /dev/fd/3 ls \"$1\" 3< <(echo \"$P\")",
        "exec \"$0\" --password-file /dev/fd/3 ls \"$1\" 3<\"$F\"",
        "mkfifo \"$D/fifo\"; echo \"$P\" >\"$D/fifo\" & exec \"$0\" --password-file \"$D/fifo\" ls \"$1\"",
        "echo \"$P\" | \"$0\" --password-file - ls \"$1\"",
        "echo \"$P\" | \"$0\" --password-file /dev/stdin ls \"$1\"",
    ] {
        let address = stage.at("");
        let mut command = Command::new("bash");
        command.args(["-c", script, program, &address]).stdin(Stdio::null());
        command.env("P", PASSWORD).env("F", &file).env("D", stage.site.local());
        command.env_remove("SEALANE_PASSWORD").env("HOME", stage.site.directory.path());
        let output = command.output();
        let Ok(output) = output else {
            println!("skipped: there is no bash");
            return;
        };
        assert!(output.status.success(), "{script}: {}", stderr(&output));
    }
    for (source, code) in [("/dev/null", 2), ("/", 2), ("/nonexistent", 3)] {
        let output = without(&["--password-file", source, "ls", &stage.at("")]).output();
        fails(output.unwrap(), code, source);
    }
}

#[test]
fn a_password_file_that_others_can_read_is_refused_as_a_key_is() {
    let stage = Stage::new();
    let file = private(&stage, "password", PASSWORD.as_bytes());
    for mode in [0o644, 0o640, 0o604, 0o620] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let output = without(&["--password-file", text(&file), "ls", &stage.at("")]).output();
        let output = output.unwrap();
        assert!(stderr(&output).contains("hint: chmod"), "{}", stderr(&output));
        fails(output, 2, "lets others read or write it");
    }
    assert!(!stage.server.log().contains("logged in"));
}

#[test]
fn a_mark_before_the_password_is_not_part_of_it() {
    let stage = Stage::new();
    let mark = [b"\xef\xbb\xbf", PASSWORD.as_bytes(), b"\r\n"].concat();
    let file = private(&stage, "marked", &mark);
    ok(without(&["--password-file", text(&file), "ls", &stage.at("")]).output().unwrap());
    ok(stage.site.admin(["account", "add", "bob", "--password-file", text(&file)]));
    let of_bob = stage.at("").replace("ann@", "bob@");
    ok(client(["ls", &of_bob]).output().unwrap());
    let wide: Vec<u8> = "\u{feff}pw\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let file = private(&stage, "wide", &wide);
    let output = without(&["--password-file", text(&file), "ls", &stage.at("")]).output();
    fails(output.unwrap(), 2, "is UTF-16; save it as UTF-8");
    fails(
        stage.site.admin(["account", "passwd", "bob", "--password-file", text(&file)]),
        2,
        "UTF-16",
    );
}

#[test]
fn the_prompt_is_asked_at_the_terminal_while_data_is_piped_in() {
    let stage = Stage::new();
    if Command::new("setsid").arg("--version").output().is_err() {
        println!("skipped: there is no setsid");
        return;
    }
    let script = "echo data | \"$0\" put - \"$1\"";
    let piped = stage.at("piped");
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait", "sh", "-c", script, env!("CARGO_BIN_EXE_sealane"), &piped]);
    command.env_remove("SEALANE_PASSWORD").env("HOME", stage.site.directory.path());
    let screen = Person::new().types(command, "password of ann", |_| PASSWORD.to_owned());
    assert_eq!(screen.code, Some(0), "{}", screen.text);
    assert_eq!(std::fs::read(stage.home("piped")).unwrap(), b"data\n");
    // The administrator's, too.
    let config = stage.site.config();
    let script = "echo x | \"$0\" --config \"$1\" account passwd ann";
    let admin = env!("CARGO_BIN_EXE_sealane-admin");
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait", "sh", "-c", script, admin, text(&config)]);
    let screen = Person::new().types(command, "for ann: ", |_| "another".to_owned());
    assert_eq!(screen.code, Some(0), "{}", screen.text);
    let output = client(["ls", &stage.at("")]).env("SEALANE_PASSWORD", "another").output();
    ok(output.unwrap());
}

#[test]
fn letters_are_the_same_composed_and_apart() {
    let stage = Stage::new();
    let [composed, apart] = ["caf\u{e9}-42", "cafe\u{301}-42"];
    let ls = |password: &str, user: &str| {
        let address = stage.at("").replace("ann@", &format!("{user}@"));
        client(["ls", &address]).env("SEALANE_PASSWORD", password).output().unwrap()
    };
    for stored in [composed, apart] {
        let file = private(&stage, "password", stored.as_bytes());
        ok(stage.site.admin(["account", "passwd", "ann", "--password-file", text(&file)]));
        ok(ls(composed, "ann"));
        ok(ls(apart, "ann"));
        fails(ls("cafe-42", "ann"), 4, "");
    }
    // Names, too: one that looks the same is the same.
    let [jose, look_alike] = ["jos\u{e9}", "jose\u{301}"];
    let file = private(&stage, "password", PASSWORD.as_bytes());
    let add =
        |name: &str| stage.site.admin(["account", "add", name, "--password-file", text(&file)]);
    ok(add(look_alike));
    fails(add(jose), 1, "exists");
    ok(ls(PASSWORD, "jos%C3%A9"));
    ok(ls(PASSWORD, "jose%CC%81"));
    assert!(stage.site.root().join("accounts").join(format!("{jose}.db")).exists());
}

#[test]
fn old_records_are_of_what_was_typed_in_any_code_page_that_is_configured() {
    let stage = Stage::new();
    drop(stage.server);
    let encodings = "[\"utf-8\", \"cp1252\", \"cp1251\", \"shift_jis\", \"euc-kr\", \"big5\"]";
    stage.site.configure(&[("legacy_password_encodings", encodings)]);
    let cases: [(&str, &str, &[u8]); 6] = [
        ("west", "\u{e9}\u{20ac}", b"\xe9\x80"),
        ("east", "\u{416}\u{416}", b"\xc6\xc6"),
        ("japan", "\u{65e5}\u{672c}", b"\x93\xfa\x96\x7b"),
        ("korea", "\u{d55c}", b"\xc7\xd1"),
        ("taiwan", "\u{4e2d}", b"\xa4\xa4"),
        ("apart", "e\u{301}", b"e\xcc\x81"),
    ];
    use md5::Digest;
    for (name, _, bytes) in cases {
        let digest = md5::Md5::digest(bytes);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let record = format!(
            "{{\"username\":\"{name}\",\"password\":\"{hex}\",\"limitsize\":1000000,\"homepath\":\"homes/{name}\"}}"
        );
        std::fs::write(stage.site.root().join(format!("accounts/{name}.db")), record).unwrap();
    }
    let server = stage.site.start();
    for (name, typed, _) in cases {
        let address = stage.site.address(&server, name, "");
        let ls = |password: &str| {
            client(["ls", &address]).env("SEALANE_PASSWORD", password).output().unwrap()
        };
        ok(ls(typed));
        // The record is argon2id now, which is of the composed form.
        ok(ls(typed));
        if name == "apart" {
            ok(ls("\u{e9}"));
        }
        fails(ls("wrong"), 4, "");
    }
}

#[test]
fn a_client_and_the_administrator_leave_no_core() {
    let stage = Stage::new();
    let config = stage.site.config();
    let (program, address) = (env!("CARGO_BIN_EXE_sealane"), stage.at("x"));
    let admin = env!("CARGO_BIN_EXE_sealane-admin");
    let runs: [&[&str]; 2] = [
        &[program, "put", "-", &address],
        &[admin, "--config", text(&config), "account", "passwd", "ann", "--password-file", "-"],
    ];
    for run in runs {
        let script = "ulimit -c unlimited 2>/dev/null || ulimit -c \"$(ulimit -Hc)\"; exec \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).args(run).env("SEALANE_PASSWORD", PASSWORD);
        command.current_dir(stage.site.local()).env("HOME", stage.site.directory.path());
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let limits = format!("/proc/{}/limits", child.id());
        let core = || {
            let limits = std::fs::read_to_string(&limits).unwrap();
            let line = limits.lines().find(|line| line.starts_with("Max core file size"));
            line.unwrap().split_whitespace().skip(4).take(2).collect::<Vec<_>>().join(" ")
        };
        until("it keeps its secrets", || core() == "0 0" || child.try_wait().unwrap().is_some());
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::ABORT).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(6));
        assert!(!status.core_dumped(), "{run:?}");
    }
    assert!(!Path::new(&stage.site.local()).join("core").exists());
}
