//! The log: whatever becomes of those who read it, the server goes on; and it says whose request it
//! was.

use std::io::Read;
use std::net::TcpStream;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::site::{sealane, until};
use crate::support::{Site, Stage, fails, ok, stderr};

/// `sealaned` with its stderr where a test wants it; its address comes from its log file.
struct Logged {
    site: Site,
    server: std::process::Child,
    address: String,
}

impl Logged {
    fn start(stderr: impl Into<Stdio>) -> Self {
        let site = Site::new();
        site.account("ann", "10M");
        log_to_file(&site);
        let server = Command::new(env!("CARGO_BIN_EXE_sealaned"))
            .arg("--config")
            .arg(site.config())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut started = Self { site, server, address: String::new() };
        until("it listens", || {
            let log = started.log();
            let line = log.lines().find_map(|line| line.strip_prefix("listening on "));
            started.address = line.unwrap_or_default().to_owned();
            !started.address.is_empty()
        });
        started
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.site.root().join("log/sealaned.log")).unwrap_or_default()
    }

    fn ls(&self) {
        let address = format!("sealane://ann@{}/?{}", self.address, self.site.pins);
        ok(sealane(["--retry-for", "0", "ls", &address]));
    }

    /// Tells it to stop, and waits until it has.
    fn stop(mut self) {
        kill_process(Pid::from_child(&self.server), Signal::TERM).unwrap();
        assert!(self.server.wait().unwrap().success());
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn log_to_file(site: &Site) {
    std::fs::create_dir_all(site.root().join("log")).unwrap();
    site.append("[log]\nfile = \"log/sealaned.log\"\n");
}

#[test]
fn a_log_whose_reader_has_gone_costs_nobody_a_session() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let server = Logged::start(writer);
    (0..3).for_each(|_| server.ls());
    server.stop();
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let (reader, writer) = std::io::pipe().unwrap();
    // Full before anything is written to it.
    let full = writer.try_clone().unwrap();
    rustix::io::ioctl_fionbio(&full, true).unwrap();
    while rustix::io::write(&full, &[b'x'; 4096]).is_ok() {}
    while rustix::io::write(&full, b"x").is_ok() {}
    rustix::io::ioctl_fionbio(&full, false).unwrap();
    let server = Logged::start(writer);
    server.ls();
    for _ in 0..200 {
        drop(TcpStream::connect(&server.address).unwrap());
    }
    server.ls();
    server.stop();
    drop(reader);
}

#[test]
fn a_log_on_a_full_disk_stops_nothing() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let server = Logged::start(full);
    server.ls();
    server.stop();
}

#[test]
fn the_log_file_is_opened_anew_at_both_signals() {
    let server = Logged::start(Stdio::null());
    let directory = server.site.root().join("log");
    for (number, signal) in [Signal::USR1, Signal::HUP].into_iter().enumerate() {
        let (now, moved) = (directory.join("sealaned.log"), directory.join(number.to_string()));
        std::fs::rename(&now, &moved).unwrap();
        server.ls();
        until("it is still in the old file", || {
            std::fs::read_to_string(&moved).unwrap().contains("logged in")
        });
        kill_process(Pid::from_child(&server.server), signal).unwrap();
        until("there is a new file", || server.log().contains("log file opened again"));
        server.ls();
        until("what is new is in the new one", || server.log().contains("logged in"));
    }
    server.stop();
}

#[test]
fn a_log_file_beside_the_keys_is_opened_anew_without_letting_go_of_them() {
    let site = Site::new();
    site.account("ann", "10M");
    site.append("[log]\nfile = \"sealaned.log\"\n");
    let server = site.start();
    let (now, moved) = (site.root().join("sealaned.log"), site.root().join("old.log"));
    until("it is written", || std::fs::read_to_string(&now).unwrap().contains("serving"));
    std::fs::rename(&now, &moved).unwrap();
    kill_process(Pid::from_child(&server.child), Signal::USR1).unwrap();
    let log = || std::fs::read_to_string(&now).unwrap_or_default();
    until("there is a new file", || log().contains("log file opened again"));
    assert!(!log().contains("serving"));
}

#[test]
fn a_log_file_that_cannot_be_is_said_at_the_start() {
    let site = Site::new();
    site.append("[log]\nfile = \"nowhere/sealaned.log\"\n");
    let command = Command::new(env!("CARGO_BIN_EXE_sealaned"));
    let said = site.start_by(command).err().unwrap();
    assert!(
        said.contains("nowhere/sealaned.log") && said.contains("hint: 'file' under [log]"),
        "{said}"
    );
}

#[test]
fn refusals_name_connection_user_and_path() {
    let stage = Stage::new();
    let file = stage.site.file("file", b"x");
    let file = file.to_str().unwrap();
    fails(sealane(["get", &stage.at("not there"), file]), 3, "");
    ok(sealane(["mkdir", &stage.at("d")]));
    fails(sealane(["mkdir", &stage.at("d")]), 1, "");
    fails(sealane(["mv", &stage.at("a"), "b"]), 3, "");
    // A small file, which is stored with others, and a large one.
    fails(sealane(["put", file, &stage.at("no/f")]), 3, "");
    let large = stage.site.file("large", &crate::support::noise(3 << 20, 1));
    fails(sealane(["put", large.to_str().unwrap(), &stage.at("no/g")]), 3, "");
    let refused = |path: &str| {
        let log = stage.server.log();
        let line = log.lines().find(|line| line.contains("refused") && line.contains(path));
        let line = line.unwrap_or_else(|| panic!("{path}: {log}")).to_owned();
        let says = ["connection{", "peer=127.0.0.1:", "user=\"ann\"", "request{"];
        assert!(says.iter().all(|part| line.contains(part)), "{line}");
        line
    };
    until("all of it is logged", || stage.server.log().contains("no/g"));
    refused("path=\"not there\"");
    refused("path=\"d\"");
    assert!(refused("path=\"a\"").contains("to=\"b\""));
    refused("path=\"no/f\"");
    refused("path=\"no/g\"");
    let log = stage.server.log();
    let mut lines = log.lines().filter(|line| line.contains("refused"));
    assert!(lines.all(|line| line.contains("user=\"ann\"") && line.contains("path=")), "{log}");
}

#[test]
fn probes_of_the_port_are_no_lines_in_the_log() {
    let stage = Stage::new();
    for _ in 0..50 {
        drop(TcpStream::connect(stage.server.address).unwrap());
    }
    // What is said in clear is worth one.
    let mut wrong = TcpStream::connect(stage.server.address).unwrap();
    std::io::Write::write_all(&mut wrong, b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let _ = wrong.read(&mut [0; 64]);
    until("that is logged", || stage.server.log().contains("handshake failed"));
    let log = stage.server.log();
    assert_eq!(log.matches("handshake").count(), 1, "{log}");
}

#[test]
fn a_server_that_cannot_start_says_so_to_nobody_and_ends() {
    let site = Site::new();
    site.append("[nonsense]\n");
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealaned"));
    let status = command.arg("--config").arg(site.config()).stderr(full).status().unwrap();
    assert_eq!(status.code(), Some(2));
    let output = command.stderr(Stdio::piped()).output().unwrap();
    assert!(stderr(&output).starts_with("error: "), "{}", stderr(&output));
}
