//! CSV bodies (RFC 4180): every row becomes an object. A parser of our own, because one that goes on behind an open quote would
//! turn a thousand rows into one.

use serde_json::{Map, Value as Json};

use super::limits::Budget;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::source::Spanned;

/// How the rows are written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Csv {
    separator: char,
    /// The columns of a body without a header row.
    columns: Option<Vec<String>>,
}

impl Default for Csv {
    fn default() -> Self {
        Self { separator: ',', columns: None }
    }
}

/// What a file says of the rows.
pub(super) fn compile(columns: Vec<String>, separator: Option<&Spanned<String>>, diagnostics: &mut Diagnostics) -> Option<Csv> {
    let columns = Some(columns).filter(|columns| !columns.is_empty());
    let Some(written) = separator else { return Some(Csv { columns, ..Csv::default() }) };
    let mut letters = written.value.chars();
    match (letters.next(), letters.next()) {
        (Some(separator), None) if !matches!(separator, '"' | '\n' | '\r') => Some(Csv { separator, columns }),
        _ => {
            let message = "the separator of csv is one sign, and no quote or line break";
            diagnostics.report(Diagnostic::error("wrong-type", written.span, message).hint("such as `\";\"` or `\"\\t\"`"));
            None
        }
    }
}

/// Reads a body into a list of objects of texts.
///
/// The first row names the columns (`fields` does, for a body without such a row); spaces around those names are left out. A
/// column without a name is not read, two of one name are a failure. A row with fewer values than columns lacks the last
/// ones; one with more is a failure, as is a quote that is never closed. Empty lines count for nothing. Values are the text
/// that stands there, with quotes undone: `""` inside quotes is one quote, and line breaks and separators are text there.
pub(super) fn decode(csv: &Csv, text: &str, mut budget: Budget) -> Result<Json, String> {
    let mut rows = Rows { text, at: 0, line: 1, separator: csv.separator };
    let mut row = Vec::new();
    let columns = match &csv.columns {
        Some(columns) => columns.clone(),
        None => match rows.next_row(&mut row)? {
            Some(_) => row.iter().map(|name| name.trim().to_owned()).collect(),
            None => return Ok(Json::Array(Vec::new())),
        },
    };
    if let Some(column) = repeated(&columns) {
        return Err(format!("the first row of the body names column {} like one before it", column + 1));
    }
    let mut objects = Vec::new();
    while let Some(line) = rows.next_row(&mut row)? {
        if row.len() > columns.len() {
            let (found, expected) = (row.len(), columns.len());
            return Err(format!(
                "line {line} of the body has {found} values for {expected} columns; is the separator another one?"
            ));
        }
        let mut object = Map::new();
        budget.take()?;
        for (column, value) in columns.iter().zip(row.drain(..)).filter(|(column, _)| !column.is_empty()) {
            budget.take_named(column)?;
            object.insert(column.clone(), Json::String(value));
        }
        objects.push(Json::Object(object));
    }
    Ok(Json::Array(objects))
}

fn repeated(columns: &[String]) -> Option<usize> {
    let mut seen = std::collections::HashSet::new();
    columns.iter().position(|column| !column.is_empty() && !seen.insert(column))
}

struct Rows<'t> {
    text: &'t str,
    at: usize,
    line: usize,
    separator: char,
}

/// What a value ends with.
enum End {
    Value,
    Row,
}

