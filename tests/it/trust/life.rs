//! Ten years of a server in one test: nobody is asked to accept anything after the first day.

use std::path::PathBuf;

use sealane_base::types::{Pin, PinSet, Secret, Username};
use sealane_client::{Client, Target};

use crate::support::middle::Middle;
use crate::support::service::connect;
use crate::support::site::PASSWORD;
use crate::support::{Person, Site, fails, ok, result, stderr};

/// A server, somebody in front of it, and people who reach it through him.
struct World {
    site: Site,
    middle: Middle,
    server: crate::support::Server,
}

impl World {
    fn new() -> Self {
        let site = Site::new();
        site.account("ann", "10M");
        let server = site.start();
        Self { middle: Middle::before(server.address), server, site }
    }

    fn bare(&self) -> String {
        format!("sealane://ann@{}/", self.middle.address)
    }

    /// Somebody who was given these pins, and calls the server "work".
    fn person(&self, pins: &str) -> Person {
        let person = Person::new();
        ok(person.run(["trust", "add", "--name", "work", &format!("{}?{pins}", self.bare())]));
        person
    }

    fn pin(&self, of: &str) -> String {
        let shown = ok(self.site.admin(["--json", "cert", "show"]));
        result(&shown)[of].as_str().unwrap_or_default().to_owned()
    }

    fn rotate(&self, step: &[&str]) {
        ok(self.site.admin(["cert", "rotate"].iter().chain(step)));
    }

    /// The files of the key whose pin is this.
    fn files(&self, pin: &str) -> (PathBuf, PathBuf) {
        let certs = self.site.root().join("certs");
        let is_it = |path: &PathBuf| {
            path.extension().is_some_and(|extension| extension == "crt")
                && sealane_tls::pin_of_pem(&std::fs::read(path).unwrap()).unwrap().to_string()
                    == pin
        };
        let mut paths = std::fs::read_dir(certs).unwrap().map(|entry| entry.unwrap().path());
        let certificate = paths.find(is_it).unwrap();
        let key = certificate.with_extension("key");
        (certificate, key)
    }

    /// After the overlap: for one who was away all the while, and for the old key.
    fn the_window_is_over(&self, online: &Person, away: &Person, a: &str, n: &str) {
        // One who was away all the while is told as of any key that does not fit, and sends
        // nothing.
        let words =
            format!("the key of {} does not match its pin; nothing was sent", self.middle.address);
        let missed = away.run(["ls", "work:"]);
        assert!(stderr(&missed).contains(&format!("only if it shows {n}: sealane trust replace")));
        fails(missed, 5, &words);
        // The old key comes back: from a backup, or from a thief.
        let (certificate, key) = self.files(a);
        let heard = self.middle.attack(&certificate, &key, || {
            fails(online.run(["ls", "work:"]), 5, "uses a key that was retired on");
        });
        heard[0].is_only_hello_and_alert();
    }

    /// A revoked key is refused by any name of the same server, whoever names it.
    fn no_name_helps(&self, person: &Person, revoked: &str) {
        let old = format!("{}?pin={}", self.bare(), Pin::parse(revoked).unwrap().to_address_form());
        // Not even looked at: nothing is left that could be accepted.
        fails(person.run(["ls", &old]), 5, "was retired or revoked; nothing was sent");
        let other = format!("sealane://ann@localhost:{}/", self.middle.address.port());
        let pin = Pin::parse(revoked).unwrap().to_address_form();
        let named = format!("{other}?pin={pin}");
        let words = "was retired or revoked; nothing was sent";
        fails(person.run(["ls", &named]), 5, words);
        fails(person.run(["--pin", revoked, "ls", &other]), 5, words);
        fails(person.run(["--accept-new", "ls", &other]), 5, words);
        let never = "was revoked and is never accepted again";
        fails(person.run(["trust", "add", &named]), 5, never);
    }

    /// Neither his own key nor a copied certificate gets a byte out of anybody.
    fn nobody_falls_for_the_middle(&self, people: &[&Person]) {
        let other = Site::new();
        let (own, key) =
            (other.root().join("certs/server.crt"), other.root().join("certs/server.key"));
        let (real, _) = self.files(&self.pin("server_pin"));
        for (shown, words) in
            [(&own, "does not match its pin"), (&real, "could not prove that it owns")]
        {
            let heard = self.middle.attack(shown, &key, || {
                for person in people {
                    fails(person.run(["ls", "work:"]), 5, words);
                }
            });
            assert_eq!(heard.len(), people.len());
            heard.iter().for_each(|heard| heard.is_only_hello_and_alert());
        }
    }
}

