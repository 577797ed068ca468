//! The server's own bounds: what a process inside the sandbox can still do, who it is, what it
//! tells its manager.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use landlock::{ABI, Access as _, AccessFs, LandlockStatus, Ruleset, RulesetAttr as _};
use sealane_server::sandbox::{self, Bounds, Kernel, Mode, Plan, SandboxError, System};

use crate::support::site::{ended, sealane, until};
use crate::support::{Site, fails, ok, stderr, stdout};

/// Says to the same test in another process that it is inside.
const INSIDE: &str = "SEALANE_TEST_INSIDE";

/// Runs the test `name` again, in a process of its own with nothing else in it, that may open fewer
/// files than it could.
pub fn again(name: &str, place: &Path) -> Output {
    Command::new("sh")
        .args(["-c", "ulimit -S -n 200; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args([&of_module(name), "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, place)
        .output()
        .unwrap()
}

fn of_module(name: &str) -> String {
    if name.contains("::") { name.to_owned() } else { format!("sandbox::{name}") }
}

/// The version of this kernel's Landlock, asked without the sandbox that is tested: one that forgot
/// it must not pass for a kernel without.
pub fn kernel_landlock() -> Option<u32> {
    let asked = std::thread::spawn(|| {
        let ruleset = Ruleset::default().handle_access(AccessFs::from_all(ABI::V6)).unwrap();
        // It bounds this thread, which ends here.
        ruleset.create().unwrap().restrict_self().unwrap().landlock
    });
    match asked.join().unwrap() {
        LandlockStatus::Available { effective_abi, .. } => Some(effective_abi as u32),
        _ => None,
    }
}

pub fn inside() -> Option<PathBuf> {
    std::env::var_os(INSIDE).map(PathBuf::from)
}

#[test]
fn inside_the_sandbox_there_is_its_data_and_nothing_else() {
    let Some(place) = inside() else {
        let directory = tempfile::tempdir().unwrap();
        for name in ["data", "certs", "other"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
            std::fs::write(directory.path().join(name).join("file"), name).unwrap();
        }
        let output =
            again("inside_the_sandbox_there_is_its_data_and_nothing_else", directory.path());
        let said = ok(output);
        let text = stdout(&said);
        match kernel_landlock() {
            None => println!("skipped: this kernel has no Landlock"),
            Some(_) => assert!(text.contains("walls hold"), "{text}"),
        }
        return;
    };
    let outside = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = outside.local_addr().unwrap();
    TcpStream::connect(address).unwrap();
    Command::new("true").status().unwrap();
    let (read_write, read_only) = (vec![place.join("data")], vec![place.join("certs")]);
    let plan = Plan { read_write, read_only, ..Plan::default() };
    let state = sandbox::enter(Mode::BestEffort, &plan, &System).unwrap();
    assert!(state.seccomp);

    // System calls.
    denied(Command::new("true").status().unwrap_err());
    denied(TcpStream::connect(address).unwrap_err());
    denied(TcpListener::bind("127.0.0.1:0").unwrap_err());
    denied(UdpSocket::bind("127.0.0.1:0").unwrap_err());
    let raw = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::RAW, None);
    denied(raw.unwrap_err());
    let packet = socket2::Socket::new(socket2::Domain::from(17), socket2::Type::RAW, None);
    denied(packet.unwrap_err());
    assert!(rustix::process::chroot("/").is_err());
    // What the server does all the time.
    std::thread::spawn(|| UnixDatagram::pair().unwrap()).join().unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let (stream, _) = outside.accept().unwrap();
        drop(stream);
        let kind = tokio::signal::unix::SignalKind::terminate();
        drop(tokio::signal::unix::signal(kind).unwrap());
    });

    if state.landlock.is_none() {
        println!("no Landlock");
        return;
    }
    // Files: also as root, whom no mode stops.
    for path in ["/etc/shadow", "/etc/passwd", "/proc/self/environ", "/"] {
        denied(File::open(path).unwrap_err());
    }
    denied(std::fs::read_dir("/").unwrap_err());
    denied(File::open(place.join("other/file")).unwrap_err());
    denied(std::fs::write(place.join("other/new"), "x").unwrap_err());
    assert_eq!(std::fs::read_to_string(place.join("certs/file")).unwrap(), "certs");
    denied(std::fs::write(place.join("certs/file"), "x").unwrap_err());
    denied(std::fs::remove_file(place.join("certs/file")).unwrap_err());
    let data = place.join("data");
    std::fs::create_dir(data.join("home")).unwrap();
    std::fs::write(data.join("new"), "x").unwrap();
    std::fs::rename(data.join("new"), data.join("home/moved")).unwrap();
    denied(UnixListener::bind(data.join("socket")).unwrap_err());
    denied(std::os::unix::fs::symlink("/etc", data.join("link")).unwrap_err());
    std::fs::remove_dir_all(data.join("home")).unwrap();
    println!("walls hold");
}

