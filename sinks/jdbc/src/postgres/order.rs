//! The order in which target tables are written when foreign keys that cannot wait lie between them.
//!
//! Tables that such keys connect are flushed together: rows are put parents first, then keys are
//! removed children first. Keys that can wait (DEFERRABLE) need no order, because every transaction
//! defers them. Within a circle of tables no order is right for all; the keys of one of them have to be
//! deferrable.

use std::collections::HashMap;

/// Tables that are flushed together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// Places of the tables, parents first, each with whether others wait for its removals: they come
    /// last then.
    pub(crate) places: Vec<(usize, bool)>,
}

/// Groups the tables, given the catalog's number of each and those of its parents.
pub(crate) fn groups(tables: &[(u32, &[u32])]) -> Vec<Group> {
    let mut by_number: HashMap<u32, Vec<usize>> = HashMap::new();
    for (place, (number, _)) in tables.iter().enumerate().filter(|(_, (number, _))| *number != 0) {
        by_number.entry(*number).or_default().push(place);
    }
    let parents_of = |place: usize| {
        let parents = tables.get(place).map(|(_, parents)| *parents).unwrap_or_default();
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
        let places =
            sorted.into_iter().map(|place| (place, is_parent.get(place).copied().unwrap_or_default()));
        groups.push(Group { places: places.collect() });
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

    #[test]
    fn parents_come_before_children_and_strangers_stand_alone() {
        // 0 refers to 2, 2 to 3, 1 to nobody, 4 to itself; 5 is the same target as 3.
        let tables: [(u32, &[u32]); 6] =
            [(10, &[12]), (11, &[99]), (12, &[13]), (13, &[]), (14, &[14]), (13, &[])];
        let found = groups(&tables);
        assert_eq!(found.len(), 3);
        let first: Vec<usize> = found[0].places.iter().map(|(place, _)| *place).collect();
        let at = |place: usize| first.iter().position(|found| *found == place);
        assert!(at(3) < at(2) && at(2) < at(0) && at(5) < at(2), "{first:?}");
        assert_eq!(found[0].places.iter().filter(|(_, late)| *late).count(), 3);
        assert_eq!(found[1].places, [(1, false)]);
        assert_eq!(found[2].places, [(4, true)]);
    }

    #[test]
    fn circles_end() {
        let tables: [(u32, &[u32]); 2] = [(1, &[2]), (2, &[1])];
        assert_eq!(groups(&tables)[0].places.len(), 2);
        assert!(groups(&[]).is_empty());
    }
}
