//! From an address and flags to a session: which account, which keys, which password.

use std::path::PathBuf;
use std::sync::Arc;

use super::own_key::OwnKey;
use super::trusted::{self, Trusted};
use crate::cli::{Exit, Failure, Ui, password, untrusted};
use crate::client::{self, ConnectError, Secured, Target};
use crate::session::Client;
use crate::tls::Identity;
use crate::trust::Announced;
use crate::types::{Address, Pin, Secret, Username};

/// What the command line says about who connects to whom.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) ui: Ui,
    pub(super) pins: Vec<Pin>,
    pub(super) accept_new: bool,
    pub(super) password_file: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

/// A server that will be connected to, an account there, and why the server is believed.
struct Door {
    server: String,
    target: Target,
    trusted: Trusted,
}

impl Access {
    /// Logs in at the server of `address`: with the user's key if there is one, else, or if the server does not take
    /// it, with a password on a connection of its own.
    ///
    /// A server that has proved no key that is trusted is sent nothing at all.
    pub(super) async fn login(&self, address: &Address) -> Result<Arc<Client>, Failure> {
        let door = self.door(address).await?;
        let Some(key) = OwnKey::find(self)? else {
            let password = self.password(&door)?;
            let secured = self.secure(&door, None).await?;
            door.trusted.proved(self.ui, secured.pin())?;
            return self.with_password(&door, secured, &password).await;
        };
        let secured = self.secure(&door, Some(&key.identity)).await?;
        door.trusted.proved(self.ui, secured.pin())?;
        let (pin, user) = (secured.pin(), &door.target.user);
        let refused = match secured.login_with_key(user).await {
            Ok(session) => return Ok(self.learned(&door, &pin, session)),
            Err(error) => match key.refused(&door.server, user, &error) {
                Some(refused) => refused,
                None => return Err(door.failure(&error)),
            },
        };
        match password::given(self.password_file.as_deref())? {
            Some(_) => self.ui.detail(&refused.message),
            None if password::can_be_asked() => self.ui.note(&refused.message),
            None => return Err(refused),
        }
        let password = self.password(&door)?;
        let secured = self.secure(&door, None).await?;
        self.with_password(&door, secured, &password).await
    }

    /// Logs in with the password over a connection that proves `key`, too.
    pub(super) async fn login_showing(
        &self,
        address: &Address,
        key: &OwnKey,
    ) -> Result<(Arc<Client>, Username), Failure> {
        let door = self.door(address).await?;
        let password = self.password(&door)?;
        let secured = self.secure(&door, Some(&key.identity)).await?;
        door.trusted.proved(self.ui, secured.pin())?;
        let (pin, user) = (secured.pin(), &door.target.user);
        let session = secured.login(user, &password).await.map_err(|error| match &error {
            ConnectError::Tls(_) => {
                key.refused(&door.server, user, &error).unwrap_or_else(|| door.failure(&error))
            }
            _ => door.failure(&error),
        })?;
        Ok((self.learned(&door, &pin, session), user.clone()))
    }

    async fn door(&self, address: &Address) -> Result<Door, Failure> {
        let server = address.host_port();
        let user = address.user.clone().ok_or_else(|| {
            Failure::new(Exit::Usage, format!("which account at {server}?"))
                .hint(format!("write it into the address: sealane://USER@{server}/…"))
        })?;
        let trusted = trusted::decide(self, address).await?;
        let target = Target::new(address, user, trusted.pins.clone());
        Ok(Door { server, target, trusted })
    }

    fn password(&self, door: &Door) -> Result<Secret, Failure> {
        password::of_user(self.password_file.as_deref(), &door.target.user, &door.server)
    }

    async fn secure(&self, door: &Door, key: Option<&Identity>) -> Result<Secured, Failure> {
        client::secure(&door.target, key).await.map_err(|error| door.failure(&error))
    }

    async fn with_password(
        &self,
        door: &Door,
        secured: Secured,
        password: &Secret,
    ) -> Result<Arc<Client>, Failure> {
        let pin = secured.pin();
        let session = secured.login(&door.target.user, password).await;
        Ok(self.learned(door, &pin, session.map_err(|error| door.failure(&error))?))
    }

    fn learned(
        &self,
        door: &Door,
        pin: &Pin,
        (client, announced): (Client, Option<Announced>),
    ) -> Arc<Client> {
        if let Some(announced) = announced {
            door.trusted.learn(self.ui, pin, &announced);
        }
        Arc::new(client)
    }
}

impl Door {
    fn failure(&self, error: &ConnectError) -> Failure {
        untrusted::connecting(&self.server, error, self.trusted.known.as_ref())
    }
}

/// Closes the session in order; for when the job is done.
pub(super) async fn close(client: Arc<Client>) {
    if let Some(client) = Arc::into_inner(client) {
        client.close().await;
    }
}
