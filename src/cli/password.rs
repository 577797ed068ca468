//! Where a password comes from: a file, the environment, or a prompt. Never from an argument.

use std::io::IsTerminal;
use std::path::Path;

use super::{Exit, Failure};
use crate::config::environment;
use sealane_base::fsio;
use sealane_base::types::{Secret, Username};

/// Longest password file that is read.
const MAX_FILE: u64 = 4096;

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
    rpassword::prompt_password(format!("password of {user} at {server}: "))
        .map(Secret::new)
        .map_err(|error| Failure::new(Exit::Login, format!("no password was typed: {error}")))
}

/// The password in `file`, else that in `SEALANE_PASSWORD`.
pub(super) fn given(file: Option<&Path>) -> Result<Option<Secret>, Failure> {
    match file {
        Some(path) => from_file(path).map(Some),
        None => {
            environment::password().map_err(|error| Failure::new(Exit::Usage, error.to_string()))
        }
    }
}

/// True if there is somebody who can type one.
pub(super) fn can_be_asked() -> bool {
    std::io::stdin().is_terminal()
}

/// The first line of `path`, without its end.
pub(super) fn from_file(path: &Path) -> Result<Secret, Failure> {
    let bytes = fsio::read_bounded(path, MAX_FILE).map_err(|error| {
        let exit = if error.is_not_found() { Exit::NotFound } else { Exit::Usage };
        Failure::new(exit, error.to_string())
    })?;
    let bytes = zeroize::Zeroizing::new(bytes);
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match std::str::from_utf8(line) {
        Ok(text) if !text.is_empty() => Ok(Secret::new(text.to_owned())),
        _ => Err(Failure::new(
            Exit::Usage,
            format!("the first line of '{}' is no password", path.display()),
        )),
    }
}
