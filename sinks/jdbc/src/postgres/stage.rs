//! The staging table of a target table, and the statements that merge it.
//!
//! ```text
//! culvert_stage_n(op int2 [, seq int8], v0 …, v1 …, k0 …)    temporary, one per target table and session
//!   op 0  the key is gone          op 1  the row is there with these values
//!   op 2… the row has these values in the columns of a group; the log left the others out
//!   k0 …  the key that the row had before, where the target has what was left out under that one
//! ```
//!
//! Its columns have the target's types, out of their domains, and the key's have the index's
//! collations, so that the server compares staged keys exactly as the index does.
//!
//! The statements run on the user's search path, because the target's triggers may count on it. So every
//! function, operator and type in them is named with its schema: what a user's schema holds under the same
//! name is never called.

use culvert_api::{Error, ErrorKind, Result};
use culvert_postgres::quote::identifier;

use crate::postgres::connect::Server;
use crate::postgres::key::KeyMatch;
use crate::postgres::pending::Partial;
use crate::postgres::plan::{Mode, TablePlan};
use crate::postgres::target::{ForeignKey, TargetTable, UniqueIndex, listed};

/// `op` of a key that is gone.
pub(crate) const REMOVE: u32 = 0;
/// `op` of a whole row.
pub(crate) const PUT: u32 = 1;
/// `op` of the first group of partial rows.
pub(crate) const FIRST_GROUP: u32 = 2;

/// The server's own `=`.
const EQUALS: &str = "OPERATOR(pg_catalog.=)";

/// The staging table and its statements.
#[derive(Clone, Debug)]
pub(crate) struct Staging {
    /// Columns with their types.
    definition: String,
    /// The target in quotes.
    target: String,
    /// Columns that every line of COPY fills.
    filled: String,
    /// Columns that name a row's origin.
    origin: String,
    /// Names of the written columns.
    names: Vec<String>,
    /// `t.k = s.v0 AND …`.
    same_key: String,
    /// `t.k = s.k0 AND …`.
    same_origin: String,
    /// The columns that an insert fills, and the staged ones they come from.
    insert: String,
    /// Assignments of one staged column to its column; `None` for columns that an update leaves alone.
    assignments: Vec<Option<String>>,
    /// `ON CONFLICT (…) DO …`; `None` where the key's index cannot be used so.
    on_conflict: Option<String>,
    /// Places of columns that further unique indexes look at, and whether a staged row changes their value.
    moves: Vec<(usize, String)>,
    /// Whether another row of the target stands in a staged row's way, for rows moved in place.
    in_the_way: String,
    /// Whether rows may not be deleted and inserted again.
    in_place: bool,
    key_columns: String,
    numbered: bool,
    reduces: bool,
}

/// The staging table's columns, and what an update does with each.
struct Columns {
    definition: String,
    names: Vec<String>,
    assignments: Vec<Option<String>>,
}

impl Columns {
    fn new(plan: &TablePlan, target: &TargetTable, index: &UniqueIndex, update_key: bool) -> Result<Columns> {
        let mut definition = String::from("op int2 NOT NULL");
        if plan.is_numbered() {
            definition.push_str(", seq int8 NOT NULL");
        }
        let (mut names, mut assignments, mut origin) = (Vec::new(), Vec::new(), String::new());
        for (place, slot) in plan.slots.iter().enumerate() {
            let Some(column) = target.column(&slot.name) else {
                return Err(Error::new(ErrorKind::Internal, "a planned column is not in the target"));
            };
            let collation = index.columns.get(place).and_then(|key| key.collation.as_deref());
            let collate = collation.map(|name| format!(" COLLATE {name}")).unwrap_or_default();
            definition.push_str(&format!(", v{place} {}{collate}", column.base_type));
            let is_key = place < plan.key_len;
            if is_key {
                origin.push_str(&format!(", k{place} {}{collate}", column.base_type));
            }
            let name = identifier(&slot.name);
            // The same bytes need not be written again; a key that only the server holds for equal does.
            let fixed =
                is_key && (plan.key_match == KeyMatch::Exact || !update_key || column.identity_always);
            assignments.push((!fixed).then(|| format!("{name} = s.v{place}")));
            names.push(name);
        }
        definition.push_str(&origin);
        Ok(Columns { definition, names, assignments })
    }
}

