//! The Merkle log, its checkpoints, and receipts that are proofs.
