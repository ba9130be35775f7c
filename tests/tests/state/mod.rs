//! State folders that are damaged, old, lost or out of room: the job goes on from the sinks' markers or says what to
//! do, and never reads everything again by itself.

mod damage;
mod full;
