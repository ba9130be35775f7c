//! Changes of a table's shape.
