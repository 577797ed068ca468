//! One server's directory, as `sealane-admin init` makes it, and processes started on it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The password of every account that [`Site::account`] makes.
pub const PASSWORD: &str = "correct horse";

/// A directory with configuration, keys, accounts and data.
pub struct Site {
    pub directory: TempDir,
    pub pins: String,
}

impl Site {
    /// A fresh site whose argon2 is cheap, so that many logins cost little.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("site");
        let made = admin().arg("init").arg(&root).args(["--listen", "127.0.0.1:0"]).output();
        let made = super::ok(made.unwrap());
        let address = super::stdout(&made);
        let pins = address.split_once('?').expect("init prints the address").1;
        let pins = pins.split_whitespace().next().unwrap().to_owned();
        let site = Self { directory, pins };
        let config = site.config();
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, cheap_argon2(&text)).unwrap();
        site
    }

    pub fn root(&self) -> PathBuf {
        self.directory.path().join("site")
    }

    pub fn config(&self) -> PathBuf {
        self.root().join("config.toml")
    }

    /// Changes keys of the configuration, each of which must be in it: `("idle_seconds", "3")`.
    pub fn configure(&self, keys: &[(&str, &str)]) {
        let mut text = std::fs::read_to_string(self.config()).unwrap();
        for (key, value) in keys {
            let is_it = |line: &&str| line.starts_with(&format!("{key} = "));
            let line = text.lines().find(is_it).unwrap_or_else(|| panic!("{key}")).to_owned();
            text = text.replacen(&line, &format!("{key} = {value}"), 1);
        }
        std::fs::write(self.config(), text).unwrap();
    }

    /// Adds to the configuration what it does not have yet.
    pub fn append(&self, text: &str) {
        let config = self.config();
        let whole = std::fs::read_to_string(&config).unwrap();
        // A table may stand in a file once.
        let table = text.lines().next().unwrap();
        assert!(table.starts_with('['));
        let whole = match whole.split_once(&format!("\n{table}\n")) {
            Some((before, after)) => format!("{before}\n{text}{after}"),
            None => whole + text,
        };
        std::fs::write(config, whole).unwrap();
    }

    /// The place of a file in an account's home.
    pub fn home(&self, name: &str) -> PathBuf {
        self.root().join("data/homes").join(name)
    }

    /// The directory of an account's partials.
    pub fn partials(&self, name: &str) -> PathBuf {
        self.root().join("data/partials").join(name)
    }

    /// A directory for the client's files.
    pub fn local(&self) -> PathBuf {
        let local = self.directory.path().join("local");
        std::fs::create_dir_all(&local).unwrap();
        local
    }

    /// Writes a file for the client.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.local().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Makes an account with [`PASSWORD`].
    pub fn account(&self, name: &str, quota: &str) {
        let password = self.directory.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        let output = admin()
            .arg("--config")
            .arg(self.config())
            .args(["account", "add", name, "--quota", quota, "--password-file"])
            .arg(&password)
            .output();
        super::ok(output.unwrap());
    }

    /// Runs `sealane-admin` on this site.
    pub fn admin<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Output {
        admin().arg("--config").arg(self.config()).args(arguments).output().unwrap()
    }

    pub fn start(&self) -> Server {
        let server = self.start_by(Command::new(env!("CARGO_BIN_EXE_sealaned")));
        server.unwrap_or_else(|log| panic!("no server: {log}"))
    }

    /// Starts `sealaned` by a command that ends with its name, or gives what it said instead of
    /// serving.
    pub fn start_by(&self, mut command: Command) -> Result<Server, String> {
        command.arg("--config").arg(self.config());
        Server::start(command)
    }

    /// The pin of the key in use.
    pub fn pin(&self) -> &str {
        self.pins.split('&').next().unwrap().trim_start_matches("pin=")
    }

    /// The address of `path` for `user`, with pins.
    pub fn address(&self, server: &Server, user: &str, path: &str) -> String {
        format!("sealane://{user}@{}/{path}?{}", server.address, self.pins)
    }
}

fn cheap_argon2(config: &str) -> String {
    let lines = config.lines().map(|line| {
        let key = line.trim_start_matches(['#', ' ']).split(['=', ' ']).next().unwrap_or("");
        match key {
            "argon2_memory_kib" => "argon2_memory_kib = 64",
            "argon2_iterations" => "argon2_iterations = 1",
            _ => line,
        }
        .to_owned()
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

fn admin() -> Command {
    Command::new(env!("CARGO_BIN_EXE_sealane-admin"))
}

/// A running `sealaned`; killed when dropped.
pub struct Server {
    pub child: Child,
    pub address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Server {
    fn start(mut command: Command) -> Result<Self, String> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Self::run(command)
    }

    /// Runs a command that is to become a server, whose stderr is a pipe.
    pub fn run(mut command: Command) -> Result<Self, String> {
        let mut child = command.spawn().unwrap();
        // Its ends of what was passed.
        drop(command);
        let log = Arc::new(Mutex::new(String::new()));
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut address = None;
        for line in lines.by_ref() {
            let line = line.unwrap();
            *log.lock().unwrap() += &format!("{line}\n");
            if let Some(text) = line.strip_prefix("listening on ") {
                address = Some(text.parse().unwrap());
                break;
            }
        }
        let Some(address) = address else {
            let _ = child.kill();
            let _ = child.wait();
            return Err(log.lock().unwrap().clone());
        };
        let keep = log.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *keep.lock().unwrap() += &format!("{line}\n");
            }
        });
        Ok(Self { child, address, log })
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Ends the process at once, as a power cut of the program would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `sealane` with the password every account has.
pub fn client<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealane"));
    command.args(arguments).env("SEALANE_PASSWORD", PASSWORD).stdin(Stdio::null());
    // What the person who runs the tests knows of servers is not looked at.
    command.env("XDG_CONFIG_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/nobody"));
    command.env("XDG_CACHE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/nobody"));
    command
}

/// As [`client`], for one that is run as another user: what other tests have left in the home of
/// all is not theirs.
pub fn client_of_another<I: AsRef<OsStr>>(
    home: &std::path::Path,
    arguments: impl IntoIterator<Item = I>,
) -> Command {
    let mut command = client(arguments);
    command.env("XDG_CONFIG_HOME", home).env("XDG_CACHE_HOME", home);
    command
}

/// Runs `sealane` to its end.
pub fn sealane<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Output {
    client(arguments).output().unwrap()
}

/// Asks `probe` until it says yes; for states of other processes that nobody announces.
pub fn until(what: &str, mut probe: impl FnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(60);
    while !probe() {
        assert!(Instant::now() < give_up, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

/// Runs a program that is expected to end, and fails if it does not.
pub fn ended(command: &mut Command) -> Output {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let give_up = Instant::now() + Duration::from_secs(30);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > give_up {
            child.kill().unwrap();
            let said = crate::support::stderr(&child.wait_with_output().unwrap());
            panic!("it goes on: {said}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}
