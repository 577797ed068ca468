//! One operation under every fault and every cut of the power.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::Path;

use rustix::io::Errno;
use tempfile::TempDir;

use super::script::{Fault, play};
use super::world::{FATES, lay_out};

/// What the real code finds, by name: what a file holds, say.
pub type State = BTreeMap<String, Vec<u8>>;

/// An operation in a directory of its own, and how to look at what it did.
#[expect(missing_debug_implementations, reason = "functions have none")]
pub struct Story<'s> {
    /// For messages.
    pub name: &'s str,
    /// Lays the directory out.
    pub prepare: &'s dyn Fn(&Path),
    /// Opens what is there and does it, as a program that is started would.
    pub act: &'s dyn Fn(&Path) -> Result<(), String>,
    /// Opens what is there and says what it finds. Panics if anything cannot be used.
    pub see: &'s dyn Fn(&Path) -> State,
    /// Sweeps as the program does from time to time.
    pub sweep: &'s dyn Fn(&Path),
    /// Several things change, each for itself.
    pub in_parts: bool,
}

pub(super) const ONCE: Fault = Fault { errno: Errno::NOSPC, lasts: false };
const FOR_EVER: Fault = Fault { errno: Errno::IO, lasts: true };

impl Story<'_> {
    /// Everything below.
    pub fn tell(&self) {
        self.fail_at_every_call();
        self.cut_the_power_after_every_call();
        self.cut_the_power_after_a_second_attempt();
    }

    /// The n-th call fails, for every n: the state is the old one or the new one, the new one if it
    /// was said, and doing it again brings it about and leaves nothing behind.
    pub fn fail_at_every_call(&self) {
        let (old, new) = self.ends();
        for fault in [ONCE, FOR_EVER] {
            for turn in 0.. {
                let directory = self.begin();
                let path = directory.path();
                let (outcome, fired, _) = play(Some((turn, fault)), None, || (self.act)(path));
                let Some(call) = fired else {
                    assert!(turn > 0 && outcome.is_ok(), "{}: {outcome:?}", self.name);
                    break;
                };
                let what = format!("{}: call {turn} ({call}) fails: {fault:?}", self.name);
                if let (Errno::NOSPC, Err(error)) = (fault.errno, &outcome) {
                    assert!(error.contains("Full"), "it does not say why: {error}: {what}");
                }
                self.judge(&what, path, outcome.is_ok(), &old, &new);
                self.do_again(&what, path, &new);
            }
        }
    }

    /// The power is cut after the n-th call, for every n: what was said to be done is there, and of
    /// the rest the old state or the new one.
    pub fn cut_the_power_after_every_call(&self) {
        let (old, new) = self.ends();
        let directory = self.begin();
        let (outcome, _, book) =
            play(None, Some(directory.path()), || (self.act)(directory.path()));
        assert_eq!(outcome, Ok(()), "{}", self.name);
        let book = book.unwrap();
        for calls in 0..=book.events.len() {
            let events = &book.events[..calls];
            let is_said = calls == book.events.len();
            let mut seen = BTreeSet::new();
            for (names, bytes) in FATES {
                let disk = book.before.after(events, names, bytes).paths();
                if seen.insert(disk.clone()) {
                    let what = format!(
                        "{}: cut after {calls} calls, names {names:?}, bytes {bytes:?}: {events:#?}",
                        self.name
                    );
                    let world = scratch_directory();
                    lay_out(&disk, world.path());
                    self.judge(&what, world.path(), is_said, &old, &new);
                    self.do_again(&what, world.path(), &new);
                }
            }
        }
    }

    /// The n-th call fails, it is done again, the power is cut: what the second attempt said lasts.
    pub fn cut_the_power_after_a_second_attempt(&self) {
        let (old, new) = self.ends();
        for turn in 0.. {
            let directory = self.begin();
            let path = directory.path();
            let both = || (self.act)(path).is_ok() || (self.act)(path).is_ok();
            let (is_said, fired, book) = play(Some((turn, ONCE)), Some(path), both);
            let Some(call) = fired else { break };
            let book = book.unwrap();
            for (names, bytes) in FATES {
                let what = format!(
                    "{}: call {turn} ({call}) fails, again, then cut, names {names:?}, bytes {bytes:?}: {:#?}",
                    self.name, book.events
                );
                let world = scratch_directory();
                let disk = book.before.after(&book.events, names, bytes).paths();
                lay_out(&disk, world.path());
                self.judge(&what, world.path(), is_said, &old, &new);
            }
        }
    }

    fn begin(&self) -> TempDir {
        let directory = scratch_directory();
        play(None, None, || (self.prepare)(directory.path()));
        directory
    }

    fn look(&self, path: &Path) -> State {
        play(None, None, || (self.see)(path)).0
    }

    /// The state before, and after it went well.
    fn ends(&self) -> (State, State) {
        let (old, new) = (self.begin(), self.begin());
        let (outcome, _, _) = play(None, None, || (self.act)(new.path()));
        assert_eq!(outcome, Ok(()), "{}", self.name);
        (self.look(old.path()), self.look(new.path()))
    }

    fn judge(&self, what: &str, path: &Path, is_said: bool, old: &State, new: &State) {
        let now = self.look(path);
        if is_said {
            assert_eq!(&now, new, "said to be done: {what}");
        } else if self.in_parts {
            for name in old.keys().chain(new.keys()).chain(now.keys()) {
                let ends = [old.get(name), new.get(name)];
                assert!(ends.contains(&now.get(name)), "neither old nor new, {name}: {what}");
            }
        } else {
            assert!(now == *old || now == *new, "neither old nor new, {now:?}: {what}");
        }
    }

    fn do_again(&self, what: &str, path: &Path, new: &State) {
        // It may say that there is nothing to do any more.
        let (outcome, _, _) = play(None, None, || (self.act)(path));
        assert_eq!(&self.look(path), new, "done again ({outcome:?}): {what}");
        play(None, None, || (self.sweep)(path));
        assert_eq!(&self.look(path), new, "swept: {what}");
        assert_eq!(leftovers(path), Vec::<String>::new(), "left behind: {what}");
    }
}

/// An empty directory; in memory if there is room for one, as it is about thousands of them.
fn scratch_directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Names that are of nothing but work under way.
fn leftovers(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in directory.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let is_note =
            ending == "json" && path.components().any(|part| part.as_os_str() == "partials");
        if is_note || ["tmp", "part", "trash", "spool"].contains(&ending) {
            found.push(path.display().to_string());
        }
        if path.is_dir() {
            found.extend(leftovers(&path));
        }
    }
    found
}

/// The outcome of a story, its error in words.
///
/// # Errors
/// That of `outcome`.
pub fn said<T, E: Debug>(outcome: Result<T, E>) -> Result<(), String> {
    outcome.map(drop).map_err(|error| format!("{error:?}"))
}
