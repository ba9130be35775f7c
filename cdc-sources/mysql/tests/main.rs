//! The one integration binary: what needs a real server.

mod ddl;
