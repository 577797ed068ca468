//! From an address and flags to a session: which account, which keys, which password.

use std::path::PathBuf;
use std::sync::Arc;

use indicatif::ProgressBar;
use serde_json::json;

use super::own_key::OwnKey;
use super::trusted::{self, Trusted};
use crate::cli::{Exit, Failure, Ui, password, untrusted};
use crate::client::{
    self, ConnectError, Dialling, Link, LinkEvent, RateLimit, Retry, Secured, Target, Ways,
};
use crate::session::Client;
use crate::tls::Identity;
use crate::trust::{Announced, KnownServer};
use crate::types::{Address, Pin, PinSet, Secret, Username};

/// What the command line says about who connects to whom.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) ui: Ui,
    pub(super) pins: Vec<Pin>,
    pub(super) accept_new: bool,
    pub(super) password_file: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    /// How long a connection that failed is sought again.
    pub(super) retry: Retry,
    /// What notes must be printed around; hidden until there is something to draw.
    pub(super) bar: ProgressBar,
    /// No faster than this.
    pub(super) limit: Option<RateLimit>,
    /// The bar shows what is durable.
    pub(super) durable_progress: bool,
}

/// A server that will be connected to, an account there, and why the server is believed.
struct Door {
    server: String,
    target: Target,
    trusted: Trusted,
}

/// What opened the door, and opens it again.
#[derive(Clone)]
enum Proof {
    Key(Identity),
    Password(Secret),
}

/// A session, and all it takes to have it again.
struct Begun {
    client: Client,
    door: Door,
    proof: Proof,
    proved: Pin,
}

impl Access {
    /// Logs in at the server of `address`.
    ///
    /// A server that has proved no key that is trusted is sent nothing at all.
    pub(super) async fn login(&self, address: &Address) -> Result<Arc<Client>, Failure> {
        Ok(Arc::new(self.begin(address).await?.client))
    }

    /// Logs in at the server of `address`, and again whenever the connection fails, with the same keys
    /// accepted and the same key or password. The first connection is not tried again: a wrong address is
    /// said at once.
    pub(super) async fn link(&self, address: &Address) -> Result<Remote, Failure> {
        let Begun { client, door, proof, proved } = self.begin(address).await?;
        let Door { server, target, trusted } = door;
        let (user, limit) = (target.user.clone(), self.limit.clone());
        let dial = move || -> Dialling {
            let (target, proof, limit) = (target.clone(), proof.clone(), limit.clone());
            Box::pin(async move { proof.open(&target, limit).await })
        };
        let (ui, bar, place) = (self.ui, self.bar.clone(), server.clone());
        let told = move |event: LinkEvent<'_>| bar.suspend(|| tell(ui, &place, &event));
        let chance = || getrandom::u32().unwrap_or(u32::MAX);
        let (dial, chance, told) = (Box::new(dial), Box::new(chance), Box::new(told));
        let link = Link::new(client, Ways { dial, retry: self.retry, chance, told });
        let Trusted { pins, known, .. } = trusted;
        Ok(Remote { link, server, known, user, pins, proved })
    }

