//! The development PKI: good ladders, and every kind of bad certificate.
