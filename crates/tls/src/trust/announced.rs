//! What a server announced of its keys, and why it was not learned.

use thiserror::Error;

use super::state::{MAX_KEYS, State};
use sealane_base::types::Pin;

/// Most keys in one announcement.
pub const MAX_ANNOUNCED: usize = 4;

/// What a server announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Grows with every change.
    pub epoch: u64,
    /// The keys.
    pub keys: Vec<AnnouncedKey>,
    /// Keys whose signature over the whole list is good.
    pub signers: Vec<Pin>,
}

/// One of its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnnouncedKey {
    /// The key.
    pub pin: Pin,
    /// What it is said to be; `None` for a state that this program does not know.
    pub state: Option<State>,
    /// What its signature for this connection is worth.
    pub proof: Proof,
}

/// Whether a key proved itself for this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// There is none.
    Absent,
    /// It does not verify.
    Bad,
    /// It verifies.
    Good,
}

/// Why nothing was learned. The known server is as it was.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NotLearned {
    /// A proof is missing or wrong: it may be of another connection, or of another key.
    #[error("the key {0} was announced without a good proof")]
    BadProof(Pin),
    /// The server does not list the key it uses, or lists nothing to go on with.
    #[error("the announcement does not fit the connection")]
    Foreign,
    /// The epoch went back.
    #[error("the announcement is older than what is known (epoch {announced}, known {known})")]
    LowerEpoch {
        /// What was announced.
        announced: u64,
        /// What is known.
        known: u64,
    },
    /// No key, more than [`MAX_ANNOUNCED`], or one twice.
    #[error("the announcement has no key, more than {MAX_ANNOUNCED}, or one twice")]
    Malformed,
    /// There are as many keys of this server as are kept, and none of them may be forgotten.
    #[error("more than {MAX_KEYS} keys of one server are not kept; 'trust remove' forgets them")]
    Full,
    /// The connection was not proved with a key that is stored.
    #[error("the connection was not authenticated by a stored key")]
    NotStored,
}
