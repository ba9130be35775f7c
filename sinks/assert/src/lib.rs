//! Rules that rows must meet.
