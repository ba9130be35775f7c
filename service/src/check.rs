//! `culvert check`: every problem at once, nothing written.

use std::path::Path;

use culvert_api::{Error, ErrorClass, ErrorKind, Finding};
use culvert_config::{Problem, ProblemKind, Report, Severity, raise_unknown_keys};
use culvert_engine::{JobGraph, NodeKind};

use crate::arguments::{CheckOptions, Format};
use crate::job::{self, BuiltJob};
use crate::tables::{asked, follow};
use crate::terminal::{answer, answers_in_colour};

/// Checks a job; the exit code.
pub(crate) async fn check(options: CheckOptions) -> u8 {
    let job = match job::read(&options.job, options.metadata.metadata.as_deref()) {
        Ok(job) => job,
        Err(problems) => {
            let mut report = Report::default();
            problems.iter().for_each(|problem| report.add(problem));
            print(&report, options.format);
            return 2;
        }
    };
    let path = job.file.path.clone();
    let (report, unable) = look(job, &path, options.strict, options.connect).await;
    print(&report, options.format);
    match (unable, report.is_ok()) {
        (true, _) => 2,
        (false, true) => 0,
        (false, false) => 1,
    }
}

/// Looks at a job that was read; whether something hid the answer.
pub(crate) async fn look(mut job: BuiltJob, path: &Path, strict: bool, and_connect: bool) -> (Report, bool) {
    let mut report = Report::default();
    let sound = job.is_sound();
    if strict {
        raise_unknown_keys(&mut job.problems);
    }
    let problems: Vec<Problem> = job.problems.clone();
    report.add_with_patch(path, &problems);
    // A provider that cannot be asked hides whether the job is sound.
    let mut unable = problems.iter().any(|problem| problem.kind == ProblemKind::Unreachable);
    if let (true, true, Some(graph)) = (and_connect, sound, &job.graph)
        && let Err(error) = connect(&job, graph, &mut report).await
    {
        let hint = error.hint_text().map(str::to_owned);
        report.push(Severity::Error, "connect", error.without_hint(), hint);
        // What a person has to change is a problem that was found; anything else hid the answer.
        unable = error.class() != ErrorClass::Operator;
    }
    (report, unable)
}

async fn connect(job: &BuiltJob, graph: &JobGraph, report: &mut Report) -> Result<(), Error> {
    let (source, _) = job::ends(graph)?;
    let findings = source.check().await?;
    let sound = !findings.iter().any(|finding| finding.severity == culvert_api::Severity::Error);
    let waits = findings.iter().any(|finding| finding.severity == culvert_api::Severity::Todo);
    findings.into_iter().for_each(|finding| push(report, finding));
    if !sound {
        return Ok(());
    }
    let tables = match asked(graph).await {
        // The right to grant first has been told.
        Err(error) if waits && error.kind() == ErrorKind::Permission => return Ok(()),
        tables => tables?,
    };
    job::unfit_tables(job, graph, tables.clone()).iter().for_each(|problem| report.add(problem));
    let arriving = follow(graph, tables).into_iter().zip(&graph.nodes);
    for (at, node) in arriving {
        let (NodeKind::Sink(sink), Some(tables)) = (&node.kind, at.tables) else { continue };
        for finding in sink.check(&tables).await? {
            push(report, finding);
        }
    }
    tracing::debug!(job = job.name, "checked with connections");
    Ok(())
}

fn push(report: &mut Report, finding: Finding) {
    let severity = match finding.severity {
        culvert_api::Severity::Error => Severity::Error,
        culvert_api::Severity::Warning => Severity::Warning,
        culvert_api::Severity::Todo => Severity::Todo,
    };
    report.push(severity, finding.subject, finding.message, finding.hint);
}

fn print(report: &Report, format: Format) {
    match format {
        Format::Human => answer(&report.to_text(answers_in_colour())),
        Format::Json => answer(&report.to_json()),
    }
}
