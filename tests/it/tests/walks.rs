//! Every walk through real gateways: one binary, a module a walk.

mod walks {
    mod bad_input;
    mod commands;
    mod kills;
    mod main_job;
    mod other_client;
}
