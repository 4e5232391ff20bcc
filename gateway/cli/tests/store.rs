//! `lienthong store`: its exit codes, and what it writes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};

use clap::Parser as _;
use gateway_cli::Cli;
use gateway_cli::exit::Exit;
use gateway_model::Digest;
use gateway_model::note::VerifierKey;
use tempfile::TempDir;

/// A gateway that does not run: its configuration, its key, its store.
struct Gateway {
    folder: TempDir,
}

impl Gateway {
    /// With an empty folder for the store.
    fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The key that the golden stores were written with; it is derived from a public name and worth nothing.
        let mut key = hex::decode("302e020100300506032b657004220420").unwrap();
        key.extend_from_slice(&Digest::of(b"gw-commune").0);
        std::fs::write(folder.path().join("evidence.key"), key).unwrap();
        let authority = VerifierKey::new("authority", [7; 32]).unwrap();
        let text = format!(
            "[gateway]\nid = \"gw-commune\"\n[tls]\ncertificate = \"gw.pem\"\nkey = \"gw.key\"\nroots = [\"ca.pem\"]\n[store]\npath = \"data\"\n\
            [evidence]\nkey = \"evidence.key\"\n[directory]\nfile = \"directory.bin\"\nauthority = \"{authority}\"\n"
        );
        std::fs::write(folder.path().join("gateway.toml"), text).unwrap();
        Self { folder }
    }

    /// With a store that has some of everything.
    fn golden() -> Self {
        let gateway = Self::empty();
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../store-embedded/tests/golden/format-3/store");
        copy(&golden, &gateway.path("data"));
        gateway
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn run(&self, words: &[&str]) -> Exit {
        let config = self.path("gateway.toml").display().to_string();
        let words = [&["lienthong", "store"], words, &["--config", &config]].concat();
        gateway_cli::run(Cli::try_parse_from(words).unwrap()).await
    }

    /// The part that the first envelope names.
    fn part(&self) -> PathBuf {
        let entries = |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let folders = entries(self.path("data/parts")).filter(|path| path.is_dir());
        let mut files = folders.flat_map(entries);
        files.find(|file| file.extension().is_none()).unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_by_its_exit_code_whether_the_store_is_sound() {
    let gateway = Gateway::golden();
    for form in ["table", "json", "jsonl"] {
        assert_eq!(gateway.run(&["check", "--parts", "-o", form]).await, Exit::Success, "{form}");
    }
    let part = gateway.part();
    let bytes = std::fs::read(&part).unwrap();
    std::fs::write(&part, vec![b'x'; bytes.len()]).unwrap();
    assert_eq!(gateway.run(&["check"]).await, Exit::Success, "without --parts it only has to be there");
    assert_eq!(gateway.run(&["check", "--parts"]).await, Exit::Stuck);
    std::fs::remove_file(&part).unwrap();
    assert_eq!(gateway.run(&["check", "-o", "json"]).await, Exit::Stuck);
    assert_eq!(Gateway::empty().run(&["check"]).await, Exit::Failure, "there is no store");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_made_anew_and_a_damaged_record_is_left_to_a_person() {
    let gateway = Gateway::golden();
    let execute = |sql: &str| {
        let database = rusqlite::Connection::open(gateway.path("data/store.db")).unwrap();
        database.execute_batch(sql).unwrap();
    };
    execute("DELETE FROM finished");
    assert_eq!(gateway.run(&["check"]).await, Exit::Stuck);
    assert_eq!(gateway.run(&["rebuild-index", "-o", "json"]).await, Exit::Success);
    assert_eq!(gateway.run(&["check"]).await, Exit::Success);
    execute("UPDATE envelope SET subject = 'x' WHERE seq = 2");
    assert_eq!(gateway.run(&["rebuild-index"]).await, Exit::Stuck);
    let archive = gateway.path("archive").display().to_string();
    assert_eq!(gateway.run(&["export", &archive]).await, Exit::Failure, "a damaged store is not moved");
    assert!(!gateway.path("archive").exists() && !gateway.path("archive.beginning").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_moved_and_nothing_is_written_over() {
    let (from, to) = (Gateway::golden(), Gateway::empty());
    let archive = from.path("archive").display().to_string();
    assert_eq!(from.run(&["export", &archive]).await, Exit::Success);
    assert_eq!(from.run(&["export", &archive]).await, Exit::Failure, "it exists");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&archive).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let bytes = std::fs::read(&archive).unwrap();
    let cut = from.path("cut").display().to_string();
    std::fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(to.run(&["import", &cut]).await, Exit::Failure);
    assert!(!to.path("data/store.db").exists() && !to.path("data/store.importing").exists());
    assert_eq!(to.run(&["import", &archive]).await, Exit::Success);
    assert_eq!(to.run(&["import", &archive]).await, Exit::Failure, "it is not empty");
    // The parts have stayed behind.
    assert_eq!(to.run(&["check"]).await, Exit::Stuck);
    copy(&from.path("data/parts"), &to.path("data/parts"));
    assert_eq!(to.run(&["check", "--parts"]).await, Exit::Success);
    let again = to.path("again").display().to_string();
    assert_eq!(to.run(&["export", &again]).await, Exit::Success);
    assert!(std::fs::read(again).unwrap() == bytes);
}
