//! What a target table looks like on its server.

use culvert_api::{Error, ErrorKind, Result};
use culvert_postgres::quote;
use tokio_postgres::Row;

use crate::postgres::column_type::{Family, Form};
use crate::postgres::connect::{Server, Session, field};
use crate::postgres::name::TargetName;
use culvert_api::sql_text::same_name;

/// A column of the target.
#[derive(Clone, Debug)]
pub(crate) struct TargetColumn {
    /// Its number in the catalog.
    pub(crate) number: i16,
    /// Its name as the target spells it.
    pub(crate) name: String,
    /// Its type as declared.
    pub(crate) column_type: String,
    /// The type its values have, out of all domains: what a staging column is declared as.
    pub(crate) base_type: String,
    /// What it holds, and how finely.
    pub(crate) form: Form,
    /// Whether a row may leave it out.
    pub(crate) optional: bool,
    /// Whether NULL is refused.
    pub(crate) not_null: bool,
    /// Whether the target computes it.
    pub(crate) generated: bool,
    /// Whether the target gives it numbers and lets nobody change them (GENERATED ALWAYS AS IDENTITY).
    pub(crate) identity_always: bool,
}

/// How one column of an index compares.
#[derive(Clone, Debug)]
pub(crate) struct IndexColumn {
    /// The column's name.
    pub(crate) name: String,
    /// The operator that says whether two values are one, or keep each other out, as it stands in statements.
    pub(crate) equals: String,
    /// The collation it compares under, as it stands in statements; `None` without one.
    pub(crate) collation: Option<String>,
    /// Whether different texts are different there.
    pub(crate) is_exact: bool,
}

/// A unique index of the target, the primary key included.
#[derive(Clone, Debug, Default)]
pub(crate) struct UniqueIndex {
    /// Its columns in order.
    pub(crate) columns: Vec<IndexColumn>,
    /// Names of all columns that its entries depend on, those of expressions and conditions included.
    pub(crate) touched: Vec<String>,
    /// Whether it is the primary key.
    pub(crate) is_primary: bool,
    /// Whether it can tell every row from every other: plain columns, none of which takes NULL, and
    /// no condition.
    pub(crate) is_key: bool,
    /// Whether its check can wait for the end of the transaction; ON CONFLICT cannot use it then.
    pub(crate) is_deferrable: bool,
}

/// A foreign key from or to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ForeignKey {
    /// The catalog's number of the table that refers.
    pub(crate) child: u32,
    /// The catalog's number of the table that is referred to.
    pub(crate) parent: u32,
    /// Whether its check waits for the end of the transaction.
    pub(crate) is_deferrable: bool,
    /// What a delete of the parent does: `a` no action, `r` restrict, `c` cascade, `n` and `d` set.
    pub(crate) on_delete: char,
}

impl ForeignKey {
    /// Whether the order of rows within a transaction matters to it: what a delete does besides a check
    /// it does at once, even where the check waits. A row that is deleted and inserted again would not be
    /// as before then, either.
    pub(crate) fn minds_order(self) -> bool {
        !self.is_deferrable || self.on_delete != 'a'
    }
}

/// A table of the target.
#[derive(Clone, Debug)]
pub(crate) struct TargetTable {
    /// Its name.
    pub(crate) name: TargetName,
    /// The catalog's number.
    pub(crate) oid: u32,
    /// Its columns in order.
    pub(crate) columns: Vec<TargetColumn>,
    /// Its unique indexes, the primary key first.
    pub(crate) uniques: Vec<UniqueIndex>,
    /// Foreign keys from here and to here.
    pub(crate) foreign_keys: Vec<ForeignKey>,
    /// Whether a crash of the server empties it.
    pub(crate) is_unlogged: bool,
    /// Whether policies hide rows from the sink's account.
    pub(crate) hides_rows: bool,
}