fn states(person: &Person) -> Vec<(String, String)> {
    let output = ok(person.run(["--json", "trust", "show", "work"]));
    let text = crate::support::stdout(&output);
    let server: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let keys = server["keys"].as_array().unwrap().iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    keys.map(|key| (text(&key["pin"]), text(&key["state"]))).collect()
}

fn state(person: &Person, pin: &str) -> Option<String> {
    states(person).into_iter().find(|(known, _)| known == pin).map(|(_, state)| state)
}

/// Years pass, and a clock is wrong: what is known stays known.
fn clocks_jump(person: &Person) {
    let known = std::fs::read_to_string(person.known()).unwrap();
    for times in ["100", "99999999999"] {
        let jumped = known.lines().map(|line| match line.split_once("_seen\": ") {
            Some((key, rest)) => {
                let comma = if rest.ends_with(',') { "," } else { "" };
                format!("{key}_seen\": {times}{comma}")
            }
            None => line.to_owned(),
        });
        std::fs::write(person.known(), jumped.collect::<Vec<_>>().join("\n")).unwrap();
        assert_eq!(stderr(&ok(person.run(["ls", "work:"]))), "");
    }
}

/// A session that nobody closes.
async fn session(world: &World, pin: &str) -> Client {
    let target = Target {
        host: "127.0.0.1".to_owned(),
        port: world.server.address.port(),
        user: Username::parse("ann").unwrap(),
        pins: PinSet::new(vec![Pin::parse(pin).unwrap()]).unwrap(),
    };
    connect(&target, &Secret::new(PASSWORD.to_owned())).await.unwrap()
}

#[test]
fn a_server_lives_through_everything_and_nobody_is_asked() {
    let world = World::new();
    let (a, b) = (world.pin("server_pin"), world.pin("backup_pin"));
    let (online, late) = (world.person(&world.site.pins), world.person(&world.site.pins));
    let away = world.person(&world.site.pins);
    for person in [&online, &late] {
        let run = ok(person.run(["ls", "work:"]));
        assert_eq!(stderr(&run), "");
    }
    // One of them logs in with a key from now on, which the man in the middle would like to see.
    ok(online.run(["key", "generate"]));
    ok(online.run(["key", "enroll", "work"]));
    world.nobody_falls_for_the_middle(&[&online, &late]);

    clocks_jump(&online);

    // A rotation, with a session that goes on all the while.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let session = runtime.block_on(session(&world, &a));
    world.rotate(&["prepare"]);
    let n = world.pin("next_pin");
    let run = ok(online.run(["ls", "work:"]));
    assert!(stderr(&run).contains(&format!("announced a key {n} (proved)")), "{}", stderr(&run));
    assert_eq!(state(&online, &n).as_deref(), Some("next"));
    world.nobody_falls_for_the_middle(&[&online, &late]);

    world.rotate(&["activate"]);
    assert_eq!(world.pin("server_pin"), n);
    // A client that missed the announcement is shown the old key; one with the new pin, the new.
    let newcomer = world.person(&format!("pin={}", Pin::parse(&n).unwrap().to_address_form()));
    for person in [&online, &late, &newcomer] {
        ok(person.run(["ls", "work:"]));
        assert_eq!(state(person, &n).as_deref(), Some("active"));
        assert_eq!(state(person, &b).as_deref(), Some("backup"));
    }
    assert_eq!(state(&late, &a).as_deref(), Some("retired"));
    // An address of the first day, in somebody's script, still works where the server is known.
    ok(online.run(["ls", &format!("{}?{}", world.bare(), world.site.pins)]));
    runtime.block_on(session.usage()).unwrap();
    world.nobody_falls_for_the_middle(&[&online, &late, &newcomer]);

    world.rotate(&["retire"]);
    for person in [&online, &late, &newcomer] {
        assert_eq!(stderr(&ok(person.run(["ls", "work:"]))), "");
    }
    world.the_window_is_over(&online, &away, &a, &n);

    // The key in use is stolen: the backup takes its place, and the stolen one is void for ever.
    let stolen = world.files(&n);
    world.rotate(&["revoke", &n]);
    assert_eq!(world.pin("server_pin"), b);
    let c = world.pin("backup_pin");
    // The backup key needs no introduction.
    ok(away.run(["ls", "work:"]));
    assert_eq!(state(&away, &b).as_deref(), Some("active"));
    // Who learned of the backup from the server alone goes on as well, but takes its word for no
    // revocation.
    for (person, lost) in [(&online, "revoked"), (&late, "revoked"), (&newcomer, "retired")] {
        ok(person.run(["ls", "work:"]));
        let now = [&n, &b, &c].map(|pin| state(person, pin).unwrap());
        assert_eq!(now, [lost, "active", "backup"]);
    }
    let heard = world.middle.attack(&stolen.0, &stolen.1, || {
        fails(online.run(["ls", "work:"]), 5, "uses a key that was revoked on");
        world.no_name_helps(&online, &n);
    });
    heard.iter().for_each(|heard| heard.is_only_hello_and_alert());
    world.nobody_falls_for_the_middle(&[&online, &late, &newcomer]);

    // The disk with the key burns.
    world.rotate(&["recover"]);
    assert_eq!(world.pin("server_pin"), c);
    for person in [&online, &late, &newcomer] {
        ok(person.run(["ls", "work:"]));
        assert_eq!(state(person, &c).as_deref(), Some("active"));
        assert_eq!(state(person, &world.pin("backup_pin")).as_deref(), Some("backup"));
    }
    world.nobody_falls_for_the_middle(&[&online, &late, &newcomer]);
    runtime.block_on(session.usage()).unwrap();
}

