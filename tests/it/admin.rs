//! `sealane-admin` as people and scripts run it.

#![expect(clippy::disallowed_methods, reason = "tests lay out and look at files")]
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "also in the helpers of tests")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sealane_base::types::{Address, Pin};
use sealane_tls::pin_of_certificate;
use serde_json::Value;
use tempfile::TempDir;

const PASSWORD: &str = "correct horse battery";

/// What a run of the program left behind.
#[derive(Debug)]
struct Run {
    exit: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    fn objects(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    fn last(&self) -> Value {
        self.objects().pop().expect("an object")
    }

    #[track_caller]
    fn succeeds(self) -> Self {
        assert_eq!(self.exit, 0, "{self:?}");
        self
    }

    #[track_caller]
    fn fails(self, exit: i32, words: &str) -> Self {
        assert_eq!(self.exit, exit, "{self:?}");
        assert!(self.stderr.contains(words), "{self:?}");
        self
    }
}

/// The program with `arguments` in `directory`, fed `input`, without a terminal.
fn run_in(directory: &Path, arguments: &[&str], input: &str) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sealane-admin"))
        .args(arguments)
        .current_dir(directory)
        .env_remove("SEALANE_CONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read its input closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let run = Run {
        exit: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    assert!(!run.stdout.contains(PASSWORD) && !run.stderr.contains(PASSWORD), "{run:?}");
    assert!(!run.stdout.contains("$argon2") && !run.stderr.contains("$argon2"), "{run:?}");
    run
}

/// A new server whose passwords are cheap to hash.
struct Server {
    directory: TempDir,
    init: Run,
}

impl Server {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let init = run_in(directory.path(), &["init", "srv"], "").succeeds();
        let server = Self { directory, init };
        server.configure("argon2_memory_kib = 19456", "argon2_memory_kib = 8");
        server.configure("argon2_iterations = 2", "argon2_iterations = 1");
        server.write("pw", PASSWORD);
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file that only its owner can read.
    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        self.set_mode(name, 0o600);
    }

    fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn configure(&self, old: &str, new: &str) {
        let text = fs::read_to_string(self.path("srv/config.toml")).unwrap();
        assert!(text.contains(old), "{old}");
        fs::write(self.path("srv/config.toml"), text.replace(old, new)).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.run_with(arguments, "")
    }

    fn run_with(&self, arguments: &[&str], input: &str) -> Run {
        let all = [&["--config", "srv/config.toml"], arguments].concat();
        run_in(self.directory.path(), &all, input)
    }

    fn record(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("srv/accounts/{name}.db"))).unwrap()
    }
}

/// The pin of a certificate file, computed from its bytes.
fn pin_of(path: &Path) -> Pin {
    use base64::Engine as _;
    let text = fs::read_to_string(path).unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
    pin_of_certificate(&der).unwrap()
}

#[test]
fn init_prints_an_address_with_the_pins_of_its_certificates() {
    let server = Server::new();
    let address = Address::parse(server.init.stdout.trim_end()).unwrap();
    assert_eq!(address.host_port(), "localhost:9901");
    let pins =
        ["server", "backup"].map(|name| pin_of(&server.path(&format!("srv/certs/{name}.crt"))));
    assert_eq!(address.pins, pins);
    assert!(server.init.stderr.contains("srv/certs/backup.key"), "{:?}", server.init);
    assert_eq!(server.run(&["address"]).succeeds().stdout, server.init.stdout);
    let with_user = server.run(&["address", "--user", "bob"]).succeeds();
    assert!(with_user.stdout.starts_with("sealane://bob@localhost:9901/?pin="), "{with_user:?}");
    // The backup pair may leave the machine: its pin stays in the configuration.
    fs::remove_file(server.path("srv/certs/backup.key")).unwrap();
    fs::remove_file(server.path("srv/certs/backup.crt")).unwrap();
    assert_eq!(server.run(&["address"]).succeeds().stdout, server.init.stdout);
    let shown = server.run(&["cert", "show"]).succeeds();
    for pin in pins {
        assert!(shown.stdout.contains(&pin.to_string()), "{shown:?}");
        assert!(shown.stdout.contains(&pin.to_address_form()), "{shown:?}");
    }
}

