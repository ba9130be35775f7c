//! A graph of sources and transforms as a job file, and what leaves it, worked out row by row.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

/// Sinks of every graph.
pub(super) const SINKS: usize = 2;
/// Changes that a source makes.
const CHANGES: usize = 160;
/// Splits of a source, and the pause between two, in milliseconds: a source takes long enough to be killed.
const SPLITS: usize = 40;
const PAUSE_MS: usize = 15;

/// A row: its table, its kind (`+I`, `-U`, `+U`, `-D`) and its values by column. An update is two rows, one behind the other.
#[derive(Clone, Debug)]
struct Row {
    table: String,
    kind: &'static str,
    values: Map<String, Value>,
}

/// What a node does.
enum Act {
    /// The rows of a source.
    Source(Vec<Row>),
    /// Drops a column.
    Filter(String),
    /// Copies a column under a name.
    Copy(String, String),
    /// Keeps these columns under these names.
    FieldMapper(Vec<(String, String)>),
    /// Rows whose column leaves this rest when divided by three.
    Sql(String, i64),
    /// Every row becomes an insert, with its kind in a column.
    RowKindExtractor(String),
    /// Gives tables an ending.
    TableRename(String),
}

struct Node {
    act: Act,
    inputs: Vec<usize>,
    rows: Vec<Row>,
    shapes: Shapes,
}

/// The columns of each table, whether rows of it come or not.
type Shapes = BTreeMap<String, BTreeSet<String>>;

impl Row {
    /// A row of NULLs.
    fn empty(table: &str, columns: &BTreeSet<String>) -> Row {
        let values = columns.iter().map(|column| (column.clone(), Value::Null)).collect();
        Row { table: table.to_owned(), kind: "+I", values }
    }

    fn shape(&self) -> (String, BTreeSet<String>) {
        (self.table.clone(), self.values.keys().cloned().collect())
    }
}

pub(super) struct Graph {
    nodes: Vec<Node>,
    sinks: Vec<Vec<usize>>,
}

impl Graph {
    /// A graph of two or three sources, up to five transforms and two sinks.
    pub(super) fn of(random: &mut StdRng) -> Graph {
        let mut graph = Graph { nodes: Vec::new(), sinks: Vec::new() };
        for source in 0..random.random_range(2..=3) {
            // The first two make one table, with keys of their own.
            let rows = changes(random, &format!("t{}", source / 2), source);
            let shapes = rows.iter().map(Row::shape).collect();
            graph.nodes.push(Node { act: Act::Source(rows.clone()), inputs: Vec::new(), rows, shapes });
        }
        for _ in 0..random.random_range(2..=5) {
            let inputs = graph.inputs(random);
            let act = graph.act(random, &inputs);
            let entering = inputs.iter().flat_map(|input| graph.nodes[*input].rows.clone()).collect();
            let rows = act.rows(entering);
            let shapes = inputs.iter().flat_map(|input| &graph.nodes[*input].shapes);
            let shapes = shapes.map(|(table, columns)| act.row(Row::empty(table, columns)).shape()).collect();
            graph.nodes.push(Node { act, inputs, rows, shapes });
        }
        for _ in 0..SINKS {
            let inputs = graph.inputs(random);
            graph.sinks.push(inputs);
        }
        graph
    }

    /// One or two nodes whose tables can meet: tables of one name have the same columns.
    fn inputs(&self, random: &mut StdRng) -> Vec<usize> {
        let mut any = || random.random_range(0..self.nodes.len());
        let (first, second) = (any(), any());
        let (one, other) = (&self.nodes[first].shapes, &self.nodes[second].shapes);
        let meet = one.iter().all(|(table, columns)| other.get(table).is_none_or(|same| same == columns));
        if first == second || !meet { vec![first] } else { vec![first, second] }
    }

