//! One account with its full number of sessions and requests that keeps a server as busy as it can,
//! in each way there is, while another one works. `scripts/siege` does the same for longer and
//! measures it.

use std::fs::File;
use std::time::{Duration, Instant};

use sealane_base::types::{Address, PinSet};
use sealane_protocol::limits::{MAX_REQUESTS, MAX_TRANSFERS};
use sealane_protocol::message::Tokens;
use sealane_protocol::{ClientMessage, ServerMessage};

use super::{MIB, stranger};
use crate::support::ok;
use crate::support::peer::{Peer, digest_of, get, hello, list, login_as, put};
use crate::support::site::{PASSWORD, Server, Site, client, ended, until};

/// Sessions of one account by default.
const SESSIONS: usize = 16;
/// What the other account and the administrator wait for at most; by far more than they should.
const SOON: Duration = Duration::from_secs(15);

/// MiB for what 16 connections and a few threads take, and for an allocator that does not give all
/// back at once.
const SLACK: u64 = 48;

/// How the attacker keeps a session busy.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Digests of files that take long to read.
    Digests,
    /// Downloads whose chunks are not acknowledged.
    Unacknowledged,
    /// Downloads with a have-list that is announced and never told.
    Untold,
    /// Uploads of which nothing comes.
    Unsent,
    /// Listings that are not read.
    Unread,
    /// Tokens for further connections that never come.
    Unused,
}

const WAYS: [Way; 6] =
    [Way::Digests, Way::Unacknowledged, Way::Untold, Way::Unsent, Way::Unread, Way::Unused];

struct Siege {
    site: Site,
    server: Server,
    pins: PinSet,
}

impl Siege {
    fn new() -> Self {
        let site = Site::new();
        site.configure(&[("answer_memory_mib", "4"), ("transfer_memory_mib", "16")]);
        for name in ["eve", "ann"] {
            site.account(name, "10G");
        }
        let server = site.start();
        let address = Address::parse(&site.address(&server, "eve", "")).unwrap();
        let pins = PinSet::new(address.pins).unwrap();
        std::fs::create_dir_all(site.home("eve").join("many")).unwrap();
        // Holes: they take no room on the disk, and long to read.
        File::create(site.home("eve").join("large")).unwrap().set_len(8 << 30).unwrap();
        for number in 0..1000 {
            std::fs::write(site.home("eve").join(format!("many/{number:0250}")), b"").unwrap();
        }
        Self { site, server, pins }
    }

    async fn session(&self, way: Way) -> Peer {
        let mut peer = stranger(self.server.address, &self.pins).await;
        peer.send(&[hello(1), login_as(2, "eve", PASSWORD)].concat()).await;
        assert!(matches!(peer.answer_to(2).await, ServerMessage::LoggedIn(_)));
        let (count, request) = match way {
            Way::Digests => (MAX_REQUESTS, digest_of("large")),
            Way::Unacknowledged => (MAX_TRANSFERS, get("large", false)),
            Way::Untold => (MAX_TRANSFERS, get("large", true)),
            Way::Unsent => (MAX_TRANSFERS, put("", 9 * MIB)),
            Way::Unread => (MAX_REQUESTS, list("many")),
            Way::Unused => (1, ClientMessage::Tokens(Tokens { count: 15 })),
        };
        for number in 0..count {
            match way {
                Way::Unsent => peer.ask(put(&format!("{number}"), 9 * MIB)).await,
                _ => peer.ask(request.clone()).await,
            };
        }
        peer
    }

    /// A number that the system tells of the server.
    fn told(&self, file: &str, key: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", self.server.child.id()));
        let text = text.unwrap();
        let line = text.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn threads(&self) -> u64 {
        self.told("status", "Threads:")
    }

    fn memory(&self) -> u64 {
        self.told("status", "VmRSS:") / 1024
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.server.child.id())).unwrap().count()
    }

    /// The other account and the administrator get their answers.
    fn assert_others_work(&self, what: &str) {
        for round in 0..3 {
            let since = Instant::now();
            let address = self.site.address(&self.server, "ann", "");
            ok(ended(&mut client(["ls", &address])));
            assert!(since.elapsed() < SOON, "{what}: ls {round} took {:?}", since.elapsed());
            let since = Instant::now();
            ok(self.site.admin(["status"]));
            assert!(since.elapsed() < SOON, "{what}: status took {:?}", since.elapsed());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_account_cannot_stop_another_nor_the_administrator() {
    let siege = Siege::new();
    // As many as the programs have at any time, whatever is asked of them.
    siege.assert_others_work("at peace");
    let processors = std::thread::available_parallelism().unwrap().get() as u64;
    let (descriptors, memory) = (siege.descriptors(), siege.memory());
    for way in WAYS {
        let mut peers = Vec::new();
        for _ in 0..SESSIONS {
            peers.push(siege.session(way).await);
        }
        siege.assert_others_work(&format!("{way:?}"));
        let (threads, most) = (siege.threads(), 20 + 6 * processors);
        assert!(threads <= most, "{way:?}: {threads} threads, not {most}");
        // Chunks have the memory for transfers, listings that for answers; besides, each session
        // may have one of either, and each connection one that is being written.
        let most = match way {
            Way::Unacknowledged => 16 + 2 * SESSIONS as u64,
            Way::Unread => 4 + SESSIONS as u64,
            _ => 0,
        };
        let grown = siege.memory().saturating_sub(memory);
        assert!(grown <= most + SLACK, "{way:?}: {grown} MiB more, not {most}");
        // It takes effect at once, however busy the account is.
        let since = Instant::now();
        ok(siege.site.admin(["account", "disable", "eve"]));
        until("the attacker is gone", || siege.descriptors() <= descriptors);
        assert!(since.elapsed() < SOON, "{way:?}: {:?} until it is gone", since.elapsed());
        drop(peers);
        ok(siege.site.admin(["account", "enable", "eve"]));
    }
    siege.assert_others_work("at the end");
}
