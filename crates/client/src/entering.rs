//! A login on its way, seen from above the session: what the server announced is verified, and further connections
//! begin with it.

use super::announced;
use super::lanes;
use super::{ConnectError, TlsError, WireError};
use crate::session::{Admission, SessionError};
use sealane_tls::trust::Announced;

/// A login on its way, of a session that is being asked already. Dropping it leaves the session without answers.
#[derive(Debug)]
pub struct Entering {
    pub(super) admission: Admission,
    pub(super) exporter: [u8; 32],
    pub(super) way: lanes::Way,
}

impl Entering {
    /// Waits for what the server says to the login. With its yes comes what it announced of its keys, its signatures
    /// verified.
    ///
    /// Cancel safe; once it has been heard there is nothing more to hear.
    ///
    /// # Errors
    /// [`ConnectError::Session`]; [`ConnectError::Tls`] if the server broke off because of the key's certificate.
    pub async fn heard(&mut self) -> Result<Option<Announced>, ConnectError> {
        self.admission.heard().await.map_err(|error| match late_alert(&error) {
            Some(alert) => ConnectError::Tls(alert),
            None => error.into(),
        })?;
        let announced = self.admission.announced();
        Ok(announced.map(|keys| announced::verify(keys, &self.exporter)))
    }

    /// From now on the session's requests are answered, and it has further connections as it needs them. Only for a
    /// login of which good was [heard](Self::heard).
    pub fn let_in(self) {
        let Self { admission, way, .. } = self;
        let control = admission.lanes();
        admission.accompany(|stop| tokio::spawn(lanes::adapt(control, way, stop)));
        admission.let_in();
    }
}

/// The server looks at a client's certificate when the client's handshake is over already.
fn late_alert(error: &SessionError) -> Option<TlsError> {
    let SessionError::Connection(error) = error else { return None };
    let WireError::Io(error) = error.as_ref() else { return None };
    TlsError::late_alert(error)
}
