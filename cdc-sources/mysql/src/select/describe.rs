//! What a table or a query's result is: its columns, and its key.
//!
//! A column of a result that is a table's column has that column's type, as the catalog declares it; only
//! then does it become what the snapshot makes of it (an ENUM is text on the wire, MariaDB's UUID, too).
//! Any other column has the type that the protocol tells.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::DataType;
use culvert_api::{Error, ErrorKind, Result, RowKind, RowKindSet, TableId, TableSchema};
use mysql_async::consts::{ColumnFlags, ColumnType};
use mysql_async::prelude::Queryable;
use mysql_async::{Column, Conn};

use super::{Selected, Selector, refused};
use crate::catalog::{quote_table, read_table};
use crate::charset::Charset;
use crate::column::{Conversion, MySqlColumn};
use crate::ddl::{ColumnDef, TableDef};
use crate::key::KeyPlan;
use crate::tables::columns_of;

/// The collation number of bytes without characters.
const BINARY: u16 = 63;

impl Selector {
    /// A table or a view, all its columns. Errors with `Schema` when it is not there.
    pub async fn table(&self, conn: &mut Conn, id: &TableId) -> Result<Selected> {
        let def = read_table(conn, id).await?;
        let selected = self.selected(id.clone(), def, quote_table(id), None)?;
        // May it be read? The server says so before anything is written.
        self.first_row(conn, &format!("SELECT 1 FROM {} LIMIT 0", selected.from())).await?;
        Ok(selected)
    }

    /// What a query returns, as rows of the table `id`. `whole` is the table of which the query returns
    /// rows, each at most once, where the query's text shows that; only then has the result a key.
    pub async fn query(
        &self,
        conn: &mut Conn,
        query: &str,
        id: TableId,
        whole: Option<&TableId>,
    ) -> Result<Selected> {
        let statement = conn.prep(query).await.map_err(|error| refused(error, "preparing the query"))?;
        let columns = statement.columns();
        let parameters = statement.params().len();
        conn.close(statement).await.map_err(|error| refused(error, "preparing the query"))?;
        if parameters > 0 {
            return Err(Error::new(
                ErrorKind::Config,
                "the query has parameters (`?`), and nothing to put there",
            ));
        }
        if columns.is_empty() {
            return Err(Error::new(ErrorKind::Config, "the query returns no rows").hint("write a SELECT"));
        }
        let tables = base_tables(conn, &columns).await?;
        let mut defs = Vec::with_capacity(columns.len());
        for column in columns.iter() {
            let def = self.column(column, tables.get(&home(column)))?;
            // What a join leaves empty is NULL, whatever the column says.
            defs.push(ColumnDef { nullable: def.nullable || whole.is_none(), ..def });
        }
        let mut key = whole.and_then(|whole| key_in(&tables, whole, &columns)).unwrap_or_default();
        // Only what cannot be NULL is a key.
        if key.iter().any(|name| defs.iter().any(|def| def.name == *name && def.nullable)) {
            key.clear();
        }
        let def = TableDef {
            database: id.database.clone(),
            table: id.table.clone(),
            columns: defs,
            primary_key: key,
            unique_keys: Vec::new(),
            default_charset: None,
            default_collation: None,
            hidden_period: false,
        };
        self.selected(id, def, format!("({query}\n) AS q"), Some(query.to_owned()))
    }

    fn selected(&self, id: TableId, def: TableDef, from: String, query: Option<String>) -> Result<Selected> {
        let columns = columns_of(&def)?;
        let shown = columns.iter().map(|column| column.to_column(&self.conversion)).collect();
        let order = KeyPlan::new(&id, &def, &columns, &def.primary_key).filter(KeyPlan::can_end_anywhere);
        // A row that is read again, because its table changes meanwhile, replaces what was read before.
        let kinds = match def.primary_key.is_empty() {
            true => RowKindSet::INSERT_ONLY,
            false => RowKindSet::of(&[RowKind::Insert, RowKind::UpdateAfter]),
        };
        let schema = Arc::new(TableSchema::new(id, 0, shown, def.primary_key, kinds));
        Ok(Selected { schema, columns: columns.into(), from, query, order, condition: None })
    }

