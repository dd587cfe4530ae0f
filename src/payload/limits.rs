//! What bounds every decoder of ours beside the body's size, and where in a text something stands.

/// The deepest nesting of lists, objects or elements. (Strict JSON may be 127 deep: that is the bound of its own parser.)
pub const MOST_LEVELS: usize = 64;

/// The most values of one body: fields, items, elements, attributes, cells.
pub const MOST_VALUES: usize = 1_000_000;

/// The same of a body that is looked into before its sender is verified.
pub const MOST_UNVERIFIED_VALUES: usize = 100_000;

/// The most bytes of names that stand in a body once and are repeated for each of its rows, for each value that it may have.
const MOST_REPEATED_BYTES: usize = 64;

/// Counts the values of one body, and the bytes of the names that are repeated for them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    most: usize,
    values: usize,
    repeated_bytes: usize,
}

impl Budget {
    /// That of a body whose sender is verified.
    pub(super) fn verified() -> Self {
        Self::of(MOST_VALUES)
    }

    /// That of a body that anyone may have sent.
    pub(super) fn unverified() -> Self {
        Self::of(MOST_UNVERIFIED_VALUES)
    }

    pub(super) fn of(most: usize) -> Self {
        Self { most, values: most, repeated_bytes: MOST_REPEATED_BYTES * most }
    }

    /// How many values there may still be.
    pub(super) fn left(&self) -> usize {
        self.values
    }

    /// Takes one value, or says that there are too many.
    pub(super) fn take(&mut self) -> Result<(), String> {
        self.take_all(1)
    }

    /// Takes several values, or says that there are too many.
    pub(super) fn take_all(&mut self, values: usize) -> Result<(), String> {
        self.values = self.values.checked_sub(values).ok_or_else(|| format!("it has more than {} values", self.most))?;
        Ok(())
    }

    /// Takes one value under a name that is repeated for it, or says that there are too many or that the name is too long for so
    /// many.
    pub(super) fn take_named(&mut self, name: &str) -> Result<(), String> {
        self.take()?;
        let left = self.repeated_bytes.checked_sub(name.len());
        self.repeated_bytes =
            left.ok_or("the names in the first row of the body are too long to be repeated for so many rows")?;
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
