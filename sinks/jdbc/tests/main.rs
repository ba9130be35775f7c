//! The sink against real servers.
