//! What a key is to its server, and how it came to be known.

/// Most keys that are remembered of one server. The oldest retired ones are forgotten first, then
/// revoked ones that were never accepted here; for what is left there is no room, and nothing more
/// is learned.
pub(super) const MAX_KEYS: usize = 32;

/// What a key is to its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In use. Accepted.
    Active,
    /// Announced, to be used soon. Accepted.
    Next,
    /// Kept offline for the day the server's key is lost. Accepted.
    Backup,
    /// Used once. Refused, with a message of its own.
    Retired,
    /// Stolen or lost. Refused for ever, whoever vouches for it.
    Revoked,
}

impl State {
    /// True if a server may prove itself with a key in this state.
    #[must_use]
    pub fn is_accepted(self) -> bool {
        matches!(self, Self::Active | Self::Next | Self::Backup)
    }

    /// The word for it, in the file and on screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Next => "next",
            Self::Backup => "backup",
            Self::Retired => "retired",
            Self::Revoked => "revoked",
        }
    }
}

/// How a key came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It stood in an address.
    Address,
    /// It was given on the command line, or its first characters were typed.
    Typed,
    /// Whoever answered first was believed, as `--accept-new` says.
    FirstContact,
    /// The server announced it and proved it.
    Rotation,
    /// A backup key that the server named before any was known: its word is worth no more than the
    /// server's own.
    Announced,
    /// It was never accepted here: the server said that it is revoked. Whose it is was not proved.
    Unproved,
}

impl Source {
    /// The word for it, in the file and on screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Typed => "typed",
            Self::FirstContact => "first contact",
            Self::Rotation => "rotation",
            Self::Announced => "announced",
            Self::Unproved => "unproved",
        }
    }
}
