//! The staging table of a target table, and the statements that merge it.
//!
//! ```text
//! culvert_stage_n(op int2 [, seq int8], v0 …, v1 …)      temporary, one per target table and session
//!   op 0  the key is gone          op 1  the row is there with these values
//!   op 2… the row has these values in the columns of a group; the log left the others out
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
    /// `t.k = s.v0 AND …`.
    same_key: String,
    /// The columns that an insert fills, and the staged ones they come from.
    insert: String,
    /// Assignments of one staged column to its column; `None` for columns that an update leaves alone.
    assignments: Vec<Option<String>>,
    /// `ON CONFLICT (…) DO …`; `None` where the key's index cannot be used so.
    on_conflict: Option<String>,
    /// Whether a staged row changes a value that further unique indexes look at; empty without any.
    moves: String,
    /// Whether another row of the target stands in a staged row's way, for rows moved in place.
    in_the_way: String,
    /// Whether rows may not be deleted and inserted again.
    in_place: bool,
    key_columns: String,
    numbered: bool,
    reduces: bool,
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
        let mut definition = String::from("op int2 NOT NULL");
        if numbered {
            definition.push_str(", seq int8 NOT NULL");
        }
        let mut assignments = Vec::with_capacity(plan.slots.len());
        let mut names = Vec::with_capacity(plan.slots.len());
        for (place, slot) in plan.slots.iter().enumerate() {
            let Some(column) = target.column(&slot.name) else {
                return Err(Error::new(ErrorKind::Internal, "a planned column is not in the target"));
            };
            let collation = index.columns.get(place).and_then(|key| key.collation.as_deref());
            let collate = collation.map(|name| format!(" COLLATE {name}")).unwrap_or_default();
            definition.push_str(&format!(", v{place} {}{collate}", column.base_type));
            let name = identifier(&slot.name);
            // The same bytes need not be written again; a key that only the server holds for equal does.
            let is_key = place < plan.key_len;
            let fixed =
                is_key && (plan.key_match == KeyMatch::Exact || !update_key || column.identity_always);
            assignments.push((!fixed).then(|| format!("{name} = s.v{place}")));
            names.push(name);
        }
        let same_key: Vec<String> = index
            .columns
            .iter()
            .enumerate()
            .map(|(place, key)| format!("t.{} {} s.v{place}", identifier(&key.name), key.equals))
            .collect();
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
            same_key: same_key.join(" AND "),
            definition,
            target: quoted,
            insert,
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

    /// The statement that fills it.
    pub(crate) fn copy(&self, name: &str) -> String {
        format!("COPY pg_temp.{name} FROM STDIN")
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
            format!("DELETE FROM {} t USING {staged} AND ({})", self.target, self.moves)
        })
    }

    /// The statements that put whole rows: `INSERT … ON CONFLICT`, or what comes to the same.
    pub(crate) fn put(&self, name: &str) -> Vec<String> {
        let from = self.staged(name, PUT, None, false);
        if let Some(on_conflict) = &self.on_conflict {
            return vec![format!("{} FROM {from} {on_conflict}", self.insert)];
        }
        let mut statements: Vec<String> = self.update(name, PUT, &[], None).into_iter().collect();
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
            self.moves,
            self.target,
            self.in_the_way
        ))
    }

    /// Inserts rows that must be new.
    pub(crate) fn insert_new(&self, name: &str, run: (u64, u64)) -> String {
        format!("{} FROM {} ORDER BY s.seq", self.insert, self.staged(name, PUT, Some(run), false))
    }

    /// Updates the rows of an `op`, without the columns in `left_out`; `None` when nothing would change.
    pub(crate) fn update(
        &self,
        name: &str,
        op: u32,
        left_out: &[usize],
        run: Option<(u64, u64)>,
    ) -> Option<String> {
        let set: Vec<&str> = self
            .assignments
            .iter()
            .enumerate()
            .filter(|(place, _)| !left_out.contains(place))
            .filter_map(|(_, assignment)| assignment.as_deref())
            .collect();
        (!set.is_empty()).then(|| {
            format!(
                "UPDATE {} t SET {} FROM {}",
                self.target,
                set.join(", "),
                self.staged(name, op, run, true)
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
        let mut text = format!("pg_temp.{name} s WHERE s.op {EQUALS} {op}");
        if let Some((first, last)) = run
            && self.numbered
        {
            text.push_str(&format!(
                " AND s.seq OPERATOR(pg_catalog.>=) {first} AND s.seq OPERATOR(pg_catalog.<=) {last}"
            ));
        }
        if joined {
            text.push_str(" AND ");
            text.push_str(&self.same_key);
        }
        text
    }
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
fn moves(plan: &TablePlan, target: &TargetTable, others: &[&UniqueIndex]) -> String {
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
    let changed = |place: &usize| {
        let name = plan.slots.get(*place).map(|slot| identifier(&slot.name)).unwrap_or_default();
        let (old, new) = (format!("t.{name}::pg_catalog.text"), format!("s.v{place}::pg_catalog.text"));
        // IS DISTINCT FROM, whose operator cannot be named.
        format!("(({old} {EQUALS} {new}) IS NOT TRUE AND ({old} IS NOT NULL OR {new} IS NOT NULL))")
    };
    places.iter().map(changed).collect::<Vec<_>>().join(" OR ")
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
