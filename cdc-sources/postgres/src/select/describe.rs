//! What a table or a query's result is: its columns, and its key.

use std::collections::HashSet;
use std::sync::Arc;

use culvert_api::{Error, ErrorKind, Result, RowKind, RowKindSet, TableId, TableSchema};
use culvert_postgres::Client;
use culvert_postgres::quote::{literal, qualified};
use tokio_postgres::Column;

use super::{Selected, Selector, refused};
use crate::catalog::{NOT_NULL, declarations, is_true, parsed, query, read_keys, read_types, text};
use crate::column::{ColumnDef, PgType};
use crate::decode::NanPolicy;
use crate::key::KeyPlan;

/// A table of which rows are read, each at most once.
struct Whole {
    oid: u32,
    key: Vec<String>,
    /// Numbers of the columns that hold no NULL.
    filled: HashSet<i16>,
    names: Vec<(i16, String)>,
}

impl Selector {
    /// A table or a view, all its columns. Errors with `Schema` when it is not there.
    pub async fn table(&self, id: &TableId) -> Result<Selected> {
        let catalog = self.endpoint.connect().await?;
        let name = qualified(id.schema.as_deref().unwrap_or("public"), &id.table);
        let missing = |error: Error| match error.kind() {
            ErrorKind::Schema | ErrorKind::Config => {
                Error::new(ErrorKind::Schema, format!("table {id} does not exist or cannot be read"))
                    .caused_by(error)
                    .hint("names are database.schema.table, in the letters the server has")
            }
            _ => error,
        };
        let whole = whole(&catalog, &catalog, &name).await?;
        let statement = format!("SELECT * FROM {name}");
        self.described(&catalog, &catalog, &statement, id.clone(), name, whole).await.map_err(missing)
    }

    /// What a query returns, as rows of the table `id`. `whole` is the table of which the query returns
    /// rows, each at most once, where the query's text shows that, quoted; only then has the result a key.
    pub async fn query(&self, sql: &str, id: TableId, whole_table: Option<&str>) -> Result<Selected> {
        let (catalog, client) = (self.endpoint.connect().await?, self.connect(true).await?);
        let whole = match whole_table {
            Some(name) => whole(&catalog, &client, name).await?,
            None => None,
        };
        self.described(&catalog, &client, sql, id, format!("({sql}\n) AS q"), whole).await
    }

    async fn described(
        &self,
        catalog: &Client,
        client: &Client,
        statement: &str,
        id: TableId,
        from: String,
        whole: Option<Whole>,
    ) -> Result<Selected> {
        let prepared =
            client.prepare(statement).await.map_err(|error| refused(error, "preparing the query"))?;
        if !prepared.params().is_empty() {
            return Err(Error::new(ErrorKind::Config, "the query has parameters, and nothing to put there"));
        }
        if prepared.columns().is_empty() {
            return Err(Error::new(ErrorKind::Config, "the query returns no columns").hint("write a SELECT"));
        }
        let columns = columns(catalog, prepared.columns(), whole.as_ref()).await?;
        let key = whole.and_then(|whole| key_in(&whole, prepared.columns())).unwrap_or_default();
        let shown: Vec<_> =
            columns.iter().map(|column| column.to_column(self.nan == NanPolicy::Null)).collect();
        let order = KeyPlan::of_server(&columns, &key);
        // A row that is read again, because its table changes meanwhile, replaces what was read before.
        let kinds = match key.is_empty() {
            true => RowKindSet::INSERT_ONLY,
            false => RowKindSet::of(&[RowKind::Insert, RowKind::UpdateAfter]),
        };
        let schema = Arc::new(TableSchema::new(id, 0, shown, key, kinds));
        Ok(Selected { schema, columns, from, order, condition: None })
    }
}

