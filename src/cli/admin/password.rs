//! Where a new password comes from: a prompt, a file, or stdin.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use crate::cli::{Exit, Failure, Ui};
use sealane_base::fsio::{self, FsErrorKind};
use sealane_base::types::text::printable;
use sealane_base::types::{Secret, Username};
use sealane_core::accounts::MAX_PASSWORD;

/// Largest password file in bytes; only its first line counts.
const MAX_FILE: u64 = 64 * 1024;

/// The new password of `name`: the first line of `file` (of stdin for `-`), else typed twice.
pub(super) fn new_password(
    ui: Ui,
    file: Option<&Path>,
    name: &Username,
) -> Result<Secret, Failure> {
    match file {
        Some(path) if path == Path::new("-") => from_stdin(),
        Some(path) => from_file(ui, path),
        None if io::stdin().is_terminal() => typed_twice(name),
        None => Err(Failure::new(Exit::Usage, "there is no terminal to ask for the password")
            .hint("--password-file FILE takes it from a file, --password-file - from stdin")),
    }
}

/// A new random password, easy to read aloud: no two of its characters look alike.
pub(super) fn generated() -> Result<Secret, Failure> {
    const CHARACTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    const LENGTH: usize = 20;
    let mut random = Zeroizing::new([0; LENGTH]);
    getrandom::fill(random.as_mut()).map_err(|error| {
        Failure::new(Exit::Other, format!("the system gives no randomness: {error}"))
    })?;
    // 32 characters: each byte chooses all of them equally often.
    let pick = |byte: &u8| CHARACTERS.get(usize::from(byte % 32)).map(|byte| char::from(*byte));
    Ok(Secret::new(random.iter().filter_map(pick).collect()))
}

fn from_file(ui: Ui, path: &Path) -> Result<Secret, Failure> {
    let bytes = fsio::read_bounded(path, MAX_FILE).map_err(|error| {
        let exit = if error.is_not_found() { Exit::NotFound } else { Exit::Other };
        let failure = Failure::new(exit, error.to_string());
        match error.kind {
            FsErrorKind::NotRegular => failure.hint("--password-file - reads from a pipe"),
            _ => failure,
        }
    })?;
    let bytes = Zeroizing::new(bytes);
    let name = printable(&path.to_string_lossy());
    if path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o044 != 0) {
        ui.note(&format!("others can read the password in '{name}': chmod 600 '{name}'"));
    }
    first_line(&bytes, &format!("'{name}'"))
}

fn from_stdin() -> Result<Secret, Failure> {
    // Enough to tell a password that is too long from one that is not.
    let limit = MAX_PASSWORD as u64 + 3;
    let mut bytes = Zeroizing::new(Vec::new());
    io::stdin()
        .lock()
        .take(limit)
        .read_until(b'\n', &mut bytes)
        .map_err(|error| Failure::new(Exit::Other, format!("cannot read stdin: {error}")))?;
    first_line(&bytes, "stdin")
}

fn typed_twice(name: &Username) -> Result<Secret, Failure> {
    let ask = |prompt: String| {
        rpassword::prompt_password(prompt).map(Secret::new).map_err(|error| {
            Failure::new(Exit::Other, format!("cannot ask for the password: {error}"))
        })
    };
    let first = ask(format!("New password for {name}: "))?;
    if first == ask(format!("Again, for {name}: "))? {
        Ok(first)
    } else {
        Err(Failure::new(Exit::Usage, "the two passwords are not the same"))
    }
}

/// The first line without its end. Nothing else is trimmed: spaces are part of a password.
fn first_line(bytes: &[u8], source: &str) -> Result<Secret, Failure> {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match str::from_utf8(line) {
        Ok("") => Err(Failure::new(Exit::Usage, format!("the first line of {source} is empty"))),
        Ok(text) => Ok(Secret::new(text.to_owned())),
        Err(_) => Err(Failure::new(Exit::Usage, format!("the password in {source} is not UTF-8"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_counts_and_only_its_end_goes() {
        for (bytes, password) in [
            (&b"pw"[..], "pw"),
            (b"pw\n", "pw"),
            (b"pw\r\n", "pw"),
            (b"pw\nsecond\n", "pw"),
            (b" p w \n", " p w "),
            ("é\r\r\n".as_bytes(), "é\r"),
        ] {
            assert_eq!(first_line(bytes, "f").unwrap().expose(), password);
        }
        for bytes in [&b""[..], b"\n", b"\r\n", b"\nsecond", b"\xff"] {
            assert_eq!(first_line(bytes, "f").unwrap_err().exit, Exit::Usage, "{bytes:?}");
        }
    }
}
