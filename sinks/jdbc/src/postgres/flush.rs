//! Sending what waits: COPY, then the statements that merge.
//!
//! ```text
//! one table:            COPY stage · complete → [reduce] remove · clear moved · partial rows · put · empty stage
//! tables with keys      COPY every stage · complete → parents first: clear moved · partial rows · put
//! between them:         → children first: remove → empty the stages
//! ```
//!
//! Rows that came to their key by an update which left values out are completed from the target's rows of
//! the keys they had, before anything is written. From then on they are rows like others.
//!
//! Tables whose rows others of the group refer to remove last, because the rows that referred to a
//! removed one may be moved to another in the same flush.

use bytes::Bytes;
use culvert_api::{Error, ErrorKind, Result};

use crate::postgres::connect::Session;
use crate::postgres::order::Group;
use crate::postgres::pending::{Flush, Partial, Pending, Stage, unknown_row};
use crate::postgres::plan::{Mode, TablePlan};
use crate::postgres::stage::{REMOVE, Staging};

/// Rounds of moving unique values in place; every round moves at least one row.
const MOVES_MAX: u32 = 100_000;

/// Rows that go through a staging table before it is truncated.
const ROWS_BETWEEN_TRUNCATES: usize = 5_000;

/// Sends what waits for the tables of a group.
pub(crate) async fn send(session: &mut Session, tables: &mut [Pending], group: &Group) -> Result<()> {
    let mut staged = Vec::new();
    for (place, removes_last) in group.places.iter().copied() {
        let Some(pending) = tables.get_mut(place).filter(|pending| pending.len() > 0) else { continue };
        let rows = pending.len();
        let flush = pending.take().inspect_err(|_| session.spoil())?;
        if let Some(staging) = pending.plan.clone().staging.as_ref() {
            fill(session, pending, staging, &flush, rows).await?;
            if pending.plan.mode == Mode::Merge {
                complete(session, pending, staging, &flush).await?;
            }
        }
        staged.push((place, removes_last, flush));
    }
    for (place, removes_last, flush) in &staged {
        if let Some(pending) = tables.get(*place) {
            put(session, pending, flush, *removes_last).await?;
        }
    }
    for (place, _, flush) in staged.iter().rev().filter(|(_, last, _)| *last) {
        let pending = tables.get(*place);
        let of_stage = pending
            .and_then(|pending| Some((pending, pending.plan.staging.as_ref()?, pending.stage.as_ref()?)));
        if let Some((pending, staging, stage)) = of_stage
            && pending.plan.mode == Mode::Merge
        {
            let mut statements = Vec::new();
            if flush.removes {
                statements.push(staging.remove(&stage.name, None));
            }
            statements.push(staging.empty(&stage.name, stage.is_worn()));
            run(session, &pending.plan, &statements, &[]).await?;
        }
    }
    for (place, _, _) in &staged {
        let stage = tables.get_mut(*place).and_then(|pending| pending.stage.as_mut());
        if let Some(stage) = stage.filter(|stage| stage.is_worn()) {
            stage.rows = 0;
        }
    }
    Ok(())
}

impl Stage {
    /// Whether so many rows went through it that it has to be truncated.
    fn is_worn(&self) -> bool {
        self.rows >= ROWS_BETWEEN_TRUNCATES
    }
}

/// Loads the staging table; makes it first when this session has none for the plan.
async fn fill(
    session: &mut Session,
    pending: &mut Pending,
    staging: &Staging,
    flush: &Flush,
    rows: usize,
) -> Result<()> {
    let label = pending.plan.label.clone();
    let alive = pending.stage.take().filter(|stage| stage.made == session.roll_backs());
    let mut stage = match alive {
        Some(stage) => stage,
        None => {
            let name = session.next_staging_table();
            session.begin().await?;
            session.define(&staging.create(&name), &format!("making a staging table for {label}")).await?;
            Stage { name, made: session.roll_backs(), rows: 0 }
        }
    };
    stage.rows += rows;
    let mut copied = session.copy(&staging.copy(&stage.name, false), flush.body.clone(), &label).await;
    if copied.is_ok() && !flush.moved.is_empty() {
        copied = session.copy(&staging.copy(&stage.name, true), flush.moved.clone(), &label).await;
    }
    pending.stage = Some(stage);
    copied.map_err(|failure| named(failure, &pending.plan))
}

/// Makes whole rows of those that lack what the target has under another key.
async fn complete(session: &mut Session, pending: &Pending, staging: &Staging, flush: &Flush) -> Result<()> {
    let Some(stage) = &pending.stage else { return Ok(()) };
    let moved = flush.partial.iter().filter(|rows| rows.moved);
    let statements: Vec<String> = moved.flat_map(|rows| staging.complete(&stage.name, rows, None)).collect();
    run(session, &pending.plan, &statements, &flush.partial).await
}

