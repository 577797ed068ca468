//! Where a password comes from: a file, the environment, or a prompt. Never from an argument.

use std::io::IsTerminal;
use std::path::Path;

use super::{Exit, Failure};
use crate::config::environment;
use crate::fsio;
use crate::types::{Secret, Username};

/// Longest password file that is read.
const MAX_FILE: u64 = 4096;

/// The password of `user` at `server`: from `file`, else from `SEALANE_PASSWORD`, else typed.
pub(super) fn of_user(
    file: Option<&Path>,
    user: &Username,
    server: &str,
) -> Result<Secret, Failure> {
    if let Some(path) = file {
        return from_file(path);
    }
    let from_environment =
        environment::password().map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    if let Some(password) = from_environment {
        return Ok(password);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Login, format!("no password for {user} at {server}"))
            .hint("use --password-file, or SEALANE_PASSWORD"));
    }
    rpassword::prompt_password(format!("password of {user} at {server}: "))
        .map(Secret::new)
        .map_err(|error| Failure::new(Exit::Login, format!("no password was typed: {error}")))
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
