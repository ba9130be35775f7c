//! What the log said about a key range while the range was being read.

use std::collections::HashMap;
use std::hash::Hash;

/// The last state of every row that the log touched: a row, or gone.
#[derive(Debug)]
pub struct Window<I, R> {
    rows: HashMap<I, Option<R>>,
    bytes: usize,
    bytes_max: usize,
}

/// The window has outgrown its bound; the chunk has to be read again, smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowFull;

/// What laying a window over the rows of a chunk gives.
#[derive(Debug, PartialEq, Eq)]
pub struct Overlay<R> {
    /// For each row that was read: whether it stays as read.
    pub keep: Vec<bool>,
    /// Rows of the log that take part, in no particular order.
    pub rows: Vec<R>,
}

impl<I: Eq + Hash, R> Window<I, R> {
    /// An empty window that holds at most this many bytes of keys and rows.
    pub fn new(bytes_max: usize) -> Window<I, R> {
        Window { rows: HashMap::new(), bytes: 0, bytes_max }
    }

    /// Remembers the row's last state. `bytes` is what key and row weigh; a later state of the
    /// same row counts again, so the bound is on what passed, not on what is held.
    pub fn record(&mut self, key: I, row: Option<R>, bytes: usize) -> Result<(), WindowFull> {
        self.bytes += bytes;
        if self.bytes > self.bytes_max {
            return Err(WindowFull);
        }
        self.rows.insert(key, row);
        Ok(())
    }

    /// Whether the log touched nothing.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Lays the window over the rows that were read, given their keys in order.
    pub fn overlay(self, keys: impl Iterator<Item = I>) -> Overlay<R> {
        let keep = keys.map(|key| !self.rows.contains_key(&key)).collect();
        Overlay { keep, rows: self.rows.into_values().flatten().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_state_of_a_row_wins_over_the_row_read() {
        let mut window = Window::new(1000);
        window.record(1, Some("one"), 10).expect("fits");
        window.record(2, Some("two"), 10).expect("fits");
        window.record(2, None, 10).expect("fits");
        window.record(9, Some("nine"), 10).expect("fits");
        let mut overlay = window.overlay([1, 2, 3].into_iter());
        overlay.rows.sort_unstable();
        assert_eq!(overlay, Overlay { keep: vec![false, false, true], rows: vec!["nine", "one"] });
    }

    #[test]
    fn a_window_has_a_bound() {
        let mut window = Window::new(25);
        assert_eq!(window.record(1, Some(()), 10), Ok(()));
        assert_eq!(window.record(1, Some(()), 10), Ok(()));
        assert_eq!(window.record(1, Some(()), 10), Err(WindowFull));
    }
}
