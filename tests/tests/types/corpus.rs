//! Tables with every column type of both servers, and values at the limits of each.

mod documents;
mod numbers;
mod places;
mod temporal;
mod texts;

use culvert_tests::Flavor;
use culvert_tests::oracle::quoted;

/// How the value of a column is shown so that two equal texts mean equal values.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shown {
    /// As the server prints it: whole numbers, decimals, dates, JSON.
    Printed,
    /// FLOAT and DOUBLE: all digits of the double it is or widens to, and the sign of zero.
    Real,
    /// The bytes: BIT, the binary types, spatial types, VECTOR.
    Bytes,
    /// The characters, whatever charset holds them.
    Text,
    /// The label's number and the label: ENUM and SET.
    Labels,
}

/// One column and what is put into it.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) declared: String,
    pub(crate) shown: Shown,
    /// SQL literals. Empty for generated columns.
    pub(crate) values: Vec<String>,
}

/// A table of the corpus. It also has `id`, its key, and `touched`, a counter.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: Vec<Column>,
}

/// The table whose target has LONGTEXT in place of every column's type.
const AS_TEXT: &str = "document_texts";

/// The first `id` of rows that come after the job has started.
pub(crate) const LATER: usize = 1000;

/// A column with values as literals.
fn column(name: impl Into<String>, declared: impl Into<String>, shown: Shown, values: &[&str]) -> Column {
    let values = values.iter().map(ToString::to_string).collect();
    Column { name: name.into(), declared: declared.into(), shown, values }
}

/// All tables for a server.
pub(crate) fn tables(flavor: Flavor) -> Vec<Table> {
    let mut tables = vec![
        Table { name: "numbers", columns: numbers::numbers() },
        Table { name: "decimals", columns: numbers::decimals(flavor) },
        Table { name: "times", columns: temporal::columns(flavor) },
        Table { name: "texts", columns: texts::texts() },
        Table { name: "charsets", columns: texts::charsets(flavor) },
        Table { name: "labels", columns: texts::labels() },
        Table { name: "bytes", columns: texts::bytes() },
        Table { name: "documents", columns: documents::columns(flavor) },
        Table { name: AS_TEXT, columns: documents::texts(flavor) },
        Table { name: "places", columns: places::columns(flavor) },
        Table { name: "ha`rd nämé", columns: texts::names() },
        Table { name: "made", columns: numbers::generated() },
    ];
    if flavor == Flavor::MariaDb {
        tables.push(Table { name: "addresses", columns: texts::addresses() });
    }
    tables
}

impl Table {
    /// `CREATE TABLE` in this database.
    pub(crate) fn create(&self, database: &str) -> String {
        self.create_with(database, |column| &column.declared)
    }

    /// `CREATE TABLE` of the target, where the sink is not to make it.
    pub(crate) fn create_target(&self, database: &str) -> Option<String> {
        (self.name == AS_TEXT).then(|| self.create_with(database, |_| "LONGTEXT"))
    }

    fn create_with(&self, database: &str, declared: impl Fn(&Column) -> &str) -> String {
        let mut parts = vec!["`id` INT NOT NULL PRIMARY KEY".to_string()];
        parts.extend(
            self.columns.iter().map(|column| format!("{} {}", quoted(&column.name), declared(column))),
        );
        parts.push("`touched` INT NOT NULL DEFAULT 0".into());
        format!(
            "CREATE TABLE {} ({}) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
            self.quoted(database),
            parts.join(", ")
        )
    }

    /// How many rows [`Table::inserts`] makes: as many as the longest list has values, and one in
    /// which everything is NULL.
    pub(crate) fn rows(&self) -> usize {
        1 + self.columns.iter().map(|column| column.values.len()).max().unwrap_or(0)
    }

    /// One statement per row, so that each is an event of its own. Ids count up from `first`.
    pub(crate) fn inserts(&self, database: &str, first: usize) -> Vec<String> {
        let columns: Vec<&Column> = self.filled().collect();
        let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
        (0..self.rows())
            .map(|row| {
                let value =
                    |column: &&Column| column.values.get(row).map_or("NULL", String::as_str).to_string();
                let values: Vec<String> = columns.iter().map(value).collect();
                format!(
                    "INSERT INTO {} (`id`, {}) VALUES ({}, {})",
                    self.quoted(database),
                    names.join(", "),
                    first + row,
                    values.join(", ")
                )
            })
            .collect()
    }

    /// Gives the later rows the values of the row after them, all in one statement.
    pub(crate) fn rotate(&self, database: &str) -> String {
        let set: Vec<String> =
            self.filled().map(|column| format!("a.{0} = b.{0}", quoted(&column.name))).collect();
        format!(
            "UPDATE {0} a JOIN {0} b ON b.id = a.id - {LATER} + 1 SET {1} WHERE a.id >= {LATER}",
            self.quoted(database),
            set.join(", ")
        )
    }

    /// Every row with each value in its comparable form, in the order of the ids.
    pub(crate) fn select(&self, database: &str) -> String {
        let shown: Vec<String> = self.columns.iter().map(Column::shown).collect();
        format!("SELECT id, touched, {} FROM {} ORDER BY id", shown.join(", "), self.quoted(database))
    }

    /// `db`.`table`.
    pub(crate) fn quoted(&self, database: &str) -> String {
        format!("{}.{}", quoted(database), quoted(self.name))
    }

    fn filled(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.values.is_empty())
    }
}

impl Column {
    fn shown(&self) -> String {
        let name = quoted(&self.name);
        match self.shown {
            Shown::Printed => format!("CONCAT({name})"),
            Shown::Real => format!("CONCAT({name} * 1e0)"),
            Shown::Bytes => format!("HEX({name})"),
            Shown::Text => format!("HEX(CONVERT({name} USING utf8mb4))"),
            Shown::Labels => format!("CONCAT({name} + 0, ' ', HEX(CONVERT({name} USING utf8mb4)))"),
        }
    }
}
