//! The only room that prints.
//!
//! Results go to stdout, everything else to stderr. Text that came from a peer or a file name is
//! made printable here, whoever passes it. A result that could not be written is remembered, and
//! [`Ui::end`] makes an error of it; a reader that went away (`| head`) is none.

use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::sync::OnceLock;

use clap::error::ErrorKind;
use clap::{ArgMatches, Parser};
use serde::Serialize;

use super::failure::{Exit, Failure};
use sealane_base::types::text::{json_printable, printable};

/// Longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 1024;

/// Why stdout could not be written to, the first time.
static BROKEN: OnceLock<io::Error> = OnceLock::new();

/// Where a program's words go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ui {
    /// One JSON object a line on stdout instead of text.
    pub json: bool,
    /// No notes and no progress.
    pub quiet: bool,
    /// More notes.
    pub verbose: bool,
}

impl Ui {
    /// A line of the result, on stdout; not with `--json`.
    pub fn line(&self, text: &str) {
        if !self.json {
            remember(write_line(io::stdout().lock(), &printable(text)));
        }
    }

    /// An object of the result, on stdout; only with `--json`.
    pub fn object(&self, value: &impl Serialize) {
        if self.json {
            let text = in_json(value);
            remember(text.and_then(|text| write_line(io::stdout().lock(), &text)));
        }
    }

    /// What exists nowhere else: `text`, or with `--json` the object, on stdout. It has left the
    /// program on return.
    ///
    /// # Errors
    /// It could not be written, to whomever; or stdout is the null device, which keeps nothing.
    pub fn only_copy(&self, text: &str, value: &impl Serialize) -> Result<(), Failure> {
        let text = if self.json { in_json(value) } else { Ok(printable(text)) };
        let written = match text {
            Ok(_) if is_null_device() => Err(io::Error::other("it is /dev/null, or closed")),
            text => text.and_then(|text| write_line(io::stdout().lock(), &text)),
        };
        written.map_err(|error| unwritten(&error))
    }

    /// A remark on stderr, with `--json` also an object on stdout; not with `--quiet`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            let _ = write_line(io::stderr().lock(), &format!("note: {}", printable(text)));
            self.object(&serde_json::json!({ "type": "note", "text": text }));
        }
    }

    /// A remark on stderr, with `--verbose` only.
    pub fn detail(&self, text: &str) {
        if self.verbose {
            self.note(text);
        }
    }

    /// A line on stderr as it is, without a prefix: a sum, for people.
    pub fn status(&self, text: &str) {
        let _ = write_line(io::stderr().lock(), &printable(text));
    }

    /// An error on stderr, with its hint; with `--json` also an object on stdout.
    pub fn failure(&self, failure: &Failure) {
        let mut stderr = io::stderr().lock();
        for line in failure.lines() {
            let _ = write_line(&mut stderr, &printable(&line));
        }
        drop(stderr);
        self.object(&error_object(failure));
    }

    /// How the program ends whose work ended with `result`, which is told unless it was. Results
    /// that nobody has got are no success.
    #[must_use]
    pub fn end(&self, result: Result<(), Failure>) -> Exit {
        let exit = match result {
            Ok(()) => Exit::Success,
            Err(failure) => {
                if !failure.is_told() {
                    self.failure(&failure);
                }
                failure.exit
            }
        };
        match BROKEN.get() {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                self.failure(&unwritten(error));
                if exit == Exit::Success { Exit::Other } else { exit }
            }
            _ => exit,
        }
    }

    /// True if a person can be asked: stdin and stderr are terminals.
    #[must_use]
    pub fn can_ask(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks on stderr and reads a line from stdin, without its end. Blocks.
    ///
    /// # Errors
    /// That of reading.
    pub fn ask(&self, question: &str) -> io::Result<String> {
        let mut stderr = io::stderr().lock();
        let _ = write!(stderr, "{} ", printable(question));
        let _ = stderr.flush();
        drop(stderr);
        let mut line = String::new();
        io::stdin().lock().take(MAX_ANSWER).read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// Columns of the terminal that stderr is; 80 if it is none or does not say.
    #[must_use]
    pub fn columns() -> u16 {
        let size = rustix::termios::tcgetwinsize(io::stderr());
        size.map_or(80, |size| if size.ws_col == 0 { 80 } else { size.ws_col })
    }

    /// True if progress may be drawn: stderr is a terminal and nobody asked for quiet.
    #[must_use]
    pub fn draws(&self) -> bool {
        !self.quiet && !self.json && io::stderr().is_terminal()
    }
}

/// The command line as `P`, and as it was typed. Help and the version are printed here, and so is
/// what is wrong with it: with `--json` in it as an object, too.
///
/// # Errors
/// How the program ends, with everything said.
pub fn parse<P: Parser>(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<(P, ArgMatches), Exit> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let matches = P::command().try_get_matches_from(&arguments);
    let parsed = matches.and_then(|matches| Ok((P::from_arg_matches(&matches)?, matches)));
    let error = match parsed {
        Ok(parsed) => return Ok(parsed),
        Err(error) => error,
    };
    let mut before = arguments.iter().take_while(|argument| *argument != "--");
    let json = before.any(|argument| argument == "--json");
    let ui = Ui { json, ..Ui::default() };
    let is_asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if is_asked {
        remember(flushed(io::stdout().lock(), &error));
        return Err(ui.end(Ok(())));
    }
    let _ = error.print();
    let failure = Failure::new(Exit::Usage, complaint(&error));
    ui.object(&error_object(&failure));
    Err(ui.end(Err(Failure::told(Exit::Usage))))
}

/// What is wrong with a command line, in one line.
fn complaint(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "a command is missing; --help lists them".to_owned();
    }
    let text = error.render().to_string();
    let is_advice = |line: &&str| !line.starts_with("Usage:") && !line.starts_with("For more info");
    let lines = text.lines().map(str::trim).take_while(is_advice).filter(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

/// As one line, in which no character does anything to a terminal.
fn in_json(value: &impl Serialize) -> io::Result<String> {
    let text = serde_json::to_string(value).map_err(io::Error::other)?;
    Ok(json_printable(&text))
}

fn error_object(failure: &Failure) -> serde_json::Value {
    serde_json::json!({
        "type": "error",
        "error": failure.message,
        "hint": failure.hint,
        "exit": failure.exit as u8,
        "code": failure.code,
    })
}

fn flushed(mut stream: impl Write, text: &clap::Error) -> io::Result<()> {
    // Through clap where there are colours to be shown.
    if io::stdout().is_terminal() {
        return text.print();
    }
    write!(stream, "{}", text.render())?;
    stream.flush()
}

fn write_line(mut stream: impl Write, text: &str) -> io::Result<()> {
    writeln!(stream, "{text}")?;
    stream.flush()
}

fn remember(written: io::Result<()>) {
    if let Err(error) = written {
        let _ = BROKEN.set(error);
    }
}

fn unwritten(error: &io::Error) -> Failure {
    Failure::new(Exit::Other, format!("cannot write to standard output: {error}"))
}

/// What is written there is lost; so it is if stdout was closed, for then that is opened in its
/// place.
fn is_null_device() -> bool {
    let (Ok(stdout), Ok(null)) = (rustix::fs::fstat(io::stdout()), rustix::fs::stat("/dev/null"))
    else {
        return false;
    };
    let is_device = rustix::fs::FileType::from_raw_mode(stdout.st_mode).is_char_device();
    is_device && stdout.st_rdev == null.st_rdev
}
