//! Somebody with a configuration directory of their own, who runs `sealane`, at a terminal or not.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tempfile::TempDir;

use super::site::client;

/// A person, or a script.
pub struct Person {
    pub directory: TempDir,
}

/// What a run at a terminal left on the screen.
pub struct Screen {
    pub code: Option<i32>,
    pub text: String,
}

impl Person {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub fn command<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Command {
        let mut command = client(arguments);
        command.env("XDG_CONFIG_HOME", self.directory.path());
        command.env("XDG_CACHE_HOME", self.directory.path().join("cache"));
        command
    }

    /// Runs without a terminal.
    pub fn run<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs at a terminal and types `answer` to the first question; `{key}` in it stands for the
    /// first characters of the key that is shown.
    pub fn at_terminal<I: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = I>,
        answer: &str,
    ) -> Screen {
        self.types(self.command(arguments), "to abort:", |text| {
            let key = text.split("sha256//").nth(1).unwrap()[..8].to_owned();
            answer.replace("{key}", &key)
        })
    }

    /// Runs `command` at a terminal of 80 columns and types an answer whenever the screen ends with
    /// `question` and maybe more on that line.
    pub fn types(
        &self,
        mut command: Command,
        question: &str,
        answer: impl Fn(&str) -> String,
    ) -> Screen {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let open = || Stdio::from(rustix::fs::open(&name, flags, Mode::empty()).unwrap());
        let mut child = command.stdin(open()).stdout(open()).stderr(open()).spawn().unwrap();
        drop(command); // its ends of the terminal
        let mut terminal = File::from(master);
        let (mut text, mut buffer, mut answered) = (String::new(), [0; 4096], 0);
        // Reading fails once the last program at the terminal has ended.
        while let Ok(count @ 1..) = terminal.read(&mut buffer) {
            text.push_str(&String::from_utf8_lossy(&buffer[..count]));
            let asked = text.matches(question).count();
            if asked > answered {
                terminal.write_all(answer(&text).as_bytes()).unwrap();
                terminal.write_all(b"\n").unwrap();
                answered = asked;
            }
        }
        Screen { code: child.wait().unwrap().code(), text }
    }

    /// The file of known servers.
    pub fn known(&self) -> PathBuf {
        self.directory.path().join("sealane/known_servers.json")
    }
}