    /// A column of a result. `table` is the one it is of.
    fn column(&self, column: &Column, table: Option<&TableDef>) -> Result<ColumnDef> {
        let told = from_wire(column)?;
        let declared = table.and_then(|table| {
            let original = column.org_name_str();
            table.columns.iter().find(|def| def.name == original)
        });
        let Some(declared) = declared else { return Ok(told) };
        if self.is_like(declared, &told)? {
            return Ok(ColumnDef { name: told.name, nullable: told.nullable, ..declared.clone() });
        }
        Ok(told)
    }

    /// Whether values of both are read the same way. Text and bytes differ by what the catalog knows.
    fn is_like(&self, declared: &ColumnDef, told: &ColumnDef) -> Result<bool> {
        let types = (data_type(declared, &self.conversion)?, data_type(told, &self.conversion)?);
        let is_text = |kind: &DataType| matches!(kind, DataType::Utf8 | DataType::Binary);
        Ok(types.0 == types.1 || (is_text(&types.0) && is_text(&types.1)))
    }
}

fn data_type(def: &ColumnDef, conversion: &Conversion) -> Result<DataType> {
    let column = MySqlColumn::new(&def.name, &def.column_type, def.nullable, def.charset.as_deref())?;
    Ok(column.data_type(conversion))
}

/// The table that a column of a result says it is of.
fn home(column: &Column) -> (String, String) {
    (column.schema_str().into_owned(), column.org_table_str().into_owned())
}

async fn base_tables(conn: &mut Conn, columns: &[Column]) -> Result<BTreeMap<(String, String), TableDef>> {
    let mut tables = BTreeMap::new();
    for column in columns {
        let (database, table) = home(column);
        if table.is_empty() || tables.contains_key(&(database.clone(), table.clone())) {
            continue;
        }
        match read_table(conn, &TableId::new(&database, &table)).await {
            Ok(def) => _ = tables.insert((database, table), def),
            // Derived and temporary tables are not in the catalog.
            Err(error) if error.kind() == ErrorKind::Schema => {}
            Err(error) => return Err(error),
        }
    }
    Ok(tables)
}

/// The key of the table whose rows these are, by the names that its columns have in the result.
fn key_in(
    tables: &BTreeMap<(String, String), TableDef>,
    whole: &TableId,
    columns: &[Column],
) -> Option<Vec<String>> {
    let place = (whole.database.clone(), whole.table.clone());
    let def = tables.get(&place)?;
    let name = |key: &String| {
        let mut of_key =
            columns.iter().filter(|column| home(column) == place && column.org_name_str() == *key);
        of_key.next().map(|column| column.name_str().into_owned())
    };
    def.primary_key.iter().map(name).collect()
}

