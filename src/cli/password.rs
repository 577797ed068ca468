//! Where a password comes from: a file or a stream, the environment, or a prompt. Never from an
//! argument.

use std::io::{self, IsTerminal};
use std::path::Path;

use rpassword::ConfigBuilder;
use rustix::fs::{Mode, OFlags};

use super::{Exit, Failure};
use crate::config::environment;
use sealane_base::fsio::{self, FsErrorKind};
use sealane_base::types::text::printable;
use sealane_base::types::{Secret, Username};

/// Longest first line of a password file, in bytes: enough to tell a password that is too long from
/// one that is not.
const MAX_LINE: u64 = 4096;
/// The terminal of this session, whatever stdin is.
const TERMINAL: &str = "/dev/tty";

/// Who may be able to read a password file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// Its owner alone, as with a private key.
    Owner,
    /// Anybody: what is said of it is said elsewhere.
    Any,
}

/// The password of `user` at `server`: from `file`, else from `SEALANE_PASSWORD`, else typed.
pub(super) fn of_user(
    file: Option<&Path>,
    user: &Username,
    server: &str,
) -> Result<Secret, Failure> {
    if let Some(password) = given(file)? {
        return Ok(password);
    }
    if !can_be_asked() {
        return Err(Failure::new(Exit::Login, format!("no password for {user} at {server}"))
            .hint("use --password-file, or SEALANE_PASSWORD"));
    }
    ask(&format!("password of {user} at {server}: "))
        .map_err(|error| Failure::new(Exit::Login, format!("no password was typed: {error}")))
}

/// The password in `file`, else that in `SEALANE_PASSWORD`.
pub(super) fn given(file: Option<&Path>) -> Result<Option<Secret>, Failure> {
    match file {
        Some(path) => from_file(path, Readers::Owner).map(Some),
        None => {
            environment::password().map_err(|error| Failure::new(Exit::Usage, error.to_string()))
        }
    }
}

/// True if [`given`] has one to give, or an error. A pipe can be read once only, so nothing is read
/// here.
pub(super) fn is_given(file: Option<&Path>) -> bool {
    file.is_some() || !matches!(environment::password(), Ok(None))
}

/// True if there is somebody who can type one: at the terminal, also while stdin is something else.
pub(super) fn can_be_asked() -> bool {
    has_terminal() || io::stdin().is_terminal()
}

fn has_terminal() -> bool {
    // It is there for everybody, and opens for those who have one.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(TERMINAL, flags, Mode::empty()).is_ok()
}

/// Asks for a password at the terminal, which does not show it. Blocks.
pub(super) fn ask(question: &str) -> io::Result<Secret> {
    let config = if has_terminal() {
        ConfigBuilder::new().build()
    } else {
        // A terminal that is not this session's.
        let config = ConfigBuilder::new().input_file_path("/dev/stdin");
        config.output_file_path("/dev/stderr").build()
    };
    rpassword::prompt_password_with_config(printable(question), config).map(Secret::new)
}

/// The first line of `path`, which may be a file, a pipe (`/dev/fd/3`, process substitution) or `-`
/// for stdin.
pub(super) fn from_file(path: &Path, readers: Readers) -> Result<Secret, Failure> {
    if path == Path::new("-") {
        let line = fsio::line_of(io::stdin(), MAX_LINE)
            .map_err(|error| Failure::new(Exit::Other, format!("cannot read stdin: {error}")))?;
        let too_long = || Failure::new(Exit::Usage, "the first line of stdin is too long");
        return first_line(&line.ok_or_else(too_long)?, "stdin");
    }
    let line = fsio::read_line(path, MAX_LINE, readers == Readers::Owner).map_err(|error| {
        let exit = if error.is_not_found() { Exit::NotFound } else { Exit::Usage };
        let failure = Failure::new(exit, error.to_string());
        match error.kind {
            FsErrorKind::NotRegular => failure.hint("the first line of a file or a pipe is taken"),
            _ => failure.maybe_hint(error.hint()),
        }
    })?;
    first_line(&line, &format!("'{}'", printable(&path.to_string_lossy())))
}

/// A line without its end, and without the mark that editors put before UTF-8. Nothing else is
/// trimmed: spaces are part of a password.
fn first_line(line: &[u8], source: &str) -> Result<Secret, Failure> {
    let wrong = |text: String| Err(Failure::new(Exit::Usage, text));
    if line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff") {
        return wrong(format!("{source} is UTF-16; save it as UTF-8"));
    }
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match str::from_utf8(line) {
        Ok("") => wrong(format!("the first line of {source} is empty")),
        Ok(text) => Ok(Secret::new(text.to_owned())),
        Err(_) => wrong(format!("the password in {source} is not UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_counts_and_only_its_end_and_its_mark_go() {
        for (bytes, password) in [
            (&b"pw"[..], "pw"),
            (b"pw\n", "pw"),
            (b"pw\r\n", "pw"),
            (b"pw\nsecond\n", "pw"),
            (b" p w \n", " p w "),
            (b"\xef\xbb\xbfpw\r\n", "pw"),
            ("é\r\r\n".as_bytes(), "é\r"),
        ] {
            assert_eq!(first_line(bytes, "f").unwrap().expose(), password);
        }
        let utf16 = b"\xff\xfep\0w\0\r\0\n\0";
        for bytes in [&b""[..], b"\n", b"\r\n", b"\nsecond", b"\xff", b"\xef\xbb\xbf\n", utf16] {
            assert_eq!(first_line(bytes, "f").unwrap_err().exit, Exit::Usage, "{bytes:?}");
        }
        assert!(first_line(utf16, "'f'").unwrap_err().message.contains("'f' is UTF-16"));
    }
}
