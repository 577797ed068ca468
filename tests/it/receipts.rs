//! Receipts: signed by the server's key, worth something without the server, and nothing once
//! changed.

use std::path::PathBuf;
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::site::sealane;
use crate::support::trees::make;
use crate::support::{Person, Site, Stage, fails, noise, ok, stderr, stdout, text};

/// A tree that was put, and the receipt of that.
fn put(stage: &Stage) -> (PathBuf, PathBuf) {
    let (tree, paper) = (stage.local("tree"), stage.local("paper"));
    make(&tree, &[("a b", noise(5000, 1)), ("d/é", noise((2 << 20) + 5, 2)), ("empty", vec![])]);
    ok(sealane(["put", "-r", "--receipt", text(&paper), text(&tree), &stage.at("")]));
    (tree, paper)
}

fn check(arguments: &[&str]) -> Output {
    sealane(["receipt", "check"].iter().chain(arguments))
}

#[test]
fn a_receipt_is_checked_without_the_server_and_fits_the_files() {
    let mut stage = Stage::new();
    let (tree, paper) = put(&stage);
    stage.server.kill();
    let (pin, paper) = (stage.site.pin(), text(&paper));
    let large = tree.join("d/é");
    let files = [text(&large), text(&tree)].map(str::to_owned);
    let output = ok(check(&["--pin", pin, paper, &files[0]]));
    let root = blake3::hash(&noise((2 << 20) + 5, 2)).to_string();
    assert!(stdout(&output).contains(&root) && stdout(&output).contains("  ann  tree/d/é\n"));
    assert!(stdout(&output).contains("signed by the server of --pin, which says it is 127.0.0.1"));
    assert_eq!(stdout(&output).lines().count(), 4);
    ok(check(&["--pin", pin, paper, &files[1]]));
    std::fs::write(&large, b"another").unwrap();
    fails(check(&["--pin", pin, paper, &files[1]]), 8, "tree/d/é");
    fails(check(&["--pin", pin, paper, &files[0]]), 8, "is not in");
    // Whose key it is must be known.
    fails(check(&[paper]), 5, "signed with the key sha256//");
    let other = Site::new();
    fails(check(&["--pin", other.pin(), paper]), 5, "not one of the server's");
    let person = Person::new();
    ok(person.run(["trust", "add", "--name", "home", &stage.at("")]));
    let output = ok(person.run(["receipt", "check", paper]));
    let signer = format!("signed by {} (home) with the key sha256//", stage.server.address);
    assert!(stdout(&output).contains(&signer), "{}", stdout(&output));
    let output = ok(person.run(["--json", "receipt", "check", paper]));
    assert!(stdout(&output).contains(&format!("\"server\":\"{} (home)\"", stage.server.address)));
}

/// M6: two known servers, and one signs what says that it is of the other.
#[test]
fn a_receipt_of_one_known_server_is_none_of_another() {
    let (one, other) = (Stage::new(), Stage::new());
    let (_, paper) = put(&other);
    let person = Person::new();
    for stage in [&one, &other] {
        ok(person.run(["trust", "add", &stage.at("")]));
    }
    ok(person.run(["receipt", "check", text(&paper)]));
    let written = std::fs::read_to_string(&paper).unwrap();
    let place = |stage: &Stage| format!("\"server\": \"{}\"", stage.server.address);
    assert!(written.contains(&place(&other)), "{written}");
    for (named, why) in [
        (place(&one), format!("of {}, and says that it is of", other.server.address)),
        ("\"server\": \"127.0.0.1:1\"".to_owned(), "and says that it is of".to_owned()),
        ("\"server\": \"no place\"".to_owned(), "and says that it is of".to_owned()),
    ] {
        std::fs::write(&paper, written.replace(&place(&other), &named)).unwrap();
        fails(person.run(["receipt", "check", text(&paper)]), 5, &why);
    }
    // Who names the key means that key, whatever the file says of its place.
    ok(person.run(["receipt", "check", "--pin", other.site.pin(), text(&paper)]));
}