/// This kernel, without its other half.
pub enum Half {
    Landlock,
    Seccomp,
}

impl Kernel for Half {
    fn landlock(&self, plan: &Plan) -> Result<Option<Bounds>, SandboxError> {
        if matches!(self, Self::Landlock) { System.landlock(plan) } else { Ok(None) }
    }

    fn seccomp(&self) -> Result<bool, SandboxError> {
        if matches!(self, Self::Seccomp) { System.seccomp() } else { Ok(false) }
    }
}

pub fn denied(error: std::io::Error) {
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
}

/// What both halves forbid, each forbids alone: a program, another server, another process.
#[test]
fn landlock_alone_keeps_from_programs_networks_and_other_processes() {
    let Some(place) = inside() else {
        let directory = tempfile::tempdir().unwrap();
        std::fs::copy("/bin/true", directory.path().join("program")).unwrap();
        let name = "landlock_alone_keeps_from_programs_networks_and_other_processes";
        let text = stdout(&ok(again(name, directory.path())));
        match kernel_landlock() {
            Some(6..) => assert!(text.contains("walls hold"), "{text}"),
            _ => println!("skipped: this kernel has no Landlock of version 6"),
        }
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let name = format!("sealane-test-{}", std::process::id());
    let abstract_socket = SocketAddr::from_abstract_name(name).unwrap();
    let _outside = UnixListener::bind_addr(&abstract_socket).unwrap();
    let parent = rustix::process::getppid().unwrap();
    rustix::process::test_kill_process(parent).unwrap();
    // What a program needs to be loaded can be read.
    let read_only = ["/usr", "/lib", "/lib64"].map(PathBuf::from).to_vec();
    let plan = Plan { read_write: vec![place.clone()], read_only, ..Plan::default() };
    let state = sandbox::enter(Mode::BestEffort, &plan, &Half::Landlock).unwrap();
    if state.landlock.is_none_or(|version| version < 6) {
        println!("no Landlock");
        return;
    }
    // It could read the program, and write it; but not run it.
    std::fs::read(place.join("program")).unwrap();
    denied(Command::new(place.join("program")).status().unwrap_err());
    denied(Command::new("/usr/bin/true").exec());
    denied(TcpStream::connect(address).unwrap_err());
    denied(TcpListener::bind("127.0.0.1:0").unwrap_err());
    denied(UnixStream::connect_addr(&abstract_socket).unwrap_err());
    denied(rustix::process::test_kill_process(parent).unwrap_err().into());
    println!("walls hold");
}

#[test]
fn the_filter_alone_keeps_from_programs_and_networks() {
    let Some(_) = inside() else {
        let name = "the_filter_alone_keeps_from_programs_and_networks";
        assert!(stdout(&ok(again(name, Path::new("/")))).contains("walls hold"));
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    sandbox::enter(Mode::BestEffort, &Plan::default(), &Half::Seccomp).unwrap();
    File::open("/etc/passwd").unwrap();
    // Neither as another process nor in the place of this one.
    denied(Command::new("true").status().unwrap_err());
    denied(Command::new("true").exec());
    denied(TcpStream::connect(address).unwrap_err());
    denied(UdpSocket::bind("127.0.0.1:0").unwrap_err());
    denied(rustix::process::chroot("/").unwrap_err().into());
    println!("walls hold");
}

#[test]
fn a_hardened_process_leaves_no_core_and_may_open_all_the_files_it_can() {
    let Some(_) = inside() else {
        ok(again(
            "a_hardened_process_leaves_no_core_and_may_open_all_the_files_it_can",
            Path::new("/"),
        ));
        return;
    };
    let read = || std::fs::read_to_string("/proc/self/limits").unwrap();
    let soft = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    assert_eq!(soft, Some(200));
    let files = sandbox::harden().unwrap();
    let limits = read();
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(limit("Max core file size"), "0 0");
    let both = limit("Max open files");
    assert!(files > 200 && both == format!("{files} {files}"), "{both} {files}");
    let behaviour = rustix::process::dumpable_behavior().unwrap();
    assert_eq!(behaviour, rustix::process::DumpableBehavior::NotDumpable);
}

#[test]
fn root_becomes_somebody_else_for_good() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become somebody else");
        return;
    }
    let Some(_) = inside() else {
        ok(again("root_becomes_somebody_else_for_good", Path::new("/")));
        return;
    };
    let nobody = sandbox::find_owner("nobody").unwrap();
    sandbox::become_owner(&nobody).unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let (uid, gid) = (line("Uid:"), line("Gid:"));
    assert!(uid.iter().all(|id| *id == uid[0]) && uid[0] != "0", "{uid:?}");
    assert!(gid.iter().all(|id| *id == gid[0]) && gid[0] != "0", "{gid:?}");
    assert_eq!(line("Groups:"), [gid[0].clone()]);
    assert_eq!(line("CapEff:"), ["0000000000000000"]);
    let root = sandbox::find_owner("root").unwrap();
    assert!(sandbox::become_owner(&root).is_err());
    assert!(sandbox::find_owner("no such user").is_err());
}