impl Staging {
    /// Makes the statements for a plan with a key.
    pub(crate) fn new(
        plan: &TablePlan,
        target: &TargetTable,
        index: &UniqueIndex,
        update_key: bool,
        server: Server,
    ) -> Result<Staging> {
        let numbered = plan.is_numbered();
        let Columns { definition, names, assignments } = Columns::new(plan, target, index, update_key)?;
        let same = |letter: char| {
            let columns = index.columns.iter().enumerate();
            let equal = columns
                .map(|(place, key)| format!("t.{} {} s.{letter}{place}", identifier(&key.name), key.equals));
            equal.collect::<Vec<String>>().join(" AND ")
        };
        let staged: Vec<String> = (0..names.len()).map(|place| format!("s.v{place}")).collect();
        let overriding = match plan
            .slots
            .iter()
            .any(|slot| target.column(&slot.name).is_some_and(|c| c.identity_always))
        {
            true => " OVERRIDING SYSTEM VALUE",
            false => "",
        };
        let quoted = target.name.quoted();
        let insert =
            format!("INSERT INTO {quoted} ({}){overriding} SELECT {}", names.join(", "), staged.join(", "));
        let usable = server.has_on_conflict() && !index.is_deferrable;
        let others: Vec<&UniqueIndex> = target
            .uniques
            .iter()
            .filter(|other| !std::ptr::eq(*other, index) && !other.is_deferrable)
            .collect();
        let of_parent = |key: &&ForeignKey| key.parent == target.oid;
        Ok(Staging {
            on_conflict: usable.then(|| on_conflict(index, &names, &assignments)),
            moves: moves(plan, target, &others),
            in_the_way: in_the_way(plan, index, &others),
            in_place: target.foreign_keys.iter().filter(of_parent).any(|key| key.minds_order()),
            same_key: same('v'),
            same_origin: same('k'),
            filled: format!(
                "op{}{}",
                if numbered { ", seq" } else { "" },
                numbered_columns(", v", names.len())
            ),
            origin: numbered_columns(", k", plan.key_len),
            definition,
            target: quoted,
            insert,
            names,
            assignments,
            key_columns: (0..plan.key_len).map(|place| format!("v{place}")).collect::<Vec<_>>().join(", "),
            numbered,
            reduces: plan.mode == Mode::Merge && numbered,
        })
    }

    /// Whether rows may be deleted and inserted again.
    pub(crate) fn replaces(&self) -> bool {
        !self.moves.is_empty() && !self.in_place
    }

    /// Whether rows give way to each other because of further unique indexes.
    pub(crate) fn gives_way(&self) -> bool {
        !self.moves.is_empty()
    }

    /// The statement that makes the staging table.
    pub(crate) fn create(&self, name: &str) -> String {
        format!("CREATE TEMPORARY TABLE {name} ({}) ON COMMIT PRESERVE ROWS", self.definition)
    }

    /// The statement that fills it; with the origins of rows where they have one.
    pub(crate) fn copy(&self, name: &str, with_origin: bool) -> String {
        let origin = if with_origin { self.origin.as_str() } else { "" };
        format!("COPY pg_temp.{name} ({}{origin}) FROM STDIN", self.filled)
    }

    /// Completes rows that came to their key by an update from the target's rows of their origin: they are
    /// whole ones then. The second statement counts those that the target has no row for.
    pub(crate) fn complete(&self, name: &str, rows: &Partial, run: Option<(u64, u64)>) -> [String; 2] {
        let of_group = self.rows_of(rows.op, run);
        [
            self.fill(name, rows, &format!("{of_group} AND {}", self.same_origin)),
            format!("SELECT pg_catalog.count(*) FROM pg_temp.{name} s WHERE {of_group}"),
        ]
    }

    /// Completes rows of a group that change a value further unique indexes look at, so that they are put
    /// as whole ones: an UPDATE of many rows minds each of them alone. `None` where none can.
    pub(crate) fn complete_changed(&self, name: &str, rows: &Partial) -> Option<String> {
        let known = self.moves.iter().filter(|(place, _)| !rows.left_out.contains(place));
        let changed: Vec<&str> = known.map(|(_, changed)| changed.as_str()).collect();
        (!changed.is_empty()).then(|| {
            let of_group = self.rows_of(rows.op, None);
            let condition = format!("{of_group} AND {} AND ({})", self.same_key, changed.join(" OR "));
            self.fill(name, rows, &condition)
        })
    }

    fn fill(&self, name: &str, rows: &Partial, condition: &str) -> String {
        let mut set = format!("op = {PUT}");
        for place in &rows.left_out {
            if let Some(column) = self.names.get(*place) {
                set.push_str(&format!(", v{place} = t.{column}"));
            }
        }
        format!("UPDATE pg_temp.{name} s SET {set} FROM {} t WHERE {condition}", self.target)
    }