/// C1 and characters that turn text around, in every field and every output.
#[test]
fn no_text_of_a_receipt_reaches_a_terminal_unescaped() {
    let stage = Stage::new();
    let (_, paper) = put(&stage);
    let good = std::fs::read_to_string(&paper).unwrap();
    let odd = "x\u{85}\u{9b}31m\u{202e}\u{2066}y\u{2069}\u{7f}\\u001b[2J";
    let address = format!("\"{}\"", stage.server.address);
    for old in ["\"ann\"", "\"tree/a b\"", &address] {
        assert!(good.contains(old), "{good}");
        std::fs::write(&paper, good.replacen(old, &format!("\"{odd}\""), 1)).unwrap();
        for options in [&["--json"][..], &[]] {
            let pin = ["--pin", stage.site.pin(), text(&paper)];
            let output = check(&[options, &pin[..]].concat());
            for said in [stdout(&output), stderr(&output)] {
                let raw = |one: char| one.is_control() && one != '\n' || !one.is_ascii();
                let raw: String = said.replace('é', "").chars().filter(|one| raw(*one)).collect();
                assert!(raw.is_empty(), "{raw:?} of {old} with {options:?}");
            }
            let place_alone = *old == address;
            assert_eq!(output.status.success(), place_alone, "{}", stderr(&output));
        }
    }
}

#[test]
fn a_field_that_was_changed_is_found_out() {
    let stage = Stage::new();
    let (_, paper) = put(&stage);
    let good = std::fs::read_to_string(&paper).unwrap();
    let pin = stage.site.pin();
    for (old, new) in
        [("\"ann\"", "\"bob\""), ("tree/a b", "tree/a c"), ("\"size\": 5000", "\"size\": 5001")]
    {
        assert!(good.contains(old), "{good}");
        std::fs::write(&paper, good.replace(old, new)).unwrap();
        fails(check(&["--pin", pin, text(&paper)]), 8, "the signature is not");
    }
    std::fs::write(&paper, &good[..good.len() / 2]).unwrap();
    fails(check(&["--pin", pin, text(&paper)]), 8, "not a receipt");
    fails(check(&["--pin", pin, "/does/not/exist"]), 3, "cannot read");
}

#[test]
fn openssl_comes_to_the_same_result() {
    if Command::new("openssl").arg("version").output().is_err() {
        return;
    }
    let stage = Stage::new();
    let (file, paper) = (stage.site.file("f", &noise(10, 1)), stage.local("paper"));
    ok(sealane(["put", "--receipt", text(&paper), text(&file), &stage.at("there")]));
    let read: serde_json::Value = serde_json::from_slice(&std::fs::read(&paper).unwrap()).unwrap();
    let entry = &read["files"][0];
    let field = |name: &str| entry[name].as_str().unwrap().to_owned();
    let message = format!(
        "sealane receipt v1\n{}\n{}\n{}\n{}\n{}\n",
        field("account"),
        field("path"),
        entry["size"],
        field("root"),
        entry["time"]
    );
    let decode = |name: &str| STANDARD.decode(field(name)).unwrap();
    let signed = stage.site.file("signature", &decode("signature"));
    let key = stage.site.file("key", &decode("key"));
    for (message, good) in [(message.clone(), true), (message.replace("ann", "bob"), false)] {
        let message = stage.site.file("message", message.as_bytes());
        let verified = Command::new("openssl")
            .args(["pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-rawin", "-inkey"])
            .args([text(&key), "-in", text(&message), "-sigfile", text(&signed)])
            .output()
            .unwrap();
        assert_eq!(verified.status.success(), good, "{}", stdout(&verified));
    }
}

#[test]
fn a_file_that_goes_into_a_directory_has_its_path_there_in_the_receipt() {
    let stage = Stage::new();
    ok(sealane(["mkdir", &stage.at("d")]));
    let (file, paper) = (stage.site.file("f", &noise(10, 1)), stage.local("paper"));
    let arguments = ["put", "--json", "--receipt", text(&paper), text(&file), &stage.at("d")];
    let output = ok(sealane(arguments));
    assert!(stdout(&output).contains(r#""to":"d/f""#), "{}", stdout(&output));
    assert!(std::fs::read_to_string(&paper).unwrap().contains(r#""path": "d/f""#));
}
