//! Files and columns of a run.

use std::path::PathBuf;
use std::sync::Arc;

use culvert_api::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::folder::{self, Seen, partitions};
use crate::state::{Progress, TableState};
use crate::table::{Shape, Table};

/// A file that is to be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Work {
    /// The place of its table in the job.
    pub(crate) table: usize,
    pub(crate) file: Seen,
}

/// What a run reads: made at the first start, restored at every other.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) tables: Arc<Vec<Table>>,
    pub(crate) shapes: Vec<Shape>,
    /// What is done, and what is left.
    pub(crate) progress: Progress,
}

impl Plan {
    /// Looks which files there are. Blocks.
    pub(crate) fn fresh(tables: &Arc<Vec<Table>>) -> Result<Plan> {
        let (mut shapes, mut states, mut left) = (Vec::new(), Vec::new(), Vec::new());
        for (at, table) in tables.iter().enumerate() {
            let files = folder::files(table)?;
            let names = of_paths(table, &files)?;
            let told_by = table.declared.is_none().then(|| files.first().cloned()).flatten();
            let shape = shape(table, told_by.as_ref(), names.clone())?;
            states.push(TableState {
                name: table.id.to_string(),
                shape: table.fingerprint(&shape),
                told_by,
                names,
            });
            shapes.push(shape);
            left.extend(files.into_iter().map(|file| Work { table: at, file }));
        }
        let progress = Progress::start(states, left);
        Ok(Plan { tables: Arc::clone(tables), shapes, progress })
    }

    /// The restored one, held against the tables of the job file. Blocks.
    pub(crate) fn restored(tables: &Arc<Vec<Table>>, progress: Progress) -> Result<Plan> {
        let changed = |what: &str| {
            Error::new(ErrorKind::StateMismatch, format!("{what} since the job began to read"))
                .hint("take the change back, or start over with --fresh")
        };
        if progress.tables.len() != tables.len() {
            return Err(changed("the job's tables changed"));
        }
        let mut shapes = Vec::new();
        for (table, state) in tables.iter().zip(&progress.tables) {
            let shape = shape(table, state.told_by.as_ref(), state.names.clone())?;
            if state.name != table.id.to_string() || state.shape != table.fingerprint(&shape) {
                let what = "the table's name, path or columns, or the options that say how its files are read, changed";
                return Err(changed(what).context("table", &table.id));
            }
            shapes.push(shape);
        }
        Ok(Plan { tables: Arc::clone(tables), shapes, progress })
    }
}

/// The table's columns; the file that tells them must be what it was.
fn shape(table: &Table, told_by: Option<&Seen>, names: Vec<String>) -> Result<Shape> {
    if let Some(file) = told_by {
        file.refuse_changed(&table.path)?;
    }
    let path: Option<PathBuf> = told_by.map(|file| file.path(&table.path));
    table.shape(path.as_deref(), names)
}

/// The columns that the paths of a table's files have, which must be the same for all.
fn of_paths(table: &Table, files: &[Seen]) -> Result<Vec<String>> {
    let names = |path: PathBuf| partitions(&path).into_iter().map(|(name, _)| name).collect::<Vec<String>>();
    let Some(first) = files.first().filter(|_| table.partitions) else { return Ok(Vec::new()) };
    let of_first = names(first.path(&table.path));
    for file in files {
        let path = file.path(&table.path);
        if names(path.clone()) != of_first {
            let what = format!(
                "a file does not lie in folders that name the columns {}, as others of its table do",
                of_first.join(", ")
            );
            return Err(Error::new(ErrorKind::Config, what)
                .context("file", path.display())
                .hint("narrow path or file_filter_pattern, or set parse_partition_from_path = false"));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    if let Some(twice) = of_first.iter().find(|name| !seen.insert(*name)) {
        let what = format!("two folders of a path name the column {twice}");
        return Err(Error::new(ErrorKind::Config, what)
            .context("path", table.path.display())
            .hint("set parse_partition_from_path = false"));
    }
    Ok(of_first)
}