    /// With the user's key if there is one, and with a password if there is none or the server does not
    /// take it.
    async fn begin(&self, address: &Address) -> Result<Begun, Failure> {
        let door = self.door(address).await?;
        let Some(key) = OwnKey::find(self)? else {
            let password = self.password(&door)?;
            return self.with_password(door, None, password).await;
        };
        let secured = self.secure(&door, Some(&key.identity)).await?;
        let (proved, user) = (secured.pin(), &door.target.user);
        let refused = match secured.login_with_key(user).await {
            Ok(session) => {
                let client = self.learned(&door, &proved, session);
                return Ok(Begun { client, door, proof: Proof::Key(key.identity), proved });
            }
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
        self.with_password(door, None, password).await
    }

    /// Logs in with the password over a connection that proves `key`, too.
    pub(super) async fn login_showing(
        &self,
        address: &Address,
        key: &OwnKey,
    ) -> Result<(Arc<Client>, Username), Failure> {
        let door = self.door(address).await?;
        let password = self.password(&door)?;
        let user = door.target.user.clone();
        let begun = self.with_password(door, Some(key), password).await?;
        Ok((Arc::new(begun.client), user))
    }

    /// Whether `key` alone logs in at the server of `address`.
    pub(super) async fn is_taken(&self, address: &Address, key: &OwnKey) -> bool {
        let Ok(door) = self.door(address).await else { return false };
        let Ok(secured) = self.secure(&door, Some(&key.identity)).await else { return false };
        secured.login_with_key(&door.target.user).await.is_ok()
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
        let secured = client::secure_paced(&door.target, key, self.limit.clone()).await;
        let secured = secured.map_err(|error| door.failure(&error))?;
        self.ui.detail(&format!("connected; congestion control {}", secured.congestion()));
        door.trusted.proved(self.ui, secured.pin())?;
        Ok(secured)
    }

    async fn with_password(
        &self,
        door: Door,
        showing: Option<&OwnKey>,
        password: Secret,
    ) -> Result<Begun, Failure> {
        let secured = self.secure(&door, showing.map(|key| &key.identity)).await?;
        let (proved, user) = (secured.pin(), &door.target.user);
        let session = secured.login(user, &password).await.map_err(|error| {
            let refused = match (&error, showing) {
                (ConnectError::Tls(_), Some(key)) => key.refused(&door.server, user, &error),
                _ => None,
            };
            refused.unwrap_or_else(|| door.failure(&error))
        })?;
        let client = self.learned(&door, &proved, session);
        Ok(Begun { client, door, proof: Proof::Password(password), proved })
    }

    fn learned(
        &self,
        door: &Door,
        pin: &Pin,
        (client, announced): (Client, Option<Announced>),
    ) -> Client {
        if let Some(announced) = announced {
            door.trusted.learn(self.ui, pin, &announced);
        }
        client
    }
}

impl Door {
    fn failure(&self, error: &ConnectError) -> Failure {
        untrusted::connecting(&self.server, error, self.trusted.known.as_ref())
    }
}

impl Proof {
    async fn open(
        &self,
        target: &Target,
        limit: Option<RateLimit>,
    ) -> Result<Client, ConnectError> {
        let (client, _) = match self {
            Self::Key(key) => {
                let secured = client::secure_paced(target, Some(key), limit).await?;
                secured.login_with_key(&target.user).await?
            }
            Self::Password(password) => {
                let secured = client::secure_paced(target, None, limit).await?;
                secured.login(&target.user, password).await?
            }
        };
        Ok(client)
    }
}

/// A server with a session that is had again when it fails.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) link: Arc<Link>,
    pub(super) server: String,
    known: Option<KnownServer>,
    pub(super) user: Username,
    /// The keys that are accepted, and the one that was proved.
    pub(super) pins: PinSet,
    pub(super) proved: Pin,
}

impl Remote {
    /// Why there is no session any more, if it is so.
    pub(super) fn lost(&self) -> Option<Failure> {
        let failure = untrusted::connecting(&self.server, self.link.over()?, self.known.as_ref());
        Some(match failure.exit {
            Exit::Network => {
                failure.hint("run the same command again: it goes on where it stopped")
            }
            _ => failure,
        })
    }

    /// Closes the session in order; for when the job is done.
    pub(super) async fn close(self) {
        self.link.close().await;
    }
}

fn tell(ui: Ui, server: &str, event: &LinkEvent<'_>) {
    let (state, why, seconds) = match event {
        LinkEvent::Lost(why) => ("lost", Some(why.to_string()), None),
        LinkEvent::InVain(why) => ("in vain", Some(why.to_string()), None),
        LinkEvent::Back(after) => ("back", None, Some(after.as_secs_f64())),
    };
    ui.object(&json!({
        "type": "reconnect", "state": state, "server": server, "why": why, "seconds": seconds,
    }));
    let why = why.unwrap_or_default();
    match event {
        LinkEvent::Lost(_) => ui.note(&format!("{server}: {why}; connecting again")),
        LinkEvent::InVain(_) => ui.detail(&format!("{server}: {why}; trying again")),
        LinkEvent::Back(after) => {
            ui.note(&format!("{server}: connected again after {:.1} s", after.as_secs_f64()));
        }
    }
}

/// Closes the session in order; for when the job is done.
pub(super) async fn close(client: Arc<Client>) {
    if let Some(client) = Arc::into_inner(client) {
        client.close().await;
    }
}
