//! The order in which target tables are written when foreign keys that cannot wait lie between them.
//!
//! Tables that such keys connect are flushed together: rows are put parents first, then keys are
//! removed children first. Keys that can wait (DEFERRABLE) need no order, because every transaction
//! defers them. Within a circle of tables no order is right for all; the keys of one of them have to be
//! deferrable.
//!
//! **An order holds only among rows that go out together.** The row that another one asks for, or gives
//! way to, may come much later in the same source transaction: tables arrive one after the other. So such
//! tables wait for the end of the checkpoint, when all of them is there, and not for rows or time.

use std::collections::HashMap;

/// Tables that are flushed together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// Places of the tables, parents first, each with whether others wait for its removals: they come
    /// last then.
    pub(crate) places: Vec<(usize, bool)>,
    /// Whether their rows wait for the end of the checkpoint.
    pub(crate) holds: bool,
}

/// A table that is to be grouped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'a> {
    /// Its number in the catalog; 0 when it is not known.
    pub(crate) table: u32,
    /// The numbers of its parents.
    pub(crate) parents: &'a [u32],
    /// Whether its rows give way to each other.
    pub(crate) gives_way: bool,
}

/// Groups the tables.
pub(crate) fn groups(tables: &[Member<'_>]) -> Vec<Group> {
    let mut by_number: HashMap<u32, Vec<usize>> = HashMap::new();
    for (place, member) in tables.iter().enumerate().filter(|(_, member)| member.table != 0) {
        by_number.entry(member.table).or_default().push(place);
    }
    let parents_of = |place: usize| {
        let parents = tables.get(place).map(|member| member.parents).unwrap_or_default();
        parents.iter().filter_map(|number| by_number.get(number)).flatten().copied()
    };
    let mut is_parent = vec![false; tables.len()];
    let mut neighbours: Vec<Vec<usize>> = vec![Vec::new(); tables.len()];
    for place in 0..tables.len() {
        for parent in parents_of(place) {
            if let Some(marked) = is_parent.get_mut(parent) {
                *marked = true;
            }
            for (from, to) in [(place, parent), (parent, place)] {
                neighbours.get_mut(from).into_iter().for_each(|list| list.push(to));
            }
        }
    }
    let mut seen = vec![false; tables.len()];
    let mut groups = Vec::new();
    for start in 0..tables.len() {
        let members = reachable(start, &neighbours, &mut seen);
        if members.is_empty() {
            continue;
        }
        let mut sorted = Vec::with_capacity(members.len());
        let mut entered = vec![false; tables.len()];
        for member in members {
            parents_first(member, &parents_of, &mut entered, &mut sorted);
        }
        let with_late = |place| (place, is_parent.get(place).copied().unwrap_or_default());
        let places: Vec<(usize, bool)> = sorted.into_iter().map(with_late).collect();
        let gives_way = |place: &usize| tables.get(*place).is_some_and(|member| member.gives_way);
        let holds = places.iter().any(|(place, late)| *late || gives_way(place));
        groups.push(Group { places, holds });
    }
    groups
}

/// The unseen places that can be reached from `start`, in ascending order.
fn reachable(start: usize, neighbours: &[Vec<usize>], seen: &mut [bool]) -> Vec<usize> {
    let (mut found, mut next) = (Vec::new(), vec![start]);
    while let Some(place) = next.pop() {
        match seen.get_mut(place) {
            Some(flag) if !*flag => *flag = true,
            _ => continue,
        }
        found.push(place);
        next.extend(neighbours.get(place).into_iter().flatten().copied());
    }
    found.sort_unstable();
    found
}

/// Appends a table after all its parents. Own stack: a chain of tables may be long.
fn parents_first<I: Iterator<Item = usize>>(
    start: usize,
    parents_of: &impl Fn(usize) -> I,
    entered: &mut [bool],
    sorted: &mut Vec<usize>,
) {
    let mut open = vec![(start, false)];
    while let Some((place, done)) = open.pop() {
        if done {
            sorted.push(place);
            continue;
        }
        match entered.get_mut(place) {
            Some(flag) if !*flag => *flag = true,
            _ => continue,
        }
        open.push((place, true));
        open.extend(parents_of(place).map(|parent| (parent, false)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(table: u32, parents: &[u32]) -> Member<'_> {
        Member { table, parents, gives_way: table == 15 }
    }

    #[test]
    fn parents_come_before_children_and_strangers_stand_alone() {
        // 0 refers to 2, 2 to 3, 1 to nobody here, 4 to itself; 5 is the same target as 3; 6 has values
        // that move.
        let tables = [
            member(10, &[12]),
            member(11, &[99]),
            member(12, &[13]),
            member(13, &[]),
            member(14, &[14]),
            member(13, &[]),
            member(15, &[]),
        ];
        let found = groups(&tables);
        assert_eq!(found.len(), 4);
        let first: Vec<usize> = found[0].places.iter().map(|(place, _)| *place).collect();
        let at = |place: usize| first.iter().position(|found| *found == place);
        assert!(at(3) < at(2) && at(2) < at(0) && at(5) < at(2), "{first:?}");
        assert_eq!(found[0].places.iter().filter(|(_, late)| *late).count(), 3);
        assert_eq!(found[1].places, [(1, false)]);
        assert_eq!(found[2].places, [(4, true)]);
        assert_eq!(found[3].places, [(6, false)]);
        let held: Vec<bool> = found.iter().map(|group| group.holds).collect();
        assert_eq!(held, [true, false, true, true]);
    }

    #[test]
    fn circles_end() {
        let found = groups(&[member(1, &[2]), member(2, &[1])]);
        assert_eq!((found[0].places.len(), found[0].holds), (2, true));
        assert!(groups(&[]).is_empty());
    }
}
