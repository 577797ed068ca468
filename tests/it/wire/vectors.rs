//! The vectors of digests, recipes, proofs, receipts and addresses.
//!
//! `SEALANE_WRITE_VECTORS=1` writes them anew.

use sealane_base::types::digest::chunk_digest;
use sealane_base::types::{Address, Digest, Layout, Pin, RemotePath, RootBuilder, Username};
use sealane_protocol::frame::{ChunkPrefix, HEADER};
use sealane_protocol::pieces::{self, Step};
use sealane_protocol::receipt::Receipt;
use sealane_protocol::{join, keys, limits};
use sealane_tls::{Identity, is_signed};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const MIB: usize = 1 << 20;

/// The first `size` bytes that the document makes of `seed`.
pub fn input(seed: &str, size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 32);
    for counter in 0u64.. {
        if bytes.len() >= size {
            break;
        }
        bytes.extend(
            Sha256::new().chain_update(seed).chain_update(counter.to_be_bytes()).finalize(),
        );
    }
    bytes.truncate(size);
    bytes
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &Value) -> Vec<u8> {
    let digits = text.as_str().unwrap().as_bytes();
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// Asserts that the file of vectors holds exactly `ours`.
pub fn checked(name: &str, ours: &Value) {
    let path = super::vectors().join(name);
    if std::env::var_os("SEALANE_WRITE_VECTORS").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(ours).unwrap() + "\n").unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let theirs: Value = serde_json::from_str(&text).unwrap();
    assert!(theirs == *ours, "{name} is not what the code says");
}

fn file(size: usize) -> Value {
    let bytes = input("digests", size);
    let layout = Layout::for_size(size as u64).unwrap();
    let mut root = RootBuilder::new(layout);
    let mut digests = Vec::new();
    for index in 0..layout.count() {
        let start = layout.offset(index) as usize;
        let chunk = &bytes[start..start + layout.length(index).unwrap()];
        let digest = chunk_digest(&layout, index, chunk);
        root.insert(index, digest).unwrap();
        digests.push(digest.to_string());
    }
    let root = root.finish().unwrap();
    assert_eq!(root, Digest::of_bytes(&bytes));
    json!({ "size": size, "k": layout.chunk_log2(), "chunks": digests, "root": root.to_string() })
}

#[test]
fn the_vectors_of_digests() {
    let sizes = [0, 1, 1024, 1025, MIB - 1, MIB, MIB + 1, 3 * MIB, 5 * MIB + 7];
    let files: Vec<_> = sizes.into_iter().map(file).collect();
    let layout = |size: u64| {
        let layout = Layout::for_size(size).unwrap();
        json!({ "size": size, "k": layout.chunk_log2(), "chunks": layout.count() })
    };
    let layouts: Vec<_> =
        [0, 1 << 20, (1 << 40) - 1, 1 << 40, (1 << 40) + 1, 1 << 41, (1 << 41) + 1, 1 << 42]
            .into_iter()
            .map(layout)
            .collect();
    // A chunk in the middle of a large file: what counts is where it stands.
    let chunk = |size: u64, index: u32| {
        let layout = Layout::for_size(size).unwrap();
        let bytes = input("digests", layout.length(index).unwrap());
        let digest = chunk_digest(&layout, index, &bytes);
        let k = layout.chunk_log2();
        let digest = digest.to_string();
        let length = bytes.len();
        json!({ "file size": size, "k": k, "index": index, "bytes": length, "digest": digest })
    };
    let chunks = [chunk((1 << 40) + 1, 1000), chunk((1 << 42) - 5, (1 << 20) - 1)];
    let all = json!({ "seed": "digests", "files": files, "chunks": chunks, "layouts": layouts });
    checked("digests.json", &all);
}