    /// An act that every table that enters can go through.
    fn act(&self, random: &mut StdRng, inputs: &[usize]) -> Act {
        let at = self.nodes.len();
        let shapes: Vec<&BTreeSet<String>> =
            inputs.iter().flat_map(|input| self.nodes[*input].shapes.values()).collect();
        let all = |column: &str| shapes.iter().all(|columns| columns.contains(column));
        let number = if all("n") { "n" } else { "id" };
        match random.random_range(0..8) {
            0 if all("s") => Act::Filter("s".to_owned()),
            1 => Act::Copy(number.to_owned(), format!("c{at}")),
            2 if all("n") && shapes.windows(2).all(|pair| pair[0] == pair[1]) => {
                let named = |column: &String| match column.as_str() {
                    "n" => (column.clone(), format!("m{at}")),
                    _ => (column.clone(), column.clone()),
                };
                Act::FieldMapper(shapes.first().into_iter().copied().flatten().map(named).collect())
            }
            3 => Act::RowKindExtractor(format!("k{at}")),
            4 => Act::TableRename(format!("_{at}")),
            5 => Act::Sql("id".to_owned(), random.random_range(0..3)),
            _ => Act::Sql(number.to_owned(), random.random_range(0..3)),
        }
    }

    /// What a sink holds, in the form of [`super::lines`].
    pub(super) fn at_sink(&self, sink: usize) -> BTreeMap<String, u32> {
        let mut lines = BTreeMap::new();
        for row in self.sinks[sink].iter().flat_map(|input| &self.nodes[*input].rows) {
            let mut values = row.values.clone();
            values.insert("op".to_owned(), json!(row.kind));
            *lines.entry(format!("{} {}", row.table, Value::Object(values))).or_default() += 1;
        }
        lines
    }

    /// The job file. What reaches no sink is left out, since a dataset that nobody reads is refused.
    pub(super) fn job(&self, folder: &str, interval_ms: u32) -> String {
        let mut read: BTreeSet<usize> = self.sinks.iter().flatten().copied().collect();
        for at in (0..self.nodes.len()).rev() {
            if read.contains(&at) {
                read.extend(&self.nodes[at].inputs);
            }
        }
        let (mut sources, mut transforms, mut sinks) = (String::new(), String::new(), String::new());
        for at in read {
            let node = &self.nodes[at];
            let section = if node.inputs.is_empty() { &mut sources } else { &mut transforms };
            // Writing to a text cannot fail.
            let _ = writeln!(section, "  {}", node.act.block(at, &names(&node.inputs)));
        }
        for (at, inputs) in self.sinks.iter().enumerate() {
            let _ = writeln!(
                sinks,
                "  LocalFile {{ plugin_input = [{}], path = \"{folder}/out{at}/${{table_name}}\", file_format_type = json, row_kind_column = op }}",
                names(inputs)
            );
        }
        format!(
            "env {{ job.mode = BATCH, checkpoint.interval = {interval_ms}, job.retry.interval.seconds = 0 }}\n\
             source {{\n{sources}}}\ntransform {{\n{transforms}}}\nsink {{\n{sinks}}}\n"
        )
    }
}

fn names(nodes: &[usize]) -> String {
    nodes.iter().map(|at| format!("node{at}")).collect::<Vec<_>>().join(", ")
}

/// Rows that come, change and go.
fn changes(random: &mut StdRng, table: &str, source: usize) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut there: BTreeMap<usize, Map<String, Value>> = BTreeMap::new();
    let mut row = |kind, values: &Map<String, Value>| {
        rows.push(Row { table: table.to_owned(), kind, values: values.clone() });
    };
    for change in 0..CHANGES {
        let id = random.random_range(0..there.len() + 2);
        let s = if random.random_range(0..5) == 0 { Value::Null } else { json!(format!("ä\"{change}")) };
        let new = json!({ "id": id * 10 + source, "n": random.random_range(0..9), "s": s });
        let Value::Object(new) = new else { unreachable!("it is an object") };
        match there.remove(&id) {
            None => row("+I", &new),
            Some(old) if random.random_range(0..3) == 0 => {
                row("-D", &old);
                continue;
            }
            Some(old) => {
                row("-U", &old);
                row("+U", &new);
            }
        }
        there.insert(id, new);
    }
    rows
}

