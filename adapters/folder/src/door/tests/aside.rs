//! What was sent goes in its time, and nothing else does.

use super::*;

#[tokio::test]
async fn what_was_sent_long_ago_is_removed_and_what_was_refused_or_never_settled_stays() {
    let mut place = Place::new();
    let age = |path: PathBuf, days: u64| {
        let file = std::fs::File::options().append(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(days * 86_400)).unwrap();
    };
    place.drop("sent.lt", ready_made(&[]));
    place.drop("refused.toml", "to = 7");
    place.drop("waiting.part", "dropped years ago, and never described");
    for name in ["sent.lt", "refused.toml", "waiting.part"] {
        age(place.at("outgoing").join(name), 999);
    }
    place.look_twice().await;
    // Accepted and refused today, however old the files are.
    place.restart();
    place.look_twice().await;
    let (sent, refused) = (place.only("sent"), place.only("refused"));
    age(sent.join("receipt.bin"), 179);
    age(refused.join("reason.txt"), 999);
    place.restart();
    place.look_twice().await;
    assert!(sent.exists() && refused.exists());
    age(sent.join("receipt.bin"), 181);
    place.look_twice().await;
    assert!(sent.exists(), "it is looked at once a day");
    place.restart();
    place.look_twice().await;
    assert!(!sent.exists() && refused.exists(), "what was refused may be the only copy");
    assert_eq!(tree(&place.at("outgoing")), ["waiting.part"], "what is not settled is nobody's to remove");
}
