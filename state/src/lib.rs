//! The state of one job on disk: checkpoints and the epoch, in RocksDB.
//!
//! The store is a cache of the truth: the commit markers at the sinks decide what was delivered,
//! and a lost store can be rebuilt from them. So its one rule is to never answer something else
//! than what was saved. Damage, another job's state or a newer format end in an error with the
//! way out, never in an empty answer, because an empty answer would mean a new snapshot.
//!
//! A state folder belongs to one job and one process:
//!
//! ```text
//! FOLDER/lock       held while the store is open; contains the holder's process id
//! FOLDER/db/        RocksDB; column families `meta` (job, epoch) and `checkpoints` (id -> record)
//! FOLDER/spool/     what sinks of one job do not all hold yet; only where a job has several
//! FOLDER/db.new/    a store that is being made; renamed to `db` once it is complete
//! ```
//!
//! A service that runs many jobs keeps their definitions in a [`registry`], and what happened in an
//! [event log](events), a database of its own each.
//!
//! [`store`] keeps the promises of [`culvert_api::StateStore`], [`format`] holds the bytes of every
//! record, [`lock`] the ownership of the folder, [`database`] how RocksDB is opened and what its
//! errors mean.

pub mod database;
pub mod events;
pub mod format;
pub mod lock;
pub mod registry;
pub mod spool;
pub mod store;

pub use events::EventLog;
pub use format::JobIdentity;
pub use registry::Registry;
pub use spool::FileSpool;
pub use store::{CHECKPOINTS_KEPT_MAX, RocksStore};
