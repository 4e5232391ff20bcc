//! Every walk through real gateways: one binary, a module a walk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod walks {
    mod bad_input;
    mod broadcast;
    mod by_hand;
    mod canary;
    mod causes;
    mod collector;
    mod commands;
    mod console;
    mod full_disk;
    mod half_year;
    mod kills;
    mod land;
    mod mail;
    mod main_job;
    mod metrics;
    mod nodes;
    mod nodes_together;
    mod operators;
    mod other_client;
    mod papers;
    mod redis;
    mod search;
    mod traces;
    mod workers;
}