fn sealaned(site: &Site) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealaned"));
    command.arg("--config").arg(site.config());
    command
}

fn configure(site: &Site, old: &str, new: &str) {
    let text = std::fs::read_to_string(site.config()).unwrap();
    assert!(text.contains(old), "{old}");
    std::fs::write(site.config(), text.replacen(old, new, 1)).unwrap();
}

#[test]
fn the_first_line_of_the_log_says_what_holds() {
    let site = Site::new();
    site.account("ann", "10M");
    let server = site.start();
    let log = server.log();
    let line = log.lines().find(|line| line.contains("sandbox: ")).expect(&log);
    assert!(line.contains("landlock=") && line.contains("seccomp=on"), "{line}");
    let before = log.lines().take_while(|line| !line.contains("sandbox: "));
    assert!(before.filter(|line| !line.contains("as root")).count() == 0, "{log}");
    let seccomp = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    assert!(seccomp.contains("Seccomp:\t2"));
    // Everything still works: an upload, a download, a rename, the administrator.
    let file = site.file("file", &crate::support::noise(3 << 20, 1));
    ok(sealane(["put", file.to_str().unwrap(), &site.address(&server, "ann", "x")]));
    ok(sealane(["mkdir", &site.address(&server, "ann", "d")]));
    let [from, to] = ["x", "d/y"].map(|path| site.address(&server, "ann", path));
    ok(sealane(["mv", &from, &to]));
    ok(sealane(["rm", "-r", &site.address(&server, "ann", "d")]));
    ok(site.admin(["status"]));
    drop(server);
    configure(&site, "sandbox = \"best-effort\"", "sandbox = \"off\"");
    assert!(site.start().log().contains("landlock=off seccomp=off"));
}

#[test]
fn root_serves_the_network_only_as_somebody_it_was_told() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root");
        return;
    }
    let site = Site::new();
    configure(&site, "listen = \"127.0.0.1:0\"", "listen = \"0.0.0.0:0\"");
    fails(ended(&mut sealaned(&site)), 2, "root does not serve other machines");
    configure(&site, "# user = \"sealane\"", "user = \"no-such-user\"");
    fails(ended(&mut sealaned(&site)), 2, "there is no user 'no-such-user'");
    configure(&site, "user = \"no-such-user\"", "user = \"nobody\"");
    // It does not own the directory: the drop is real.
    let output = ended(&mut sealaned(&site));
    assert!(stderr(&output).to_lowercase().contains("permission denied"), "{}", stderr(&output));
    fails(output, 2, "");
    let owned = Command::new("chown").args(["-R", "nobody"]).arg(site.directory.path()).status();
    assert!(owned.unwrap().success());
    let server = site.start();
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    assert!(!status.contains("Uid:\t0"), "{status}");
}

#[test]
fn a_manager_passes_the_port_and_hears_of_start_and_end() {
    let site = Site::new();
    site.account("ann", "1M");
    let notes = site.directory.path().join("notify");
    let manager = UnixDatagram::bind(&notes).unwrap();
    manager.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    let heard = || {
        let mut buffer = [0; 64];
        let count = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // The number of the process is part of what is passed, and the socket is the fourth file.
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" --config \"$1\"";
    let mut server = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_sealaned")])
        .arg(site.config())
        .env("NOTIFY_SOCKET", &notes)
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(heard(), "READY=1");
    ok(sealane(["ls", &format!("sealane://ann@{address}/?{}", site.pins)]));
    let pid = rustix::process::Pid::from_child(&server);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(heard(), "STOPPING=1");
    assert!(server.wait().unwrap().success());
    let mut log = String::new();
    server.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains(&format!("listening on {address}")), "{log}");
    // Nobody listens: no reason not to serve.
    drop(manager);
    let mut alone =
        sealaned(&site).env("NOTIFY_SOCKET", &notes).stderr(Stdio::null()).spawn().unwrap();
    let control = site.root().join("data/.control");
    let _ = std::fs::remove_file(&control);
    until("it serves", || control.exists());
    alone.kill().unwrap();
    alone.wait().unwrap();
}

#[test]
fn the_unit_is_exposed_to_little() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/systemd/sealaned.service");
    let run = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", "--threshold=25"])
        .arg(unit)
        .output();
    match run {
        Err(_) => println!("skipped: there is no systemd-analyze"),
        Ok(output) => {
            let said = stdout(&output);
            assert!(output.status.success(), "{said}{}", stderr(&output));
            assert!(said.contains("Overall exposure level"), "{said}");
        }
    }
}
