//! The scripts: each is atomic, and touches keys of one slot only.
//!
//! They are called by their hash and loaded again when Redis has forgotten them, as it does at a restart. All but the commit of a batch that
//! accepts may run when the memory is full: what was accepted has to be able to leave.

use std::sync::LazyLock;

use redis::{Cmd, Script};

/// A script with its hash.
pub(crate) struct Lua(LazyLock<Script>);

/// The text of a script that carries out commands: what they share stands before it.
macro_rules! writing {
    ($file:literal) => {
        concat!(include_str!("scripts/apply.lua"), include_str!($file))
    };
}

/// Commits a batch that accepts nothing new.
pub(crate) static COMMIT: Lua = Lua(LazyLock::new(|| always(writing!("scripts/commit.lua"))));
/// Commits a batch that accepts.
pub(crate) static ACCEPT: Lua = Lua(LazyLock::new(|| while_there_is_room(writing!("scripts/commit.lua"))));
/// Reads what a batch needs.
pub(crate) static LOAD: Lua = Lua(LazyLock::new(|| always(include_str!("scripts/load.lua"))));
/// Leases due work.
pub(crate) static CLAIM: Lua = Lua(LazyLock::new(|| always(include_str!("scripts/claim.lua"))));
/// Makes leases run out later.
pub(crate) static EXTEND: Lua = Lua(LazyLock::new(|| always(include_str!("scripts/extend.lua"))));
/// Says that a gateway runs on the store.
pub(crate) static ALIVE: Lua = Lua(LazyLock::new(|| always(include_str!("scripts/alive.lua"))));
/// Takes the store for a verb.
pub(crate) static HOLD: Lua = Lua(LazyLock::new(|| always(include_str!("scripts/hold.lua"))));
/// Writes for the verb that has the store.
pub(crate) static MEND: Lua = Lua(LazyLock::new(|| always(writing!("scripts/mend.lua"))));
/// Writes for the verb that has the store what needs room.
pub(crate) static IMPORT: Lua = Lua(LazyLock::new(|| while_there_is_room(writing!("scripts/mend.lua"))));
/// Lists keys.
pub(crate) static SCAN: Lua = Lua(LazyLock::new(|| always(include_str!("scripts/scan.lua"))));
/// Gives leases of an earlier start back.
pub(crate) static RELEASE: Lua = Lua(LazyLock::new(|| always(include_str!("scripts/release.lua"))));
/// Takes a duty.
pub(crate) static DUTY: Lua = Lua(LazyLock::new(|| always(include_str!("scripts/duty.lua"))));

impl Lua {
    /// Starts a call on one key; arguments are to follow.
    pub(crate) fn call(&self, key: &[u8]) -> Cmd {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(self.0.get_hash()).arg(1).arg(key);
        cmd
    }

    /// What loads it.
    pub(crate) fn script(&self) -> &Script {
        &self.0
    }
}

fn always(code: &str) -> Script {
    Script::new(&format!("#!lua flags=allow-oom\n{code}"))
}

fn while_there_is_room(code: &str) -> Script {
    Script::new(&format!("#!lua\n{code}"))
}
