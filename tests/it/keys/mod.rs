//! Keys of users, with real processes: made, enrolled, used, limited, revoked.

mod bad;
mod login;
mod revoke;

use std::path::PathBuf;
use std::process::{Command, Output};

use sealane_base::types::{Address, PinSet};
use sealane_client::Target;
use sealane_tls::Identity;

use crate::support::{Person, Server, Site, ok, result, stdout};

/// A server that knows ann, and somebody who calls it "work".
struct World {
    site: Site,
    server: Server,
    person: Person,
}

impl World {
    fn new() -> Self {
        Self::with(|config| config)
    }

    fn with(change: impl FnOnce(String) -> String) -> Self {
        let site = Site::new();
        site.account("ann", "100M");
        let config = std::fs::read_to_string(site.config()).unwrap();
        std::fs::write(site.config(), change(config)).unwrap();
        let (server, person) = (site.start(), Person::new());
        let address = site.address(&server, "ann", "");
        ok(person.run(["trust", "add", "--name", "work", &address]));
        Self { site, server, person }
    }

    /// With a key that was made and enrolled.
    fn enrolled() -> Self {
        let world = Self::new();
        ok(world.person.run(["key", "generate"]));
        ok(world.person.run(["key", "enroll", "work", "--comment", "laptop"]));
        world
    }

    fn key_file(&self) -> PathBuf {
        self.person.directory.path().join("sealane/key.pem")
    }

    fn pin(&self) -> String {
        stdout(&ok(self.person.run(["key", "show"]))).lines().next().unwrap().to_owned()
    }

    /// Runs without any password.
    fn keyed(&self, arguments: &[&str]) -> Output {
        without_password(self.person.command(arguments)).output().unwrap()
    }

    fn record(&self) -> PathBuf {
        self.site.root().join("accounts/ann.db")
    }

    fn evaluations(&self) -> u64 {
        result(&ok(self.site.admin(["status", "--json"])))["evaluations"].as_u64().unwrap()
    }

    fn target(&self) -> Target {
        let address = Address::parse(&self.site.address(&self.server, "ann", "")).unwrap();
        Target {
            host: address.host,
            port: address.port,
            user: address.user.unwrap(),
            pins: PinSet::new(address.pins).unwrap(),
        }
    }

    fn identity(&self) -> Identity {
        let pem = std::fs::read(self.key_file()).unwrap();
        Identity::from_pem(&pem, &pem).unwrap()
    }
}

fn without_password(mut command: Command) -> Command {
    command.env_remove("SEALANE_PASSWORD");
    command
}
