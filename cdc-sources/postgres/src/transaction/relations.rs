//! Which shape of a table holds when transactions overlap.
//!
//! The server keeps, per table, whether the client knows its shape: once for everything outside of
//! streams, and once for each open streamed transaction. When such a transaction is committed, what
//! was sent inside it counts as known outside, too, unless the shape was changed, and sent again
//! outside, meanwhile. On our side the stored relation message comes out late, at the commit, and
//! must not stay behind as the shape of rows outside that the server sent under a newer message. So
//! the last one *in the order of arrival* holds after the commit.

use std::collections::HashMap;
use std::sync::Arc;

use crate::pgoutput::Relation;

/// Shapes outside of streams, by table.
#[derive(Debug, Default)]
pub(crate) struct Relations {
    known: HashMap<u32, Known>,
    /// Of the transaction that is coming out: the last shape of each table.
    replayed: HashMap<u32, Known>,
}

#[derive(Clone, Debug)]
struct Known {
    /// The message's number in the stream.
    place: u64,
    relation: Arc<Relation>,
}

impl Relations {
    /// A message outside of streams.
    pub(crate) fn outside(&mut self, place: u64, relation: Relation) -> Arc<Relation> {
        let relation = Arc::new(relation);
        self.known.insert(relation.id, Known { place, relation: Arc::clone(&relation) });
        relation
    }

    /// A message of the transaction that is coming out.
    pub(crate) fn inside(&mut self, place: u64, relation: Relation) -> Arc<Relation> {
        let relation = Arc::new(relation);
        self.replayed.insert(relation.id, Known { place, relation: Arc::clone(&relation) });
        relation
    }

    /// The transaction has come out: the shapes that have to be said again.
    pub(crate) fn settle(&mut self) -> Vec<Arc<Relation>> {
        let mut again = Vec::new();
        for (id, inside) in self.replayed.drain() {
            match self.known.get(&id) {
                Some(outside) if outside.place > inside.place => {
                    if outside.relation != inside.relation {
                        again.push(Arc::clone(&outside.relation));
                    }
                }
                _ => {
                    self.known.insert(id, inside);
                }
            }
        }
        again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(id: u32, table: &str) -> Relation {
        Relation { id, schema: "s".into(), table: table.into(), identity: 'd', columns: Vec::new() }
    }

    #[test]
    fn the_last_to_arrive_holds_after_a_commit() {
        let mut relations = Relations::default();
        relations.outside(1, relation(7, "old"));
        relations.outside(20, relation(7, "new"));
        relations.outside(2, relation(8, "old"));
        relations.inside(10, relation(7, "old"));
        relations.inside(11, relation(8, "new"));
        relations.inside(12, relation(9, "only"));
        let again = relations.settle();
        assert_eq!(again.iter().map(|relation| relation.table.as_str()).collect::<Vec<_>>(), ["new"]);
        // What came inside, later, holds outside from now on.
        relations.inside(5, relation(8, "older"));
        let again = relations.settle();
        assert_eq!(again.iter().map(|relation| relation.table.as_str()).collect::<Vec<_>>(), ["new"]);
        assert!(relations.settle().is_empty());
    }

    #[test]
    fn the_same_shape_is_not_said_twice() {
        let mut relations = Relations::default();
        relations.outside(20, relation(7, "t"));
        relations.inside(10, relation(7, "t"));
        assert!(relations.settle().is_empty());
    }
}
