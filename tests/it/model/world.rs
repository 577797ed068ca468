//! A real server with two accounts, what the model says each has, and the sessions that act on it.

use std::sync::Arc;

use sealane_base::files::{FileMeta, FileSource, LocalSink, Sink, Tree};
use sealane_base::types::{RemotePath, Secret};
use sealane_client::Client;
use sealane_client::Target;
use sealane_client::session::SessionError;
use sealane_client::tree::{
    Compare, Ends, Exclude, Listing, Plan, Preserve, Rules, list_remote, upload_tree,
};
use sealane_protocol::Status;
use sealane_server::{Answer, Question};
use tempfile::TempDir;

use super::line::cut_after;
use super::look::{kind_and_size, list, sizes};
use super::reference::{Content, Node, Reference, Refused};
use super::steps::{Act, Step};
use crate::support::Service;
use crate::support::pair::whole;
use crate::support::service::connect;
use crate::support::site::PASSWORD;
use crate::support::trees::make;

pub const USERS: [&str; 2] = ["ann", "ben"];
const LIMIT: u64 = 12 << 20;
const NONE: FileMeta = FileMeta { modified: None, mode: None };

pub struct World {
    pub service: Service,
    pub accounts: [Account; 2],
    local: TempDir,
}

pub struct Account {
    pub reference: Reference,
    /// What the record says: it is obeyed from the next login on.
    recorded: u64,
    sessions: Vec<Arc<Client>>,
}

/// What the server said, as the model says it. Anything but an answer or a refusal is a defect.
pub fn told<T>(answer: Result<T, SessionError>) -> Result<T, Refused> {
    answer.map_err(|error| match error {
        SessionError::Refused(refused) => (refused.status(), refused.short),
        other => panic!("{other:?}"),
    })
}

impl World {
    pub async fn new() -> Self {
        let service = Service::start().await;
        for user in USERS {
            service.account(user, LIMIT);
        }
        let account =
            || Account { reference: Reference::new(LIMIT), recorded: LIMIT, sessions: Vec::new() };
        let local = tempfile::tempdir().unwrap();
        Self { service, accounts: [account(), account()], local }
    }

    /// A session of the account, which may have to be opened.
    pub async fn session(&mut self, account: usize, which: usize) -> Arc<Client> {
        let open = self.accounts[account].sessions.len();
        if which < open {
            return self.accounts[account].sessions[which].clone();
        }
        let session = Arc::new(self.log_in(account).await);
        self.accounts[account].sessions.push(session.clone());
        session
    }

    /// One more session: with it the limit holds that the record says.
    async fn log_in(&mut self, account: usize) -> Client {
        let session = self.service.try_login(USERS[account], PASSWORD).await.unwrap();
        self.obey(account);
        session
    }

    fn obey(&mut self, account: usize) {
        let account = &mut self.accounts[account];
        account.reference.limit = account.recorded;
    }

    pub async fn take(&mut self, step: Step) {
        let Step { account, session, act } = step;
        match act {
            Act::Close => return self.close(account).await,
            Act::Restart => {
                for account in 0..USERS.len() {
                    while !self.accounts[account].sessions.is_empty() {
                        self.close(account).await;
                    }
                }
                return self.service.restart().await;
            }
            Act::Quota { bytes } => {
                self.service.set_quota(USERS[account], bytes);
                self.accounts[account].recorded = bytes;
                self.log_in(account).await.close().await;
                return self.gone().await;
            }
            _ => {}
        }
        let client = self.session(account, session).await;
        let reference = &mut self.accounts[account].reference;
        match act {
            Act::Put { path, content, small } => {
                let answer = self.put(&client, &path, content, small).await;
                let expected = self.accounts[account].reference.put(&path, content);
                assert_eq!(answer.map(drop), expected, "put {path} {content:?}");
            }
            Act::CutPut { path, content, after } => {
                self.cut_put(account, &client, &path, content, after).await;
            }
            Act::Race { path, contents } => self.race(account, &client, &path, contents).await,
            Act::Get { path, stale } => self.get(account, &client, &path, stale).await,
            Act::Remove { path, recursive } => {
                let answer = told(client.remove(&path, recursive).await);
                assert_eq!(answer, reference.remove(&path, recursive), "rm {path} {recursive}");
            }
            Act::MakeDirectory { path, parents } => {
                let answer = told(client.make_directory(&path, parents).await);
                assert_eq!(answer, reference.make_directory(&path, parents), "mkdir {path}");
            }
            Act::Rename { from, to, replace } => {
                let answer = told(client.rename(&from, &to, replace).await);
                let expected = reference.rename(&from, &to, replace);
                assert_eq!(answer, expected, "mv {from} {to} {replace}");
            }
            Act::List { path, whole } => {
                let listed = list(&client, &path, whole).await;
                assert_eq!(listed, reference.list(&path).map(sizes), "ls {path}");
            }
            Act::Stat { path } => {
                let found = told(client.stat(&path).await).map(|it| (it.kind, it.size));
                assert_eq!(found, reference.stat(&path).map(kind_and_size), "stat {path}");
            }
            Act::SetMeta { path, modified } => {
                let meta = FileMeta { modified: Some(modified), mode: None };
                let answer = told(client.set_meta(&path, meta).await);
                assert_eq!(answer, reference.stat(&path).map(drop), "touch {path}");
                if answer.is_ok() {
                    assert_eq!(client.stat(&path).await.unwrap().modified, modified);
                }
            }
            Act::Sync { files, delete } => self.sync(account, &client, files, delete).await,
            Act::Discard { which } => {
                let count = reference.partials.len().max(1);
                let path = reference.partials.keys().nth(which % count).cloned();
                let Some(path) = path else { return };
                let listed = client.partials().await.unwrap();
                let id = listed.iter().find(|it| it.path.as_deref() == Some(path.as_str()));
                told(client.discard_partial(&id.unwrap().id).await).unwrap();
                reference.partials.remove(&path);
            }
            Act::Close | Act::Restart | Act::Quota { .. } => {}
        }
    }

