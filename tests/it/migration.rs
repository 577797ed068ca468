//! Two thousand old records on their way from MD5 to argon2id, as an administrator takes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use md5::{Digest, Md5};
use sealane_base::types::{Address, PinSet, Secret};
use sealane_client::Target;
use sealane_core::accounts::{
    Authenticator, DirectoryStore, Exposure, HashCost, HomeMap, LoginError, LoginSettings,
};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::support::site::sealane;
use super::support::{Server, Site, fails, ok, result, stdout};
use crate::support::service::connect;

const RECORDS: usize = 2000;

struct Old {
    folder: PathBuf,
    /// Accounts that can log in, with their passwords.
    known: BTreeMap<String, String>,
    /// Every MD5 in the folder, as it is written.
    hashes: Vec<String>,
    ugly: usize,
}

fn hex(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The least that argon2 takes: this test is about every account, not about the time one takes.
const COST: HashCost = HashCost { memory_kib: 8, iterations: 1, parallelism: 1 };

/// The tutorial's format, and one in forty that is good for nothing, or odd and still good.
fn old_folder(site: &Site) -> Old {
    let folder = site.directory.path().join("old");
    std::fs::create_dir(&folder).unwrap();
    let (mut known, mut hashes, mut ugly) = (BTreeMap::new(), Vec::new(), 0);
    for number in 0..RECORDS {
        let name = format!("user{number:04}");
        // Every tenth shares its password with others; an old Windows program hashed GBK.
        let (password, mut md5) = match number % 10 {
            0 => ("shared".to_owned(), hex(b"shared")),
            3 => {
                let password = format!("密码{number}");
                let md5 = hex(&encoding_rs::GBK.encode(&password).0);
                (password, md5)
            }
            _ => {
                let password = format!("pw-{number}-é");
                let md5 = hex(password.as_bytes());
                (password, md5)
            }
        };
        if number % 7 == 0 {
            md5 = md5.to_uppercase();
        }
        let home = match number % 3 {
            0 => format!(r"D:\\FTP\\home\\{name}"),
            1 => format!(r"d:/ftp/home/{name}"),
            _ => format!(r"\\\\nas\\ftp\\{name}"),
        };
        let mut text = format!(
            r#"{{"username": "{name}", "password": "{md5}", "limitsize": 10240000, "homepath": "{home}", "note": {number}}}"#
        );
        let mut is_good = true;
        match number {
            _ if number % 40 != 7 => {}
            _ if number % 200 == 7 => text = format!("\u{feff}{text}"),
            _ => {
                is_good = false;
                ugly += 1;
                text = match number % 200 {
                    47 => text.replace("10240000", "0"),
                    87 => text
                        .replace("ftp/home", "elsewhere")
                        .replace("FTP", "OTHER")
                        .replace("nas", "x"),
                    127 => text.replace(&md5, &md5[..16]),
                    _ => text.replace('}', ""),
                };
            }
        }
        std::fs::write(folder.join(format!("{name}.db")), text).unwrap();
        hashes.push(md5);
        if is_good {
            known.insert(name, password);
        }
    }
    Old { folder, known, hashes, ugly }
}

/// A directory in memory if there is a place for that, because every change of a record is made
/// durable.
fn memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.unwrap()
}