impl TargetTable {
    /// Reads a table's shape; `None` when there is no such table.
    pub(crate) async fn read(session: &mut Session, name: &TargetName) -> Result<Option<TargetTable>> {
        let doing = format!("reading the columns of {name}");
        let found = session
            .rows(
                "SELECT c.oid, c.relkind::text, c.relpersistence::text, c.relrowsecurity AND row_security_active(c.oid) \
                 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 WHERE n.nspname = $1 AND c.relname = $2",
                &[&name.schema, &name.table],
                &doing,
            )
            .await?;
        let Some(row) = found.first() else { return Ok(None) };
        let kind: String = field(row, 1)?;
        if kind != "r" && kind != "p" {
            let what = match kind.as_str() {
                "v" => "view",
                "m" => "materialized view",
                "f" => "foreign table, whose commits are not the target's",
                "S" => "sequence",
                _ => "relation of another kind",
            };
            return Err(Error::new(ErrorKind::Schema, format!("{name} is a {what}, not a table"))
                .hint("name a plain table"));
        }
        let oid: u32 = field(row, 0)?;
        let persistence: String = field(row, 2)?;
        let hides_rows: bool = field(row, 3)?;
        let server = session.server;
        let columns = session.rows(&columns_query(server), &[&oid], &doing).await?;
        let columns: Vec<TargetColumn> = columns.iter().map(column).collect::<Result<_>>()?;
        let indexes = session.rows(&indexes_query(server), &[&oid], &doing).await?;
        let uniques: Vec<UniqueIndex> =
            indexes.iter().map(|row| unique_index(row, &columns)).collect::<Result<_>>()?;
        let foreign_keys = session
            .rows(
                "SELECT conrelid, confrelid, condeferrable, confdeltype::text FROM pg_catalog.pg_constraint \
                 WHERE contype = 'f' AND (conrelid = $1 OR confrelid = $1)",
                &[&oid],
                &doing,
            )
            .await?;
        Ok(Some(TargetTable {
            name: name.clone(),
            oid,
            columns,
            uniques,
            foreign_keys: foreign_keys.iter().map(foreign_key).collect::<Result<_>>()?,
            is_unlogged: persistence == "u",
            hides_rows,
        }))
    }

    /// A column by name: the exact one, otherwise in any letter case.
    pub(crate) fn column(&self, name: &str) -> Option<&TargetColumn> {
        let exact = self.columns.iter().find(|column| column.name == name);
        exact.or_else(|| self.columns.iter().find(|column| same_name(&column.name, name)))
    }

    /// Refuses a table that cannot keep what is committed, or does not show it.
    pub(crate) fn refuse_unfit(&self) -> Result<()> {
        let table = self.name.quoted();
        if self.is_unlogged {
            let message = format!("table {} is UNLOGGED: a crash of the server would empty it", self.name);
            return Err(
                Error::new(ErrorKind::Schema, message).hint(format!("run: ALTER TABLE {table} SET LOGGED"))
            );
        }
        if self.hides_rows {
            let message = format!("policies of table {} hide rows from the sink's account", self.name);
            return Err(Error::new(ErrorKind::Permission, message).hint(
                "give the account BYPASSRLS, make it the table's owner, or disable row level security there",
            ));
        }
        Ok(())
    }
}

/// Domains are resolved to what they stand for; their own checks come when rows leave the stage.
fn columns_query(server: Server) -> String {
    let identity = if server.has_identity() { "a.attidentity::text" } else { "''" };
    let generated = if server.has_generated_columns() { "a.attgenerated::text" } else { "''" };
    format!(
        "WITH RECURSIVE base(attnum, oid, modifier) AS (\
         SELECT attnum, atttypid, atttypmod FROM pg_catalog.pg_attribute \
         WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped \
         UNION ALL SELECT base.attnum, t.typbasetype, \
         CASE WHEN t.typtypmod >= 0 THEN t.typtypmod ELSE base.modifier END \
         FROM base JOIN pg_catalog.pg_type t ON t.oid = base.oid AND t.typtype = 'd') \
         SELECT a.attnum, a.attname::text, format_type(a.atttypid, a.atttypmod), \
         format_type(base.oid, base.modifier), t.typname::text, base.modifier, \
         t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype = 'b', \
         a.attnotnull, a.atthasdef, {identity}, {generated} \
         FROM base JOIN pg_catalog.pg_attribute a ON a.attrelid = $1 AND a.attnum = base.attnum \
         JOIN pg_catalog.pg_type t ON t.oid = base.oid AND t.typtype <> 'd' ORDER BY a.attnum"
    )
}

fn column(row: &Row) -> Result<TargetColumn> {
    let (base, modifier, builtin): (String, i32, bool) = (field(row, 4)?, field(row, 5)?, field(row, 6)?);
    let (not_null, has_default): (bool, bool) = (field(row, 7)?, field(row, 8)?);
    let (identity, generated): (String, String) = (field(row, 9)?, field(row, 10)?);
    let form = match builtin {
        true => Form::of_type(&base, modifier),
        false => Form { family: Family::Parsed, base, ..Form::unknown() },
    };
    Ok(TargetColumn {
        number: field(row, 0)?,
        name: field(row, 1)?,
        column_type: field(row, 2)?,
        base_type: field(row, 3)?,
        form,
        optional: !not_null || has_default || !identity.is_empty() || !generated.is_empty(),
        not_null,
        generated: !generated.is_empty(),
        identity_always: identity == "a",
    })
}

