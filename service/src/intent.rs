//! `culvert plan --intent`: from what somebody wants to a job file and a report.
//!
//! An intent says what is to happen: from where, to where, how, and what must hold. What it does not
//! say and nobody can know, such as a host, becomes a marked `${TODO_…}` in the job file and an item
//! of the report; nothing is guessed. The form is described in docs/intent.md.

mod model;
mod write;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use culvert_config::{Place, Problem, ProblemKind, Report, Severity, Variables, read_document};
use serde_json::{Value, json};

use crate::job;
use crate::terminal::{answer, answers_in_colour, complain, complains_in_colour};
use model::Intent;
use write::Draft;

/// The version of the intent's form, and of the answer's.
pub(crate) const VERSION: i64 = 1;

/// What came of an intent.
pub(crate) struct Planned {
    /// The job file; `None` where there are errors.
    pub(crate) job: Option<String>,
    /// What is wrong, doubtful or left to do.
    pub(crate) report: Report,
}

/// Plans a job; the exit code: 0 it is complete, 1 something is wrong or left to do, 2 the intent
/// cannot be read or the job file not be written.
pub(crate) fn print(intent: &Path, output: Option<&Path>, as_json: bool) -> u8 {
    let named = output.map_or_else(
        || PathBuf::from(intent.file_stem().unwrap_or_default()).with_extension("conf"),
        Path::to_owned,
    );
    let planned = match plan(intent, &named) {
        Ok(planned) => planned,
        Err(problem) => {
            let mut report = Report::default();
            report.add(&problem);
            tell(&Planned { job: None, report }, false, as_json);
            return 2;
        }
    };
    if let (Some(path), Some(job)) = (output, &planned.job)
        && let Err(error) = write_new(path, job)
    {
        complain(&format!("error: {}: {error}", path.display()));
        return 2;
    }
    tell(&planned, output.is_some(), as_json);
    u8::from(!planned.report.is_ok())
}

/// Writes the job file. One that is there is never replaced: somebody may have filled it in.
fn write_new(path: &Path, job: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut file = std::fs::File::create_new(path)?;
    file.write_all(job.as_bytes())
}

/// The job goes to standard output unless it was written to a file; the report then goes there.
fn tell(planned: &Planned, written: bool, as_json: bool) {
    match &planned.job {
        _ if as_json => answer(&to_json(planned)),
        Some(job) if !written => {
            answer(job);
            complain(&planned.report.to_text(complains_in_colour()));
        }
        _ => answer(&planned.report.to_text(answers_in_colour())),
    }
}

/// The four keys of a report behind the job itself.
fn to_json(planned: &Planned) -> String {
    let mut all = json!({"form": "culvert.plan", "version": VERSION, "job": planned.job});
    if let (Value::Object(all), Ok(Value::Object(report))) = (&mut all, serde_json::to_value(&planned.report))
    {
        all.extend(report);
    }
    // Texts and lists of texts always serialise.
    serde_json::to_string_pretty(&all).unwrap_or_default()
}

/// Plans the job of an intent; `named` is what the job file will be called.
pub(crate) fn plan(intent: &Path, named: &Path) -> Result<Planned, Problem> {
    let document = read_document(intent, "intent", &Variables::as_written())?;
    let mut report = Report::default();
    let (intent, problems) = Intent::read(&document.root);
    report.add_with_patch(&document.path, &problems);
    let Some(intent) = intent.filter(|_| report.errors.is_empty()) else {
        return Ok(Planned { job: None, report });
    };
    let draft = Draft::of(&intent, &document.path);
    for todo in &draft.todo {
        report.add(&todo_item(&draft, todo, named));
    }
    check(&draft, &intent, named, &mut report);
    let job = report.errors.is_empty().then_some(draft.text);
    Ok(Planned { job, report })
}

/// What somebody has to fill in, at its line of the job file.
fn todo_item(draft: &Draft, todo: &write::Todo, named: &Path) -> Problem {
    let file = named.display().to_string().into();
    let mark = format!("${{{}}}", todo.variable);
    let line = draft.text.lines().position(|line| line.contains(&mark)).map(|index| index + 1);
    let place = match line.and_then(|line| u32::try_from(line).ok()) {
        Some(line) => Place::line(&file, line),
        None => Place::file(&file),
    };
    let message = format!("'{}' is not in the intent: {}", todo.key, todo.what);
    let mut problem =
        Problem::error(ProblemKind::Missing, place, todo.key.as_str(), message).hint(&todo.hint);
    problem.severity = Severity::Todo;
    problem
}

/// Reads and builds the job as `culvert check` does, with stand-ins for what is to be filled in.
fn check(draft: &Draft, intent: &Intent, named: &Path, report: &mut Report) {
    let built = match job::read_text(&draft.checkable(), named) {
        Ok(built) => built,
        Err(problems) => {
            problems.iter().for_each(|problem| report.add(problem));
            return;
        }
    };
    built.problems.iter().for_each(|problem| report.add(problem));
    if let (true, Some(graph)) = (intent.exactly_once(), &built.graph) {
        for (name, sink) in job::sinks(graph).unwrap_or_default() {
            if sink.contract() != culvert_api::DeliveryContract::ExactlyOnce {
                let message = format!("the sink {name} is not exactly-once, as the intent demands");
                let hint = "choose another kind of sink, or leave out the constraint".to_owned();
                report.push(Severity::Error, "constraints", message, Some(hint));
            }
        }
    }
}
