//! What nodes of one store tell each other.

/// What a node has let in on one quota since it last told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Use {
    /// Whose quota, by the engine's own naming.
    pub name: String,
    /// Envelopes.
    pub envelopes: u64,
    /// Bytes of these.
    pub bytes: u64,
}