    /// The statement that empties it. A TRUNCATE makes a new file and a new entry in the catalog, which
    /// is too much after a few rows; but nobody vacuums temporary tables, so it has to come at times.
    pub(crate) fn empty(&self, name: &str, truncate: bool) -> String {
        match truncate {
            true => format!("TRUNCATE pg_temp.{name}"),
            false => format!("DELETE FROM pg_temp.{name}"),
        }
    }

    /// Lets the server keep the last change of every key, as it tells keys apart; nothing where that is
    /// done already.
    pub(crate) fn reduce(&self, name: &str) -> Option<String> {
        self.reduces.then(|| {
            format!(
                "DELETE FROM pg_temp.{name} s USING (SELECT ctid AS place, pg_catalog.row_number() OVER \
                 (PARTITION BY {} ORDER BY seq DESC) AS age FROM pg_temp.{name}) AS d \
                 WHERE s.ctid {EQUALS} d.place AND d.age OPERATOR(pg_catalog.>) 1",
                self.key_columns
            )
        })
    }

    /// Deletes the keys that are gone.
    pub(crate) fn remove(&self, name: &str, run: Option<(u64, u64)>) -> String {
        format!("DELETE FROM {} t USING {}", self.target, self.staged(name, REMOVE, run, true))
    }

    /// Deletes rows whose unique values change, so that what is put meets none of them; `None` where
    /// nothing has to give way so.
    pub(crate) fn clear_moved(&self, name: &str) -> Option<String> {
        self.replaces().then(|| {
            let staged = self.staged(name, PUT, None, true);
            format!("DELETE FROM {} t USING {staged} AND ({})", self.target, self.any_moves())
        })
    }

    /// The statements that put whole rows: `INSERT … ON CONFLICT`, or what comes to the same.
    pub(crate) fn put(&self, name: &str) -> Vec<String> {
        let from = self.staged(name, PUT, None, false);
        if let Some(on_conflict) = &self.on_conflict {
            return vec![format!("{} FROM {from} {on_conflict}", self.insert)];
        }
        let whole = Partial { op: PUT, left_out: Vec::new(), moved: false };
        let mut statements: Vec<String> = self.update(name, &whole, None).into_iter().collect();
        statements.push(format!(
            "{} FROM {from} AND NOT EXISTS (SELECT 1 FROM {} t WHERE {})",
            self.insert, self.target, self.same_key
        ));
        statements
    }

    /// Moves unique values in place, those first whose new value no other row has; returns how many rows
    /// it moved. `None` where nothing has to be moved so.
    pub(crate) fn move_in_place(&self, name: &str) -> Option<String> {
        if self.moves.is_empty() || !self.in_place {
            return None;
        }
        let set: Vec<&str> = self.assignments.iter().flatten().map(String::as_str).collect();
        Some(format!(
            "WITH moved AS (UPDATE {} t SET {} FROM {} AND ({}) AND NOT EXISTS (SELECT 1 FROM {} o WHERE {}) \
             RETURNING 1) SELECT pg_catalog.count(*) FROM moved",
            self.target,
            set.join(", "),
            self.staged(name, PUT, None, true),
            self.any_moves(),
            self.target,
            self.in_the_way
        ))
    }

    /// Whether a whole row changes a value that further unique indexes look at.
    fn any_moves(&self) -> String {
        let changed: Vec<&str> = self.moves.iter().map(|(_, changed)| changed.as_str()).collect();
        changed.join(" OR ")
    }

    /// Inserts rows that must be new.
    pub(crate) fn insert_new(&self, name: &str, run: (u64, u64)) -> String {
        format!("{} FROM {} ORDER BY s.seq", self.insert, self.staged(name, PUT, Some(run), false))
    }

    /// Updates rows that are there, without the columns they lack; `None` when nothing would change.
    pub(crate) fn update(&self, name: &str, rows: &Partial, run: Option<(u64, u64)>) -> Option<String> {
        let set: Vec<&str> = self
            .assignments
            .iter()
            .enumerate()
            .filter(|(place, _)| !rows.left_out.contains(place))
            .filter_map(|(_, assignment)| assignment.as_deref())
            .collect();
        (!set.is_empty()).then(|| {
            format!(
                "UPDATE {} t SET {} FROM {}",
                self.target,
                set.join(", "),
                self.staged(name, rows.op, run, true)
            )
        })
    }

