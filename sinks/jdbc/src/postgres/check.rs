//! What `culvert check --connect` finds out about the target, without writing anything.

use std::fmt::Display;
use std::sync::Arc;

use culvert_api::{Error, ErrorClass, Finding, Result, RowKind, TableSchema};
use culvert_postgres::quote::identifier;

use crate::options::SchemaSaveMode;
use crate::postgres::connect::{Session, field};
use crate::postgres::ddl;
use crate::postgres::marker;
use crate::postgres::name::TargetName;
use crate::postgres::options::Settings;
use crate::postgres::plan::{self, Mode, TablePlan};
use crate::postgres::target::TargetTable;
use crate::postgres::writer;

/// Checks the target for these upstream tables.
pub(crate) async fn run(settings: &Settings, tables: &[Arc<TableSchema>]) -> Result<Vec<Finding>> {
    let mut session = Session::open(settings).await?;
    let mut findings = server(&mut session, settings).await?;
    let marker = settings.marker_name()?;
    match TargetTable::read(&mut session, &marker).await? {
        Some(found) => {
            findings.extend(found.refuse_unfit().err().map(from_error(&marker)));
            findings.extend(rights(&mut session, &marker, &["SELECT", "INSERT", "UPDATE", "DELETE"]).await?);
        }
        None if !may_create(&mut session, &marker.schema).await? => findings.push(
            Finding::todo(
                marker.to_string(),
                "the table of commit markers is missing, and the account may not create it",
            )
            .hint(format!(
                "have somebody with the right run: {}; {}",
                marker::create_statement(&marker),
                marker::grant_hint(&marker)
            )),
        ),
        None => {}
    }
    let (mut staged, mut plans) = (false, Vec::new());
    for schema in tables {
        staged |= table(settings, &mut session, schema, &mut findings, &mut plans).await?;
    }
    // Tables that are dropped and made anew have no foreign keys.
    if settings.shared.schema_save_mode != SchemaSaveMode::Recreate {
        findings.extend(plan::warn_about_first_load(&plans.iter().collect::<Vec<&TablePlan>>()));
    }
    if staged {
        findings.extend(temporary(&mut session, settings).await?);
    }
    Ok(findings)
}

async fn server(session: &mut Session, settings: &Settings) -> Result<Vec<Finding>> {
    let rows = session
        .rows(
            "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on', \
             current_setting('server_encoding'), \
             ARRAY(SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off' \
             ORDER BY name)",
            &[],
            "reading the target server's settings",
        )
        .await?;
    let Some(facts) = rows.first() else { return Ok(Vec::new()) };
    let (read_only, encoding, unsafe_settings): (bool, String, Vec<String>) =
        (field(facts, 0)?, field(facts, 1)?, field(facts, 2)?);
    let mut findings = Vec::new();
    if read_only {
        findings
            .push(Finding::warning("transaction_read_only", "the target server is read-only (a standby?)"));
    }
    if encoding != "UTF8" {
        let message = format!(
            "the target database is encoded in {encoding}: texts with other characters will stop the job"
        );
        findings.push(Finding::warning("server_encoding", message).hint("use a target database in UTF8"));
    }
    for setting in unsafe_settings {
        let message = format!(
            "{setting} is off: a crash of the target's machine may lose or damage what it had committed, and the source \
             was told to forget"
        );
        findings.push(Finding::warning(&setting, message).hint(format!("set {setting} = on")));
    }
    if !session.server.has_on_conflict() {
        let message = "the server says that it is older than PostgreSQL 9.5: rows are merged by UPDATE and INSERT, and \
                       the target tables must not be written by anybody else";
        findings.push(Finding::warning(settings.endpoint.address(), message));
    }
    Ok(findings)
}

