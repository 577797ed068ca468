//! `account`: one function a verb, and how an account looks on a terminal and in JSON.

use std::path::Path;

use serde_json::{Value, json};

use super::arguments::{AccountCommand, PasswordSource};
use super::migration::{self, Import};
use super::password::{generated, new_password};
use super::running;
use super::tokens;
use super::words::aligned;
use super::{keys, lives};
use crate::admin::{self, AdminError};
use crate::cli::{Failure, Ui};
use crate::config::Settings;
use sealane_base::types::{Secret, Username, size};
use sealane_core::accounts::{AccountError, AccountManager, ManageError, PasswordState, Summary};

pub(super) fn run(ui: Ui, settings: &Settings, command: AccountCommand) -> Result<(), Failure> {
    let manager = open(settings)?;
    let desk = Desk { ui, data: &settings.data, manager };
    match command {
        AccountCommand::Add { name, password, quota, home, adopt } => {
            if !adopt {
                admin::check_home(&desk.manager, &name, home.as_deref(), desk.data)?;
            }
            let add = |new: &Secret| desk.manager.add(&name, new, quota, home.as_deref());
            desk.with_password(&name, &password, "added", add)
        }
        AccountCommand::Passwd { name, password, drop_keys } => {
            let set = |new: &Secret| desk.manager.set_password(&name, new);
            desk.with_password(&name, &password, "new password", set)?;
            desk.keys_after(&name, drop_keys)?;
            if drop_keys {
                running::recheck(ui, settings);
            }
            Ok(())
        }
        AccountCommand::Quota { name, size } => {
            desk.manager.set_quota(&name, size)?;
            desk.done(&name, "new quota")
        }
        AccountCommand::Disable { name } => {
            desk.manager.set_disabled(&name, true)?;
            running::recheck(ui, settings);
            desk.done(&name, "disabled")
        }
        AccountCommand::Enable { name } => {
            desk.manager.set_disabled(&name, false)?;
            desk.done(&name, "enabled")
        }
        AccountCommand::Remove { name, files } => {
            lives::remove(ui, settings, &desk.manager, &name, files)
        }
        AccountCommand::Rename { old, new } => {
            lives::rename(ui, settings, &desk.manager, [&old, &new])?;
            desk.done(&new, &format!("renamed, was {old}"))
        }
        AccountCommand::Import { directory, dry_run, allow_shared } => {
            let asked = Import { folder: &directory, dry_run, allow_shared };
            migration::import(ui, settings, &desk.manager, asked)
        }
        AccountCommand::Report { directory, html } => {
            let (folder, page) = (directory.as_deref(), html.as_deref());
            migration::report(ui, settings, &desk.manager, folder, page)
        }
        AccountCommand::Wrap => migration::wrap(ui, settings, &desk.manager),
        AccountCommand::Undo { backup } => {
            migration::undo(ui, settings, &desk.manager, backup.as_deref())
        }
        AccountCommand::Unblock { name, source } => running::unblock(ui, settings, &name, source),
        AccountCommand::Key(command) => keys::run(ui, settings, &desk.manager, command),
        AccountCommand::Token(command) => tokens::run(ui, settings, &desk.manager, command),
        AccountCommand::List => desk.list(),
        AccountCommand::Show { name: None } => desk.show_all(),
        AccountCommand::Show { name: Some(name) } => {
            let summary = desk.manager.show(&name)?;
            desk.show(&summary);
            ui.object(&desk.object("result", &summary));
            Ok(())
        }
    }
}

pub(super) fn open(settings: &Settings) -> Result<AccountManager, Failure> {
    admin::open_accounts(&settings.accounts, &settings.login).map_err(|error| match error {
        AdminError::Account(AccountError::File(ref file)) if file.is_not_found() => {
            let hint = format!("there must be a directory '{}'", settings.accounts.display());
            Failure::from(error).hint(hint)
        }
        error => error.into(),
    })
}

struct Desk<'a> {
    ui: Ui,
    data: &'a Path,
    manager: AccountManager,
}