/// A column as the protocol tells it ("Column Definition Packet" in the manual).
fn from_wire(column: &Column) -> Result<ColumnDef> {
    let flags = column.flags();
    let unsigned = if flags.contains(ColumnFlags::UNSIGNED_FLAG) { " unsigned" } else { "" };
    let is_binary = column.character_set() == BINARY;
    let (length, decimals) = (column.column_length(), column.decimals());
    // Decimals that are not fixed are told as 31 or 39.
    let fraction = if decimals <= 6 { decimals } else { 6 };
    let text = |text: &str, bytes: &str| if is_binary { bytes.to_owned() } else { text.to_owned() };
    let column_type = match column.column_type() {
        ColumnType::MYSQL_TYPE_TINY => format!("tinyint{unsigned}"),
        ColumnType::MYSQL_TYPE_SHORT => format!("smallint{unsigned}"),
        ColumnType::MYSQL_TYPE_INT24 => format!("mediumint{unsigned}"),
        ColumnType::MYSQL_TYPE_LONG => format!("int{unsigned}"),
        ColumnType::MYSQL_TYPE_LONGLONG => format!("bigint{unsigned}"),
        ColumnType::MYSQL_TYPE_DECIMAL | ColumnType::MYSQL_TYPE_NEWDECIMAL => {
            let point = u32::from(decimals > 0);
            let sign = u32::from(unsigned.is_empty());
            let precision = length.saturating_sub(point + sign).clamp(u32::from(decimals).max(1), 65);
            format!("decimal({precision},{decimals}){unsigned}")
        }
        ColumnType::MYSQL_TYPE_FLOAT => "float".to_owned(),
        ColumnType::MYSQL_TYPE_DOUBLE => "double".to_owned(),
        ColumnType::MYSQL_TYPE_BIT => format!("bit({})", length.clamp(1, 64)),
        ColumnType::MYSQL_TYPE_YEAR => "year".to_owned(),
        ColumnType::MYSQL_TYPE_DATE | ColumnType::MYSQL_TYPE_NEWDATE => "date".to_owned(),
        ColumnType::MYSQL_TYPE_TIME | ColumnType::MYSQL_TYPE_TIME2 => format!("time({fraction})"),
        ColumnType::MYSQL_TYPE_DATETIME | ColumnType::MYSQL_TYPE_DATETIME2 => format!("datetime({fraction})"),
        ColumnType::MYSQL_TYPE_TIMESTAMP | ColumnType::MYSQL_TYPE_TIMESTAMP2 => {
            format!("timestamp({fraction})")
        }
        ColumnType::MYSQL_TYPE_JSON => "json".to_owned(),
        ColumnType::MYSQL_TYPE_GEOMETRY => "geometry".to_owned(),
        ColumnType::MYSQL_TYPE_VECTOR => "vector".to_owned(),
        ColumnType::MYSQL_TYPE_TINY_BLOB
        | ColumnType::MYSQL_TYPE_MEDIUM_BLOB
        | ColumnType::MYSQL_TYPE_LONG_BLOB
        | ColumnType::MYSQL_TYPE_BLOB => text("longtext", "longblob"),
        ColumnType::MYSQL_TYPE_VARCHAR
        | ColumnType::MYSQL_TYPE_VAR_STRING
        | ColumnType::MYSQL_TYPE_STRING
        | ColumnType::MYSQL_TYPE_ENUM
        | ColumnType::MYSQL_TYPE_SET => {
            // A character of any charset takes up to four bytes; longer ones are texts.
            const VARCHAR_BYTES_MAX: u32 = 65_532;
            match length {
                0..=VARCHAR_BYTES_MAX => text(
                    &format!("varchar({})", length.div_ceil(4).max(1)),
                    &format!("varbinary({})", length.max(1)),
                ),
                _ => text("longtext", "longblob"),
            }
        }
        // A NULL without a type.
        ColumnType::MYSQL_TYPE_NULL => "varchar(1)".to_owned(),
        other => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "column '{}' of the query has a type that is not supported ({other:?})",
                    column.name_str()
                ),
            )
            .hint("cast it in the query, or leave it out"));
        }
    };
    let is_text = ["varchar", "longtext"].iter().any(|kind| column_type.starts_with(kind));
    let charset = match is_text {
        true if is_binary => Some(Charset::UTF8MB4.name().to_owned()),
        true => Some(Charset::from_collation(column.character_set())?.name().to_owned()),
        false => None,
    };
    Ok(ColumnDef {
        name: column.name_str().into_owned(),
        column_type,
        charset,
        collation: None,
        nullable: !flags.contains(ColumnFlags::NOT_NULL_FLAG),
        generated: false,
    })
}

/// Refuses a result whose columns are not read as those that were described.
pub(super) fn compare(expected: &[MySqlColumn], found: &[Column], conversion: &Conversion) -> Result<()> {
    let changed = |what: String| {
        Error::new(ErrorKind::Schema, format!("{what} since the job began to read"))
            .hint("start over with --fresh (the target should be emptied first)")
    };
    if expected.len() != found.len() {
        return Err(changed("columns came or went".to_owned()));
    }
    for (column, found) in expected.iter().zip(found) {
        let told = from_wire(found)?;
        let types = (column.data_type(conversion), data_type(&told, conversion)?);
        let is_text = |kind: &DataType| matches!(kind, DataType::Utf8 | DataType::Binary);
        let is_same = types.0 == types.1 || (is_text(&types.0) && is_text(&types.1));
        // What text is written in; labels and the like are told in another way.
        let charset = told.charset.as_deref().map(Charset::from_name).transpose()?;
        let is_written_alike = match (column.charset, charset) {
            (Some(known), Some(told)) => known == told,
            _ => true,
        };
        if column.name != told.name || !is_same || !is_written_alike {
            return Err(changed(format!("column '{}' changed", column.name)));
        }
    }
    Ok(())
}
