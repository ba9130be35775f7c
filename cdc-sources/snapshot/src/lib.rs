//! What the databases share about reading what was there before while the log goes on.
//!
//! One stream follows the log from a start position. Beside it, tables are read in key ranges
//! (chunks). For every row of the log the stream decides by the row's key:
//!
//! ```text
//!   key in a finished range    -> emit: the target has the row as of the range's end
//!   key in a range being read  -> remember the row's last state in that range's window
//!   key in an unread range     -> drop: the later read will see it
//! ```
//!
//! A range is *registered* at a stream position `p0`, before its SELECT. The SELECT must run in a
//! read view that contains every transaction up to `p0`: in group commit a transaction is in the
//! log before the engine shows it, so this has to be waited for, not assumed. After the SELECT
//! the end of the log is taken as the high mark `H`. When the stream reaches `H`, the window is
//! laid over the rows that were read; what comes out is the range exactly as of `H`. Rows that
//! the window has seen replace the rows read, by key; replaying the whole of `(p0, H]` over any
//! read view between its ends converges to the state at `H`.
//!
//! Nothing but the finished ranges and the stream position has to survive a crash: a range that
//! was being read is unread again.

mod planner;
mod progress;
mod range;
mod window;

pub use planner::{PlannedChunk, TablePlan};
pub use progress::RangeSet;
pub use range::KeyRange;
pub use window::{Overlay, Window, WindowFull};