/// A copy of all records, so that a stage can be tried without leaving it.
fn copy_of(accounts: &Path) -> TempDir {
    let copy = memory();
    for path in files_below(accounts) {
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

/// What the login of each account that should be able to log in comes to.
async fn each_logs_in(
    accounts: &Path,
    old: &Old,
    deadline: Option<time::Date>,
    is_expected: fn(Result<(), LoginError>) -> bool,
) {
    let homes = HomeMap::new([(r"D:\FTP\home", "homes"), (r"\\nas\ftp", "homes/nas")]).unwrap();
    let settings = LoginSettings {
        cost: COST,
        queue: RECORDS,
        queue_deadline: Duration::from_secs(300),
        homes,
        legacy_deadline: deadline,
        ..LoginSettings::default()
    };
    let store = DirectoryStore::open(accounts).unwrap();
    let logins = Authenticator::new(Arc::new(store), settings).unwrap();
    let mut tasks = JoinSet::new();
    for (name, password) in old.known.clone() {
        let logins = logins.clone();
        tasks.spawn(async move {
            let login = logins.login(&name, Secret::new(password), Exposure::Network).await;
            let text = format!("{name}: {login:?}");
            assert!(is_expected(login.map(drop)), "{text}");
        });
    }
    let mut count = 0;
    while let Some(outcome) = tasks.join_next().await {
        outcome.unwrap();
        count += 1;
    }
    assert_eq!(count, old.known.len());
}

/// The same through a real server, eight at a time.
async fn each_logs_in_at(site: &Site, server: &Server, old: &Old) {
    let (places, mut tasks) = (Arc::new(Semaphore::new(8)), JoinSet::new());
    for (name, password) in old.known.clone() {
        let address = Address::parse(&site.address(server, &name, "")).unwrap();
        let places = places.clone();
        tasks.spawn(async move {
            let _place = places.acquire().await.unwrap();
            let pins = PinSet::new(address.pins.clone()).unwrap();
            let target = Target::new(&address, address.user.clone().unwrap(), pins);
            match connect(&target, &Secret::new(password)).await {
                Ok(session) => session.close().await,
                Err(error) => panic!("{name}: {error}"),
            }
        });
    }
    while let Some(outcome) = tasks.join_next().await {
        outcome.unwrap();
    }
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

/// No MD5 of the old folder is in `text`, in any case.
fn holds_none(old: &Old, what: &str, text: &str) {
    let text = text.to_ascii_lowercase();
    // All windows of 32 hex digits at once, instead of 2,000 searches.
    let digits = |byte: &u8| byte.is_ascii_hexdigit();
    let runs: std::collections::HashSet<&[u8]> =
        text.as_bytes().windows(32).filter(|window| window.iter().all(digits)).collect();
    for hash in &old.hashes {
        assert!(!runs.contains(hash.to_ascii_lowercase().as_bytes()), "an MD5 is in {what}");
    }
}

/// Somebody who never came back meets the deadline, and is let in again by a reset.
fn meet_the_deadline(site: &Site, old: &Old) {
    let (late, password) = old.known.iter().nth(1).unwrap();
    let record = site.root().join("accounts").join(format!("{late}.db"));
    std::fs::copy(old.folder.join(format!("{late}.db")), &record).unwrap();
    let config = std::fs::read_to_string(site.config()).unwrap();
    let deadline = "legacy_deadline = \"2020-01-01\"";
    std::fs::write(site.config(), config.replace("# legacy_deadline = \"2027-01-31\"", deadline))
        .unwrap();
    let server = site.start();
    let address = site.address(&server, late, "");
    let mut client = super::support::site::client(["ls", &address]);
    let told = client.env("SEALANE_PASSWORD", password).output().unwrap();
    fails(told, 4, "the password must be reset by the administrator");
    fails(sealane(["ls", &address]), 4, "login refused");
    let made = ok(site.admin(["account", "passwd", late, "--generate", "--json"]));
    let made = result(&made)["password"].as_str().unwrap().to_owned();
    assert_eq!(made.len(), 20);
    let mut client = super::support::site::client(["ls", &address]);
    ok(client.env("SEALANE_PASSWORD", made).output().unwrap());
    // A new account gets one as well.
    let made = result(&ok(site.admin(["account", "add", "fresh", "--generate", "--json"])));
    let mut client = super::support::site::client(["ls", &site.address(&server, "fresh", "")]);
    ok(client.env("SEALANE_PASSWORD", made["password"].as_str().unwrap()).output().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_records_go_all_the_way_and_everybody_logs_in_at_each_stage() {
    let site = Site::new();
    let config = std::fs::read_to_string(site.config()).unwrap();
    let config = config.replace("argon2_memory_kib = 64", "argon2_memory_kib = 8");
    let rule = "\n[[home_map]]\nfrom = '\\\\nas\\ftp'\nto = \"homes/nas\"\n";
    std::fs::write(site.config(), config + rule).unwrap();
    let old = old_folder(&site);
    let (accounts, memory) = (site.root().join("accounts"), memory());
    std::fs::remove_dir(&accounts).unwrap();
    std::os::unix::fs::symlink(memory.path(), &accounts).unwrap();
    bring_in(&site, &old);
    // After the day, the right password hears of the reset.
    let past = time::Date::from_calendar_date(2020, time::Month::January, 1).ok();
    let is_told = |outcome| matches!(outcome, Err(LoginError::ResetRequired));
    each_logs_in(copy_of(&accounts).path(), &old, None, |outcome| outcome.is_ok()).await;
    each_logs_in(copy_of(&accounts).path(), &old, past, is_told).await;

    let wrapped = ok(site.admin(["account", "wrap", "--json"]));
    assert_eq!(result(&wrapped)["failed"].as_array().unwrap().len(), 0);
    for path in files_below(&accounts) {
        let bytes = std::fs::read(&path).unwrap();
        holds_none(&old, path.to_str().unwrap(), &String::from_utf8_lossy(&bytes));
    }
    let page = site.directory.path().join("report.html");
    let report = ok(site.admin(["account", "report", "--json", "--html", page.to_str().unwrap()]));
    assert_eq!(result(&report)["md5"], 0);
    assert!(std::fs::read_to_string(&page).unwrap().contains("<polygon"));
    each_logs_in(copy_of(&accounts).path(), &old, None, |outcome| outcome.is_ok()).await;
    each_logs_in(copy_of(&accounts).path(), &old, past, is_told).await;

    // Through a real server: all become argon2id, and nothing of a hash is in its log.
    let server = site.start();
    each_logs_in_at(&site, &server, &old).await;
    for name in old.known.keys().step_by(500) {
        let address = site.address(&server, name, "");
        assert_eq!(sealane(["ls", &address]).status.code(), Some(4), "a wrong password got in");
    }
    holds_none(&old, "the server's log", &server.log());
    assert!(!server.log().contains("$argon2"), "{}", server.log());
    drop(server);
    let report = result(&ok(site.admin(["account", "report", "--json"])));
    assert_eq!((&report["argon2id"], &report["wrapped"]), (&old.known.len().into(), &0.into()));

    // Those who came in time do not notice the deadline.
    each_logs_in(&accounts, &old, past, |outcome| outcome.is_ok()).await;
    meet_the_deadline(&site, &old);
    let undone = result(&ok(site.admin(["account", "undo", "--json"])));
    assert_eq!(undone["restored"], 0, "everything changed since");
}

/// See, then bring in what is good, then find nothing left to do.
fn bring_in(site: &Site, old: &Old) {
    let folder = old.folder.to_str().unwrap();
    let accounts = site.root().join("accounts");
    let dry = site.admin(["account", "import", "-n", folder, "--json"]);
    assert_eq!(dry.status.code(), Some(9));
    let is_record = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "db");
    assert_eq!(files_below(&accounts).iter().filter(is_record).count(), 0);
    let brought = site.admin(["account", "import", folder]);
    fails(brought.clone(), 9, &format!("{} records were refused", old.ugly));
    assert!(stdout(&brought).contains(&format!("{} brought in", old.known.len())));
    for reason in ["0 or negative", "no home_map rule", "32 hex digits", "not JSON"] {
        assert!(stdout(&brought).contains(reason), "{reason}");
    }
    holds_none(old, "the output of import", &stdout(&brought));
    let again = site.admin(["account", "import", folder]);
    assert!(stdout(&again).contains(&format!("0 brought in, {} there already", old.known.len())));
    let report = result(&ok(site.admin(["account", "report", "--json"])));
    assert_eq!(report["md5"], old.known.len());
    assert_eq!(report["same_password"].as_array().unwrap().len(), 1);
}

/// A command that says that it is done says so of every file, not of those that it recognised.
#[test]
fn wrap_is_not_done_while_any_file_of_the_accounts_holds_an_md5() {
    let site = Site::new();
    let accounts = site.root().join("accounts");
    let md5 = hex(b"111111");
    let record = |name: &str, password: &str| {
        format!(
            r#"{{"username": "{name}", "password": "{password}", "limitsize": 1, "homepath": "homes/{name}"}}"#
        )
    };
    let put = |file: &str, text: &[u8]| std::fs::write(accounts.join(file), text).unwrap();
    let spaced: String =
        md5.as_bytes().chunks(4).map(|four| String::from_utf8_lossy(four) + " ").collect();
    put("good.db", record("good", &md5).as_bytes());
    let wide: Vec<u8> = record("wide", &md5).encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::create_dir_all(accounts.join("old/deep")).unwrap();
    let named = [
        ("spaces.db", record("spaces", &format!(" {md5}")).into_bytes()),
        ("spaced.db", record("spaced", &spaced).into_bytes()),
        ("marked.db", record("marked", &format!("{{MD5}}{md5}")).into_bytes()),
        ("base64.db", record("base64", "{md5}lueSGJZetyySpUndWjMBEg==").into_bytes()),
        ("dollars.db", record("dollars", &format!("md5$${}", md5.to_uppercase())).into_bytes()),
        ("crypt.db", record("crypt", "$1$salt$UsdFqFVB.FsuinRDK5eE..").into_bytes()),
        ("broken.db", record("broken", &md5).replace('}', "").into_bytes()),
        ("good.db~", record("good", &md5).into_bytes()),
        (".good.db.swp", [b"b0VIM\0\0".as_slice(), md5.as_bytes(), b"\0\0"].concat()),
        ("good.db.bak", record("good", &md5.to_uppercase()).into_bytes()),
        ("wide.txt", wide),
        ("old/deep/copy", md5.clone().into_bytes()),
    ];
    for (file, bytes) in &named {
        put(file, bytes);
    }
    // Longer runs of digits, and shorter ones, are no MD5.
    put("sha256.txt", format!("{md5}{md5}").as_bytes());
    put("short.txt", &md5.as_bytes()[1..]);

    let report = result(&ok(site.admin(["account", "report", "--json"])));
    let files = |value: &serde_json::Value| -> Vec<String> {
        let all = value.as_array().unwrap().iter();
        all.map(|one| one["file"].as_str().unwrap().to_owned()).collect()
    };
    let mut expected: Vec<String> = named.iter().map(|(file, _)| (*file).to_owned()).collect();
    expected.sort_unstable();
    assert_eq!(files(&report["md5_elsewhere"]), expected);

    for round in 0..2 {
        let wrapped = site.admin(["account", "wrap", "--json"]);
        assert_eq!(wrapped.status.code(), Some(9), "round {round}");
        let text = stdout(&wrapped);
        let done = text.lines().find(|line| line.contains("\"wrapped\"")).unwrap();
        let done: serde_json::Value = serde_json::from_str(done).unwrap();
        assert_eq!(done["wrapped"], 1 - round);
        assert_eq!(files(&done["md5_remains"]), expected);
    }
    let said = site.admin(["account", "wrap"]);
    let text = stdout(&said);
    assert!(expected.iter().all(|file| text.contains(&format!("{file}: "))), "{text}");
    assert!(!text.to_lowercase().contains(&md5), "{text}");
    fails(said, 9, "MD5 is left in 12 files");
    for (file, _) in &named {
        std::fs::remove_file(accounts.join(file)).unwrap();
    }
    ok(site.admin(["account", "wrap"]));
    let report = result(&ok(site.admin(["account", "report", "--json"])));
    assert_eq!(files(&report["md5_elsewhere"]), Vec::<String>::new());
}