    async fn close(&mut self, account: usize) {
        let Some(client) = self.accounts[account].sessions.pop() else { return };
        if let Some(client) = Arc::into_inner(client) {
            client.close().await;
        }
        self.gone().await;
    }

    /// Waits until the server has no connections but the sessions that are open.
    async fn gone(&self) {
        let open: usize = self.accounts.iter().map(|account| account.sessions.len()).sum();
        loop {
            match self.service.ask(&Question::Status {}).await {
                Answer::Status(status) if status.sessions.len() <= open => return,
                Answer::Status(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn put(
        &self,
        client: &Client,
        path: &RemotePath,
        content: Content,
        small: bool,
    ) -> Result<(), Refused> {
        let bytes = content.bytes();
        if small && content.size <= 1 << 20 {
            let done = client.upload_whole(path, whole(bytes), &Default::default()).await;
            return told(done).map(drop);
        }
        told(self.upload(client, path, content).await)
    }

    async fn upload(
        &self,
        client: &Client,
        path: &RemotePath,
        content: Content,
    ) -> Result<(), SessionError> {
        let source = self.local.path().join(format!("{}-{}", content.seed, content.size));
        if !source.exists() {
            std::fs::write(&source, content.bytes()).unwrap();
        }
        let source = Arc::new(FileSource::open(&source).unwrap());
        client.upload(path, source, NONE, Default::default()).await.map(drop)
    }

    async fn cut_put(
        &mut self,
        account: usize,
        client: &Client,
        path: &RemotePath,
        content: Content,
        after: u64,
    ) {
        let address = cut_after(self.service.address, after).await;
        let target = Target { port: address.port(), ..self.service.target(USERS[account]) };
        let answer = match connect(&target, &Secret::new(PASSWORD.to_owned())).await {
            Ok(cut) => {
                self.obey(account);
                let answer = self.upload(&cut, path, content).await;
                cut.close().await;
                Some(answer)
            }
            Err(_) => None,
        };
        self.gone().await;
        let expected = self.accounts[account].reference.may_put(path, content);
        match answer {
            Some(Ok(())) => {
                assert_eq!(expected, Ok(()), "cut put {path} {content:?}");
                self.accounts[account].reference.has(path, content);
            }
            Some(Err(SessionError::Refused(refused))) => {
                assert_eq!(Err((refused.status(), refused.short)), expected, "cut put {path}");
            }
            Some(Err(_)) if expected.is_ok() => {
                self.settle(account, client, path, &[content]).await;
            }
            Some(Err(_)) | None => {}
        }
    }

    /// What has the name now, old or one of `contents`, is what the model says from now on; so is
    /// what is left of an upload to it.
    async fn settle(
        &mut self,
        account: usize,
        client: &Client,
        path: &RemotePath,
        contents: &[Content],
    ) -> Option<Content> {
        while client.usage().await.unwrap().reserved > 0 {}
        let there = std::fs::read(self.service.home(USERS[account]).join(path.as_str())).ok();
        let reference = &mut self.accounts[account].reference;
        let old = match reference.nodes.get(path) {
            Some(Node::File(content)) => Some(*content),
            _ => None,
        };
        let may = contents.iter().copied().map(Some).chain([old]);
        let found = may.clone().find(|may| there == may.map(Content::bytes));
        let found =
            found.unwrap_or_else(|| panic!("{path}: none of {:?}", may.collect::<Vec<_>>()));
        if let Some(content) = found {
            reference.nodes.insert(path.clone(), Node::File(content));
        }
        let most = contents.iter().map(|content| content.size).max();
        let most = most.max(reference.partials.remove(path));
        let listed = client.partials().await.unwrap();
        if let Some(left) = listed.iter().find(|it| it.path.as_deref() == Some(path.as_str())) {
            assert!(Some(left.received) <= most, "{left:?}");
            reference.partials.insert(path.clone(), left.received);
        }
        found
    }

    async fn race(
        &mut self,
        account: usize,
        client: &Client,
        path: &RemotePath,
        contents: [Content; 2],
    ) {
        let other = self.log_in(account).await;
        let before = self.accounts[account].reference.clone();
        let (one, two) = tokio::join!(
            self.upload(client, path, contents[0]),
            self.upload(&other, path, contents[1])
        );
        other.close().await;
        let answers = [told(one), told(two)];
        let found = self.settle(account, client, path, &contents).await;
        let first = contents.map(|content| before.may_put(path, content));
        for (number, answer) in answers.iter().enumerate() {
            // As it was before, or as the other one may have left it.
            let mut after = before.clone();
            let _ = after.put(path, contents[1 - number]);
            let second = after.may_put(path, contents[number]);
            let status = answer.as_ref().err().map(|(status, _)| *status);
            // A newer upload takes over before it finds that it does not fit.
            let may_take_over = |refused: &Refused| refused.0 == Status::Quota;
            let lost = matches!(status, Some(Status::Superseded | Status::InUse))
                && first[1 - number].as_ref().err().is_none_or(may_take_over);
            // What an older upload leaves behind may be in the way as well.
            let full = status == Some(Status::Quota);
            let fits = *answer == first[number] || *answer == second || lost || full;
            assert!(fits, "race {path} {contents:?}: {answers:?}");
        }
        let won: Vec<_> =
            (0..2).filter(|n| answers[*n].is_ok()).map(|n| Some(contents[n])).collect();
        assert!(won.is_empty() || won.contains(&found), "race {path}: {answers:?}, {found:?}");
        self.gone().await;
    }

    async fn get(&self, account: usize, client: &Client, path: &RemotePath, stale: bool) {
        let target = self.local.path().join("got");
        let _ = std::fs::remove_file(&target);
        let old = stale.then(|| Content { size: (2 << 20) + 5, seed: 1 }.bytes());
        if let Some(old) = &old {
            std::fs::write(&target, old).unwrap();
        }
        let place = target.clone();
        let open = move |size, meta| -> Result<Arc<dyn Sink>, _> {
            Ok(Arc::new(LocalSink::create(&place, size, meta, false)?))
        };
        let answer = told(client.download(path, stale, open, Default::default()).await);
        let expected = self.accounts[account].reference.get(path);
        assert_eq!(answer.map(drop), expected.map(drop), "get {path}");
        let there = std::fs::read(&target).ok();
        let is_right = there == expected.map(Content::bytes).ok().or(old);
        assert!(is_right, "get {path}: other bytes");
    }

    async fn sync(
        &mut self,
        account: usize,
        client: &Client,
        files: Vec<(u8, Content)>,
        delete: bool,
    ) {
        let base = RemotePath::parse("s").unwrap();
        let reference = &mut self.accounts[account].reference;
        let all: u64 = files.iter().map(|(_, content)| content.size).sum();
        if reference.used() + all > reference.limit {
            return;
        }
        reference.make_directory(&base, true).unwrap();
        client.make_directory(&base, true).await.unwrap();
        let place = tempfile::tempdir_in(&self.local).unwrap();
        let named = files.iter().map(|(number, content)| (format!("n{number}"), content.bytes()));
        let named: Vec<_> = named.collect();
        let named: Vec<_> = named.iter().map(|(name, bytes)| (&name[..], bytes.clone())).collect();
        make(place.path(), &named);
        let link = self.log_in(account).await;
        let tree = Arc::new(Tree::open(place.path()).unwrap());
        let there = list_remote(&link, &base, &Exclude::default()).await.unwrap();
        let here: Listing = tree.walk(&|_, _| false).into();
        let rules = Rules { compare: Compare::Content, delete, preserve: Preserve::No };
        let plan = Plan::new(here, there, rules);
        let meter = Default::default();
        let ends =
            Ends { client: link, tree, base: base.clone(), preserve: false, cache: None, meter };
        let ends = Arc::new(ends);
        upload_tree(&ends, plan, |event| assert!(event.result.is_ok(), "{event:?}")).await.unwrap();
        Arc::into_inner(ends).unwrap().client.close().await;
        let account = &mut self.accounts[account];
        let kept = |path: &RemotePath| {
            named.iter().any(|(name, _)| base.join(name).is_ok_and(|kept| kept == *path))
        };
        let nodes = &mut account.reference.nodes;
        nodes.retain(|path, _| !delete || path.parent() != Some(base.clone()) || kept(path));
        for (number, content) in files {
            let path = base.join(&format!("n{number}")).unwrap();
            nodes.insert(path, Node::File(content));
        }
        // Whether a file that was there already was sent is the client's affair, and with it what
        // is left of an earlier upload to it.
        let listed = client.partials().await.unwrap();
        let is_left = |path: &RemotePath| {
            !kept(path) || listed.iter().any(|it| it.path.as_deref() == Some(path.as_str()))
        };
        account.reference.partials.retain(|path, _| is_left(path));
        self.gone().await;
    }
}
