//! The sink `DingTalk`: rows as messages of a DingTalk robot.
//!
//! The way of a row: [`text`] makes a line of it, `writer` gathers lines into messages as large as the robot
//! takes, and [`robot`] signs and sends them, no more in a minute than it allows. A message cannot be taken back
//! and the robot keeps no marker, so a crash can repeat those since the last checkpoint: the contract is at least
//! once.

mod options;
mod robot;
mod sink;
mod text;
mod writer;

pub use options::OPTIONS;
pub use robot::Robot;
pub use sink::{DingTalkSink, PLUGIN};
