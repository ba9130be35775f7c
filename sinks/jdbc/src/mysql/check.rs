//! What `culvert check --connect` finds out about the target, without writing anything.

use std::fmt::Display;
use std::sync::Arc;

use culvert_api::{Error, Finding, Result, RowKind, TableSchema};

use crate::mysql::connect::Session;
use crate::mysql::ddl;
use crate::mysql::error;
use crate::mysql::marker;
use crate::mysql::options::Settings;
use crate::mysql::plan::{self, Mode, TablePlan};
use crate::mysql::quote::{TargetName, identifier};
use crate::mysql::target::TargetTable;
use crate::mysql::writer;
use crate::options::SchemaSaveMode;

/// Checks the target for these upstream tables.
pub(crate) async fn run(settings: &Settings, tables: &[Arc<TableSchema>]) -> Result<Vec<Finding>> {
    let mut session = Session::open(settings).await?;
    let found = all(settings, &mut session, tables).await;
    session.close().await;
    found
}

async fn all(
    settings: &Settings,
    session: &mut Session,
    tables: &[Arc<TableSchema>],
) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let read_only: Option<i64> = session.first("SELECT @@global.read_only", "read read_only").await?;
    if read_only.unwrap_or_default() != 0 {
        findings.push(Finding::warning("read_only", "the target server is read-only"));
    }
    const FLUSHED: &str = "innodb_flush_log_at_trx_commit";
    let flushed: Option<i64> =
        session.first(&format!("SELECT @@global.{FLUSHED}"), &format!("read {FLUSHED}")).await?;
    if let Some(value) = flushed.filter(|value| *value != 1) {
        let message = format!(
            "{FLUSHED} is {value}: a crash of the target's machine may lose what it had committed, and the source was \
             told to forget"
        );
        findings.push(Finding::warning(FLUSHED, message).hint(format!("set {FLUSHED} = 1")));
    }
    let marker = settings.marker_name()?;
    match TargetTable::read(session, &marker).await? {
        Some(found) => {
            findings.extend(found.refuse_engine_without_transactions().err().map(from_error(&marker)));
            findings.extend(rights(session, &marker, "checkpoint", &["INSERT", "UPDATE", "DELETE"]).await?);
        }
        None if !may_create(session, &marker.database).await? => findings.push(
            Finding::todo(
                marker.to_string(),
                "the table of commit markers is missing, and the account may not create it",
            )
            .hint(format!("have somebody with the right run: {}", marker::create_statement(&marker))),
        ),
        None => {}
    }
    for schema in tables {
        findings.extend(table(settings, session, schema).await?);
    }
    Ok(findings)
}

async fn table(
    settings: &Settings,
    session: &mut Session,
    schema: &Arc<TableSchema>,
) -> Result<Vec<Finding>> {
    if settings.template(schema)?.is_some() {
        return Ok(match writer::make_plan(settings, session, schema).await {
            Ok(_) => Vec::new(),
            Err(failure) if failure.class() == culvert_api::ErrorClass::Transient => return Err(failure),
            Err(failure) => vec![from_error(&schema.id)(failure)],
        });
    }
    let name = match settings.target(schema) {
        Ok(name) => name,
        Err(failure) => return Ok(vec![from_error(&schema.id)(failure)]),
    };
    let creates =
        matches!(settings.shared.schema_save_mode, SchemaSaveMode::Create | SchemaSaveMode::Recreate);
    let Some(target) = TargetTable::read(session, &name).await? else {
        return missing(settings, session, schema, &name, creates).await;
    };
    match plan::for_table(settings, schema, &target, &session.server) {
        Ok((plan, mut findings)) => {
            let column = plan.slots.first().map(|slot| slot.name.clone()).unwrap_or_default();
            findings.extend(rights(session, &name, &column, &needed(&plan)).await?);
            Ok(findings)
        }
        // It is dropped and made anew before the first row.
        Err(_) if settings.shared.schema_save_mode == SchemaSaveMode::Recreate => Ok(Vec::new()),
        Err(failure) => Ok(vec![from_error(&name)(failure)]),
    }
}

