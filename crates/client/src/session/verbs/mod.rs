//! What a session can be asked: one file per verb.

pub(super) mod digest;
pub(super) mod enroll;
pub(super) mod get;
pub(super) mod list;
pub(super) mod make_directory;
pub(super) mod partials;
pub(super) mod put;
pub(super) mod receipt;
pub(super) mod remove;
pub(super) mod rename;
pub(super) mod set_meta;
pub(super) mod stat;
pub(super) mod tokens;
pub(super) mod usage;
