//! Why a login fails: what a peer may hear of it, and what only the log may say.

use std::time::Duration;

use thiserror::Error;

use super::home::HomeError;
use super::keys::KeyRefusal;
use super::password::TypedPasswordError;
use super::store::AccountError;

/// A login that failed. Its text is what a peer may hear.
#[derive(Debug, Error)]
pub enum LoginError {
    /// Too many logins at once; nothing was evaluated.
    #[error("too many logins at once")]
    Busy,
    /// The password is right, but is stored in an old form after
    /// [`LoginSettings::legacy_deadline`](super::LoginSettings::legacy_deadline): an administrator
    /// must set a new one.
    #[error("the password must be reset by the administrator")]
    ResetRequired,
    /// Refused. The reason goes to the log, never to the peer.
    #[error("login refused")]
    Refused(RefusalReason),
    /// Too many failures from there, or for this account from places it is not known at; nothing
    /// was evaluated. The same for names that do not exist.
    #[error("too many failed logins")]
    TooManyFailures {
        /// When it is worth trying again.
        wait: Duration,
    },
}

/// Why a login was refused, for the log.
#[derive(Debug, Error)]
pub enum RefusalReason {
    /// The account is switched off.
    #[error("the account is disabled")]
    Disabled,
    /// The key does not open the account.
    #[error(transparent)]
    Key(#[from] KeyRefusal),
    /// What the key may do was changed since it logged in.
    #[error("what the key may do was changed")]
    KeyChanged,
    /// Neither a password nor a key.
    #[error("the connection showed no key, and no password came")]
    NoKey,
    /// The check could not be made, for want of memory or because the server is stopping.
    #[error("the password could not be checked: {0}")]
    Internal(String),
    /// The home cannot be mapped.
    #[error("the account is disabled: cannot use '{place}': {problem}")]
    NoHome {
        /// Where the record is.
        place: String,
        /// What is wrong with the home in it.
        problem: HomeError,
    },
    /// The password is right and stored in an old form after the deadline. The only reason that a
    /// peer is told, because only the owner can come as far.
    #[error("its password is stored in an old form and the deadline has passed")]
    ResetRequired,
    /// A published password, from outside this machine.
    #[error(
        "a sample account with its published password, on a server that other machines can reach"
    )]
    SampleAccount,
    /// The typed password is empty or too long.
    #[error(transparent)]
    TypedPassword(#[from] TypedPasswordError),
    /// No such account, or a text that cannot be the name of one.
    #[error("there is no such account")]
    UnknownUser,
    /// The record cannot be read, or something it must say is wrong or missing.
    #[error("the account is disabled: {0}")]
    Unusable(#[from] AccountError),
    /// The password is another.
    #[error("wrong password")]
    WrongPassword,
}

impl RefusalReason {
    /// True if the record is at fault: somebody must repair it before anybody can log in. The text
    /// then names its place.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::NoHome { .. } | Self::Unusable(_)) && !self.is_passing()
    }

    /// True if there is an account of that name. A password that nobody can have was refused before
    /// anyone looked.
    pub(super) fn is_of_account(&self) -> bool {
        !matches!(self, Self::UnknownUser | Self::TypedPassword(_))
    }

    /// True if the record could not be looked at for want of descriptors or memory: nobody is to
    /// blame, and somebody who tries again may be let in.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unusable(AccountError::File(error)) if error.is_exhausted())
    }
}
