//! The `culvert` program: the command line, and the only place that names concrete connectors.
//!
//! Exit codes: 0 done, or stopped as asked · 1 problems found by `check`, or a job that failed
//! while it ran · 2 the job or the check could not run as given · 3 the service cannot be asked:
//! docs/cli.md.

mod arguments;
mod blame;
mod catalogue;
mod check;
mod client;
mod connectors;
mod daemon;
mod events;
mod for_tables;
mod http;
mod intent;
mod job;
mod metadata;
mod option_reference;
mod plan;
mod plugin_pages;
mod progress;
mod run;
mod state;
mod tables;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command, EventsWhat};
use crate::client::Ask;

fn main() -> ExitCode {
    let given = match client::seatunnel::translated(std::env::args_os().collect()) {
        Ok(given) => given,
        Err(why) => {
            terminal::complain(&format!("error: {why}"));
            return ExitCode::from(2);
        }
    };
    let arguments = match Arguments::try_parse_from(given) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no mistakes; clap knows which stream each belongs to.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    terminal::start_logging();
    // Two TLS providers could be compiled in one day; say which one is meant.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("the program cannot start: {error}");
            return ExitCode::from(2);
        }
    };
    let code = runtime.block_on(async {
        match arguments.command {
            Command::Run(options) => run::run(options).await,
            Command::Serve(options) => daemon::serve(options).await,
            Command::Submit(options) => client::ask(Ask::Submit(options)).await,
            Command::List(options) => client::ask(Ask::List(options)).await,
            Command::Status(options) => client::ask(Ask::Status(options)).await,
            Command::Metrics(options) => client::ask(Ask::Metrics(options)).await,
            Command::Pause(options) | Command::Savepoint(options) => {
                client::ask(Ask::Savepoint(options)).await
            }
            Command::Restore(options) => client::ask(Ask::Restore(options)).await,
            Command::Cancel(options) => client::ask(Ask::Cancel(options)).await,
            Command::Logs(options) => client::ask(Ask::Logs(options)).await,
            Command::Events(options) => match options.what {
                EventsWhat::List(options) => client::ask(Ask::Events(options)).await,
                EventsWhat::Test(options) => events::try_out::test(options).await,
            },
            Command::Check(options) => check::check(options).await,
            Command::Plan(options) => plan::print(options).await,
            Command::Connectors(options) => catalogue::print(&options),
            Command::Options => option_reference::print(),
        }
    });
    // Tasks that still hang on a dead connection must not hold up the exit.
    runtime.shutdown_background();
    ExitCode::from(code)
}
