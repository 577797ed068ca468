//! What happens to the calls of this thread: which one fails and how, and whether they are written
//! down.

use std::cell::RefCell;
use std::ffi::CStr;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::book::Book;
use super::event::{Entry, Event, Node};

/// What the n-th call says, counted from 0. Of a write, half is done all the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) errno: Errno,
    /// Every later call fails too: the disk has died.
    pub(super) lasts: bool,
}

#[derive(Default)]
struct Script {
    calls: usize,
    fault: Option<(usize, Fault)>,
    fired: Option<&'static str>,
    book: Option<Book>,
}

thread_local! {
    static SCRIPT: RefCell<Option<Script>> = const { RefCell::new(None) };
}

/// Runs `work` with nothing brought to the disk for good: what lasts is for the model to say.
pub(super) fn play<T>(
    fault: Option<(usize, Fault)>,
    recorded: Option<&Path>,
    work: impl FnOnce() -> T,
) -> (T, Option<&'static str>, Option<Book>) {
    /// Ends the script of this thread, also when `work` panics.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            SCRIPT.with_borrow_mut(|script| *script = None);
        }
    }
    let book = recorded.map(Book::open);
    SCRIPT.with_borrow_mut(|script| {
        assert!(script.is_none(), "one script at a time");
        *script = Some(Script { fault, book, ..Script::default() });
    });
    let _end = End;
    let outcome = work();
    let script = SCRIPT.with_borrow_mut(Option::take).unwrap();
    (outcome, script.fired, script.book)
}

/// Whether a script is being played.
pub(super) fn is_played() -> bool {
    SCRIPT.with_borrow(Option::is_some)
}

/// A call begins: counts it, and fails it if it is its turn.
pub(super) fn step(call: &'static str) -> io::Result<()> {
    SCRIPT.with_borrow_mut(|script| {
        let Some(script) = script else { return Ok(()) };
        let number = script.calls;
        script.calls += 1;
        match script.fault {
            Some((turn, fault)) if number == turn || (fault.lasts && number > turn) => {
                script.fired.get_or_insert(call);
                Err(fault.errno.into())
            }
            _ => Ok(()),
        }
    })
}

/// Writes down what was done.
pub(super) fn note(event: impl FnOnce(&mut Book) -> Event) {
    with_book(|book| {
        let event = event(book);
        book.events.push(event);
    });
}

/// The name in its directory, and what has it now; `None` unless it is to be written down.
pub(super) fn entry(directory: impl AsFd, name: &CStr) -> Option<(Entry, Option<Node>)> {
    let path = Path::new(std::str::from_utf8(name.to_bytes()).unwrap());
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let last = path.file_name().unwrap().to_str().unwrap().to_owned();
    with_book(|book| {
        let holder = parent.unwrap_or(Path::new("."));
        let holder = rustix::fs::statat(&directory, holder, AtFlags::empty()).unwrap();
        let place = Entry { directory: book.node(&holder), name: last };
        let found = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        (place, found.map(|found| book.node(&found)))
    })
}

/// The open file or directory; `None` unless it is to be written down.
pub(super) fn node(file: impl AsFd) -> Option<Node> {
    with_book(|book| book.node(&rustix::fs::fstat(file).unwrap()))
}

fn with_book<T>(work: impl FnOnce(&mut Book) -> T) -> Option<T> {
    SCRIPT.with_borrow_mut(|script| script.as_mut()?.book.as_mut().map(work))
}
