//! The corpus of MySQL and MariaDB, copied to PostgreSQL and to each other: rows that were there
//! before the job, the same rows again afterwards, then changed and removed.

use std::net::Ipv6Addr;

use culvert_tests::database::Kind;
use culvert_tests::oracle::Row;
use culvert_tests::{Database, Flavor, PgVersion, postgres_shared, shared};

use super::values::run;
use crate::postgres::job::{Job, JobSpec, until, until_rows};
use crate::types::corpus::{Column, LATER, Shown, Table, tables};

/// The longest name of a PostgreSQL.
const NAME_BYTES_MAX: usize = 63;

/// The corpus without what the target has no room for: a PostgreSQL the character NUL and longer
/// names, a MySQL more than thirty digits behind the point and the last fraction of the last second, a
/// MariaDB documents that are as deep.
fn kept(flavor: Flavor, target: &Database<'_>) -> Vec<Table> {
    let has_nul = |column: &Column, value: &str| {
        matches!(column.shown, Shown::Text) && (value.contains("x'00") || value.contains("'\\0'"))
    };
    let mut tables = tables(flavor);
    for table in &mut tables {
        match target.server() {
            Kind::MySql(_) => {
                table.columns.retain(|column| !column.declared.ends_with(",38)"));
                for column in table.columns.iter_mut() {
                    column.values.retain(|value| !value.starts_with("CONCAT(REPEAT("));
                    column.values.retain(|value| !value.contains("838:59:59.9"));
                }
            }
            Kind::Postgres(_) => {
                table.columns.retain(|column| column.name.len() <= NAME_BYTES_MAX);
                for column in &mut table.columns {
                    let values = std::mem::take(&mut column.values);
                    column.values = values.into_iter().filter(|value| !has_nul(column, value)).collect();
                }
            }
        }
    }
    tables
}

/// What both servers are asked for so that equal answers mean equal values.
fn expressions(source: &Database<'_>, target: &Database<'_>, column: &Column) -> (String, String) {
    if !target.is_postgres() {
        let expression = at_mysql(&source.quoted(&column.name), column);
        return (expression.clone(), expression);
    }
    let (here, there) = (source.quoted(&column.name), target.quoted(&column.name));
    let declared = column.declared.to_ascii_uppercase();
    let bits = declared.strip_prefix("BIT(").and_then(|rest| rest.strip_suffix(')'));
    if bits == Some("1") {
        return (format!("{here} + 0"), format!("{there}::int"));
    }
    if let Some(bits) = bits {
        return (format!("LPAD(BIN({here} + 0), {bits}, '0')"), there);
    }
    if declared.contains("ZEROFILL") || declared == "YEAR" {
        return (format!("{here} + 0"), there);
    }
    match column.shown {
        Shown::Real => (format!("CONCAT({here} * 1e0)"), format!("{there}::float8")),
        Shown::Bytes => (format!("HEX({here})"), format!("upper(encode({there}, 'hex'))")),
        Shown::Text | Shown::Labels => (format!("CONVERT({here} USING utf8mb4)"), there),
        Shown::Printed => (here, there),
    }
}

fn at_mysql(name: &str, column: &Column) -> String {
    match column.shown {
        _ if column.declared.to_ascii_uppercase().starts_with("BIT(") => format!("{name} + 0"),
        Shown::Real => format!("CONCAT({name} * 1e0)"),
        Shown::Bytes => format!("HEX({name})"),
        Shown::Text | Shown::Labels => format!("CONVERT({name} USING utf8mb4)"),
        Shown::Printed => name.to_owned(),
    }
}

/// The answer in one form: floats as the oracle rounds them, fractions of a second without zeros at their
/// end.
fn canonical(column: &Column, text: String) -> String {
    if matches!(column.shown, Shown::Real) {
        return culvert_tests::database::Shown::Rounded.canonical(text);
    }
    let declared = column.declared.to_ascii_uppercase();
    if declared == "INET6" {
        // Servers shorten zeros in ways of their own.
        return text.parse::<Ipv6Addr>().map_or(text, |address| address.to_string());
    }
    if !["DATETIME", "TIMESTAMP", "TIME("].iter().any(|name| declared.starts_with(name)) {
        return text;
    }
    let text = text.strip_suffix("+00").unwrap_or(&text);
    let text = match text.split_once('.') {
        Some((whole, fraction)) => format!("{whole}.{}", fraction.trim_end_matches('0')),
        None => text.to_owned(),
    };
    let text = text.strip_suffix('.').unwrap_or(&text);
    // A time of zero has no sign that means anything.
    if text == "-00:00:00" { "00:00:00".into() } else { text.into() }
}

struct Pair<'a> {
    source: Database<'a>,
    target: Database<'a>,
    tables: Vec<Table>,
}