impl Desk<'_> {
    /// Says what was done, with the account as it is now.
    fn done(&self, name: &Username, what: &str) -> Result<(), Failure> {
        let summary = self.manager.show(name)?;
        self.ui.line(&format!("{name}: {what}; {}", self.in_short(&summary)));
        self.ui.object(&self.object("result", &summary));
        Ok(())
    }

    /// Has `keep` store a password: the one that `source` gives, or a new one that is printed.
    fn with_password(
        &self,
        name: &Username,
        source: &PasswordSource,
        what: &str,
        keep: impl FnOnce(&Secret) -> Result<(), ManageError>,
    ) -> Result<(), Failure> {
        if !source.generate {
            keep(&new_password(self.ui, source.password_file.as_deref(), name)?)?;
            return self.done(name, what);
        }
        let password = generated()?;
        // Before anything is changed: a password that replaced another one and was lost would shut
        // the account.
        let copy =
            json!({ "type": "password", "name": name.as_str(), "password": password.expose() });
        self.ui.only_copy(password.expose(), &copy).map_err(|failure| {
            failure.hint("nothing was changed; the new password must have a place to go to")
        })?;
        keep(&password).inspect_err(|_| {
            self.ui.note("the password that was printed counts for nothing");
        })?;
        self.ui.note(&format!("the new password of {name}; it is stored nowhere in this form"));
        self.ui.object(&json!({
            "type": "result",
            "name": name.as_str(),
            "password": password.expose(),
        }));
        Ok(())
    }

    /// A new password takes nothing from a thief who has enrolled a key: says which keys log in, or
    /// drops them.
    fn keys_after(&self, name: &Username, drop: bool) -> Result<(), Failure> {
        let keys: Vec<_> = self.manager.show(name)?.keys.into_iter().flatten().collect();
        for key in &keys {
            let what = if drop {
                self.manager.revoke_key(name, &key.pin)?;
                "dropped"
            } else {
                "still logs in; --drop-keys ends that"
            };
            self.ui.note(&format!("the key {} ({}) {what}", key.pin, key.comment));
        }
        Ok(())
    }

    fn list(&self) -> Result<(), Failure> {
        let accounts = self.manager.list()?;
        let rows: Vec<[String; 5]> = accounts.iter().map(row).collect();
        let titles = ["NAME", "PASSWORD", "QUOTA", "HOME", ""].map(str::to_owned);
        for line in aligned(&[vec![titles], rows].concat()) {
            self.ui.line(&line);
        }
        self.objects(&accounts);
        Ok(())
    }

    fn show_all(&self) -> Result<(), Failure> {
        let accounts = self.manager.list()?;
        for (at, summary) in accounts.iter().enumerate() {
            if at > 0 {
                self.ui.line("");
            }
            self.show(summary);
        }
        self.objects(&accounts);
        Ok(())
    }

    fn objects(&self, accounts: &[Summary]) {
        for summary in accounts {
            self.ui.object(&self.object("account", summary));
        }
        self.ui.object(&json!({ "type": "result", "accounts": accounts.len() }));
    }

    fn show(&self, summary: &Summary) {
        let line = |title: &str, text: &str| self.ui.line(&format!("{title:<10}{text}"));
        line("name", &summary.name);
        line("password", state(summary));
        if let Ok(quota) = summary.quota {
            line("quota", &format!("{} ({quota} bytes)", size::human(quota)));
        }
        if let Ok(home) = &summary.home {
            line("home", &self.data.join(home.as_str()).display().to_string());
        }
        for key in keys::lines(&summary.keys) {
            line("key", &key);
        }
        for remark in remarks(summary) {
            line("remark", &remark);
        }
    }

    fn in_short(&self, summary: &Summary) -> String {
        let quota = summary.quota.as_ref().map_or_else(Clone::clone, |bytes| size::human(*bytes));
        match &summary.home {
            Ok(home) => format!("{quota} in '{}'", self.data.join(home.as_str()).display()),
            Err(problem) => format!("{quota}; {problem}"),
        }
    }

    fn object(&self, kind: &str, summary: &Summary) -> Value {
        json!({
            "type": kind,
            "name": summary.name,
            "password": state(summary),
            "disabled": summary.disabled,
            "quota": summary.quota.as_ref().ok(),
            "home": summary.home.as_ref().ok().map(|home| self.data.join(home.as_str())),
            "sample": summary.is_sample,
            "keys": summary.keys.len(),
            "problems": problems(summary),
        })
    }
}

fn state(summary: &Summary) -> &'static str {
    match summary.state {
        PasswordState::Argon2id => "argon2id",
        PasswordState::Malformed(_) => "unusable",
        PasswordState::Md5 => "md5",
        PasswordState::Wrapped => "md5+argon2id",
    }
}

/// What is wrong with a record, each thing once.
fn problems(summary: &Summary) -> Vec<String> {
    let password = match &summary.state {
        PasswordState::Malformed(text) => Some(text),
        _ => None,
    };
    let all = [password, summary.quota.as_ref().err(), summary.home.as_ref().err()];
    let mut problems: Vec<String> = all.into_iter().flatten().cloned().collect();
    problems.dedup();
    problems
}

fn remarks(summary: &Summary) -> Vec<String> {
    let mut remarks = problems(summary);
    match summary.keys.iter().filter(|key| key.is_err()).count() {
        0 => {}
        damaged => remarks.push(format!("{damaged} of its keys count for nothing")),
    }
    if summary.disabled {
        remarks.push("disabled".into());
    }
    if summary.is_sample {
        remarks.push(
            "its password is published: a server that other machines can reach refuses it".into(),
        );
    }
    remarks
}

fn row(summary: &Summary) -> [String; 5] {
    let missing = || "-".to_owned();
    [
        summary.name.clone(),
        state(summary).to_owned(),
        summary.quota.as_ref().map_or_else(|_| missing(), |bytes| size::human(*bytes)),
        summary.home.as_ref().map_or_else(|_| missing(), ToString::to_string),
        remarks(summary).join("; "),
    ]
}
