//! One file per verb, over the public gRPC doors.
//!
//! Data goes to stdout, talk to stderr; exit codes are in [`exit`]. Every verb reads like the field's words: envelope, delivery, receipt.

pub mod connect;
pub mod exit;
pub mod local;
pub mod output;
pub mod refused;
pub mod spoken;
pub mod submit;
pub mod timeline;
pub mod trusted;
pub mod verbs;

use clap::{Parser, Subcommand};
use gateway_model::language::Language;

use exit::Exit;
use spoken::Spoken;

/// Liên Thông: the interoperability gateway that routes signed application envelopes between agencies.
#[derive(Parser, Debug)]
#[command(name = "lienthong", version, max_term_width = 110)]
pub struct Cli {
    /// Language of what a person reads: vi or en.
    #[arg(long, global = true, env = "LIENTHONG_LANG", value_parser = spoken::person)]
    pub lang: Option<Spoken>,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Runs a gateway.
    ///
    /// It runs until SIGTERM or Ctrl-C; then it drains: the doors close, and what is in flight is finished.
    Serve(verbs::serve::Serve),
    /// Shows the main job: a land file goes commune → district → province, and its receipts come back.
    ///
    /// An invented province, three gateways as three processes on this machine, a signed land dossier on its way, its receipts coming back and
    /// being verified offline, and the answer going home. Everything lies in one folder; nothing else on the machine is touched.
    Demo(verbs::demo::Demo),
    /// Checks configuration, trust, disk and ports; names every fault at once.
    Check(verbs::check::Check),
    /// Shows the effective configuration and where each value comes from, or the commented default.
    Config(verbs::config::Config),
    /// Tells the state of a gateway in a few numbers.
    Status(verbs::status::Status),
    /// Tells what needs a person now, by cause, with the agency that has to act.
    ///
    /// Exit codes: 0 nothing does, 10 something does. `--incidents` shows when each began and ended.
    Stuck(verbs::stuck::Stuck),
    /// Counts files as the provinces report them: received, early, on time, late, in work.
    ///
    /// By agency, level, procedure or month of the receipt; `-o csv` for a spreadsheet.
    Stats(verbs::stats::Stats),
    /// Signs and submits files, or submits a ready-made envelope.
    ///
    /// The signed envelope is kept beside until the gateway has accepted or finally refused it, so that a repeat sends the same bytes and can
    /// do no harm.
    Send(verbs::send::Send),
    /// Shows where an envelope or a file is, and everything that happened to it.
    ///
    /// Operators ask with a file code or an envelope id. A sender's own system asks with its profile, an envelope id and --sender.
    Trace(verbs::trace::Trace),
    /// Lists, shows and moves deliveries.
    Msg(verbs::msg::Msg),
    /// Acts on many deliveries: plan, look, run, stop.
    Bulk(verbs::bulk::Bulk),
    /// Lists, pauses, resumes and pings the gateways that a gateway speaks with.
    Peer(verbs::peer::Peer),
    /// Lists certificates, revocation lists and the directory, by when they end.
    Trust(verbs::trust::Trust),
    /// Lists what operators did, newest first.
    Audit(verbs::audit::Audit),
    /// Prints a link that opens the operators' console once.
    Console(verbs::console::Console),
    /// Makes, shows and compares signed directories.
    ///
    /// From nothing: `directory key`, `directory example > agencies.toml`, edit it, `directory build`, `directory show`.
    Directory(verbs::directory::Directory),
    /// Verifies a signature offline, as of any time.
    ///
    /// With the gateway's own verifier. Exit codes: 0 accepted, 5 refused, 2 usage.
    Verify(verbs::verify::Verify),
    /// Fetches and verifies receipts.
    ///
    /// A receipt is a proof: an event, its place in the gateway's log, and the signed checkpoint of that log. Checking it needs the signed
    /// directory and no network.
    Receipt(verbs::receipt::Receipt),
    /// Checks, mends and moves the store of a gateway that does not run.
    ///
    /// The store is the one that the configuration names. From one kind to another: stop the gateway, `store export`, change `[store]`,
    /// `store import`, start.
    Store(verbs::store::Store),
    /// Puts adapters in any language to the test, starts new ones, and shows those of a gateway.
    Adapter(verbs::adapter::Adapter),
    /// Explains a reason code.
    Explain(verbs::explain::Explain),
    /// Measures the machine's floor and the gateway, in one run.
    Bench(verbs::bench::Bench),
    /// Prints completions for a shell.
    Completions(verbs::completions::Completions),
}

/// Runs the verb and gives the exit code.
pub async fn run(cli: Cli) -> Exit {
    let language = cli.lang.and_then(Spoken::person).unwrap_or_else(language_of_environment);
    let result = match cli.verb {
        Verb::Serve(verb) => verb.run().await,
        Verb::Demo(verb) => verb.run(language).await,
        Verb::Check(verb) => verb.run(),
        Verb::Config(verb) => verb.run(),
        Verb::Status(verb) => verb.run(language).await,
        Verb::Stuck(verb) => verb.run(language).await,
        Verb::Stats(verb) => verb.run(language).await,
        Verb::Bulk(verb) => verb.run(language).await,
        Verb::Peer(verb) => verb.run(language).await,
        Verb::Trust(verb) => verb.run(language).await,
        Verb::Audit(verb) => verb.run(language).await,
        Verb::Console(verb) => verb.run(language).await,
        Verb::Send(verb) => verb.run(language).await,
        Verb::Trace(verb) => verb.run(language).await,
        Verb::Msg(verb) => verb.run(language).await,
        Verb::Directory(verb) => verb.run(language),
        Verb::Verify(verb) => verb.run(language),
        Verb::Receipt(verb) => verb.run(language).await,
        Verb::Store(verb) => verb.run(language).await,
        Verb::Adapter(verb) => verb.run(language).await,
        Verb::Explain(verb) => verb.run(language),
        Verb::Bench(verb) => verb.run().await,
        Verb::Completions(verb) => verb.run(),
    };
    match result {
        Ok(exit) => exit,
        Err(failure) => {
            refused::print(&failure, language);
            exit::of_failure(&failure)
        }
    }
}

fn language_of_environment() -> Language {
    let set =
        ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    match set.as_deref() {
        Some(locale) if locale.starts_with("vi") => Language::Vi,
        _ => Language::En,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn no_flag_of_any_verb_clashes_with_another() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_says_what_it_does() {
        let mut command = Cli::command();
        command.build();
        for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
            assert!(verb.get_about().is_some(), "{}", verb.get_name());
        }
        assert!(command.get_about().is_some_and(|about| about.to_string().starts_with("Liên Thông")));
    }
}
