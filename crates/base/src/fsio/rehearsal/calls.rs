//! The calls of `fsio::system`, each by the same name: failed, or done and written down, as the
//! script says.
//!
//! While a script is played nothing is really brought to the disk.

#![expect(clippy::missing_errors_doc, missing_docs, reason = "as in `fsio::system`")]

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt as _;

use rustix::fs::{Gid, Mode, OFlags, Timestamps, Uid};
use rustix::path::Arg;

use super::event::{Entry, Event, Node};
use super::script::{entry, is_played, node, note, step};
use crate::fsio::system;

fn length(file: &File) -> usize {
    usize::try_from(file.metadata().unwrap().len()).unwrap()
}

pub fn open(
    directory: impl AsFd,
    name: impl Arg,
    flags: OFlags,
    mode: Mode,
) -> io::Result<OwnedFd> {
    let name = name.into_c_str()?;
    step("open")?;
    let before = entry(&directory, &name);
    let file = system::open(&directory, &*name, flags, mode)?;
    if let Some((place, None)) = before {
        created(place, &file, false);
    }
    Ok(file)
}

fn created(place: Entry, made: impl AsFd, is_directory: bool) {
    let stat = rustix::fs::fstat(made).unwrap();
    let mode = Mode::from_raw_mode(stat.st_mode).as_raw_mode() & 0o7777;
    note(|book| Event::Created { entry: place, node: book.new_node(&stat), is_directory, mode });
}

pub fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let outcome = step("write");
    let done = if outcome.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
    system::write_at(file, done, offset)?;
    written(node(file), done, usize::try_from(offset).unwrap());
    outcome
}

pub fn append(file: &File, bytes: &[u8]) -> io::Result<()> {
    let outcome = step("append");
    let done = if outcome.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
    let offset = length(file);
    system::append(file, done)?;
    written(node(file), done, offset);
    outcome
}

fn written(node: Option<Node>, bytes: &[u8], offset: usize) {
    if let Some(node) = node {
        note(|_| Event::Written { node, offset, bytes: bytes.to_vec() });
    }
}

pub fn spool(reader: &mut impl Read, file: &File) -> io::Result<u64> {
    step("spool")?;
    system::spool(reader, file)
}

pub fn share(file: &File, present: &File) -> io::Result<()> {
    step("share")?;
    system::share(file, present)?;
    if let Some(node) = node(file) {
        let mut bytes = vec![0; length(file)];
        file.read_exact_at(&mut bytes, 0)?;
        note(|_| Event::Written { node, offset: 0, bytes });
    }
    Ok(())
}

pub fn set_length(file: &File, length: u64) -> io::Result<()> {
    step("set_length")?;
    system::set_length(file, length)?;
    if let Some(node) = node(file) {
        note(|_| Event::Cut { node, length: usize::try_from(length).unwrap() });
    }
    Ok(())
}

pub fn set_mode(file: impl AsFd, mode: u32) -> io::Result<()> {
    step("set_mode")?;
    system::set_mode(&file, mode)?;
    if let Some(node) = node(file) {
        note(|_| Event::Mode { node, mode });
    }
    Ok(())
}

pub fn set_mode_at(path: impl Arg, mode: u32) -> io::Result<()> {
    step("set_mode_at")?;
    system::set_mode_at(path, mode)
}

pub fn set_group(file: impl AsFd, group: u32) -> io::Result<()> {
    step("set_group")?;
    system::set_group(file, group)
}

pub fn set_times(file: impl AsFd, times: &Timestamps) -> io::Result<()> {
    step("set_times")?;
    system::set_times(file, times)
}

pub fn set_owner(file: impl AsFd, user: Uid, group: Gid) -> io::Result<()> {
    step("set_owner")?;
    system::set_owner(file, user, group)
}

pub fn sync(file: &File) -> io::Result<()> {
    synced("sync", file, || system::sync(file))
}

pub fn sync_data(file: &File) -> io::Result<()> {
    synced("sync_data", file, || system::sync_data(file))
}

pub fn sync_directory(directory: impl AsFd) -> io::Result<()> {
    synced("sync_directory", &directory, || system::sync_directory(&directory))
}

fn synced(
    call: &'static str,
    file: impl AsFd,
    really: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let outcome = step(call);
    if !is_played() {
        return really();
    }
    if let Some(node) = node(file) {
        note(|_| if outcome.is_ok() { Event::Synced { node } } else { Event::NotSynced { node } });
    }
    outcome
}

pub fn sync_file_system(file: &File) -> io::Result<()> {
    step("sync_file_system")?;
    if !is_played() {
        return system::sync_file_system(file);
    }
    note(|_| Event::AllSynced);
    Ok(())
}

pub fn rename(from: impl AsFd, old: impl Arg, to: impl AsFd, new: impl Arg) -> io::Result<()> {
    let (old, new) = (old.into_c_str()?, new.into_c_str()?);
    renamed(&from, &old, &to, &new, || system::rename(&from, &*old, &to, &*new))
}

pub fn rename_new(from: impl AsFd, old: impl Arg, to: impl AsFd, new: impl Arg) -> io::Result<()> {
    let (old, new) = (old.into_c_str()?, new.into_c_str()?);
    renamed(&from, &old, &to, &new, || system::rename_new(&from, &*old, &to, &*new))
}

fn renamed(
    from: impl AsFd,
    old: &CStr,
    to: impl AsFd,
    new: &CStr,
    really: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    step("rename")?;
    let (old, new) = (entry(from, old), entry(to, new));
    really()?;
    if let (Some((from, Some(node))), Some((to, _))) = (old, new) {
        note(|_| Event::Renamed { from, to, node });
    }
    Ok(())
}

pub fn link(from: impl AsFd, old: impl Arg, to: impl AsFd, new: impl Arg) -> io::Result<()> {
    let (old, new) = (old.into_c_str()?, new.into_c_str()?);
    step("link")?;
    let linked = entry(&from, &old);
    let place = entry(&to, &new);
    system::link(from, &*old, to, &*new)?;
    if let (Some((_, Some(node))), Some((place, _))) = (linked, place) {
        note(|_| Event::Linked { entry: place, node });
    }
    Ok(())
}

pub fn unlink(directory: impl AsFd, name: impl Arg) -> io::Result<()> {
    let name = name.into_c_str()?;
    removed("unlink", &directory, &name, || system::unlink(&directory, &*name))
}

pub fn remove_directory(directory: impl AsFd, name: impl Arg) -> io::Result<()> {
    let name = name.into_c_str()?;
    let really = || system::remove_directory(&directory, &*name);
    removed("remove_directory", &directory, &name, really)
}

fn removed(
    call: &'static str,
    directory: impl AsFd,
    name: &CStr,
    really: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    step(call)?;
    let before = entry(directory, name);
    really()?;
    if let Some((place, Some(node))) = before {
        note(|_| Event::Removed { entry: place, node });
    }
    Ok(())
}

pub fn make_directory(directory: impl AsFd, name: impl Arg, mode: u32) -> io::Result<()> {
    let name = name.into_c_str()?;
    step("make_directory")?;
    let before = entry(&directory, &name);
    system::make_directory(&directory, &*name, mode)?;
    if let Some((place, _)) = before {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let made = rustix::fs::openat(&directory, &*name, flags, Mode::empty())?;
        created(place, made, true);
    }
    Ok(())
}