impl Act {
    /// The block of the job file.
    fn block(&self, at: usize, inputs: &str) -> String {
        let (name, options) = match self {
            Act::Source(rows) => return source(at, rows),
            Act::Filter(column) => ("Filter", format!("exclude_fields = [{column}]")),
            Act::Copy(from, to) => ("Copy", format!("fields {{ {to} = {from} }}")),
            Act::FieldMapper(columns) => {
                let columns: Vec<String> =
                    columns.iter().map(|(from, to)| format!("{from} = {to}")).collect();
                ("FieldMapper", format!("field_mapper {{ {} }}", columns.join(", ")))
            }
            Act::Sql(column, rest) => {
                ("Sql", format!("query = \"select * from dual where {column} % 3 = {rest}\""))
            }
            Act::RowKindExtractor(column) => ("RowKindExtractor", format!("custom_field_name = {column}")),
            Act::TableRename(ending) => ("TableRename", format!("suffix = \"{ending}\"")),
        };
        format!("{name} {{ plugin_input = [{inputs}], plugin_output = node{at}, {options} }}")
    }

    /// What leaves for what enters.
    fn rows(&self, entering: Vec<Row>) -> Vec<Row> {
        match self {
            Act::Source(rows) => rows.clone(),
            Act::Sql(column, rest) => {
                passing(entering, |row| row.values[column].as_i64().is_some_and(|n| n % 3 == *rest))
            }
            act => entering.into_iter().map(|row| act.row(row)).collect(),
        }
    }

    /// A row that stays one row.
    fn row(&self, mut row: Row) -> Row {
        match self {
            Act::Source(_) | Act::Sql(..) => {}
            Act::Filter(column) => {
                row.values.shift_remove(column);
            }
            Act::Copy(from, to) => {
                row.values.insert(to.clone(), row.values[from].clone());
            }
            Act::FieldMapper(columns) => {
                let mapped = columns.iter().map(|(from, to)| (to.clone(), row.values[from].clone()));
                row.values = mapped.collect();
            }
            Act::RowKindExtractor(column) => {
                row.values.insert(column.clone(), json!(row.kind));
                row.kind = "+I";
            }
            Act::TableRename(ending) => row.table.push_str(ending),
        }
        row
    }
}

/// The rows that pass. Of an update, one side may pass alone: then its row came, or went.
fn passing(entering: Vec<Row>, passes: impl Fn(&Row) -> bool) -> Vec<Row> {
    let mut left: Vec<Row> = Vec::new();
    let mut entering = entering.into_iter();
    while let Some(row) = entering.next() {
        if row.kind != "-U" {
            left.extend(passes(&row).then_some(row));
            continue;
        }
        let new = entering.next().expect("the other side of the update");
        match (passes(&row), passes(&new)) {
            (true, true) => left.extend([row, new]),
            (true, false) => left.push(Row { kind: "-D", ..row }),
            (false, true) => left.push(Row { kind: "+I", ..new }),
            (false, false) => {}
        }
    }
    left
}

/// The block of a source.
fn source(at: usize, rows: &[Row]) -> String {
    let table = rows.first().map_or("", |row| &row.table);
    let mut written = String::new();
    for row in rows {
        let kind = match row.kind {
            "+I" => "INSERT",
            "-U" => "UPDATE_BEFORE",
            "+U" => "UPDATE_AFTER",
            _ => "DELETE",
        };
        let [id, n, s] = ["id", "n", "s"].map(|column| &row.values[column]);
        // Writing to a text cannot fail.
        let _ = write!(written, "\n      {{ kind = {kind}, fields = [{id}, {n}, {s}] }}");
    }
    format!(
        "FakeSource {{\n    plugin_output = node{at}, split.num = {SPLITS}, split.read-interval = {PAUSE_MS}\n    \
         schema {{ table = \"d.{table}\", fields {{ id = bigint, n = int, s = string }}, primaryKey {{ columnNames = [id] }} }}\n    \
         rows = [{written}\n    ]\n  }}"
    )
}