    /// Counts the rows of an `op` that the target does not have.
    pub(crate) fn count_missing(&self, name: &str, op: u32, run: Option<(u64, u64)>) -> String {
        format!(
            "SELECT pg_catalog.count(*) FROM {} AND NOT EXISTS (SELECT 1 FROM {} t WHERE {})",
            self.staged(name, op, run, false),
            self.target,
            self.same_key
        )
    }

    /// `stage s WHERE s.op = … [AND same key]`.
    fn staged(&self, name: &str, op: u32, run: Option<(u64, u64)>, joined: bool) -> String {
        let mut text = format!("pg_temp.{name} s WHERE {}", self.rows_of(op, run));
        if joined {
            text.push_str(" AND ");
            text.push_str(&self.same_key);
        }
        text
    }

    fn rows_of(&self, op: u32, run: Option<(u64, u64)>) -> String {
        match run {
            Some((first, last)) if self.numbered => {
                format!(
                    "s.op {EQUALS} {op} AND s.seq OPERATOR(pg_catalog.>=) {first} \
                     AND s.seq OPERATOR(pg_catalog.<=) {last}"
                )
            }
            _ => format!("s.op {EQUALS} {op}"),
        }
    }
}

/// `, v0, v1 …`
fn numbered_columns(before: &str, count: usize) -> String {
    (0..count).map(|place| format!("{before}{place}")).collect()
}

fn on_conflict(index: &UniqueIndex, names: &[String], assignments: &[Option<String>]) -> String {
    let set: Vec<String> = names
        .iter()
        .zip(assignments)
        .filter(|(_, assignment)| assignment.is_some())
        .map(|(name, _)| format!("{name} = EXCLUDED.{name}"))
        .collect();
    match set.is_empty() {
        true => format!("ON CONFLICT ({}) DO NOTHING", listed(&index.columns)),
        false => format!("ON CONFLICT ({}) DO UPDATE SET {}", listed(&index.columns), set.join(", ")),
    }
}

/// Texts are compared, because not every type in a unique or exclusion index can be: equal values of
/// different text only make a row move that need not.
fn moves(plan: &TablePlan, target: &TargetTable, others: &[&UniqueIndex]) -> Vec<(usize, String)> {
    let mut places: Vec<usize> = Vec::new();
    for name in others.iter().flat_map(|index| &index.touched) {
        // What a column is computed from is not looked up: any change may change it.
        if target.column(name).is_some_and(|column| column.generated) {
            places = (plan.key_len..plan.slots.len()).collect();
            break;
        }
        if let Some(place) = plan.slots.iter().position(|slot| slot.name == *name)
            && place >= plan.key_len
            && !places.contains(&place)
        {
            places.push(place);
        }
    }
    let changed = |place: usize| {
        let name = plan.slots.get(place).map(|slot| identifier(&slot.name)).unwrap_or_default();
        let (old, new) = (format!("t.{name}::pg_catalog.text"), format!("s.v{place}::pg_catalog.text"));
        // IS DISTINCT FROM, whose operator cannot be named.
        let other =
            format!("(({old} {EQUALS} {new}) IS NOT TRUE AND ({old} IS NOT NULL OR {new} IS NOT NULL))");
        (place, other)
    };
    places.into_iter().map(changed).collect()
}

/// Another row `o` holds the staged values of a plain unique index.
fn in_the_way(plan: &TablePlan, index: &UniqueIndex, others: &[&UniqueIndex]) -> String {
    let slot = |name: &str| plan.slots.iter().position(|slot| slot.name == name);
    let mut ways = Vec::new();
    for other in others.iter().filter(|other| !other.columns.is_empty()) {
        let equal: Option<Vec<String>> = other
            .columns
            .iter()
            .map(|column| {
                let name = identifier(&column.name);
                let collate = column.collation.as_ref().map(|c| format!(" COLLATE {c}")).unwrap_or_default();
                slot(&column.name).map(|place| format!("o.{name} {} (s.v{place}{collate})", column.equals))
            })
            .collect();
        if let Some(equal) = equal {
            ways.push(format!("({})", equal.join(" AND ")));
        }
    }
    let same: Vec<String> = index
        .columns
        .iter()
        .enumerate()
        .map(|(place, key)| format!("o.{} {} s.v{place}", identifier(&key.name), key.equals))
        .collect();
    match ways.is_empty() {
        true => "false".into(),
        false => format!("({}) AND NOT ({})", ways.join(" OR "), same.join(" AND ")),
    }
}
