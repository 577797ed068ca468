//! Where a new password comes from: a file or a stream, a prompt, or chance.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use crate::cli::password::{self, Readers};
use crate::cli::{Exit, Failure, Ui};
use sealane_base::types::text::printable;
use sealane_base::types::{Secret, Username};

/// The new password of `name`: the first line of `file` (of stdin for `-`), else typed twice.
pub(super) fn new_password(
    ui: Ui,
    file: Option<&Path>,
    name: &Username,
) -> Result<Secret, Failure> {
    match file {
        Some(path) => from_file(ui, path),
        None if password::can_be_asked() => typed_twice(name),
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

/// A file that others can read is a remark here, not an error: what is made of it may be given away
/// anyway.
fn from_file(ui: Ui, path: &Path) -> Result<Secret, Failure> {
    let password = password::from_file(path, Readers::Any)?;
    let metadata = path.metadata();
    if metadata.is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o044 != 0) {
        let name = printable(&path.to_string_lossy());
        ui.note(&format!("others can read the password in '{name}': chmod 600 '{name}'"));
    }
    Ok(password)
}

fn typed_twice(name: &Username) -> Result<Secret, Failure> {
    let ask = |question: String| {
        password::ask(&question).map_err(|error| {
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
