//! Looks at everything a world has, in every way there is: nothing may differ from what the model
//! says.

use sealane_base::types::{RemotePath, Username};
use sealane_client::Client;
use sealane_core::storage::audit_on_disk;

use super::reference::{Node, Refused};
use super::world::{USERS, World, told};

impl World {
    /// Everything is what the model says: over the sessions, in the ledger, on the disk.
    pub async fn look(&mut self) {
        for (account, user) in USERS.into_iter().enumerate() {
            let client = self.session(account, 0).await;
            let reference = &self.accounts[account].reference;
            let usage = client.usage().await.unwrap();
            assert_eq!(
                (usage.used, usage.reserved, usage.limit),
                (reference.used(), 0, reference.limit),
                "{user}: {reference:?}"
            );
            let (data, name) = (self.service.directory.path().join("data"), Username::parse(user));
            let home = RemotePath::parse(&format!("homes/{user}")).unwrap();
            let on_disk = audit_on_disk(&data, &name.unwrap(), &home).unwrap().on_disk();
            assert_eq!(on_disk, reference.used(), "{user}: {reference:?}");
            let partials = client.partials().await.unwrap().into_iter();
            let partials = partials.map(|it| (it.path.unwrap_or_default(), it.received));
            let expected = reference.partials.iter().map(|(path, left)| (path.to_string(), *left));
            let (mut partials, expected): (Vec<_>, Vec<_>) =
                (partials.collect(), expected.collect());
            partials.sort();
            assert_eq!(partials, expected, "{user}");
            let mut directories = vec![RemotePath::default()];
            while let Some(path) = directories.pop() {
                let listed = list(&client, &path, true).await;
                assert_eq!(listed, reference.list(&path).map(sizes), "{user}: {path}");
                let below = listed.unwrap().into_iter().filter(|(_, (kind, _))| *kind == 1);
                directories.extend(below.map(|(name, _)| path.join(&name).unwrap()));
            }
            for (path, node) in &reference.nodes {
                let Node::File(content) = node else { continue };
                let bytes = std::fs::read(self.service.home(user).join(path.as_str()));
                assert!(bytes.unwrap() == content.bytes(), "{user}: {path} holds something else");
            }
        }
    }
}

pub type Listed = Vec<(String, (u8, u64))>;

pub async fn list(client: &Client, path: &RemotePath, whole: bool) -> Result<Listed, Refused> {
    let entries = match whole {
        true => client.list_whole(path).await,
        false => client.list(path, None).await,
    };
    if let (Ok(entries), false) = (&entries, whole)
        && let Some(first) = entries.entries.first()
    {
        // The rest comes after it.
        let rest = client.list(path, Some(first.name.clone())).await.unwrap();
        // A client leaves out, and counts, what a server should not have sent.
        assert_eq!((rest.hidden, &rest.entries[..]), (0, &entries.entries[1..]));
    }
    let of = |it: sealane_protocol::message::Entry| (it.name, (it.kind, it.size));
    Ok(told(entries)?.entries.into_iter().map(of).collect())
}

pub fn sizes(entries: Vec<(String, Node)>) -> Listed {
    entries.into_iter().map(|(name, node)| (name, kind_and_size(node))).collect()
}

pub fn kind_and_size(node: Node) -> (u8, u64) {
    match node {
        Node::File(content) => (0, content.size),
        Node::Directory => (1, 0),
    }
}
