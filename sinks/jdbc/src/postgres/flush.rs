//! Sending what waits: COPY, then the statements that merge.
//!
//! ```text
//! one table:            COPY stage → [reduce] remove · clear moved · partial rows · put · empty stage
//! tables with keys      COPY every stage → parents first: clear moved · partial rows · put
//! between them:         → children first: remove → empty the stages
//! ```
//!
//! Tables whose rows others of the group refer to remove last, because the rows that referred to a
//! removed one may be moved to another in the same flush.

use bytes::Bytes;
use culvert_api::{Error, ErrorKind, Result};

use crate::postgres::connect::Session;
use crate::postgres::order::Group;
use crate::postgres::pending::{Flush, Pending, Stage, source_table};
use crate::postgres::plan::{Mode, TablePlan};
use crate::postgres::stage::{PUT, REMOVE, Staging};

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
        let flush = pending.take()?;
        if let Some(staging) = pending.plan.clone().staging.as_ref() {
            fill(session, pending, staging, flush.body.clone(), rows).await?;
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
            run(session, &pending.plan, &statements).await?;
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
    body: Bytes,
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
    let copied = session.copy(&staging.copy(&stage.name), body, &label).await;
    pending.stage = Some(stage);
    copied.map_err(|failure| named(failure, &pending.plan))
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
        return run(session, plan, &statements).await;
    }
    let mut statements: Vec<String> = staging.reduce(name).into_iter().collect();
    if flush.removes && !removes_last {
        statements.push(staging.remove(name, None));
    }
    if flush.puts
        && let Some(moving) = staging.move_in_place(name)
    {
        if !statements.is_empty() {
            run(session, plan, &statements).await?;
            statements.clear();
        }
        move_in_place(session, plan, &moving).await?;
    }
    if flush.puts {
        statements.extend(staging.clear_moved(name));
    }
    for (op, left_out) in &flush.groups {
        statements.push(staging.count_missing(name, *op, None));
        statements.extend(staging.update(name, *op, left_out, None));
    }
    if flush.puts {
        statements.extend(staging.put(name));
    }
    if !removes_last {
        statements.push(empty);
    }
    run(session, plan, &statements).await
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

/// One statement per run of inserts, updates or deletes.
fn run_by_run(staging: &Staging, name: &str, flush: &Flush) -> Vec<String> {
    let mut statements = Vec::new();
    for (op, first, last) in flush.runs.iter().copied() {
        let run = (first, last);
        match op {
            REMOVE => statements.push(staging.remove(name, Some(run))),
            PUT => statements.push(staging.insert_new(name, run)),
            group => {
                let of_group = flush.groups.iter().find(|(known, _)| *known == group);
                let left_out = of_group.map(|(_, left_out)| left_out.as_slice()).unwrap_or_default();
                statements.push(staging.count_missing(name, group, Some(run)));
                statements.extend(staging.update(name, group, left_out, Some(run)));
            }
        }
    }
    statements
}

/// Runs statements and judges the counts of missing rows among their answers.
async fn run(session: &mut Session, plan: &TablePlan, statements: &[String]) -> Result<()> {
    if statements.is_empty() {
        return Ok(());
    }
    let counts = session.merge(&statements.join(";\n"), &plan.label).await?;
    let missing = counts.iter().flatten().flatten().any(|count| count != "0");
    if !missing {
        return Ok(());
    }
    session.spoil();
    let message = format!("an update came for a row that {} does not have", plan.label);
    Err(Error::new(ErrorKind::Value, message).context("table", &plan.source.id).hint(format!(
        "an update that leaves values out cannot make the row: load the table with the job (startup.mode = initial), or \
         run on the source: ALTER TABLE {} REPLICA IDENTITY FULL",
        source_table(plan)
    )))
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