/// Everything but the removals that have to wait.
async fn put(session: &mut Session, pending: &Pending, flush: &Flush, removes_last: bool) -> Result<()> {
    let plan = &pending.plan;
    let (Some(staging), Some(stage)) = (&plan.staging, &pending.stage) else {
        return send_unstaged(session, plan, flush.body.clone()).await;
    };
    let name = stage.name.as_str();
    let empty = staging.empty(name, stage.is_worn());
    if plan.mode == Mode::Separate {
        let mut statements = run_by_run(staging, name, flush);
        statements.push(empty);
        return run(session, plan, &statements, &flush.partial).await;
    }
    let mut statements: Vec<String> = staging.reduce(name).into_iter().collect();
    if flush.removes && !removes_last {
        statements.push(staging.remove(name, None));
    }
    let partial = || flush.partial.iter().filter(|rows| !rows.moved);
    let changed: Vec<String> = partial().filter_map(|rows| staging.complete_changed(name, rows)).collect();
    let puts = flush.puts || !changed.is_empty();
    statements.extend(changed);
    if puts && let Some(moving) = staging.move_in_place(name) {
        if !statements.is_empty() {
            run(session, plan, &statements, &flush.partial).await?;
            statements.clear();
        }
        move_in_place(session, plan, &moving).await?;
    }
    if puts {
        statements.extend(staging.clear_moved(name));
    }
    for rows in partial() {
        statements.push(staging.count_missing(name, rows.op, None));
        statements.extend(staging.update(name, rows, None));
    }
    if puts {
        statements.extend(staging.put(name));
    }
    if !removes_last {
        statements.push(empty);
    }
    run(session, plan, &statements, &flush.partial).await
}

async fn send_unstaged(session: &mut Session, plan: &TablePlan, body: Bytes) -> Result<()> {
    if plan.mode == Mode::Append {
        let copied = session.copy(&plan.copy, body, &plan.label).await;
        return copied.map_err(|failure| named(failure, plan));
    }
    let text = std::str::from_utf8(&body)
        .map_err(|cause| Error::new(ErrorKind::Internal, "a statement that is no text").caused_by(cause))?;
    session.merge(text, &plan.label).await.map(drop)
}

/// One statement per run of inserts, updates or deletes. A row that came to its key by an update which
/// left values out is completed before the removal of its old key, which comes directly before it.
fn run_by_run(staging: &Staging, name: &str, flush: &Flush) -> Vec<String> {
    let mut statements = Vec::new();
    let of_op = |op: u32| flush.partial.iter().find(|rows| rows.op == op);
    let mut following = flush.runs.iter().copied().skip(1);
    for (op, first, last) in flush.runs.iter().copied() {
        let next = following.next();
        let run = Some((first, last));
        match of_op(op) {
            _ if op == REMOVE => {
                if let Some((op, first, last)) = next
                    && let Some(rows) = of_op(op).filter(|rows| rows.moved)
                {
                    statements.extend(staging.complete(name, rows, Some((first, last))));
                }
                statements.push(staging.remove(name, run));
            }
            Some(rows) if !rows.moved => {
                statements.push(staging.count_missing(name, op, run));
                statements.extend(staging.update(name, rows, run));
            }
            _ => statements.push(staging.insert_new(name, (first, last))),
        }
    }
    statements
}

/// Runs statements and judges the counts of missing rows among their answers.
async fn run(
    session: &mut Session,
    plan: &TablePlan,
    statements: &[String],
    partial: &[Partial],
) -> Result<()> {
    if statements.is_empty() {
        return Ok(());
    }
    let counts = session.merge(&statements.join(";\n"), &plan.label).await?;
    let missing = counts.iter().flatten().flatten().any(|count| count != "0");
    if !missing {
        return Ok(());
    }
    session.spoil();
    let left_out = |slot: &usize| partial.iter().any(|rows| rows.left_out.contains(slot));
    Err(unknown_row(plan, (0..plan.slots.len()).filter(left_out)))
}

async fn move_in_place(session: &mut Session, plan: &TablePlan, statement: &str) -> Result<()> {
    for _ in 0..MOVES_MAX {
        let moved = session.merge(statement, &plan.label).await?;
        if moved.iter().flatten().flatten().all(|count| count == "0") {
            return Ok(());
        }
    }
    let message = format!("unique values of {} moved more often than can be followed", plan.label);
    Err(Error::new(ErrorKind::Internal, message))
}

/// Says the column's name where the server says the staged one's.
fn named(failure: Error, plan: &TablePlan) -> Error {
    let text = failure.to_string();
    let staged = text.split("staged_column=").nth(1).and_then(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<usize>().ok()
    });
    match staged.and_then(|place| plan.slots.get(place)) {
        Some(slot) => failure.context("column", &slot.name),
        None => failure,
    }
}
