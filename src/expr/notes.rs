//! What an evaluation did that is right by the rules and still worth telling, such as which of two moments a local time was taken for.

use std::cell::RefCell;

/// The most that one evaluation notes: thousands of lines of an order say the same.
const MOST: usize = 10;

thread_local! {
    static NOTES: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Runs an evaluation and tells what was noted in it.
pub(crate) fn watch<T>(evaluate: impl FnOnce() -> T) -> (T, Vec<String>) {
    let around = NOTES.replace(Some(Vec::new()));
    let result = evaluate();
    (result, NOTES.replace(around).unwrap_or_default())
}

/// Notes something, where somebody watches.
pub(super) fn note(text: impl FnOnce() -> String) {
    NOTES.with_borrow_mut(|notes| {
        if let Some(notes) = notes.as_mut().filter(|notes| notes.len() < MOST) {
            let text = text();
            if !notes.contains(&text) {
                notes.push(text);
            }
        }
    });
}