#[test]
fn init_never_touches_what_is_there() {
    let server = Server::new();
    let before = fs::read(server.path("srv/certs/server.key")).unwrap();
    let again = run_in(server.directory.path(), &["init", "srv", "--json"], "");
    let again = again.fails(1, "error: 'srv/config.toml' exists already\nhint: nothing is ever");
    assert_eq!(
        (again.last()["type"].as_str(), again.last()["exit"].as_i64()),
        (Some("error"), Some(1))
    );
    assert_eq!(fs::read(server.path("srv/certs/server.key")).unwrap(), before);
    for file in ["server.key", "backup.key"] {
        let path = server.path("srv/certs").join(file);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    }
    run_in(server.directory.path(), &["cert", "generate", "srv/certs"], "")
        .fails(1, "exists already");
    let made = run_in(server.directory.path(), &["cert", "generate", "new"], "").succeeds();
    assert!(made.stdout.contains(&pin_of(&server.path("new/server.crt")).to_string()), "{made:?}");
}

#[test]
fn the_address_follows_listen_and_public_address() {
    let server = Server::new();
    let listen = "listen = \"127.0.0.1:9901\"";
    server.configure(listen, "listen = \"192.0.2.1:7\"");
    assert!(server.run(&["address"]).succeeds().stdout.starts_with("sealane://192.0.2.1:7/?pin="));
    server.configure("192.0.2.1:7", "127.0.0.1:0");
    let unknown = server.run(&["address"]).succeeds();
    assert!(unknown.stdout.starts_with("sealane://localhost:0/?pin="), "{unknown:?}");
    assert!(unknown.stderr.contains("port 0 stands for"), "{unknown:?}");
    server.configure(
        "# public_address = \"files.example.com:9901\"",
        "public_address = \"f.example:8\"",
    );
    let public = server.run(&["--json", "address"]).succeeds().last();
    assert_eq!((public["host"].as_str(), public["port"].as_u64()), (Some("f.example"), Some(8)));
    let init = ["init", "other", "--listen", "192.0.2.1:44"];
    let other = run_in(server.directory.path(), &init, "").succeeds();
    assert!(other.stdout.starts_with("sealane://192.0.2.1:44/?pin="), "{other:?}");
    let config = fs::read_to_string(server.path("other/config.toml")).unwrap();
    assert!(config.contains("\nlisten = \"192.0.2.1:44\"\n"));
    run_in(server.directory.path(), &["init", "x", "--listen", "here"], "").fails(2, "'here'");
    assert!(!server.path("x").exists());
}

#[test]
fn an_account_lives_and_dies() {
    let server = Server::new();
    let add = ["account", "add", "bob", "--password-file", "pw", "--quota", "10M"];
    let added = server.run(&add).succeeds();
    assert_eq!(added.stdout, "bob: added; 10.0 MiB in 'srv/data/homes/bob'\n");
    assert_eq!(added.stderr, "");
    assert!(server.record("bob").contains("\"password\":\"$argon2id$v=19$m=8,t=1,p=1$"));
    server
        .run(&add)
        .fails(1, "error: the account 'bob' exists already\nhint: `sealane-admin --config 'srv/config.toml' account");
    let old = server.record("bob");
    server
        .run_with(&["account", "passwd", "bob", "--password-file", "-"], "new\nnot this\n")
        .succeeds();
    assert_ne!(server.record("bob"), old);
    server.run(&["account", "quota", "bob", "2K"]).succeeds();
    server.run(&["account", "disable", "bob"]).succeeds();
    let shown = server.run(&["account", "show", "bob"]).succeeds();
    assert_eq!(
        shown.stdout,
        "name      bob\npassword  argon2id\nquota     2.0 KiB (2048 bytes)\n\
         home      srv/data/homes/bob\nremark    disabled\n"
    );
    server.run(&["account", "enable", "bob"]).succeeds();
    fs::create_dir_all(server.path("srv/data/homes/bob")).unwrap();
    let removed = server.run(&["account", "remove", "bob"]).succeeds();
    assert_eq!(removed.stdout, "bob: removed; its files stay in 'srv/data/homes/bob'\n");
    assert!(server.path("srv/data/homes/bob").is_dir());
    for verb in ["show", "disable", "enable", "remove"] {
        server.run(&["account", verb, "bob"]).fails(3, "error: there is no account 'bob'\nhint: ");
    }
    server.run(&["account", "quota", "bob", "1"]).fails(3, "there is no account");
    server.run(&["account", "passwd", "bob", "--password-file", "pw"]).fails(3, "no account");
}

