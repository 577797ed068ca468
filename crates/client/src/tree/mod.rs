//! Many files over one session: what is at both ends, what is to be done, doing it.
//!
//! One plan up front: both trees are listed, [`Plan::new`] compares them without asking any server,
//! then small files go in many messages at once and large ones as transfers beside them. A list of
//! files is a tree one level deep. Nothing is trusted to stay as it was listed: each step finds out
//! by itself and fails for itself.

mod collide;
mod compare;
mod copy;
mod ends;
mod error;
mod exclude;
mod files;
mod marks;
mod plan;
mod receive;
mod remote;
mod run;
mod send;
mod steps;

pub use collide::folded;
pub use compare::{Compared, Verdict, compare_file, compare_trees};
pub use copy::{Copy, CopyEvent, Destination};
pub use ends::{Done, Ends, Event, Local};
pub use error::{Problem, TreeError};
pub use exclude::{BadPattern, Exclude};
pub use files::{Arrived, FileJob, LocalFile, download_files, upload_files};
pub use plan::{Compare, FileStep, Plan, Preserve, Removal, Rules, a_kind};
pub use remote::{Listing, list_remote, walk};
pub use run::{download_tree, upload_tree};
