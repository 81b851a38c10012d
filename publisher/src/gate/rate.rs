//! How often each caller may call.

use std::time::Duration;

use writ_connect::rate::Rates;

/// Callers that are counted apart.
const CALLERS_MAX: usize = 10_000;

/// So many calls a second for each caller, and four seconds' worth at once.
pub(super) fn of_callers(a_second: u32) -> Rates<String> {
    let a_second = a_second.max(1);
    let period = Duration::from_secs(1) / a_second;
    Rates::new(a_second.saturating_mul(4), period, CALLERS_MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_flood_of_one_caller_is_refused_and_another_one_is_not() {
        let (rates, now) = (of_callers(10), Instant::now());
        let taken = (0..100).filter(|_| rates.take("a", now)).count();
        assert_eq!(taken, 40);
        assert!(rates.take("b", now));
        let later = now + Duration::from_secs(1);
        let taken = (0..100).filter(|_| rates.take("a", later)).count();
        assert_eq!(taken, 10);
    }

    #[test]
    fn callers_without_number_take_no_memory_without_end() {
        let (rates, now) = (of_callers(10), Instant::now());
        for number in 0..3 * CALLERS_MAX {
            let at = now + Duration::from_micros(number as u64);
            assert!(rates.take(&number.to_string(), at));
        }
        assert!(rates.held() <= CALLERS_MAX);
    }
}
