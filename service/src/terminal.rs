//! Logs go to standard error, what a command answers goes to standard output.

mod json_lines;

use std::io::{IsTerminal, Write};

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::daemon::log;
use json_lines::JsonLines;

/// Starts logging; `CULVERT_LOG` chooses what is shown (`debug`, `culvert_engine=trace`, …). A line that a
/// job's own threads write begins with the job's number, and goes to the job's log as well. With
/// `CULVERT_LOG_FORMAT=json` lines on standard error are JSON.
pub(crate) fn start_logging() {
    let filter = EnvFilter::try_from_env("CULVERT_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let shown = match std::env::var("CULVERT_LOG_FORMAT").as_deref() {
        Ok("json") => lines.with_ansi(false).event_format(JsonLines).boxed(),
        _ => {
            let text = tracing_subscriber::fmt::format().with_target(false);
            lines.with_ansi(terminal).event_format(WithJob(text)).boxed()
        }
    };
    let kept = tracing_subscriber::fmt::layer()
        .with_writer(log::ToJobLog)
        .with_ansi(false)
        .with_target(false)
        .with_filter(tracing_subscriber::filter::filter_fn(|_| log::current().is_some()));
    // A second start would be a mistake of ours, not a reason to end.
    let _ = tracing_subscriber::registry().with(filter).with(shown).with(kept).try_init();
}

/// Lines as the format inside makes them, behind the number of the job they are about.
struct WithJob<F>(F);

impl<S, N, F> FormatEvent<S, N> for WithJob<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        if let Some(job) = log::current() {
            write!(line, "[{job}] ")?;
        }
        self.0.format_event(context, line, event)
    }
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
