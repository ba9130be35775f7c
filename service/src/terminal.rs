//! Logs go to standard error, what a command answers goes to standard output.

use std::io::{IsTerminal, Write};

use tracing_subscriber::EnvFilter;

/// Starts logging; `CULVERT_LOG` chooses what is shown (`debug`, `culvert_engine=trace`, …).
pub(crate) fn start_logging() {
    let filter = EnvFilter::try_from_env("CULVERT_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::stderr().is_terminal();
    let logging = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal)
        .with_target(false);
    // A second start would be a mistake of ours, not a reason to end.
    let _ = logging.try_init();
}

/// Prints an answer. A closed pipe is the reader's choice.
pub(crate) fn answer(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = out.write_all(b"\n");
    }
    let _ = out.flush();
}

/// Prints a complaint to standard error.
pub(crate) fn complain(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "{text}");
}

/// Whether answers may have colours: on a terminal whose user has not asked for none.
pub(crate) fn answers_in_colour() -> bool {
    std::io::stdout().is_terminal() && wants_colour()
}

/// Whether complaints may have colours.
pub(crate) fn complains_in_colour() -> bool {
    std::io::stderr().is_terminal() && wants_colour()
}

/// Whether `NO_COLOR` is unset or empty, see https://no-color.org.
fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
