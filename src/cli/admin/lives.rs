//! `account remove` and `account rename`: the record, the sessions and the files, in that order.

use serde_json::json;
use time::OffsetDateTime;

use super::arguments::Files;
use super::running;
use crate::admin::{self, AdminError};
use crate::cli::{Exit, Failure, Ui};
use crate::config::Settings;
use sealane_base::types::Username;
use sealane_core::accounts::AccountManager;

pub(super) fn remove(
    ui: Ui,
    settings: &Settings,
    manager: &AccountManager,
    name: &Username,
    files: Files,
) -> Result<(), Failure> {
    let data = settings.data.as_path();
    let home = manager.show(name).ok().and_then(|summary| summary.home.ok());
    let home = match (home, files) {
        (Some(home), Files::Keep) => Some(home),
        (Some(home), _) => {
            admin::check_alone(manager, name, home.path())?;
            Some(home)
        }
        // Also of one whose record cannot be read.
        (None, Files::Keep) => None,
        (None, _) => {
            manager.show(name)?;
            return Err(Failure::new(
                Exit::Other,
                format!("{name}: where its home is cannot be told"),
            )
            .hint("--files keep removes the account alone"));
        }
    };
    manager.remove(name)?;
    let path = home.as_ref().map(|home| data.join(home.as_str()));
    let left = |failure: Failure| match &path {
        Some(path) => {
            let hint = format!("the account is removed; its files are in '{}'", path.display());
            failure.hint(hint)
        }
        None => failure,
    };
    let (done, place) = match (files, &home) {
        (Files::Keep, _) | (_, None) => {
            running::recheck(ui, settings);
            let stay = match &path {
                Some(path) => format!("its files stay in '{}'", path.display()),
                None => "its files, if it had any, stay".to_owned(),
            };
            (stay, path)
        }
        (Files::Delete, Some(home)) => {
            running::end_sessions(ui, settings, name).map_err(left)?;
            admin::delete(data, name, home.path()).map_err(|error| left(error.into()))?;
            ("its files are deleted".to_owned(), None)
        }
        (Files::Archive, Some(home)) => {
            running::end_sessions(ui, settings, name).map_err(left)?;
            let moved = admin::archive(data, name, home.path(), &stamp());
            let moved = moved.map_err(|error| left(error.into()))?;
            let done = match &moved {
                Some(place) => format!("its files are in '{}'", place.display()),
                None => "it had no files".to_owned(),
            };
            (done, moved)
        }
    };
    ui.line(&format!("{name}: removed; {done}"));
    ui.object(&json!({ "type": "result", "name": name.as_str(), "files": place }));
    Ok(())
}

pub(super) fn rename(
    ui: Ui,
    settings: &Settings,
    manager: &AccountManager,
    [old, new]: [&Username; 2],
) -> Result<(), Failure> {
    if old == new {
        return Err(Failure::new(Exit::Usage, format!("{old} is called so already")));
    }
    // Nobody's files may be at the new place; of a rename that goes on, its own are.
    if manager.show(old).is_ok() {
        admin::check_home(manager, new, None, &settings.data)?;
    }
    let [from, to] = manager.begin_rename(old, new)?;
    let again = |failure: Failure| {
        failure.hint(format!("{new} is disabled until the same command succeeds"))
    };
    running::end_sessions(ui, settings, old).map_err(again)?;
    // An empty directory that is there already is in the way.
    let moved = admin::rename(&settings.data, [old, new], [from.path(), to.path()]);
    moved.map_err(|error: AdminError| again(error.into()))?;
    manager.end_rename(new)?;
    Ok(())
}

/// The time, as it can stand in a name.
fn stamp() -> String {
    let now = OffsetDateTime::now_utc();
    let (date, time) = (now.date(), now.time());
    format!("{date}T{:02}{:02}{:02}Z", time.hour(), time.minute(), time.second())
}
