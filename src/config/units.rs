//! Durations, sizes and rates as people write them: `2s`, `1MiB`, `10000/m`.

use std::fmt;
use std::time::Duration;

use super::diagnostic::Diagnostics;
use super::options::{FromYaml, report_expected};
use super::shape::{Form, Shape};
use super::yaml::{Content, Node};

/// A number of bytes: `1MiB`, `64KiB`, `20GiB`, or a bare number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ByteSize(pub u64);

/// So many in so long: `900/m`, `2250/15m`, `50/s`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In how long.
    pub window: Duration,
}

/// Reads `500ms`, `2s`, `10m`, `24h`, `3d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

/// Writes a duration the way [`parse_duration`] reads it, in the largest unit that divides it.
pub fn format_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if milliseconds > 0 && milliseconds.is_multiple_of(size) {
            return format!("{}{unit}", milliseconds / size);
        }
    }
    if milliseconds == 0 { "0s".to_owned() } else { format!("{milliseconds}ms") }
}

/// Reads `1MiB`, `500KB`, `1048576`.
pub fn parse_size(text: &str) -> Option<ByteSize> {
    if let Ok(bytes) = text.parse() {
        return Some(ByteSize(bytes));
    }
    let (number, unit) = split_unit(text)?;
    let size: u64 = match unit {
        "B" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(size).map(ByteSize)
}

/// Reads `900/m`, `2250/15m`.
pub fn parse_rate(text: &str) -> Option<Rate> {
    let (count, window) = text.split_once('/')?;
    let count = count.trim().parse().ok().filter(|count| *count > 0)?;
    let window = window.trim();
    let window = if window.starts_with(|letter: char| letter.is_ascii_digit()) {
        parse_duration(window)?
    } else {
        parse_duration(&format!("1{window}"))?
    };
    (!window.is_zero()).then_some(Rate { count, window })
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let at = text.find(|letter: char| !letter.is_ascii_digit())?;
    Some((text[..at].parse().ok()?, text[at..].trim_start()))
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let window = format_duration(self.window);
        write!(formatter, "{}/{}", self.count, window.strip_prefix('1').filter(|unit| unit.len() == 1).unwrap_or(&window))
    }
}

fn scalar_text(node: &Node) -> Option<&str> {
    match &node.content {
        Content::Scalar(scalar) => Some(scalar.text.as_str()),
        _ => None,
    }
}

impl FromYaml for Duration {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let duration = scalar_text(node).and_then(parse_duration);
        if duration.is_none() {
            report_expected("a duration such as `500ms`, `2s`, `10m`, `24h` or `3d`", node, diagnostics);
        }
        duration
    }
    fn shape() -> Shape {
        Shape::Form(Form {
            words: "duration",
            pattern: "^[0-9]+ *(ms|s|m|h|d)$",
            numbers: false,
            examples: &["500ms", "2s", "10m", "24h", "3d"],
        })
    }
}

impl FromYaml for ByteSize {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let size = scalar_text(node).and_then(parse_size);
        if size.is_none() {
            report_expected("a size such as `64KiB`, `1MiB` or `20GiB`", node, diagnostics);
        }
        size
    }
    fn shape() -> Shape {
        Shape::Form(Form {
            words: "size",
            pattern: "^[0-9]+ *(B|KB|MB|GB|KiB|MiB|GiB)?$",
            numbers: true,
            examples: &["64KiB", "1MiB", "20GiB"],
        })
    }
}

impl FromYaml for Rate {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let rate = scalar_text(node).and_then(parse_rate);
        if rate.is_none() {
            report_expected("a rate such as `10/s`, `900/m` or `2250/15m`", node, diagnostics);
        }
        rate
    }
    fn shape() -> Shape {
        Shape::Form(Form {
            words: "rate",
            pattern: "^ *[0-9]*[1-9][0-9]* */ *[0-9]* *(ms|s|m|h|d) *$",
            numbers: false,
            examples: &["10/s", "900/m", "2250/15m"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_read_as_people_write_them() {
        assert_eq!(parse_duration("15m"), Some(Duration::from_secs(900)));
        assert_eq!(parse_duration("2"), None);
        assert_eq!(parse_size("1MiB"), Some(ByteSize(1 << 20)));
        assert_eq!(parse_rate("2250/15m"), Some(Rate { count: 2250, window: Duration::from_secs(900) }));
        assert_eq!(parse_rate("0/s"), None);
    }

    #[test]
    fn units_are_written_as_they_are_read() {
        for text in ["500ms", "2s", "90s", "24h", "3d"] {
            let duration = parse_duration(text).expect(text);
            assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
        }
        for text in ["900/m", "2250/15m"] {
            assert_eq!(parse_rate(text).map(|rate| rate.to_string()).as_deref(), Some(text));
        }
    }
}
