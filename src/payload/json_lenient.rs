//! JSON as people and templates write it: `{customerId: '1', oldNumber: "1001",}`. Every valid JSON text means here what it
//! means there.

use std::borrow::Cow;

use serde_json::{Map, Value as Json};

use super::limits::{Budget, MOST_LEVELS, place_of};

/// Reads a body.
///
/// Beyond JSON it takes names without quotes (letters, digits, `_`, `$`, `-`), texts in single quotes, line breaks and tabs
/// inside texts, a comma behind the last item, comments (`//` to the end of the line, `/* … */`), and any white space. Values
/// stay strict: numbers are JSON's, with every digit kept, and another word without quotes is refused, because whether `0042`
/// or `A-7` means a text or a number is not for us to guess.
pub(super) fn decode(text: &str, budget: Budget) -> Result<Json, String> {
    let mut parser = Parser { text, at: 0, budget };
    let read = parser.value(0).and_then(|value| {
        parser.skip_space()?;
        if parser.rest().is_empty() { Ok(value) } else { Err("expected the end behind the value".to_owned()) }
    });
    read.map_err(|reason| format!("the body is not JSON, not even lenient: {reason} at {}", place_of(text, parser.at)))
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    budget: Budget,
}

impl<'t> Parser<'t> {
    fn value(&mut self, level: usize) -> Result<Json, String> {
        if level > MOST_LEVELS {
            return Err(format!("it nests deeper than {MOST_LEVELS} levels"));
        }
        self.budget.take()?;
        self.skip_space()?;
        match self.rest().chars().next() {
            Some('{') => self.object(level),
            Some('[') => self.list(level),
            Some(quote @ ('"' | '\'')) => self.text(quote).map(|text| Json::String(text.into_owned())),
            Some('-' | '0'..='9') => self.number(),
            Some(letter) if is_name_letter(letter) => self.word(),
            Some(_) => Err("expected a value".to_owned()),
            None => Err("it ends where a value was expected".to_owned()),
        }
    }

    fn object(&mut self, level: usize) -> Result<Json, String> {
        self.at += 1;
        let mut fields = Map::new();
        loop {
            self.skip_space()?;
            if self.take('}') {
                return Ok(Json::Object(fields));
            }
            let name = self.name()?;
            self.skip_space()?;
            if !self.take(':') {
                return Err("expected `:` behind a name".to_owned());
            }
            let value = self.value(level + 1)?;
            fields.insert(name, value);
            self.skip_space()?;
            if !self.take(',') && !self.rest().starts_with('}') {
                return Err("expected `,` or `}`".to_owned());
            }
        }
    }

