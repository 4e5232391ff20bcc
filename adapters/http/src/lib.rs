//! JSON over HTTP: webhooks out, a REST door in.
