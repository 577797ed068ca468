//! Somebody who works in a directory of their own, one command after the other, and remembers what
//! was acknowledged: what an interrupted command was about may be as before or as it wanted.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use super::any;
use crate::support::site::client;
use crate::support::{Server, Site, Tally, noise};

const MIB: usize = 1 << 20;
/// Small files, chunk borders, several chunks.
const SIZES: [usize; 8] = [0, 3, 4096, 70_000, MIB, MIB + 1, 2 * MIB + 5, 3 * MIB];
/// Exit codes of a client whose server or machine failed it: 1 other, 3 not found, 6 network, 7
/// space, 9 some.
const EXCUSES: [i32; 5] = [1, 3, 6, 7, 9];

/// Bytes, by how many and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Content {
    size: usize,
    seed: u64,
}

/// What a command is about.
#[derive(Clone, Debug)]
enum Act {
    Put(Vec<(String, Content)>),
    Move(String, String),
    Remove(String),
}

impl Act {
    fn names(&self) -> Vec<&String> {
        match self {
            Self::Put(files) => files.iter().map(|(name, _)| name).collect(),
            Self::Move(from, to) => vec![from, to],
            Self::Remove(name) => vec![name],
        }
    }
}

pub struct Actor {
    pub user: &'static str,
    directory: &'static str,
    /// What each name may hold; one thing only, once it was looked at or acknowledged.
    names: BTreeMap<String, Vec<Option<Content>>>,
    /// Moves nobody heard the end of: what was moved is under one of the names.
    moves: Vec<(String, String, Content)>,
    /// Acts so far.
    number: u64,
    /// The command that runs, so that others can kill it.
    pub running: Running,
}

/// A command under way.
pub type Running = Arc<Mutex<Option<Child>>>;

impl Actor {
    pub fn new(user: &'static str, directory: &'static str) -> Self {
        let (names, moves, number) = (BTreeMap::new(), Vec::new(), 0);
        Self { user, directory, names, moves, number, running: Arc::default() }
    }

    fn address(&self, site: &Site, server: &Server, name: &str) -> String {
        site.address(server, self.user, &format!("{}/{name}", self.directory))
    }

    /// Makes the directory and some files in it.
    pub fn begin(&mut self, site: &Site, server: &Server) {
        let address = site.address(server, self.user, self.directory);
        crate::support::ok(client(["mkdir", &address]).output().unwrap());
        self.script(site, server, true);
    }

    /// Some of everything; all of it must succeed if `strict`.
    pub fn script(&mut self, site: &Site, server: &Server, strict: bool) {
        let new = |number: u64, size| Content { size, seed: number };
        let number = self.number * 100;
        let many = (0..6).map(|i| (format!("m{i}"), new(number + i, 100 * i as usize)));
        let one = |name: &str, content| Act::Put(vec![(name.to_owned(), content)]);
        for act in [
            one("large", new(number + 10, 2 * MIB + 77)),
            one("large", new(number + 11, 3 * MIB - 77)),
            one("small", new(number + 12, 3000)),
            one("small", new(number + 13, 2000)),
            Act::Put(many.collect()),
            one("moved", new(number + 14, 5000)),
            Act::Move("moved".into(), "small".into()),
            one("gone", new(number + 15, MIB)),
            Act::Remove("gone".into()),
        ] {
            self.act(site, server, act, strict);
        }
    }

    /// Something or other.
    pub fn anything(&mut self, site: &Site, server: &Server, salt: u64) {
        let pick = |what: &str, end| any((what, self.directory, self.number, salt), end);
        let name = |what: &str| format!("f{}", pick(what, 6));
        let held =
            |name: &String| matches!(self.names.get(name).map(Vec::as_slice), Some([Some(_)]));
        let (one, other) = (name("one"), name("other"));
        let act = match pick("act", 8) {
            0 if held(&one) => Act::Remove(one),
            1 | 2 if held(&one) && one != other => Act::Move(one, other),
            3 => {
                let content =
                    |i| Content { size: 50 * i as usize, seed: pick("many", 1 << 40) + i };
                Act::Put((0..6).map(|i| (format!("m{i}"), content(i))).collect())
            }
            _ => {
                let size = SIZES[pick("size", SIZES.len() as u64) as usize];
                Act::Put(vec![(one, Content { size, seed: pick("seed", 1 << 40) })])
            }
        };
        self.act(site, server, act, false);
    }

