//! Hands an envelope to the next gateway.
