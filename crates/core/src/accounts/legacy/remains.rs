//! Where MD5 still stands in the accounts' directory, recognised as a record or not.
//!
//! Every file is read, however it is called: an editor's copy of a record is worth as much to a
//! thief. It looks for what MD5 is written like, and for records whose password is one in an
//! unusual spelling; it cannot look into what is compressed or encrypted. It changes nothing and
//! repeats no value.

use std::path::Path;

use crate::accounts::manage::AccountManager;
use crate::accounts::record::{MAX_RECORD, Record};
use sealane_base::fsio::{self, FsError};
use sealane_base::types::Username;
use sealane_base::types::text::printable;

/// Directories below the accounts' are entered as deep as this.
const DEEPEST: usize = 32;
/// Hex digits of an MD5.
const DIGITS: usize = 32;
/// How other programs mark MD5 that is not in hex; in lower case.
const MARKS: [&[u8]; 4] = [b"{md5}", b"{smd5}", b"$1$", b"$apr1$"];

/// A file in which MD5 stands, or may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remains {
    /// Its path below the accounts' directory. Safe to print.
    pub file: String,
    /// What was found, or why nothing could be.
    pub why: String,
}

impl AccountManager {
    /// Every file below `directory`, that of the accounts, in which MD5 stands in any form that can
    /// be recognised, sorted, and those that cannot be read.
    ///
    /// # Errors
    /// [`FsError`] if the directory itself cannot be listed.
    pub fn md5_remains(directory: &Path) -> Result<Vec<Remains>, FsError> {
        let mut found = Vec::new();
        let mut waiting = vec![(directory.to_owned(), 0)];
        while let Some((place, depth)) = waiting.pop() {
            let names = match fsio::list_names(&place) {
                Err(error) if depth > 0 => {
                    found.push(remains(directory, &place, &error.kind.to_string()));
                    continue;
                }
                names => names?,
            };
            for path in names.iter().map(|name| place.join(name)) {
                if !is_directory(&path) {
                    found.extend(look_at(&path).map(|why| remains(directory, &path, &why)));
                } else if depth < DEEPEST {
                    waiting.push((path, depth + 1));
                } else {
                    found.push(remains(directory, &path, "it lies too deep to be looked at"));
                }
            }
        }
        found.sort_by(|one, other| one.file.cmp(&other.file));
        Ok(found)
    }
}

/// A link to a directory is none: what it leads to does not stand here.
fn is_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}

fn remains(directory: &Path, path: &Path, why: &str) -> Remains {
    let file = path.strip_prefix(directory).unwrap_or(path);
    Remains { file: printable(&file.to_string_lossy()), why: printable(why) }
}

/// Why MD5 stands in a file, or may.
fn look_at(path: &Path) -> Option<String> {
    let (mut plain, mut wide) = (Scan::default(), Scan::default());
    let read = fsio::read_in_pieces(path, &mut |piece| {
        piece.iter().for_each(|byte| plain.see(*byte));
        // UTF-16, as some editors save it, has a zero beside each digit.
        piece.iter().filter(|byte| **byte != 0).for_each(|byte| wide.see(*byte));
    });
    match read {
        // A socket, say, or what was removed meanwhile: there is nothing in it.
        Ok(false) => return None,
        Err(error) if error.is_not_found() => return None,
        Err(error) => return Some(format!("nobody knows what it holds: {}", error.kind)),
        Ok(true) => {}
    }
    let found = [plain.found(), wide.found()].into_iter().flatten().next();
    found.map(str::to_owned).or_else(|| spaced(path))
}

/// A record whose password is 32 hex digits with something between them.
fn spaced(path: &Path) -> Option<String> {
    let bytes = fsio::read_bounded(path, MAX_RECORD).ok()?;
    let json: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let name = Username::parse(json.get("username")?.as_str()?).ok()?;
    let record = Record::parse(&name, &bytes).ok()?;
    let text = record.password_text().ok()?;
    let is_between = |character: char| character.is_whitespace() || ":-._".contains(character);
    let rest: Vec<char> = text.chars().filter(|character| !is_between(*character)).collect();
    let is_md5 = rest.len() == DIGITS && rest.iter().all(char::is_ascii_hexdigit);
    is_md5.then(|| "its password is 32 hex digits with something in between".to_owned())
}

/// Looks at bytes as they come.
#[derive(Default)]
struct Scan {
    run: usize,
    has_digits: bool,
    /// The last bytes, in lower case, as many as the longest mark has.
    last: [u8; 6],
    has_mark: bool,
}

impl Scan {
    fn see(&mut self, byte: u8) {
        if byte.is_ascii_hexdigit() {
            self.run += 1;
        } else {
            self.has_digits |= self.run == DIGITS;
            self.run = 0;
        }
        self.last.rotate_left(1);
        if let Some(last) = self.last.last_mut() {
            *last = byte.to_ascii_lowercase();
        }
        self.has_mark |= MARKS.iter().any(|mark| self.last.ends_with(mark));
    }

    fn found(&self) -> Option<&'static str> {
        if self.has_digits || self.run == DIGITS {
            Some("it holds 32 hex digits, as MD5 has")
        } else if self.has_mark {
            Some("it holds a password marked as MD5")
        } else {
            None
        }
    }
}
