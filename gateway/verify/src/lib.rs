//! Hostile bytes in, a VerifiedEnvelope or a Refusal out.