    fn list(&mut self, level: usize) -> Result<Json, String> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.skip_space()?;
            if self.take(']') {
                return Ok(Json::Array(items));
            }
            items.push(self.value(level + 1)?);
            self.skip_space()?;
            if !self.take(',') && !self.rest().starts_with(']') {
                return Err("expected `,` or `]`".to_owned());
            }
        }
    }

    fn name(&mut self) -> Result<String, String> {
        if let Some(quote @ ('"' | '\'')) = self.rest().chars().next() {
            return self.text(quote).map(Cow::into_owned);
        }
        match self.take_while(is_name_letter) {
            "" => Err("expected a name".to_owned()),
            name => Ok(name.to_owned()),
        }
    }

    fn number(&mut self) -> Result<Json, String> {
        let start = self.at;
        let digits = self.take_while(|letter| is_name_letter(letter) || matches!(letter, '.' | '+'));
        serde_json::from_str(digits).map_err(|_| {
            self.at = start;
            "expected a number as JSON writes it; anything else needs quotes".to_owned()
        })
    }

    fn word(&mut self) -> Result<Json, String> {
        let start = self.at;
        match self.take_while(is_name_letter) {
            "true" => Ok(Json::Bool(true)),
            "false" => Ok(Json::Bool(false)),
            "null" => Ok(Json::Null),
            _ => {
                self.at = start;
                Err("a value without quotes is a number, `true`, `false` or `null`; anything else needs quotes".to_owned())
            }
        }
    }

    /// What stands between two quotes.
    fn text(&mut self, quote: char) -> Result<Cow<'t, str>, String> {
        self.at += 1;
        let mut text = Cow::Borrowed("");
        loop {
            let plain = self.take_while(|letter| letter != quote && letter != '\\');
            text += plain;
            if self.take(quote) {
                return Ok(text);
            }
            if !self.take('\\') {
                return Err("it ends inside a text".to_owned());
            }
            let letter = self.escape()?;
            text.to_mut().push(letter);
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let unknown = || "there is no such escape in JSON".to_owned();
        let letter = self.rest().chars().next().ok_or("it ends inside a text")?;
        self.at += letter.len_utf8();
        Ok(match letter {
            '"' | '\'' | '\\' | '/' => letter,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = self.hex()?;
                if !(0xD800..0xDC00).contains(&first) {
                    return char::from_u32(first).ok_or_else(unknown);
                }
                let second = self.rest().strip_prefix("\\u").ok_or_else(unknown).and_then(|_| {
                    self.at += 2;
                    self.hex()
                })?;
                let low = second.checked_sub(0xDC00).filter(|low| *low < 0x400).ok_or_else(unknown)?;
                char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + low).ok_or_else(unknown)?
            }
            _ => return Err(unknown()),
        })
    }

    fn hex(&mut self) -> Result<u32, String> {
        let digits = self.rest().get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or("expected four hex digits")?;
        self.at += 4;
        Ok(code)
    }

    /// Over white space and comments.
    fn skip_space(&mut self) -> Result<(), String> {
        loop {
            self.take_while(|letter| letter.is_whitespace() || letter == '\u{FEFF}');
            if self.rest().starts_with("//") {
                self.take_while(|letter| letter != '\n');
            } else if let Some(comment) = self.rest().strip_prefix("/*") {
                self.at += 4 + comment.find("*/").ok_or("a comment is left open")?;
            } else {
                return Ok(());
            }
        }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn take(&mut self, sign: char) -> bool {
        let found = self.rest().starts_with(sign);
        self.at += if found { sign.len_utf8() } else { 0 };
        found
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let taken = &rest[..rest.find(|letter| !wanted(letter)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }
}

fn is_name_letter(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '$' | '-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_templates_send_is_read() {
        for (body, expected) in [
            (r#"{customerId: "1", oldNumber: "1001"}"#, r#"{"customerId":"1","oldNumber":"1001"}"#),
            ("{'a': 'it\\'s \"x\"', b-2: [1, 2,], $c: {},}", r#"{"a":"it's \"x\"","b-2":[1,2],"$c":{}}"#),
            ("// first\n{a: 1 /* one */, /* two */ b: 2} // last", r#"{"a":1,"b":2}"#),
            ("\u{FEFF}{\u{A0}total: 12345678901234567890.10, n: -0.50e3}", r#"{"total":12345678901234567890.10,"n":-0.50e+3}"#),
            ("{note: \"two\nlines\"}", r#"{"note":"two\nlines"}"#),
            ("{navn: 'Ærø', ø: null, 1: true}", r#"{"navn":"Ærø","ø":null,"1":true}"#),
            (r#"'\u00e6\ud83d\ude00'"#, "\"æ😀\""),
        ] {
            let same = serde_json::from_str(expected).expect("json");
            assert_eq!(decode(body, Budget::verified()), Ok(same), "{body}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_place() {
        for (body, reason) in [
            ("", "it ends where a value was expected at line 1, column 1"),
            ("{number: 0042}", "expected a number as JSON writes it; anything else needs quotes at line 1, column 10"),
            ("{number: hunter2}", "anything else needs quotes at line 1, column 10"),
            ("{\n number: }", "expected a value at line 2, column 10"),
            ("{a: 1 b: 2}", "expected `,` or `}` at line 1, column 7"),
            ("{a 1}", "expected `:` behind a name"),
            ("{,}", "expected a name"),
            ("[,]", "expected a value"),
            ("[1] 2", "expected the end behind the value"),
            ("{a: 'x", "it ends inside a text"),
            ("{a: 'x\\", "it ends inside a text"),
            (r"'\x41'", "no such escape"),
            (r"'\ud800'", "no such escape"),
            ("/* {}", "a comment is left open"),
            (&"[".repeat(100_000), "deeper than 64 levels"),
        ] {
            let found = decode(body, Budget::verified()).expect_err(body);
            assert!(found.contains(reason) && !found.contains("hunter2"), "{found}");
        }
        assert!(
            decode(&format!("[{}]", "0,".repeat(1_000_000)), Budget::verified())
                .expect_err("many")
                .contains("more than 1000000 values")
        );
    }

    /// Any JSON value.
    fn json() -> impl Strategy<Value = Json> {
        let number = "(0|-?[1-9][0-9]{0,25})(\\.[0-9]{1,6})?([eE][+-]?[0-9]{1,2})?";
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::Bool),
            number.prop_map(|number| serde_json::from_str(&number).expect("a number")),
            any::<String>().prop_map(Json::String),
        ];
        leaf.prop_recursive(6, 60, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Json::Array),
                prop::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|fields| Json::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn valid_json_means_the_same(value in json()) {
            prop_assert_eq!(decode(&value.to_string(), Budget::verified()), Ok(value.clone()));
            let pretty = serde_json::to_string_pretty(&value).expect("json");
            prop_assert_eq!(decode(&pretty, Budget::verified()), Ok(value));
        }

        #[test]
        fn whatever_strict_json_takes_it_takes(text in "[\\[\\]{}:,\"a\\\\n 0-9.eE+-]{0,24}") {
            if let Ok(strict) = serde_json::from_str::<Json>(&text) {
                prop_assert_eq!(decode(&text, Budget::verified()), Ok(strict));
            }
        }

        #[test]
        fn any_text_is_a_value_or_a_reason(text in any::<String>(), signs in "[\\[\\]{}:,'\"/*\\\\a-u0-9.+ \\n-]{0,60}") {
            let _ = decode(&text, Budget::verified());
            let _ = decode(&signs, Budget::verified());
        }
    }
}
