//! What source and sink share about PostgreSQL, and about what speaks its protocol: where it is and
//! how to get in ([`endpoint`]), how a connection is encrypted ([`tls`]), what the server sees of it
//! ([`backend`]), what its errors mean ([`error`]), and how names and texts stand in a statement ([`quote`]).

pub mod backend;
pub mod endpoint;
pub mod error;
pub mod quote;
pub mod tls;

pub use backend::{Backend, BackendWitness};
pub use endpoint::{Client, Endpoint, Session};
pub use error::{from_client, from_server, lost};