/// Judges one table; `true` when it needs a staging table.
async fn table(
    settings: &Settings,
    session: &mut Session,
    schema: &Arc<TableSchema>,
    findings: &mut Vec<Finding>,
    plans: &mut Vec<TablePlan>,
) -> Result<bool> {
    if settings.template(schema)?.is_some() {
        match writer::make_plan(settings, session, schema).await {
            Ok(_) => {}
            Err(failure) if failure.class() == ErrorClass::Transient => return Err(failure),
            Err(failure) => findings.push(from_error(&schema.id)(failure)),
        }
        return Ok(false);
    }
    let name = match settings.target(schema) {
        Ok(name) => name,
        Err(failure) => {
            findings.push(from_error(&schema.id)(failure));
            return Ok(false);
        }
    };
    let creates =
        matches!(settings.shared.schema_save_mode, SchemaSaveMode::Create | SchemaSaveMode::Recreate);
    let target = match TargetTable::read(session, &name).await {
        Ok(Some(target)) => target,
        Ok(None) => {
            findings.extend(missing(settings, session, schema, &name, creates).await?);
            return Ok(!schema.kinds.is_insert_only());
        }
        Err(failure) if failure.class() == ErrorClass::Operator => {
            findings.push(from_error(&name)(failure));
            return Ok(false);
        }
        Err(failure) => return Err(failure),
    };
    match plan::for_table(settings, schema, &target, session.server) {
        Ok((plan, found)) => {
            findings.extend(found);
            findings.extend(rights(session, &name, &needed(&plan)).await?);
            let staged = plan.staging.is_some();
            plans.push(plan);
            Ok(staged)
        }
        // It is dropped and made anew before the first row.
        Err(_) if settings.shared.schema_save_mode == SchemaSaveMode::Recreate => Ok(true),
        Err(failure) => {
            findings.push(from_error(&name)(failure));
            Ok(false)
        }
    }
}

async fn missing(
    settings: &Settings,
    session: &mut Session,
    schema: &TableSchema,
    name: &TargetName,
    creates: bool,
) -> Result<Vec<Finding>> {
    let (statement, mut findings) = match ddl::create_table(session, settings, schema, name).await {
        Ok(made) => made,
        Err(failure) if failure.class() == ErrorClass::Transient => return Err(failure),
        Err(failure) => return Ok(vec![from_error(&name)(failure)]),
    };
    if !creates {
        let message = "the target table does not exist, and schema_save_mode does not create it";
        return Ok(vec![Finding::error(name.to_string(), message).hint(format!("run: {statement}"))]);
    }
    if let Err(failure) = ddl::refuse_created_without_key(settings, schema, name) {
        return Ok(vec![from_error(&name)(failure)]);
    }
    if !may_create(session, &name.schema).await? {
        let message = "the target table does not exist, and the account has no right to create it";
        findings.push(Finding::todo(name.to_string(), message).hint(format!(
            "run: GRANT USAGE, CREATE ON SCHEMA {} TO the sink's account; or run: {statement}",
            identifier(&name.schema)
        )));
    }
    Ok(findings)
}

/// The rights a plan needs on its table.
fn needed(plan: &TablePlan) -> Vec<&'static str> {
    if plan.mode == Mode::Append {
        return vec!["INSERT"];
    }
    let mut needed = vec!["SELECT", "INSERT", "UPDATE"];
    let removes = plan.source.kinds.contains(RowKind::Delete) || plan.watch_moves;
    if removes || plan.staging.as_ref().is_some_and(|staging| staging.replaces()) {
        needed.push("DELETE");
    }
    needed
}

async fn rights(session: &mut Session, name: &TargetName, needed: &[&str]) -> Result<Option<Finding>> {
    let table = name.quoted();
    let mut lacking = Vec::new();
    for right in needed {
        let rows = session
            .rows("SELECT has_table_privilege($1::text, $2::text)", &[&table, right], "asking for rights")
            .await?;
        if !rows.first().map_or(Ok(false), |row| field::<bool>(row, 0))? {
            lacking.push(*right);
        }
    }
    Ok((!lacking.is_empty()).then(|| {
        let rights = lacking.join(", ");
        Finding::todo(name.to_string(), format!("the sink's account lacks the right {rights}"))
            .hint(format!("run: GRANT {rights} ON {table} TO the sink's account"))
    }))
}

/// Whether the account may create tables in a schema, or the schema itself where it is missing.
async fn may_create(session: &mut Session, schema: &str) -> Result<bool> {
    let rows = session
        .rows(
            "SELECT CASE WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1) \
             THEN has_schema_privilege($1, 'USAGE') AND has_schema_privilege($1, 'CREATE') \
             ELSE has_database_privilege(current_database(), 'CREATE') END",
            &[&schema],
            "asking for rights",
        )
        .await?;
    rows.first().map_or(Ok(false), |row| field(row, 0))
}

/// Rows of tables with a key go through temporary tables.
async fn temporary(session: &mut Session, settings: &Settings) -> Result<Option<Finding>> {
    let rows = session
        .rows("SELECT has_database_privilege(current_database(), 'TEMPORARY')", &[], "asking for rights")
        .await?;
    let granted: bool = rows.first().map_or(Ok(false), |row| field(row, 0))?;
    let database = &settings.endpoint.database;
    Ok((!granted).then(|| {
        Finding::todo(
            database,
            "the sink's account may not make temporary tables, which rows are merged from",
        )
        .hint(format!("run: GRANT TEMPORARY ON DATABASE {} TO the sink's account", identifier(database)))
    }))
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