#[test]
fn a_new_account_is_not_handed_the_files_of_another_silently() {
    let server = Server::new();
    let add = |more: &[&str]| {
        server.run(&[&["account", "add"], more, &["--password-file", "pw"]].concat())
    };
    add(&["ann"]).succeeds();
    for home in ["homes/ann", "homes/ann/inside"] {
        add(&["bob", "--home", home]).fails(1, "overlaps that of ann");
    }
    let home = server.path("srv/data/homes/ann");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("letter"), "private").unwrap();
    server.run(&["account", "remove", "ann"]).succeeds();
    add(&["ann"]).fails(1, "has files in it");
    add(&["carl", "--home", "homes/ann"]).fails(1, "hint: --adopt hands them over");
    add(&["ann", "--adopt"]).succeeds();
    add(&["ann"]).fails(1, "exists already");
}

#[test]
fn a_new_password_names_the_keys_that_still_log_in_and_drops_them_if_told() {
    let server = Server::new();
    server.run(&["account", "add", "ann", "--password-file", "pw"]).succeeds();
    let pin = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    server.run(&["account", "key", "add", "ann", pin, "--comment", "laptop"]).succeeds();
    let passwd = ["account", "passwd", "ann", "--password-file", "pw"];
    let told = server.run(&passwd).succeeds().stderr;
    assert!(
        told.contains(pin) && told.contains("laptop") && told.contains("--drop-keys"),
        "{told}"
    );
    server.run(&[&passwd[..], &["--drop-keys"]].concat()).succeeds();
    assert!(!server.run(&passwd).succeeds().stderr.contains(pin));
}

#[test]
fn what_cannot_be_an_account_is_refused() {
    let server = Server::new();
    let add = |more: &[&str]| server.run(&[&["account", "add"], more].concat());
    add(&["bob", "--password-file", "pw", "--quota", "0"]).fails(2, "hint: zero is not unlimited");
    add(&["bob", "--password-file", "pw", "--quota", "x"]).fails(2, "'x' is not a size");
    add(&["bob", "--password-file", "pw", "--home", "../etc"]).fails(2, "cannot be used");
    add(&["../bob", "--password-file", "pw"]).fails(2, "an account name has");
    add(&["bob"]).fails(2, "no terminal to ask");
    add(&["bob", "--password-file", "none"]).fails(3, "cannot read 'none'");
    add(&["bob", "--password-file", "-"]).fails(2, "the first line of stdin is empty");
    add(&["bob", "--password", PASSWORD]).fails(2, "unexpected argument");
    server.write("long", &"x".repeat(1025));
    add(&["bob", "--password-file", "long"]).fails(2, "longer than 1024 bytes");
    let long = "x".repeat(1025);
    let from_stdin = ["account", "add", "bob", "--password-file", "-"];
    server.run_with(&from_stdin, &long).fails(2, "longer than 1024 bytes");
    assert_eq!(server.run(&["account", "list"]).succeeds().stdout.lines().count(), 1);
    server.set_mode("pw", 0o644);
    let open = add(&["bob", "--password-file", "pw"]).succeeds();
    assert!(open.stderr.contains("note: others can read the password in 'pw': chmod 600"));
}

