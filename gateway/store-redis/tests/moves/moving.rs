//! Moving: nothing is lost, nothing is half there, nothing is written over.

use gateway_store::archive::{ArchiveError, MoveError};
use gateway_store::soundness::Rebuilt;
use gateway_store_conformance::fixture::{OTHER, OURS, log_signer};
use gateway_store_embedded::EmbeddedStore;
use gateway_store_redis::{Offline, OpenError, OpenOptions, RedisStore, Server};
use tokio::sync::mpsc;

use crate::server::{self, Cluster};
use crate::{
    NEWEST, Place, archive, copy, export, export_embedded, findings_of, golden, import, import_embedded, read,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_every_format_moves_to_redis_and_back_and_says_the_same() {
    for format in 1..=NEWEST {
        let first = export_embedded(golden(format).path()).await;
        let place = Place::new();
        place.import(&first).await.unwrap();
        assert_eq!(place.findings().await, [""; 0], "format {format}");
        let second = place.export().await;
        assert!(first == second, "format {format}: {} bytes, in Redis {}", first.len(), second.len());
        let back = tempfile::tempdir().unwrap();
        import_embedded(back.path(), &second).await.unwrap();
        assert_eq!(findings_of(back.path()), [""; 0], "format {format}");
        assert!(export_embedded(back.path()).await == first, "format {format}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_moves_into_a_cluster_and_out_of_it() {
    let (archive, cluster) = (archive().await, Cluster::start());
    let options = server::options(cluster.server(), "moved", log_signer(OURS));
    import(&options, &archive).await.unwrap();
    let offline = Offline::open(&options, "check").await.unwrap();
    assert_eq!(offline.check().await.unwrap().findings, []);
    offline.close().await;
    assert!(export(&options).await == archive);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_or_damaged_archive_leaves_nothing_behind() {
    let whole = archive().await;
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for (what, bytes) in [
        ("cut in the middle", &whole[..whole.len() / 2]),
        ("without its end", &whole[..whole.len() - 60]),
        ("flipped", &flipped),
    ] {
        let place = Place::new();
        let error = place.import(bytes).await.unwrap_err();
        assert!(matches!(error, MoveError::Archive(_)), "{what}: {error}");
        let store = RedisStore::open(place.options()).await.unwrap();
        gateway_store::Store::close(&store).await;
        place.import(&whole).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let error = import_embedded(folder.path(), bytes).await.unwrap_err();
        assert!(matches!(error, MoveError::Archive(_)), "{what}: {error}");
        import_embedded(folder.path(), &whole).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_not_empty_is_left_as_it_is() {
    let whole = archive().await;
    let place = Place::new();
    place.import(&whole).await.unwrap();
    let error = place.import(&whole).await.unwrap_err();
    assert!(matches!(error, MoveError::NotEmpty { .. }), "{error}");
    assert!(place.export().await == whole);
    let folder = golden(NEWEST);
    let error = import_embedded(folder.path(), &whole).await.unwrap_err();
    assert!(matches!(error, MoveError::NotEmpty { .. }), "{error}");
    assert!(export_embedded(folder.path()).await == whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_another_gateway_is_refused() {
    let place = Place::new();
    let options = OpenOptions {
        prefix: place.prefix.clone(),
        ..server::options(Server::single(place.redis.address()), "x", log_signer(OTHER))
    };
    let error = import(&options, &archive().await).await.unwrap_err();
    assert!(matches!(error, MoveError::OtherLog { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_in_the_middle_makes_no_store() {
    let whole = archive().await;
    let place = Place::new();
    let offline = Offline::open(&place.options(), "import").await.unwrap();
    let mut from = read(whole.clone());
    let (to, mut half) = mpsc::channel(1);
    let killed = tokio::spawn(async move { offline.import(&mut half).await });
    for _ in 0..60 {
        to.send(from.recv().await.unwrap()).await.unwrap();
    }
    killed.abort();
    assert!(killed.await.unwrap_err().is_cancelled());
    // As thirty seconds later.
    place.ask(&["DEL", &place.key("offline")]);
    let refused = RedisStore::open(place.options()).await.map(drop).unwrap_err();
    assert!(matches!(refused, OpenError::HalfImported), "{refused}");
    let offline = Offline::open(&place.options(), "check").await.unwrap();
    assert!(matches!(offline.check().await, Err(OpenError::HalfImported)));
    offline.close().await;
    place.import(&whole).await.unwrap();
    assert!(place.export().await == whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_import_that_is_killed_in_the_middle_makes_no_store() {
    let whole = archive().await;
    let (folder, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut from = read(whole.clone());
    let (to, mut half) = mpsc::channel(1);
    let (path, key) = (folder.path().to_owned(), log_signer(OURS).verifier().clone());
    let importing = tokio::task::spawn_blocking(move || gateway_store_embedded::import(&path, &key, &mut half));
    for _ in 0..60 {
        to.send(from.recv().await.unwrap()).await.unwrap();
    }
    // What a process that is killed here leaves.
    copy(folder.path(), killed.path());
    drop(to);
    let error = importing.await.unwrap().unwrap_err();
    assert!(matches!(error, MoveError::Archive(ArchiveError::Cut { .. })), "{error}");
    let open = || EmbeddedStore::open(gateway_store_embedded::OpenOptions::new(killed.path(), log_signer(OURS)));
    let refused = open().map(drop).unwrap_err();
    assert!(matches!(refused, gateway_store_embedded::OpenError::HalfImported { .. }), "{refused}");
    import_embedded(killed.path(), &whole).await.unwrap();
    assert!(export_embedded(killed.path()).await == whole);
    gateway_store::Store::close(&open().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_gateway_nor_a_verb_works_while_the_other_has_the_store() {
    let place = Place::new();
    let store = RedisStore::open(place.options()).await.unwrap();
    let refused = Offline::open(&place.options(), "check").await.map(drop).unwrap_err();
    assert!(matches!(&refused, OpenError::Running { node } if node == "node-1"), "{refused}");
    gateway_store::Store::close(&store).await;
    let offline = Offline::open(&place.options(), "export").await.unwrap();
    for refused in [
        RedisStore::open(place.options()).await.map(drop).unwrap_err(),
        Offline::open(&place.options(), "check").await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(&refused, OpenError::Held { verb } if verb == "export"), "{refused}");
    }
    offline.close().await;
    // The gateway that was refused had said that it runs, and is waited for.
    let offline = Offline::open(&place.options(), "check").await.unwrap();
    offline.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_that_deploy_gives_are_enough_for_a_gateway_and_for_every_verb() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/redis/lienthong.user.conf");
    let file = std::fs::read_to_string(file).unwrap();
    let line = file.lines().find(|line| line.starts_with("user lienthong ")).unwrap();
    let rules = line.split(' ').skip(2).filter(|rule| !rule.starts_with('#'));
    let redis = server::Redis::durable();
    redis.ask(&["ACL", "SETUSER", "lienthong", ">secret"].into_iter().chain(rules).collect::<Vec<_>>());
    let as_user = Server {
        user: Some("lienthong".to_owned()),
        password: Some("secret".to_owned()),
        ..Server::single(redis.address())
    };
    let options = || server::options(as_user.clone(), "lienthong", log_signer(OURS));
    let whole = archive().await;
    import(&options(), &whole).await.unwrap();
    for index in ["lanes", "ids", "dids", "parts", "file:H99.07-2026-0001", "marknames"] {
        redis.ask(&["DEL", &format!("lienthong:{{{OURS}}}:{index}")]);
    }
    redis.ask(&["ZADD", &format!("lienthong:{{{OURS}}}:finished"), "5", "000000000006"]);
    let offline = Offline::open(&options(), "rebuild-index").await.unwrap();
    assert!(!offline.check().await.unwrap().is_sound());
    match offline.rebuild().await.unwrap() {
        Rebuilt::Mended { after, .. } => assert_eq!(after.findings, []),
        Rebuilt::Refused(report) => panic!("{report:?}"),
    }
    offline.close().await;
    assert!(export(&options()).await == whole);
    // With the time, as a gateway starts: it looks for wake-ups that lie too far ahead.
    let now = Some(gateway_store_conformance::fixture::START);
    let store = RedisStore::open(OpenOptions { now, ..options() }).await.unwrap();
    gateway_store::Store::close(&store).await;
}