/// Unique indexes and those of exclusion constraints, with everything their entries depend on.
fn indexes_query(server: Server) -> String {
    let key_columns = if server.has_included_columns() { "i.indnkeyatts" } else { "i.indnatts" };
    let deterministic =
        if server.has_generated_columns() { "coalesce(co.collisdeterministic, true)" } else { "true" };
    format!(
        "SELECT i.indisprimary, \
         i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL, \
         NOT i.indimmediate, \
         array_agg(k.attnum ORDER BY k.place), \
         array_agg(coalesce('OPERATOR(' || quote_ident(opn.nspname) || '.' || o.oprname || ')', \
         'OPERATOR(pg_catalog.=)') ORDER BY k.place), \
         array_agg(CASE WHEN co.oid IS NOT NULL THEN quote_ident(con.nspname) || '.' || quote_ident(co.collname) END \
         ORDER BY k.place), \
         array_agg({deterministic} ORDER BY k.place), \
         (SELECT coalesce(array_agg(DISTINCT d.refobjsubid::int2), '{{}}') FROM pg_catalog.pg_depend d \
         WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = i.indexrelid \
         AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid > 0) \
         FROM pg_catalog.pg_index i \
         CROSS JOIN LATERAL (SELECT place, (i.indkey::int2[])[place] AS attnum, (i.indclass::oid[])[place] AS class, \
         (i.indcollation::oid[])[place] AS collation FROM generate_series(0, {key_columns} - 1) AS place) k \
         LEFT JOIN pg_catalog.pg_opclass oc ON oc.oid = k.class \
         LEFT JOIN pg_catalog.pg_amop ao ON ao.amopfamily = oc.opcfamily AND ao.amopstrategy = 3 \
         AND ao.amoplefttype = oc.opcintype AND ao.amoprighttype = oc.opcintype AND i.indisunique \
         LEFT JOIN pg_catalog.pg_constraint x ON x.conindid = i.indexrelid AND x.contype = 'x' \
         LEFT JOIN pg_catalog.pg_operator o ON o.oid = coalesce(x.conexclop[k.place + 1], ao.amopopr) \
         LEFT JOIN pg_catalog.pg_namespace opn ON opn.oid = o.oprnamespace \
         LEFT JOIN pg_catalog.pg_collation co ON co.oid = k.collation \
         LEFT JOIN pg_catalog.pg_namespace con ON con.oid = co.collnamespace \
         WHERE i.indrelid = $1 AND (i.indisunique OR i.indisexclusion) AND i.indisready \
         GROUP BY i.indexrelid, i.indrelid, i.indisprimary, i.indisunique, i.indisvalid, i.indimmediate, \
         i.indpred IS NULL, i.indexprs IS NULL \
         ORDER BY i.indisprimary DESC, i.indexrelid"
    )
}

fn unique_index(row: &Row, columns: &[TargetColumn]) -> Result<UniqueIndex> {
    let numbers: Vec<i16> = field(row, 3)?;
    let equals: Vec<String> = field(row, 4)?;
    let collations: Vec<Option<String>> = field(row, 5)?;
    let exact: Vec<bool> = field(row, 6)?;
    let depends: Vec<i16> = field(row, 7)?;
    let by_number = |number: i16| columns.iter().find(|column| column.number == number);
    let mut found = UniqueIndex {
        is_primary: field(row, 0)?,
        is_key: field(row, 1)?,
        is_deferrable: field(row, 2)?,
        ..UniqueIndex::default()
    };
    for (((number, equals), collation), is_exact) in numbers.iter().zip(equals).zip(collations).zip(exact) {
        match by_number(*number) {
            Some(column) => {
                found.is_key &= column.not_null;
                found.columns.push(IndexColumn { name: column.name.clone(), equals, collation, is_exact });
            }
            None => found.is_key = false,
        }
    }
    let all = numbers.iter().chain(&depends);
    for column in columns.iter().filter(|column| all.clone().any(|number| *number == column.number)) {
        found.touched.push(column.name.clone());
    }
    Ok(found)
}

fn foreign_key(row: &Row) -> Result<ForeignKey> {
    let on_delete: String = field(row, 3)?;
    Ok(ForeignKey {
        child: field(row, 0)?,
        parent: field(row, 1)?,
        is_deferrable: field(row, 2)?,
        on_delete: on_delete.chars().next().unwrap_or('a'),
    })
}

/// Column names in quotes with commas between them.
pub(crate) fn listed(columns: &[IndexColumn]) -> String {
    quote::identifiers(columns.iter().map(|column| column.name.as_str()))
}
