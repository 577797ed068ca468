//! The only room that prints.
//!
//! Results go to stdout, everything else to stderr. Text that came from a peer or a file name is
//! made printable here, whoever passes it. A reader that went away (`| head`) is not an error.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use serde::Serialize;

use super::failure::Failure;
use sealane_base::types::text::printable;

/// Longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 1024;

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
            write_line(io::stdout().lock(), &printable(text));
        }
    }

    /// An object of the result, on stdout; only with `--json`.
    pub fn object(&self, value: &impl Serialize) {
        if self.json
            && let Ok(text) = serde_json::to_string(value)
        {
            write_line(io::stdout().lock(), &text);
        }
    }

    /// A remark on stderr, with `--json` also an object on stdout; not with `--quiet`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            write_line(io::stderr().lock(), &format!("note: {}", printable(text)));
            self.object(&serde_json::json!({ "type": "note", "text": text }));
        }
    }

    /// A remark on stderr, with `--verbose` only.
    pub fn detail(&self, text: &str) {
        if self.verbose {
            self.note(text);
        }
    }

    /// A line on stderr as it is, without a prefix: what a program says when it is ready.
    pub fn status(&self, text: &str) {
        write_line(io::stderr().lock(), &printable(text));
    }

    /// An error on stderr, with its hint; with `--json` also an object on stdout.
    pub fn failure(&self, failure: &Failure) {
        let mut stderr = io::stderr().lock();
        write_line(&mut stderr, &format!("error: {}", printable(&failure.message)));
        if let Some(hint) = &failure.hint {
            write_line(&mut stderr, &format!("hint: {}", printable(hint)));
        }
        drop(stderr);
        self.object(&serde_json::json!({
            "type": "error",
            "error": failure.message,
            "hint": failure.hint,
            "exit": failure.exit as u8,
        }));
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

    /// True if progress may be drawn: stderr is a terminal and nobody asked for quiet.
    #[must_use]
    pub fn draws(&self) -> bool {
        !self.quiet && !self.json && io::stderr().is_terminal()
    }
}

fn write_line(mut stream: impl Write, text: &str) {
    // A closed pipe means that nobody reads on.
    let _ = writeln!(stream, "{text}");
    let _ = stream.flush();
}
