//! From an address and flags to a session: which account, which keys, which password.

use std::path::PathBuf;
use std::sync::Arc;

use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::doorman::Bell;
use super::own_key::OwnKey;
use super::trusted::{self, Trusted};
use crate::cli::{Exit, Failure, Ui, password, untrusted};
use sealane_base::types::{Address, Pin, PinSet, Secret, Username};
use sealane_client::session::Client;
use sealane_client::{
    self, ConnectError, Dialling, Entering, Link, LinkEvent, RateLimit, Retry, Secured, Target,
    Ways,
};
use sealane_tls::Identity;
use sealane_tls::trust::{Announced, KnownServer};

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
    /// For logins.
    pub(super) bell: Bell,
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

/// A session, which may still be waiting for its login, and all it takes to have it again.
struct Begun {
    client: Client,
    door: Arc<Door>,
    proof: Proof,
    proved: Pin,
}

/// What is done once a login has succeeded.
struct Reception {
    ui: Ui,
    door: Arc<Door>,
    proved: Pin,
    /// The first object of the command's output.
    start: Option<Value>,
}

impl Access {
    /// Begins a session with the server of `address`. It may be asked at once, and answers once the doorman has heard
    /// that the login was good.
    ///
    /// A server that has proved no key that is trusted is sent nothing at all.
    pub(super) async fn login(&self, address: &Address) -> Result<Arc<Client>, Failure> {
        Ok(Arc::new(self.begin(address, None).await?.client))
    }

    /// As [`Access::login`]; and logs in again whenever the connection fails, with the same keys accepted and the
    /// same key or password. The first connection is not tried again: a wrong address is said at once. `start` is
    /// printed when the login was good.
    pub(super) async fn link(
        &self,
        address: &Address,
        start: Option<Value>,
    ) -> Result<Remote, Failure> {
        let Begun { client, door, proof, proved } = self.begin(address, start).await?;
        let Door { server, target, trusted } = door.as_ref();
        let (user, limit) = (target.user.clone(), self.limit.clone());
        let target = target.clone();
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
        let (server, known, pins) = (server.clone(), known.clone(), pins.clone());
        Ok(Remote { link, server, known, user, pins, proved })
    }

    /// With the user's key if there is one, and with a password if there is none or the server does not
    /// take it.
    async fn begin(&self, address: &Address, start: Option<Value>) -> Result<Begun, Failure> {
        let door = Arc::new(self.door(address).await?);
        let Some(key) = OwnKey::find(self)? else {
            let password = self.password(&door)?;
            return self.with_password(door, password, start).await;
        };
        let secured = self.secure(&door, Some(&key.identity)).await?;
        let proved = secured.pin();
        let (client, mut entering) = secured.enter(&door.target.user, None).await;
        let begun =
            Begun { client, door: door.clone(), proof: Proof::Key(key.identity.clone()), proved };
        let reception = Reception { ui: self.ui, door: door.clone(), proved, start };
        if !self.may_have_password() {
            self.bell.ring(Box::pin(reception.attend(entering, Some(key))));
            return Ok(begun);
        }
        // What was asked already would have to be asked once more, with the password.
        let refused = match entering.heard().await {
            Ok(announced) => {
                reception.receive(entering, announced);
                return Ok(begun);
            }
            Err(error) => match key.refused(&door.server, &door.target.user, &error) {
                Some(refused) => refused,
                None => return Err(door.failure(&error)),
            },
        };
        if password::is_given(self.password_file.as_deref()) {
            self.ui.detail(&refused.message);
        } else if password::can_be_asked() {
            self.ui.note(&refused.message);
        } else {
            return Err(refused);
        }
        let password = self.password(&door)?;
        self.with_password(door, password, reception.start).await
    }

    /// Whether there is anything else if the server does not take the user's key.
    fn may_have_password(&self) -> bool {
        password::is_given(self.password_file.as_deref()) || password::can_be_asked()
    }

    /// Logs in with the password over a connection that proves `key`, too.
    pub(super) async fn login_showing(
        &self,
        address: &Address,
        key: &OwnKey,
    ) -> Result<(Arc<Client>, Username), Failure> {
        let door = Arc::new(self.door(address).await?);
        let password = self.password(&door)?;
        let user = door.target.user.clone();
        let secured = self.secure(&door, Some(&key.identity)).await?;
        let proved = secured.pin();
        let (client, mut entering) = secured.enter(&user, Some(&password)).await;
        let announced = entering.heard().await.map_err(|error| {
            let refused = match error {
                ConnectError::Tls(_) => key.refused(&door.server, &user, &error),
                _ => None,
            };
            refused.unwrap_or_else(|| door.failure(&error))
        })?;
        Reception { ui: self.ui, door, proved, start: None }.receive(entering, announced);
        Ok((Arc::new(client), user))
    }

    /// Whether `key` alone logs in at the server of `address`.
    pub(super) async fn is_taken(&self, address: &Address, key: &OwnKey) -> bool {
        let Ok(door) = self.door(address).await else { return false };
        let Ok(secured) = self.secure(&door, Some(&key.identity)).await else { return false };
        secured.login(&door.target.user, None).await.is_ok()
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
        let secured = sealane_client::secure_paced(&door.target, key, self.limit.clone()).await;
        let secured = secured.map_err(|error| door.failure(&error))?;
        self.ui.detail(&format!("connected; congestion control {}", secured.congestion()));
        door.trusted.proved(self.ui, secured.pin())?;
        Ok(secured)
    }

    async fn with_password(
        &self,
        door: Arc<Door>,
        password: Secret,
        start: Option<Value>,
    ) -> Result<Begun, Failure> {
        let secured = self.secure(&door, None).await?;
        let proved = secured.pin();
        let (client, entering) = secured.enter(&door.target.user, Some(&password)).await;
        let reception = Reception { ui: self.ui, door: door.clone(), proved, start };
        self.bell.ring(Box::pin(reception.attend(entering, None)));
        Ok(Begun { client, door, proof: Proof::Password(password), proved })
    }
}

impl Reception {
    /// Hears of a login, with `key` if there is one, and does what follows from it.
    async fn attend(self, mut entering: Entering, key: Option<OwnKey>) -> Result<(), Failure> {
        match entering.heard().await {
            Ok(announced) => {
                self.receive(entering, announced);
                Ok(())
            }
            Err(error) => {
                let (server, user) = (&self.door.server, &self.door.target.user);
                let refused = key.and_then(|key| key.refused(server, user, &error));
                Err(refused.unwrap_or_else(|| self.door.failure(&error)))
            }
        }
    }

    /// Learns what the server announced. From then on the session's questions are answered.
    fn receive(&self, entering: Entering, announced: Option<Announced>) {
        if let Some(announced) = announced {
            self.door.trusted.learn(self.ui, &self.proved, &announced);
        }
        if let Some(start) = &self.start {
            self.ui.object(start);
        }
        entering.let_in();
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
        let (key, password) = match self {
            Self::Key(key) => (Some(key), None),
            Self::Password(password) => (None, Some(password)),
        };
        let secured = sealane_client::secure_paced(target, key, limit).await?;
        Ok(secured.login(&target.user, password).await?.0)
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
