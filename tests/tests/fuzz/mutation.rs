//! Breaks events the way networks, disks and malice do.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// Events up to this size are taken most of the time: more inputs fit into the time.
const SMALL: usize = 2 << 10;
/// Where an event says how long it is.
const SIZE_FIELD: std::ops::Range<usize> = 9..13;
/// Values that lengths and counts fail at.
const EDGES: &[u64] = &[
    0,
    1,
    2,
    3,
    0x7f,
    0x80,
    0xfa,
    0xfb,
    0xfc,
    0xfd,
    0xfe,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x7f_ffff,
    0xff_ffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

/// Makes inputs.
pub(super) struct Mutator {
    random: StdRng,
    small: Vec<usize>,
    all: usize,
    /// Pieces of other events.
    pieces: Vec<Vec<u8>>,
}

impl Mutator {
    pub(super) fn new<'a>(random: StdRng, events: impl Iterator<Item = &'a [u8]>) -> Mutator {
        let (mut small, mut pieces, mut all) = (Vec::new(), Vec::new(), 0);
        for (place, event) in events.enumerate() {
            all = place + 1;
            if event.len() <= SMALL {
                small.push(place);
                pieces.push(event.to_vec());
            }
        }
        Mutator { random, small, all, pieces }
    }

    /// The place of the next event.
    pub(super) fn choose(&mut self) -> usize {
        if self.random.random_ratio(1, 40) {
            return self.random.random_range(0..self.all);
        }
        *self.small.choose(&mut self.random).expect("there are small events")
    }

    /// One in four times broken, otherwise as it is.
    pub(super) fn sometimes(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.random.random_ratio(1, 4) { self.broken(bytes) } else { bytes.to_vec() }
    }

    /// A whole event, broken; mostly with a size that fits again, so that it is looked into.
    pub(super) fn mutate(&mut self, event: &[u8]) -> Vec<u8> {
        let mut bytes = self.broken(event);
        if self.random.random_ratio(9, 10) {
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            if let Some(field) = bytes.get_mut(SIZE_FIELD) {
                field.copy_from_slice(&length.to_le_bytes());
            }
        }
        bytes
    }

    fn broken(&mut self, original: &[u8]) -> Vec<u8> {
        let mut bytes = original.to_vec();
        for _ in 0..self.random.random_range(1..=4) {
            self.once(&mut bytes);
        }
        bytes
    }

    /// A place, more often behind the header than in it.
    fn place(&mut self, length: usize) -> usize {
        let from = if length > 24 && self.random.random_ratio(9, 10) { 19 } else { 0 };
        self.random.random_range(from..length)
    }

    fn once(&mut self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            bytes.push(self.random.random());
            return;
        }
        let at = self.place(bytes.len());
        let span = self.random.random_range(0..=32).min(bytes.len() - at);
        match self.random.random_range(0..10) {
            0 | 1 => bytes[at] ^= 1 << self.random.random_range(0..8),
            2 => bytes[at] = self.random.random(),
            3 | 4 => {
                let edge = *EDGES.choose(&mut self.random).expect("there are edges");
                let width = [1, 2, 3, 4, 8].choose(&mut self.random).copied().unwrap_or(1);
                let end = (at + width).min(bytes.len());
                let mut field = edge.to_le_bytes();
                if self.random.random_ratio(1, 3) {
                    field[..width].reverse();
                }
                bytes[at..end].copy_from_slice(&field[..end - at]);
            }
            5 => bytes.truncate(at),
            6 => {
                let tail = self.random.random_range(1..64);
                bytes.extend((0..tail).map(|_| self.random.random::<u8>()));
            }
            7 => {
                let piece = self.pieces.choose(&mut self.random).cloned().unwrap_or_default();
                let from = self.random.random_range(0..piece.len().max(1));
                let to = self.random.random_range(from..=piece.len());
                bytes.splice(at..at + span, piece.get(from..to).unwrap_or_default().iter().copied());
            }
            8 => _ = bytes.drain(at..at + span),
            _ => {
                let copy: Vec<u8> = bytes[at..at + span].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
}
