//! The same for each of many, on several threads.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

/// `work` on each of `items`, by `threads` at once; results in the order of the items.
///
/// # Errors
/// The first error, by the order of the items; the rest is still worked on.
pub(crate) fn each<T: Sync, R: Send, E: Send>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let next = AtomicUsize::new(0);
    let share = || {
        let mut done = Vec::new();
        while let Some((at, item)) = {
            let at = next.fetch_add(1, Relaxed);
            items.get(at).map(|item| (at, item))
        } {
            done.push((at, work(item)));
        }
        done
    };
    let mut all: Vec<(usize, Result<R, E>)> = thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads.max(1)).map(|_| scope.spawn(share)).collect();
        let mut all = share();
        for helper in helpers {
            // A panic there is one here.
            all.extend(helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all
    });
    all.sort_unstable_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_errors_come_out() {
        let items: Vec<u32> = (0..100).collect();
        let doubled = each(&items, 3, |item| Ok::<_, u32>(item * 2)).unwrap();
        assert!(doubled.into_iter().eq((0..100).map(|item| item * 2)));
        let odd = each(&items, 3, |&item| if item % 7 == 5 { Err(item) } else { Ok(item) });
        assert_eq!(odd, Err(5));
    }
}
