//! Work on many files at once, one share for each processor; the results keep the order of the items.

use std::num::NonZero;
use std::thread;

/// With fewer items a second thread costs more than it brings.
const FEW: usize = 16;

/// Does `work` for each item.
pub(super) fn map<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(items.len() / FEW);
    if threads < 2 {
        return items.into_iter().map(work).collect();
    }
    let share = items.len().div_ceil(threads);
    let mut rest = items.into_iter();
    let work = &work;
    thread::scope(|scope| {
        let mut shares = Vec::with_capacity(threads);
        for _ in 0..threads {
            let own: Vec<T> = rest.by_ref().take(share).collect();
            shares.push(scope.spawn(move || own.into_iter().map(work).collect::<Vec<R>>()));
        }
        let join = |share: thread::ScopedJoinHandle<'_, Vec<R>>| match share.join() {
            Ok(results) => results,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        shares.into_iter().flat_map(join).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_the_items() {
        for count in [0, 1, 15, 16, 33, 1000] {
            let expected: Vec<usize> = (0..count).map(|number| number * 2).collect();
            assert_eq!(map((0..count).collect(), |number| number * 2), expected);
        }
    }
}
