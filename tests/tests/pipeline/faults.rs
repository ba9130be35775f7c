//! Faults of servers and connections.