#[test]
fn the_backup_key_put_in_by_hand_serves_as_well() {
    let site = Site::new();
    site.account("ann", "10M");
    let person = Person::new();
    let at = |name: &str| site.root().join("certs").join(name);
    let (pins, port) = {
        let server = site.start();
        ok(person.run(["trust", "add", &site.address(&server, "ann", "")]));
        let bare = format!("sealane://ann@{}/", server.address);
        ok(person.run(["ls", &bare]));
        (site.pins.clone(), server.address.port())
    };
    std::fs::copy(at("backup.key"), at("server.key")).unwrap();
    std::fs::copy(at("backup.crt"), at("server.crt")).unwrap();
    let config = std::fs::read_to_string(site.config()).unwrap();
    std::fs::write(site.config(), config.replace("127.0.0.1:0", &format!("127.0.0.1:{port}")))
        .unwrap();
    let server = site.start();
    ok(person.run(["ls", &format!("sealane://ann@{}/", server.address)]));
    ok(Person::new().run(["ls", &format!("sealane://ann@{}/?{pins}", server.address)]));
}

#[test]
fn a_step_that_does_not_fit_is_refused() {
    let site = Site::new();
    fails(site.admin(["cert", "rotate", "activate"]), 1, "there is no next key");
    fails(site.admin(["cert", "rotate", "retire"]), 1, "no old key is shown");
    ok(site.admin(["cert", "rotate", "prepare"]));
    fails(site.admin(["cert", "rotate", "prepare"]), 1, "there is a next key already");
    let stranger = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    fails(site.admin(["cert", "rotate", "revoke", stranger]), 1, "is no key of this server");
    let certs = site.root().join("certs");
    let aside = site.directory.path().join("safe.key");
    std::fs::rename(certs.join("backup.key"), &aside).unwrap();
    let next = result(&ok(site.admin(["--json", "cert", "show"])))["next_pin"].clone();
    let next = next.as_str().unwrap();
    fails(site.admin(["cert", "rotate", "revoke", next]), 1, "the backup key has to sign");
    let wrong = certs.join("server.key");
    let revoke = |key: &std::path::Path| {
        site.admin(["cert", "rotate", "revoke", next, "--backup-key", key.to_str().unwrap()])
    };
    fails(revoke(&wrong), 1, "and the backup is");
    ok(revoke(&aside));
    fails(site.admin(["cert", "rotate", "activate"]), 1, "there is no next key");
}
