//! What can happen, where, and when.

use std::fmt;

/// The fail points, as `culvert_api::failpoint` has them.
use culvert_api::failpoint::STEPS;

use super::scene::Target;

/// What a job is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Many chunks are still to be read.
    Snapshot,
    /// The last chunks are read, and the stream goes on alone.
    HandOver,
    /// Changes only.
    Stream,
    /// Changes, while the tables change their shape.
    Ddl,
}

/// All of them.
pub(crate) const PHASES: [Phase; 4] = [Phase::Snapshot, Phase::HandOver, Phase::Stream, Phase::Ddl];

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Snapshot => "snapshot",
            Phase::HandOver => "hand-over",
            Phase::Stream => "stream",
            Phase::Ddl => "DDL",
        })
    }
}

/// What happens at a fail point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Action {
    /// The step fails, and has not happened.
    Error,
    /// The step has happened, and its answer never comes.
    LostAnswer,
    Panic,
    Kill,
}

/// All of them.
pub(crate) const ACTIONS: [Action; 4] = [Action::Error, Action::LostAnswer, Action::Panic, Action::Kill];

impl Action {
    /// As the fail point's file names it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Action::Error | Action::LostAnswer => "error",
            Action::Panic => "panic",
            Action::Kill => "kill",
        }
    }

    /// Whether the process goes on.
    pub(crate) fn is_survived(self) -> bool {
        matches!(self, Action::Error | Action::LostAnswer)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Error => "error",
            Action::LostAnswer => "lost answer",
            Action::Panic => "panic",
            Action::Kill => "kill -9",
        })
    }
}

/// One fail point and what happens there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) point: String,
    pub(crate) action: Action,
}

/// Times that a `kill -9` cell is played in a whole matrix, each at another pass.
const KILLS_PER_CELL: usize = 3;
/// The same at the hand-over into Kafka, where every cell needs topics of its own.
const KILLS_PER_CELL_OF_TOPICS: usize = 1;

/// The cells of a phase and a target. A point that cannot be passed there is none.
pub(crate) fn cells(phase: Phase, target: Target, all: bool) -> Vec<Cell> {
    let kills = match phase {
        Phase::HandOver if target.is_kafka() => KILLS_PER_CELL_OF_TOPICS,
        _ => KILLS_PER_CELL,
    };
    let mut cells = Vec::new();
    let own: &[&str] = match target {
        Target::MySql | Target::Postgres => &["jdbc."],
        Target::Kafka => &["kafka."],
        Target::Files | Target::Parquet => &["file."],
        Target::ParquetOnS3 => &["file.", "s3_file."],
        Target::Lake | Target::LakeOnS3 => &["iceberg."],
    };
    for step in STEPS {
        let elsewhere = !step.starts_with("engine.") && !own.iter().any(|own| step.starts_with(own));
        if elsewhere || (*step == "engine.schema" && phase != Phase::Ddl) {
            continue;
        }
        for (side, failure) in [("before", Action::Error), ("after", Action::LostAnswer)] {
            for action in [failure, Action::Panic, Action::Kill] {
                let times = if all && action == Action::Kill { kills } else { 1 };
                let cell = Cell { point: format!("{step}.{side}"), action };
                cells.extend(std::iter::repeat_n(cell, times));
            }
        }
    }
    cells
}
