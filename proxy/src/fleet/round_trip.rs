//! How far away a backend is.

use std::time::Duration;

/// The network's round trip out of how long `/health` took: the least of the last few, for what is on top is the
/// engine's load.
#[derive(Debug, Default)]
pub(super) struct RoundTrip {
    last: [Option<Duration>; 8],
    next: usize,
}

impl RoundTrip {
    pub(super) fn take(&mut self, took: Duration) -> Duration {
        self.last[self.next] = Some(took);
        self.next = (self.next + 1) % self.last.len();
        self.last.iter().flatten().min().copied().unwrap_or(took)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_trip_is_the_least_of_the_last_eight() {
        let mut round_trip = RoundTrip::default();
        let mut take = |milliseconds| round_trip.take(Duration::from_millis(milliseconds)).as_millis();
        assert_eq!(take(5), 5);
        assert_eq!(take(40_000), 5, "load is not the network");
        assert_eq!(take(3), 3);
        assert_eq!([10; 7].map(&mut take), [3; 7]);
        assert_eq!(take(10), 10, "a new route is learned");
    }
}
