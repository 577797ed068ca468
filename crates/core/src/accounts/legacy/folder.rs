//! A folder of the old server as it was copied: file by file, each with its own outcome.
//!
//! Text is UTF-8, with or without a byte order mark, or GBK, which old Windows programs wrote. What
//! is not a small regular file is not opened, and links are not followed.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use encoding_rs::GBK;

use crate::accounts::record::{MAX_RECORD, Record};
use crate::accounts::store::AccountError;
use sealane_base::fsio;
use sealane_base::types::Username;
use sealane_base::types::text::printable;

/// How the text of a legacy record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8.
    Utf8,
    /// UTF-8 behind a byte order mark.
    Utf8Bom,
    /// GBK, the simplified Chinese encoding of Windows.
    Gbk,
}

/// One file of a legacy folder whose name ends in `.db`, in any case.
#[derive(Clone, Debug)]
pub struct LegacyFile {
    /// Its name, safe to print.
    pub file: String,
    /// The account that it is for, if its name can be that of one.
    pub name: Option<Username>,
    /// The record and how it was written, or why it is none.
    pub content: Result<(Record, Encoding), String>,
}

/// Reads every record of a legacy folder, sorted by file name. Nothing is changed.
///
/// # Errors
/// [`AccountError::File`] if the folder cannot be listed. What is wrong with one file stands in it.
pub fn read_folder(folder: &Path) -> Result<Vec<LegacyFile>, AccountError> {
    let names = fsio::list_names(folder)?;
    Ok(names.iter().filter_map(|name| read_file(folder, name)).collect())
}

fn read_file(folder: &Path, file_name: &OsString) -> Option<LegacyFile> {
    let shown = printable(&file_name.to_string_lossy());
    let text = match file_name.to_str() {
        Some(text) => Some(text.to_owned()),
        None => decode_gbk(file_name.as_bytes()),
    };
    let Some(text) = text else {
        let is_record = file_name.as_bytes().to_ascii_lowercase().ends_with(b".db");
        let content = Err("its file name is neither UTF-8 nor GBK".to_owned());
        return is_record.then_some(LegacyFile { file: shown, name: None, content });
    };
    let stem = stem_of(&text)?;
    let Ok(name) = Username::parse(stem) else {
        let content = Err("its file name is not that of an account (NAME.db)".to_owned());
        return Some(LegacyFile { file: printable(&text), name: None, content });
    };
    let content = read_record(&folder.join(OsStr::new(file_name)), &name);
    Some(LegacyFile { file: printable(&text), name: Some(name), content })
}

/// The part before `.db`, in any case.
fn stem_of(file: &str) -> Option<&str> {
    let (stem, extension) = file.split_at_checked(file.len().checked_sub(3)?)?;
    extension.eq_ignore_ascii_case(".db").then_some(stem)
}

fn read_record(path: &Path, name: &Username) -> Result<(Record, Encoding), String> {
    let bytes =
        fsio::read_bounded_no_follow(path, MAX_RECORD).map_err(|error| error.kind.to_string())?;
    let bytes = zeroize::Zeroizing::new(bytes);
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err("it is UTF-16; save it as UTF-8".to_owned());
    }
    let (text, encoding) = decode(&bytes).ok_or("it is neither UTF-8 nor GBK")?;
    let text = zeroize::Zeroizing::new(text);
    match Record::parse(name, text.as_bytes()) {
        Ok(record) => Ok((record, encoding)),
        Err(problem) => Err(problem.to_string()),
    }
}

fn decode(bytes: &[u8]) -> Option<(String, Encoding)> {
    let (rest, encoding) = match bytes.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => (rest, Encoding::Utf8Bom),
        None => (bytes, Encoding::Utf8),
    };
    match str::from_utf8(rest) {
        Ok(text) => Some((text.to_owned(), encoding)),
        // Behind a mark that says UTF-8, anything else is damage.
        Err(_) if encoding == Encoding::Utf8Bom => None,
        Err(_) => Some((decode_gbk(bytes)?, Encoding::Gbk)),
    }
}

fn decode_gbk(bytes: &[u8]) -> Option<String> {
    // Without replacement characters: a byte that is no text must not become one.
    GBK.decode_without_bom_handling_and_without_replacement(bytes).map(|text| text.into_owned())
}