async fn missing(
    settings: &Settings,
    session: &mut Session,
    schema: &TableSchema,
    name: &TargetName,
    creates: bool,
) -> Result<Vec<Finding>> {
    let statement = match ddl::create_table(settings, schema, name, &session.server) {
        Ok(statement) => statement,
        Err(failure) => return Ok(vec![from_error(&name)(failure)]),
    };
    if !creates {
        let message = "the target table does not exist, and schema_save_mode does not create it";
        return Ok(vec![Finding::error(name.to_string(), message).hint(format!("run: {statement}"))]);
    }
    if let Err(failure) = ddl::refuse_created_without_key(settings, schema, name) {
        return Ok(vec![from_error(&name)(failure)]);
    }
    let mut findings = ddl::remarks(settings, schema, name, &session.server);
    if may_create(session, &name.database).await? {
        return Ok(findings);
    }
    let message = "the target table does not exist, and the account seems to have no right to create it";
    findings.push(Finding::todo(name.to_string(), message).hint(format!(
        "run: GRANT CREATE ON {}.* TO the sink's account; or run: {statement}",
        identifier(&name.database)
    )));
    Ok(findings)
}

/// The rights a plan needs on its table.
fn needed(plan: &TablePlan) -> Vec<&'static str> {
    let mut needed = vec!["INSERT"];
    // Rows of PostgreSQL can come in part; such a row is updated where others are written anew.
    let comes_in_part = plan.slots.iter().any(|slot| slot.form.from_year_one)
        && plan.source.kinds.contains(RowKind::UpdateAfter);
    if matches!(plan.mode, Mode::Upsert | Mode::Separate) || (plan.mode == Mode::Replace && comes_in_part) {
        needed.push("UPDATE");
    }
    let removes = plan.source.kinds.contains(RowKind::Delete) || plan.watch_moves;
    if plan.mode == Mode::Replace || (removes && plan.mode != Mode::Append) {
        needed.push("DELETE");
    }
    needed
}

/// Lets the server explain statements that need each right: it checks rights then, and changes
/// nothing.
async fn rights(
    session: &mut Session,
    name: &TargetName,
    column: &str,
    needed: &[&str],
) -> Result<Option<Finding>> {
    let table = name.quoted();
    let column = identifier(column);
    let mut lacking = Vec::new();
    for right in needed {
        let statement = match *right {
            "UPDATE" => format!("EXPLAIN UPDATE {table} SET {column} = {column} WHERE 1 = 0"),
            "DELETE" => format!("EXPLAIN DELETE FROM {table} WHERE 1 = 0"),
            _ => format!("EXPLAIN INSERT INTO {table} ({column}) VALUES (NULL)"),
        };
        if let Some(code) = session.attempt(&statement, "ask for rights").await?
            && error::is_permission(code)
        {
            lacking.push(*right);
        }
    }
    Ok((!lacking.is_empty()).then(|| {
        let rights = lacking.join(", ");
        Finding::todo(name.to_string(), format!("the sink's account lacks the right {rights}"))
            .hint(format!("run: GRANT SELECT, {rights} ON {table} TO the sink's account"))
    }))
}

/// Whether the account may create tables in a database, as far as its own grants say; rights that
/// come by a role are not seen.
async fn may_create(session: &mut Session, database: &str) -> Result<bool> {
    let counts: Vec<(i64,)> = session
        .rows(
            "SELECT COUNT(*) FROM (\
             SELECT GRANTEE AS g FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE = 'CREATE' \
             UNION ALL SELECT GRANTEE FROM information_schema.SCHEMA_PRIVILEGES \
             WHERE PRIVILEGE_TYPE = 'CREATE' AND ? LIKE TABLE_SCHEMA) AS granted \
             WHERE g = CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''')",
            (database.to_string(),),
            "read the account's rights",
        )
        .await?;
    Ok(counts.first().is_some_and(|(count,)| *count > 0))
}

/// A failure of the judging as a finding about `subject`.
fn from_error(subject: &dyn Display) -> impl Fn(Error) -> Finding + use<> {
    let subject = subject.to_string();
    move |failure| {
        let finding = Finding::error(subject.clone(), failure.message());
        match failure.hint_text() {
            Some(hint) => finding.hint(hint),
            None => finding,
        }
    }
}
