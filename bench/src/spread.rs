//! Percentiles of times.

use std::time::Duration;

/// How a set of times spreads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    /// Half of them were shorter.
    pub(crate) p50: Duration,
    /// 99 % were not longer.
    pub(crate) p99: Duration,
    /// The longest.
    pub(crate) longest: Duration,
    /// How many.
    pub(crate) count: usize,
}

impl Spread {
    /// Of these times.
    pub(crate) fn of(mut times: Vec<Duration>) -> Spread {
        times.sort_unstable();
        let count = times.len();
        // The nearest rank: the smallest time that so many per cent do not exceed.
        let rank = |percent: usize| {
            let at = (count * percent).div_ceil(100).saturating_sub(1);
            times.get(at).copied().unwrap_or_default()
        };
        Spread { p50: rank(50), p99: rank(99), longest: rank(100), count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_the_nearest() {
        let spread = Spread::of((1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!((spread.p50.as_millis(), spread.p99.as_millis()), (100, 198));
        assert_eq!((spread.longest.as_millis(), spread.count), (200, 200));
    }

    #[test]
    fn one_time_is_every_percentile() {
        let spread = Spread::of(vec![Duration::from_millis(7)]);
        assert_eq!((spread.p50, spread.p99), (spread.longest, spread.longest));
    }
}