    fn act(&mut self, site: &Site, server: &Server, act: Act, strict: bool) {
        self.number += 1;
        let arguments = self.arguments(site, server, &act);
        let before = self.names.clone();
        // What is known of an earlier move is not said of names that are used again.
        let about = act.names();
        self.moves.retain(|(from, to, _)| !about.contains(&from) && !about.contains(&to));
        self.foresee(&act);
        let mut command = client(arguments.iter().chain(&["--retry-for".into(), "0".into()]));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        *self.running.lock().unwrap() = Some(command.spawn().unwrap());
        let (code, words) = self.wait();
        let excused = code.is_none_or(|code| EXCUSES.contains(&code));
        assert!(code == Some(0) || excused && !strict, "{act:?}: {code:?} {words}");
        if code == Some(0) {
            self.believe(&act, &before);
        }
    }

    fn arguments(&self, site: &Site, server: &Server, act: &Act) -> Vec<String> {
        let at = |name: &str| self.address(site, server, name);
        match act {
            Act::Put(files) => {
                let place = site.local().join(format!("{}-{}", self.user, self.directory));
                std::fs::create_dir_all(&place).unwrap();
                let sources = files.iter().map(|(name, content)| {
                    let path = place.join(name);
                    std::fs::write(&path, noise(content.size, content.seed)).unwrap();
                    path.to_str().unwrap().to_owned()
                });
                let sources: Vec<_> = sources.collect();
                [vec!["put".into()], sources, vec![at("")]].concat()
            }
            Act::Move(from, to) => vec!["mv".into(), "-f".into(), at(from), at(to)],
            Act::Remove(name) => vec!["rm".into(), at(name)],
        }
    }

    /// Waits for the command without keeping others from it: exit code, `None` if it was killed,
    /// and words.
    fn wait(&self) -> (Option<i32>, String) {
        loop {
            let mut running = self.running.lock().unwrap();
            let child = running.as_mut().unwrap();
            if child.try_wait().unwrap().is_some() {
                let output = running.take().unwrap().wait_with_output().unwrap();
                return (output.status.code(), crate::support::stderr(&output));
            }
            drop(running);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    /// What may be, once the command has begun.
    fn foresee(&mut self, act: &Act) {
        let mut also = |name: &String, content: Option<Content>| {
            let may = self.names.entry(name.clone()).or_insert_with(|| vec![None]);
            if !may.contains(&content) {
                may.push(content);
            }
        };
        match act {
            Act::Put(files) => {
                files.iter().for_each(|(name, content)| also(name, Some(*content)));
            }
            Act::Remove(name) => also(name, None),
            Act::Move(from, to) => {
                let moved = self.names[from].clone();
                let mut also = |name: &String, content| {
                    let may = self.names.entry(name.clone()).or_insert_with(|| vec![None]);
                    may.push(content);
                };
                also(from, None);
                moved.iter().for_each(|content| also(to, *content));
                if let [Some(content)] = moved[..] {
                    self.moves.push((from.clone(), to.clone(), content));
                }
            }
        }
    }

    /// What is, once the command was acknowledged.
    fn believe(&mut self, act: &Act, before: &BTreeMap<String, Vec<Option<Content>>>) {
        match act {
            Act::Put(files) => {
                for (name, content) in files {
                    self.names.insert(name.clone(), vec![Some(*content)]);
                }
            }
            Act::Remove(name) => drop(self.names.insert(name.clone(), vec![None])),
            Act::Move(from, to) => {
                let there = before[from].iter().copied().filter(Option::is_some);
                self.names.insert(to.clone(), there.collect());
                self.names.insert(from.clone(), vec![None]);
                self.moves.retain(|(moved, _, _)| moved != from);
            }
        }
    }

    /// Looks at every name on the server's disk; from now on that is what it holds.
    pub fn settle(&mut self, site: &Site, tally: &mut Tally) {
        let place = site.home(self.user).join(self.directory);
        let there = crate::support::names(&place);
        for name in &there {
            tally.file(self.names.contains_key(name), (self.user, "nobody put this here", name));
        }
        for (name, may) in &mut self.names {
            let bytes = std::fs::read(place.join(name)).ok();
            let found = may.iter().find(|may| bytes == may.map(|it| noise(it.size, it.seed)));
            let size = bytes.as_ref().map(Vec::len);
            tally.file(found.is_some(), (self.user, self.directory, &name, size, &may));
            *may = vec![found.copied().flatten()];
        }
        for (from, to, content) in self.moves.drain(..) {
            let is_there = [&from, &to].iter().any(|name| self.names[*name] == [Some(content)]);
            tally.file(is_there, ("moved to nowhere", from, to, content));
        }
    }
}

/// Ends the command that runs, if one does.
pub fn kill(running: &Running) -> bool {
    let mut running = running.lock().unwrap();
    running
        .as_mut()
        .is_some_and(|child| child.try_wait().unwrap().is_none() && child.kill().is_ok())
}
