//! Whether a Redis keeps what it has acknowledged: asked at the start, and again each time that a connection has been made anew, since another
//! server may stand there now.

use std::collections::HashMap;

use redis::{Cmd, Value};

use crate::connection::Connection;
use crate::failure::Failure;
use crate::options::{Durability, Unfit};

/// The oldest version that knows scripts which may run when the memory is full.
const VERSION_MIN: &str = "7.0.0";
/// The first one with `WAITAOF`.
const VERSION_WITH_WAITAOF: &str = "7.2.0";

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Demands {
    pub(crate) durability: Durability,
    pub(crate) free_bytes_min: u64,
}

/// What a server can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Abilities {
    /// Whether it tells how many replicas have a write on their disk.
    pub(crate) has_waitaof: bool,
}

/// Why it cannot be used: its address, and what of it.
#[derive(Clone, Debug)]
pub(crate) enum Unusable {
    Unfit(String, Unfit),
    Failed(Failure),
}

/// Asks every master.
pub(crate) async fn check(connection: &mut Connection, demands: &Demands) -> Result<Abilities, Unusable> {
    let mut abilities = Abilities { has_waitaof: true };
    for (address, info) in ask(connection, redis::cmd("INFO")).await? {
        let info = read_info(&info);
        let able = judge_info(&info, demands).map_err(|unfit| Unusable::Unfit(address, unfit))?;
        abilities.has_waitaof &= able.has_waitaof;
    }
    if demands.durability == Durability::Required {
        let mut question = redis::cmd("CONFIG");
        question.arg("GET").arg("append*").arg("no-appendfsync-on-rewrite");
        for (address, settings) in ask(connection, question).await? {
            judge_settings(&read_pairs(settings)).map_err(|unfit| Unusable::Unfit(address, unfit))?;
        }
    }
    Ok(abilities)
}

/// Bytes of memory that a server has left, by its own account.
pub(crate) fn free_bytes(info: &str) -> Option<u64> {
    let info = read_info(info);
    let number = |name| info.get(name).and_then(|text| text.parse::<u64>().ok());
    let bound = match number("maxmemory") {
        Some(0) | None => number("total_system_memory")?,
        Some(bound) => bound,
    };
    Some(bound.saturating_sub(number("used_memory")?))
}

async fn ask(connection: &mut Connection, question: Cmd) -> Result<Vec<(String, String)>, Unusable> {
    let answers = connection.ask_each_master(question).await;
    let told = |failure: Failure| match failure {
        Failure::Refused(problem) => Unusable::Unfit(String::new(), Unfit::Untold { problem }),
        Failure::Conflict(_)
        | Failure::Damaged(_)
        | Failure::Moved
        | Failure::Bound(_)
        | Failure::Away(_)
        | Failure::Broken(_)
        | Failure::Full => Unusable::Failed(failure),
    };
    let text = |(address, value): (String, Value)| (address, text_of(value));
    Ok(answers.map_err(told)?.into_iter().map(text).collect())
}

/// An answer as lines: `INFO` gives them, and pairs become `name:value`.
fn text_of(value: Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => text,
        Value::Array(items) => {
            let words: Vec<String> = items.into_iter().map(text_of).collect();
            words.chunks(2).map(|pair| pair.join(":") + "\n").collect()
        }
        Value::Map(pairs) => {
            pairs.into_iter().map(|(name, value)| format!("{}:{}\n", text_of(name), text_of(value))).collect()
        }
        _ => String::new(),
    }
}

fn read_pairs(text: String) -> HashMap<String, String> {
    read_info(&text).into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn read_info(text: &str) -> HashMap<&str, &str> {
    text.lines().filter_map(|line| line.trim_end().split_once(':')).collect()
}

fn judge_info(info: &HashMap<&str, &str>, demands: &Demands) -> Result<Abilities, Unfit> {
    // Valkey tells its own version beside that of Redis which it is compatible with.
    let version = info.get("valkey_version").or(info.get("redis_version")).copied().unwrap_or("unknown");
    if is_older(version, VERSION_MIN) {
        return Err(Unfit::Version { found: version.to_owned(), needed: VERSION_MIN });
    }
    let role = info.get("role").copied().unwrap_or("unknown");
    if role != "master" {
        return Err(Unfit::Role { found: role.to_owned() });
    }
    let policy = info.get("maxmemory_policy").copied().unwrap_or("unknown");
    if policy != "noeviction" {
        return Err(Unfit::Eviction { found: policy.to_owned() });
    }
    let maxmemory = info.get("maxmemory").and_then(|text| text.parse().ok()).unwrap_or(0);
    if maxmemory != 0 && maxmemory <= demands.free_bytes_min {
        return Err(Unfit::Memory { found: maxmemory, needed: demands.free_bytes_min });
    }
    Ok(Abilities { has_waitaof: !is_older(version, VERSION_WITH_WAITAOF) })
}

fn judge_settings(settings: &HashMap<String, String>) -> Result<(), Unfit> {
    let setting = |name: &str| settings.get(name).cloned().unwrap_or_else(|| "unknown".to_owned());
    let (append_only, append_fsync, on_rewrite) =
        (setting("appendonly"), setting("appendfsync"), setting("no-appendfsync-on-rewrite"));
    if append_only != "yes" {
        return Err(Unfit::AppendOnly { found: append_only });
    }
    if append_fsync != "always" {
        return Err(Unfit::AppendFsync { found: append_fsync });
    }
    if on_rewrite != "no" {
        return Err(Unfit::NoSyncOnRewrite { found: on_rewrite });
    }
    Ok(())
}

/// A version that cannot be read is older than any.
fn is_older(version: &str, than: &str) -> bool {
    let numbers = |text: &str| text.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>();
    numbers(version) < numbers(than)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMANDS: Demands = Demands { durability: Durability::Required, free_bytes_min: 1_000 };

    fn judged(changed: (&str, &str)) -> Result<Abilities, Unfit> {
        let fit =
            [("redis_version", "7.2.4"), ("role", "master"), ("maxmemory_policy", "noeviction"), ("maxmemory", "0")];
        judge_info(&fit.into_iter().chain([changed]).collect(), &DEMANDS)
    }

    #[test]
    fn a_server_that_is_fit_is_taken() {
        assert_eq!(judged(("maxmemory", "1001")), Ok(Abilities { has_waitaof: true }));
        assert_eq!(judged(("redis_version", "7.0.15")), Ok(Abilities { has_waitaof: false }));
        assert_eq!(judged(("valkey_version", "8.1.0")), Ok(Abilities { has_waitaof: true }));
    }

    #[test]
    fn each_unfitness_has_its_own_refusal() {
        let version = |found: &str| Err(Unfit::Version { found: found.to_owned(), needed: VERSION_MIN });
        assert_eq!(judged(("redis_version", "6.2.14")), version("6.2.14"));
        assert_eq!(judged(("redis_version", "next")), version("next"));
        assert_eq!(judged(("role", "slave")), Err(Unfit::Role { found: "slave".to_owned() }));
        assert_eq!(
            judged(("maxmemory_policy", "allkeys-lru")),
            Err(Unfit::Eviction { found: "allkeys-lru".to_owned() })
        );
        assert_eq!(judged(("maxmemory", "1000")), Err(Unfit::Memory { found: 1_000, needed: 1_000 }));
    }

    #[test]
    fn what_a_server_does_not_tell_is_no_good() {
        let unknown = "unknown".to_owned();
        assert_eq!(judge_settings(&HashMap::new()), Err(Unfit::AppendOnly { found: unknown }));
    }
}
