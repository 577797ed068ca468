//! Homes and their files, quotas and uploads: the seam that doors see, and the embedded store
//! behind it.
//!
//! Nothing here knows accounts, connections or checksums, or judges a permission.

mod embedded;
mod seam;
mod types;

pub use embedded::{EmbeddedStore, audit_on_disk};
pub use seam::{Acquired, HomeStore, Opening, Scan, Store, TAKEOVER, Upload, UploadLock};
pub use types::{Audit, Caps, Entry, Page, Partial, Usage, View};