/// The table of this name, as `client` finds it. `None` for what has no key or is more than a table: a view,
/// or a table that others inherit from, whose key says nothing about their rows.
async fn whole(catalog: &Client, client: &Client, name: &str) -> Result<Option<Whole>> {
    const DOING: &str = "reading the catalog";
    let statement = format!("SELECT pg_catalog.to_regclass({})::oid", literal(name));
    let rows = query(client, &statement, DOING).await?;
    let Some(oid) = rows.first().and_then(|row| text(row, 0).parse::<u32>().ok()) else { return Ok(None) };
    let statement = format!(
        "SELECT c.relkind = 'p' OR (c.relkind = 'r' AND NOT EXISTS \
         (SELECT 1 FROM pg_catalog.pg_inherits h WHERE h.inhparent = c.oid)) \
         FROM pg_catalog.pg_class c WHERE c.oid = {oid}"
    );
    let rows = query(catalog, &statement, DOING).await?;
    if !rows.first().is_some_and(|row| is_true(row, 0)) {
        return Ok(None);
    }
    let statement = format!(
        "SELECT a.attnum, a.attname, {NOT_NULL} FROM pg_catalog.pg_attribute a \
         WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped"
    );
    let (mut names, mut filled) = (Vec::new(), HashSet::new());
    for row in query(catalog, &statement, DOING).await? {
        let number = parsed(&row, 0)?;
        names.push((number, text(&row, 1).to_owned()));
        if is_true(&row, 2) {
            filled.insert(number);
        }
    }
    let key = read_keys(catalog, &oid.to_string()).await?.remove(&oid).map(|keys| keys.primary);
    Ok(Some(Whole { oid, key: key.unwrap_or_default(), filled, names }))
}

async fn columns(catalog: &Client, found: &[Column], whole: Option<&Whole>) -> Result<Vec<ColumnDef>> {
    let types: Vec<(u32, i32)> =
        found.iter().map(|column| (column.type_().oid(), column.type_modifier())).collect();
    let mut declared = declarations(catalog, &types).await?;
    for (place, domain) in domains(catalog, found).await? {
        if let Some(declaration) = declared.get_mut(place) {
            *declaration = domain;
        }
    }
    let known = read_types(catalog, types.iter().map(|(oid, _)| *oid).collect()).await?;
    let define = |(column, declaration): (&Column, String)| {
        let (type_oid, typmod) = (column.type_().oid(), column.type_modifier());
        let of_table = whole.filter(|whole| column.table_oid() == Some(whole.oid));
        let is_filled = of_table
            .is_some_and(|whole| column.column_id().is_some_and(|number| whole.filled.contains(&number)));
        ColumnDef {
            name: column.name().to_owned(),
            number: column.column_id().unwrap_or(0),
            type_oid,
            typmod,
            kind: PgType::resolve(type_oid, typmod, &|oid| known.get(&oid)),
            declaration,
            // Of a join, any column may be NULL.
            nullable: !is_filled,
            bytewise: false,
        }
    };
    Ok(found.iter().zip(declared).map(define).collect())
}

/// Columns whose type is a domain, by their place. A result tells what the domain is over.
async fn domains(catalog: &Client, found: &[Column]) -> Result<Vec<(usize, String)>> {
    let place = |(place, column): (usize, &Column)| {
        Some(format!("({place}, {}::oid, {})", column.table_oid()?, column.column_id()?))
    };
    let places: Vec<String> = found.iter().enumerate().filter_map(place).collect();
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let statement = format!(
        "SELECT v.place, pg_catalog.format_type(a.atttypid, a.atttypmod) FROM (VALUES {}) AS v (place, relation, number) \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = v.relation AND a.attnum = v.number \
         JOIN pg_catalog.pg_type t ON t.oid = a.atttypid WHERE t.typtype = 'd'",
        places.join(", ")
    );
    let rows = query(catalog, &statement, "reading types").await?;
    rows.iter().map(|row| Ok((parsed(row, 0)?, text(row, 1).to_owned()))).collect()
}

/// The key of the table whose rows these are, by the names that its columns have in the result.
fn key_in(whole: &Whole, columns: &[Column]) -> Option<Vec<String>> {
    let name = |key: &String| {
        let (number, _) = whole.names.iter().find(|(_, name)| name == key)?;
        let is_it =
            |column: &&Column| column.table_oid() == Some(whole.oid) && column.column_id() == Some(*number);
        columns.iter().find(is_it).map(|column| column.name().to_owned())
    };
    whole.key.iter().map(name).collect()
}

/// Refuses a result whose columns are not those that were described.
pub(super) async fn compare(client: &Client, selected: &Selected) -> Result<()> {
    let changed = |what: String| {
        Error::new(ErrorKind::Schema, format!("{what} since the job began to read"))
            .hint("start over with --fresh (the target should be emptied first)")
    };
    let prepared = client.prepare(&selected.plain()).await.map_err(|error| refused(error, "reading rows"))?;
    for (column, found) in selected.columns.iter().zip(prepared.columns()) {
        if !column.is_like(found.name(), found.type_().oid(), found.type_modifier()) {
            return Err(changed(format!("column '{}' changed", column.name)));
        }
    }
    Ok(())
}