#[test]
fn the_vectors_of_recipes() {
    let present = input("present", 2 * MIB);
    let longest = 1 << limits::PIECE_LOG2.end();
    let literal = input("literal", 100);
    let recipes: [&[Step<'_>]; 3] = [
        &[Step::Literal(b"new"), Step::Copy { offset: 0, length: MIB - 3 }],
        &[
            Step::Copy { offset: 1, length: longest },
            Step::Copy { offset: 7, length: MIB - longest },
        ],
        &[
            Step::Copy { offset: 70_000, length: 500_000 },
            Step::Literal(&literal),
            Step::Copy { offset: 570_000, length: MIB - 500_100 },
        ],
    ];
    let recipes = recipes.map(|steps| {
        let mut chunk = Vec::new();
        let mut list = Vec::new();
        for step in steps {
            match *step {
                Step::Copy { offset, length } => {
                    chunk.extend(&present[offset as usize..offset as usize + length]);
                    list.push(json!({ "copy": length, "offset": offset }));
                }
                Step::Literal(bytes) => {
                    chunk.extend(bytes);
                    list.push(json!({ "hex": hex(bytes) }));
                }
            }
        }
        // The first chunk of a file of two.
        let layout = Layout::for_size(2 * MIB as u64).unwrap();
        let prefix = ChunkPrefix { index: 0, digest: chunk_digest(&layout, 0, &chunk) };
        let frame = pieces::recipe(3, &prefix, steps.iter().copied());
        let read: Vec<_> = pieces::steps(&frame[HEADER + 36..]).map(Result::unwrap).collect();
        assert_eq!(read, steps);
        json!({ "steps": list, "body": hex(&frame[HEADER..]) })
    });
    let all = json!({
        "seed": "present", "present size": present.len(), "file size": 2 * MIB, "index": 0,
        "recipes": recipes,
    });
    checked("recipes.json", &all);
}

/// The signature in a vector is good, and the one that our key makes: Ed25519 has no other.
fn assert_signed(signed: &Value, ours: &Identity) {
    let message = unhex(&signed["message"]);
    let (key, signature) = (unhex(&signed["key"]), unhex(&signed["signature"]));
    assert!(is_signed(&key, &message, &signature), "{signed}");
    assert_eq!((ours.public_key(), ours.sign(&message)), (key, Some(signature)));
}

/// An Ed25519 key that anybody can have: its seed is 32 bytes of the input "key".
fn identity() -> Identity {
    let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    der.extend(input("key", 32));
    let key = rcgen::KeyPair::try_from(der.as_slice()).unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
    Identity::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
}

fn signed(by: &Identity, message: &[u8]) -> Value {
    let signature = by.sign(message).unwrap();
    json!({ "message": hex(message), "key": hex(&by.public_key()), "signature": hex(&signature) })
}

#[test]
fn the_vectors_of_proofs() {
    let one = identity();
    let fixed = |seed: &str| -> [u8; 32] { input(seed, 32).try_into().unwrap() };
    let (exporter, epoch) = (fixed("exporter"), 3);
    let proof = keys::proof(&exporter, epoch, &one.public_key());
    let pins = [(0, one.pin()), (2, Pin::of_public_key(b"another"))];
    let statement = keys::statement(epoch, &pins);
    let listed = pins.map(|(state, pin)| json!([state, hex(pin.as_bytes())]));
    let (token, session, joining) = (Digest(fixed("token")), fixed("session"), fixed("joining"));
    let all = json!({
        "key prove": {
            "exporter": hex(&exporter), "epoch": epoch, "signed": signed(&one, &proof),
        },
        "key statement": {
            "epoch": epoch, "keys": listed, "signed": signed(&one, &statement),
        },
        "join": {
            "token": token.to_string(), "session exporter": hex(&session),
            "joining exporter": hex(&joining),
            "proof": join::proof(&token, &session, &joining).to_string(),
        },
    });
    for what in ["key prove", "key statement"] {
        assert_signed(&all[what]["signed"], &one);
    }
    checked("proofs.json", &all);
}

#[test]
fn the_vectors_of_receipts() {
    let one = identity();
    let receipts = [("ann", "a b/é", 5u64), ("张三", "x", 0), ("o'neil", "d/e/f", 1 << 42)];
    let receipts = receipts.map(|(account, path, size)| {
        let receipt = Receipt {
            account: Username::parse(account).unwrap(),
            path: RemotePath::parse(path).unwrap(),
            size,
            root: Digest::of_bytes(path.as_bytes()),
            time: 1_790_000_000,
        };
        let signed = signed(&one, receipt.text().as_bytes());
        assert_signed(&signed, &one);
        json!({
            "account": account, "path": path, "size": size, "root": receipt.root.to_string(),
            "time": receipt.time, "text": receipt.text(), "signed": signed,
        })
    });
    checked("receipts.json", &json!(receipts));
}

#[test]
fn the_vectors_of_addresses() {
    let pin = Pin::of_public_key(b"k");
    let (curl, url) = (pin.to_string(), pin.to_address_form());
    let pinned = format!("sealane://ann@h:4433/a%20b/c?pin={url}&pin={url}");
    let good = [
        "sealane://h",
        "sealane://h/",
        "sealane://[::1]:99/a/b/",
        "sealane://o'neil@h/%E5%BC%A0",
        "sealane://h/a:b",
        "sealane://h//a//./b",
        "sealane://h/a/.",
        &pinned,
        &format!("sealane://h?pin={}", curl.replace('+', "%2B")),
    ];
    let good = good.map(|text| {
        let address = Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let pins: Vec<_> = address.pins.iter().map(|pin| hex(pin.as_bytes())).collect();
        json!({
            "address": text, "account": address.user.map(|user| user.to_string()),
            "host": address.host, "port": address.port, "path": address.path.as_str(),
            "directory": address.is_directory, "pins": pins,
        })
    });
    let bad = [
        "http://h",
        "sealane:h",
        "sealane://",
        "sealane://h:0",
        "sealane://h:70000",
        "sealane://u:p@h",
        "sealane://h/..",
        "sealane://h/%ff",
        "sealane://h?insecure=1",
        "sealane://h?pin=sha256.xx",
        "sealane://a b/",
        "SEALANE://h",
    ];
    for text in bad {
        assert!(Address::parse(text).is_err(), "{text}");
    }
    for wrong in
        [&curl[..curl.len() - 1], &curl.replace("//", "."), &url.replace('.', "//"), "sha256."]
    {
        assert!(Pin::parse(wrong).is_err(), "{wrong}");
    }
    let pins = json!({
        "public key": hex(b"k"), "hex": hex(pin.as_bytes()), "curl": curl, "url": url,
        "server name": pin.to_server_name(),
    });
    checked("addresses.json", &json!({ "good": good, "bad": bad, "pin": pins }));
}