impl Pair<'_> {
    async fn insert(&self, table: &Table, first: usize) {
        run(&self.source, &table.inserts(self.source.name(), first)).await;
    }

    /// Both sides of a table, in the order of its ids.
    async fn sides(&self, table: &Table) -> (Vec<Row>, Vec<Row>) {
        let expressions: Vec<(String, String)> =
            table.columns.iter().map(|column| expressions(&self.source, &self.target, column)).collect();
        let list = |pick: fn(&(String, String)) -> &String| {
            expressions.iter().map(pick).cloned().collect::<Vec<String>>().join(", ")
        };
        let query = |database: &Database<'_>, list: &str| {
            format!("SELECT id, touched, {list} FROM {} ORDER BY id", database.table(table.name))
        };
        let mut here = self.source.rows(&query(&self.source, &list(|pair| &pair.0))).await;
        let mut there = self.target.rows(&query(&self.target, &list(|pair| &pair.1))).await;
        for row in here.iter_mut().chain(&mut there) {
            for (value, column) in row.iter_mut().skip(2).zip(&table.columns) {
                *value = value.take().map(|text| canonical(column, text));
            }
        }
        (here, there)
    }

    /// All tables are equal, column by column.
    async fn same(&self) {
        let mut found = Vec::new();
        for table in &self.tables {
            let (here, there) = self.sides(table).await;
            assert_eq!(here.len(), there.len(), "rows of {}", table.name);
            for (a, b) in here.iter().zip(&there) {
                if a[..2] != b[..2] {
                    found.push(format!("{}: row {:?} beside {:?}", table.name, &a[..2], &b[..2]));
                    break;
                }
                for (column, (x, y)) in table.columns.iter().zip(a[2..].iter().zip(&b[2..])) {
                    if x != y {
                        let short = |text: &Option<String>| {
                            text.as_ref().map_or("NULL".to_string(), |text| text.chars().take(100).collect())
                        };
                        found.push(format!(
                            "{}.{} {} row {:?}: {} / {}",
                            table.name,
                            column.name,
                            column.declared.chars().take(40).collect::<String>(),
                            a[0],
                            short(x),
                            short(y)
                        ));
                    }
                }
            }
        }
        found.truncate(40);
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    async fn until_rows(&self, times: usize, job: &Job) {
        for table in &self.tables {
            until_rows(&self.target, table.name, (table.rows() * times) as u64, job).await;
        }
    }
}

async fn from_mysql<'a>(flavor: Flavor, target: impl Into<Kind<'a>>) {
    let source = Database::fresh(shared(flavor).await, "types").await;
    let target = Database::fresh(target, "copy").await;
    let tables = kept(flavor, &target);
    let pair = Pair { source, target, tables };
    for table in &pair.tables {
        pair.source.run(&[&table.create(pair.source.name())]).await;
        pair.insert(table, 1).await;
    }
    let name = format!("{} {}", pair.source.name(), pair.source.port());
    let spec = JobSpec::mirror(&name, &pair.source, &[".*"], &pair.target);
    let job = spec.ready().start();
    pair.until_rows(1, &job).await;
    for table in &pair.tables {
        pair.insert(table, LATER).await;
    }
    pair.until_rows(2, &job).await;
    pair.same().await;
    for table in &pair.tables {
        let name = pair.source.table(table.name);
        pair.source
            .run(&[
                &table.rotate(pair.source.name()),
                &format!("UPDATE {name} SET touched = touched + 1 WHERE id < {LATER}"),
                &format!("DELETE FROM {name} WHERE id % 3 = 2"),
            ])
            .await;
    }
    for table in &pair.tables {
        let left = format!(
            "SELECT COUNT(*) FROM {} WHERE id < {LATER} AND touched = 0 OR id % 3 = 2",
            pair.target.table(table.name)
        );
        until(&pair.target, &left, "0", &job).await;
    }
    job.stop();
    pair.same().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_from_mariadb_to_postgres_17() {
    from_mysql(Flavor::MariaDb, postgres_shared(PgVersion::V17).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_from_mysql_to_postgres_15() {
    from_mysql(Flavor::MySql, postgres_shared(PgVersion::V15).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_from_mariadb_to_mysql() {
    from_mysql(Flavor::MariaDb, shared(Flavor::MySql).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_from_mysql_to_mariadb() {
    from_mysql(Flavor::MySql, shared(Flavor::MariaDb).await).await;
}

/// A character that a PostgreSQL has no room for, and names that are longer than its names: refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_postgres_has_no_room_for_is_refused() {
    let source = Database::fresh(shared(Flavor::MariaDb).await, "room").await;
    let target = Database::fresh(postgres_shared(PgVersion::V17).await, "copy").await;
    let long = "n".repeat(64);
    source
        .run(&[
            "CREATE TABLE nul (id INT PRIMARY KEY, a VARCHAR(10))",
            "INSERT INTO nul VALUES (1, 'a\\0b')",
            &format!("CREATE TABLE wide (id INT PRIMARY KEY, {long} INT)"),
            &format!("CREATE TABLE {long} (id INT PRIMARY KEY)"),
            &format!("INSERT INTO {long} VALUES (1)"),
            "INSERT INTO wide VALUES (1, 1)",
        ])
        .await;
    for (table, said) in [("nul", "nul"), ("wide", &*long), (&*long, &*long)] {
        let name = format!("{} {}", source.name(), said.len());
        let tables = [table];
        let job = JobSpec::mirror(&name, &source, &tables, &target).ready();
        if table == "nul" {
            job.refused_value(&[said])
        } else {
            job.refused(&[said])
        };
    }
}
