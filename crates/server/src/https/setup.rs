//! What all connections of the door share.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use tokio::sync::Semaphore;

use super::certificate::{Certificates, Made};
use super::dav::table::Locks;
use crate::sealane::Limits;

/// Bytes of a file that are on their way at once, in either direction.
pub(super) const PIECE: usize = 256 << 10;

/// The door that speaks HTTP: what all its connections share.
#[derive(Debug)]
pub struct Https {
    pub(super) limits: Limits,
    /// Its own certificate; the server's if there is none.
    certificates: Option<Certificates>,
    /// One permit for each file on the move.
    pub(super) transfers: Arc<Semaphore>,
    /// Under which credentials are remembered: worth nothing outside of this process.
    pub(super) secret: [u8; 32],
    configuration: Mutex<Made>,
    /// Of WebDAV.
    pub(super) locks: Locks,
}

impl Https {
    /// A door with the time limits of sessions, which holds at most `memory` bytes of files on
    /// their way, in each of its connections two pieces at least.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn new(
        limits: Limits,
        certificates: Option<Certificates>,
        memory: usize,
    ) -> Result<Self, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        let transfers = Arc::new(Semaphore::new((memory / (2 * PIECE)).max(1)));
        let configuration = Mutex::default();
        let locks = Locks::default();
        Ok(Self { limits, certificates, transfers, secret, configuration, locks })
    }

    /// The TLS configuration for the next connection.
    pub(super) fn configuration(&self, sealane: &Arc<ServerConfig>) -> Arc<ServerConfig> {
        let mut made = self.configuration.lock().unwrap_or_else(PoisonError::into_inner);
        made.configuration(self.certificates.as_ref(), sealane)
    }
}
