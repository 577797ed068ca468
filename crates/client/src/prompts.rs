//! What the library asks the program around it, and what it tells that program about connections.

use std::time::Duration;

use crate::dial::{ConnectError, PromptError};
use crate::session::SessionError;
use sealane_base::types::{Pin, Secret, Username};
use sealane_tls::trust::TrustError;

/// The answers that a [`Connector`](crate::Connector) needs. A program without a person implements
/// [`Prompts::password`] alone.
pub trait Prompts: Send + Sync + 'static {
    /// The password of `user` at `server` (`host:port`). May block, for a person who types.
    ///
    /// # Errors
    /// Any, to give up.
    fn password(&self, user: &Username, server: &str) -> Result<Secret, PromptError>;

    /// Whether there is a password to log in with if the server does not accept the key. A login
    /// with the key alone lets requests leave at once.
    fn has_password(&self) -> bool {
        false
    }

    /// Whether a person can confirm the key of an unknown server.
    fn can_confirm(&self) -> bool {
        false
    }

    /// Shows the key of the unknown `server` to a person, and gives what was typed: the first 8 or
    /// more characters of its Base64 confirm it. Runs on a thread that may block.
    fn confirm(&self, server: &str, pin: &Pin) -> String {
        let _ = (server, pin);
        String::new()
    }

    /// Something happened to the connection to `server`. Must not block.
    fn event(&self, server: &str, event: Event<'_>) {
        let _ = (server, event);
    }
}

/// What happens to a connection.
#[derive(Debug)]
pub enum Event<'a> {
    /// The server has proved a trusted key; the name of the congestion control in force.
    Secured(&'a str),
    /// An unknown server is known by this key from now on.
    Remembered(Pin),
    /// A known server announced this key and proved it: it is accepted from now on.
    Learned(Pin),
    /// The keys that the server announced were not learned.
    NotLearned(&'a TrustError),
    /// It was not noted that the server was seen today.
    NotNoted(&'a TrustError),
    /// The server does not accept the key; the password is next.
    KeyRefused(&'a ConnectError),
    /// The login succeeded. Requests are answered after this.
    LoggedIn,
    /// There is no first session yet because of this; it is tried again.
    Waiting(&'a ConnectError),
    /// The connection failed with this; it is retried.
    Lost(&'a SessionError),
    /// An attempt failed with this; there will be another.
    RetryFailed(&'a ConnectError),
    /// There is a session again, after this time without one.
    Reconnected(Duration),
}