#[test]
fn every_record_is_listed_and_json_is_json() {
    let server = Server::new();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("accounts/samples/ahpu.db");
    fs::copy(sample, server.path("srv/accounts/ahpu.db")).unwrap();
    server.write("srv/accounts/bad.db", "{");
    server.run(&["account", "add", "bob", "--password-file", "pw"]).succeeds();
    let list = server.run(&["account", "list"]).succeeds().stdout;
    let lines: Vec<_> = list.lines().collect();
    assert_eq!(lines[1].split("  ").next(), Some("ahpu"));
    assert!(lines[1].contains("md5") && lines[1].contains("its password is published"), "{list}");
    assert!(lines[2].starts_with("bad   unusable") && lines[2].contains("bad.db"), "{list}");
    assert_eq!(lines[3], "bob   argon2id  10.0 GiB  homes/bob");
    for command in ["list", "show"] {
        let run = server.run(&["account", command, "--json"]).succeeds();
        let objects = run.objects();
        let field = |key: &str| objects.iter().map(|one| one[key].clone()).collect::<Vec<_>>();
        assert_eq!(field("type"), ["account", "account", "account", "result"]);
        assert_eq!(field("name")[..3], ["ahpu", "bad", "bob"]);
        assert_eq!(objects[0]["quota"], 10_240_000);
        assert_eq!(objects[0]["home"], "srv/data/homes/ahpu");
        assert_eq!((&objects[0]["sample"], &objects[2]["sample"]), (&true.into(), &false.into()));
        assert_eq!(objects[1]["problems"].as_array().unwrap().len(), 1);
        assert_eq!(objects[3]["accounts"], 3);
    }
    let error = server.run(&["account", "show", "nobody", "--json"]).fails(3, "no account").last();
    assert_eq!((&error["type"], &error["exit"]), (&"error".into(), &3.into()));
    let made = server.run(&["--json", "cert", "show"]).succeeds().last();
    assert_eq!(made["type"], "result");
    let removed = server.run(&["--json", "account", "remove", "bad"]).succeeds().last();
    assert_eq!((&removed["type"], &removed["files"]), (&"result".into(), &Value::Null));
}

#[test]
fn a_configuration_that_is_wrong_is_refused_with_the_place() {
    for (old, new, expected) in [
        (
            "idle_seconds",
            "idel_seconds",
            "limits.idel_seconds: there is no key 'idel_seconds' here, expected one of: ",
        ),
        ("idle_seconds", "idel_seconds", "\nhint: did you mean 'idle_seconds'?\n"),
        ("connections = 256", "connections = 0", "limits.connections: invalid value"),
        ("127.0.0.1:9901", "127.0.0.1", "listen: invalid value: string \"127.0.0.1\""),
        ("certs/server.key", "", "tls.key: invalid value"),
        ("to = \"homes\"", "to = \"/homes\"", "home_map: home_map to = '/homes' is not"),
    ] {
        let server = Server::new();
        server.configure(old, new);
        for command in [&["address"][..], &["account", "list"], &["cert", "show"]] {
            let run = server.run(command).fails(2, expected);
            assert!(run.stderr.starts_with("error: 'srv/config.toml', line "), "{run:?}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    run_in(dir.path(), &["address"], "").fails(2, "cannot read './config.toml'");
    run_in(dir.path(), &["frobnicate"], "").fails(2, "Usage:");
    run_in(dir.path(), &["--help"], "").succeeds();
}

#[test]
fn missing_and_open_keys_are_named() {
    let server = Server::new();
    let show = ["cert", "show"];
    server.set_mode("srv/certs/server.key", 0o640);
    let open =
        server.run(&show).fails(1, "its mode 0640 lets others read or write it\nhint: chmod 600");
    assert!(open.stdout.contains("sha256//"), "{open:?}");
    let mut objects = server.run(&["cert", "show", "--json"]).fails(1, "0640").objects();
    objects.retain(|object| object["type"] != "note");
    assert_eq!(
        (&objects[0]["type"], &objects[1]["type"]),
        (&"certificates".into(), &"error".into())
    );
    fs::rename(server.path("srv/certs/backup.key"), server.path("srv/certs/server.key")).unwrap();
    server.run(&show).fails(1, "do not belong together");
    fs::remove_file(server.path("srv/certs/server.key")).unwrap();
    server.run(&show).fails(3, "cannot read 'srv/certs/server.key'");
    server.run(&["address"]).succeeds();
    fs::remove_file(server.path("srv/certs/server.crt")).unwrap();
    server.run(&["address"]).fails(
        3,
        "hint: `sealane-admin --config 'srv/config.toml' cert generate DIR` makes the keys",
    );
    fs::remove_dir_all(server.path("srv/accounts")).unwrap();
    server.run(&["account", "list"]).fails(3, "hint: there must be a directory 'srv/accounts'");
}

#[test]
fn the_sample_is_the_record_of_the_tutorials() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sample = fs::read_to_string(root.join("accounts/samples/ahpu.db")).unwrap();
    assert_eq!(
        sample.trim_end(),
        r#"{"username": "ahpu", "password": "96e79218965eb72c92a549dd5a330112", "limitsize": 10240000, "homepath": "D:\\FTP\\home\\ahpu"}"#
    );
}