impl Rows<'_> {
    /// The next row that has anything in it, and the line that it begins on.
    fn next_row(&mut self, row: &mut Vec<String>) -> Result<Option<usize>, String> {
        while self.at < self.text.len() {
            let (start, line) = (self.at, self.line);
            row.clear();
            loop {
                let value = self.value()?;
                row.push(value);
                if matches!(self.end()?, End::Row) {
                    break;
                }
            }
            if row.len() > 1 || row.first().is_some_and(|only| !only.is_empty()) || self.text[start..].starts_with('"') {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    fn value(&mut self) -> Result<String, String> {
        let rest = &self.text[self.at..];
        let Some(quoted) = rest.strip_prefix('"') else {
            let end = rest.find([self.separator, '\n', '\r']).unwrap_or(rest.len());
            self.at += end;
            return Ok(rest[..end].to_owned());
        };
        let mut value = String::new();
        let mut rest = quoted;
        loop {
            let end = rest.find('"').ok_or_else(|| format!("a quote on line {} of the body is never closed", self.line))?;
            value.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            match rest.strip_prefix('"') {
                Some(more) => {
                    value.push('"');
                    rest = more;
                }
                None => break,
            }
        }
        self.at = self.text.len() - rest.len();
        self.line += value.bytes().filter(|byte| *byte == b'\n').count();
        Ok(value)
    }

    fn end(&mut self) -> Result<End, String> {
        let rest = &self.text[self.at..];
        let length = match rest.chars().next() {
            None => return Ok(End::Row),
            Some(sign) if sign == self.separator => {
                self.at += sign.len_utf8();
                return Ok(End::Value);
            }
            Some('\r') if rest.starts_with("\r\n") => 2,
            Some('\r' | '\n') => 1,
            Some(_) => return Err(format!("behind a closing quote on line {} of the body stands more text", self.line)),
        };
        self.at += length;
        self.line += 1;
        Ok(End::Row)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(separator: char) -> Csv {
        Csv { separator, ..Csv::default() }
    }

    fn decoded(csv: &Csv, text: &str) -> Result<String, String> {
        decode(csv, text, Budget::verified()).map(|json| json.to_string())
    }

    #[test]
    fn rows_become_objects() {
        for (separator, body, expected) in [
            (',', "no,name\n1,Ærø\n2,\n", r#"[{"no":"1","name":"Ærø"},{"no":"2","name":""}]"#),
            (';', "no; name ;\r\n1;\"a;b\"\"c\r\nd\";\r\n\r\n2\r\n", r#"[{"no":"1","name":"a;b\"c\r\nd"},{"no":"2"}]"#),
            ('\t', "a\tb\r1\t5\" pipe", r#"[{"a":"1","b":"5\" pipe"}]"#),
            (',', "a\n\"\"\n", r#"[{"a":""}]"#),
            (',', "a,b\n", "[]"),
            (',', "\n", "[]"),
        ] {
            assert_eq!(decoded(&with(separator), body).as_deref(), Ok(expected), "{body}");
        }
        let headless = Csv { columns: Some(vec!["a".into(), "b".into()]), ..Csv::default() };
        assert_eq!(decoded(&headless, "1,2").as_deref(), Ok(r#"[{"a":"1","b":"2"}]"#));
    }

    #[test]
    fn what_is_out_of_place_is_refused_by_line() {
        for (body, reason) in [
            ("a,b\n1,2\n1,hunter2,3", "line 3 of the body has 3 values for 2 columns"),
            ("a,b\n\"x\n\n\",2\n\"hunter2,2\n", "a quote on line 5 of the body is never closed"),
            ("a\n\"x\"hunter2", "line 2 of the body stands more text"),
            ("a,b, a", "names column 3 like one before it"),
        ] {
            let found = decoded(&with(','), body).expect_err(body);
            assert!(found.contains(reason) && !found.contains("hunter2"), "{found}");
        }
    }

    #[test]
    fn a_long_name_is_not_repeated_for_a_flood_of_rows() {
        let flood = format!("{}{}", "n".repeat(400_000), "\na".repeat(300_000));
        assert_eq!(
            decoded(&Csv::default(), &flood).map(|rows| rows.len()),
            Err("the names in the first row of the body are too long to be repeated for so many rows".to_owned())
        );
        let wide = format!("{}{}", "n".repeat(200), "\n1".repeat(100_000));
        assert!(decode(&Csv::default(), &wide, Budget::verified()).is_ok(), "a name that somebody would write");
    }

    proptest! {
        #[test]
        fn quoted_values_come_back(rows in prop::collection::vec(prop::collection::vec(".{0,6}", 2), 0..6)) {
            let quoted = |value: &String| format!("\"{}\"", value.replace('"', "\"\""));
            let lines = rows.iter().map(|row| row.iter().map(quoted).collect::<Vec<_>>().join(";"));
            let body = std::iter::once("a;b".to_owned()).chain(lines).collect::<Vec<_>>().join("\r\n");
            let expected: Vec<Json> = rows.iter().map(|row| serde_json::json!({ "a": row[0], "b": row[1] })).collect();
            prop_assert_eq!(decode(&with(';'), &body, Budget::verified()), Ok(Json::Array(expected)));
        }

        #[test]
        fn any_text_is_a_list_or_a_reason(text in any::<String>(), signs in "[a\",\\n\\r;]{0,40}") {
            let _ = decode(&Csv::default(), &text, Budget::verified());
            let _ = decode(&Csv::default(), &signs, Budget::verified());
        }
    }
}
