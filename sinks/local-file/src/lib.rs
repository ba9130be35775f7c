//! Files as a target.
