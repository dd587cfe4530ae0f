//! What bounds every decoder of ours beside the body's size, and where in a text something stands.

/// The deepest nesting of lists, objects or elements. (Strict JSON may be 127 deep: that is the bound of its own parser.)
pub const MOST_LEVELS: usize = 64;

/// The most values of one body: fields, items, elements, attributes, cells.
pub const MOST_VALUES: usize = 1_000_000;

/// Counts the values of one body.
#[derive(Debug)]
pub(super) struct Budget(usize);

impl Budget {
    /// All of it.
    pub(super) fn new() -> Self {
        Self(MOST_VALUES)
    }

    /// Takes one value, or says that there are too many.
    pub(super) fn take(&mut self) -> Result<(), String> {
        self.0 = self.0.checked_sub(1).ok_or_else(|| format!("it has more than {MOST_VALUES} values"))?;
        Ok(())
    }
}

/// `line 3, column 7` of the byte `at`, counted from 1; columns in characters.
pub(super) fn place_of(text: &str, at: usize) -> String {
    let before = &text[..text.floor_char_boundary(at)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    format!("line {line}, column {}", before[line_start..].chars().count() + 1)
}
