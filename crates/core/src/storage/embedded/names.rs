//! What the files of an interrupted upload are called.

use std::ffi::CStr;

use sealane_base::files::partial_stem;
use sealane_base::types::RemotePath;

/// Ending of a partial's name.
pub(super) const PART: &str = ".part";
/// Ending of the name of the note beside it.
pub(super) const NOTE: &str = ".json";

/// The name of the partial of an upload to `whole`; with `apart`, one that only that key comes back
/// to.
pub(super) fn stem_of(whole: &RemotePath, apart: Option<&str>) -> String {
    match apart {
        None => partial_stem(whole.as_str().as_bytes(), 32),
        // No path has a NUL.
        Some(key) => partial_stem(format!("{}\0{key}", whole.as_str()).as_bytes(), 32),
    }
}

/// The stem of a partial that has `name`, if that is the name of one.
pub(super) fn stem_in(name: &CStr) -> Option<&str> {
    name.to_str().ok()?.strip_suffix(PART)
}
