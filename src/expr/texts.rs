//! The functions that make texts out of texts. What is missing stays missing and what is null stays null, so that text still
//! refuses it and a column still becomes NULL.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error};
use regex::{Regex, RegexBuilder};

use super::engine::{encode_segment, text_of};
use super::functions::refuse;

/// The largest compiled pattern, in bytes.
const LARGEST_PATTERN: usize = 1 << 20;
/// How many compiled patterns are kept.
const MOST_PATTERNS: usize = 256;

/// Adds them to an environment; each is both a function and a filter, `path` only a filter: it is a name of the document.
pub(crate) fn register(environment: &mut Environment<'static>) {
    environment.add_function("words", words);
    environment.add_filter("words", words);
    for (name, change) in
        [("slug", slug as fn(&str) -> Value), ("economic_path", economic_path), ("percent_twice", percent_twice)]
    {
        let run = move |value: Value| of_text(&value, change);
        environment.add_function(name, run);
        environment.add_filter(name, run);
    }
    environment.add_filter("path", |value: Value| of_text(&value, path));
    let patterns = Arc::new(Patterns::default());
    let run = move |value: Value, pattern: &str| regex_match(&value, pattern, &patterns);
    environment.add_function("regex_match", run.clone());
    environment.add_filter("regex_match", run);
}

/// Whether there is nothing to make a text of.
pub(super) fn is_hole(value: &Value) -> bool {
    value.is_undefined() || value.is_none()
}

/// Changes the text of a value; a hole stays one.
pub(super) fn of_text(value: &Value, change: impl Fn(&str) -> Value) -> Result<Value, Error> {
    if is_hole(value) { Ok(value.clone()) } else { text_of(value).map(|text| change(&text)) }
}

/// `words(50)`: the first whole words of at most 50 letters; `words(50, part=2)`: the next ones. A word longer than a part is cut.
fn words(value: Value, most: usize, keywords: Kwargs) -> Result<Value, Error> {
    let part = keywords.get::<Option<usize>>("part")?.unwrap_or(1);
    keywords.assert_all_used()?;
    if most == 0 || part == 0 {
        return Err(refuse("`words` counts letters and parts from 1"));
    }
    of_text(&value, |text| Value::from(parts_of(text, most).get(part - 1).cloned().unwrap_or_default()))
}

fn parts_of(text: &str, most: usize) -> Vec<String> {
    let mut parts = vec![String::new()];
    for word in text.split_whitespace() {
        for piece in word.chars().collect::<Vec<_>>().chunks(most) {
            let needed = piece.len() + usize::from(parts.last().is_some_and(|last| !last.is_empty()));
            if parts.last().map_or(0, |last| last.chars().count()) + needed > most {
                parts.push(String::new());
            }
            if let Some(last) = parts.last_mut() {
                if !last.is_empty() {
                    last.push(' ');
                }
                last.extend(piece);
            }
        }
    }
    parts
}

/// `slug`: lower case, letters of other alphabets as they are written in English, all else one `-`.
fn slug(text: &str) -> Value {
    let mut slug = String::new();
    for letter in text.chars().flat_map(char::to_lowercase) {
        match plain(letter) {
            Some(letters) => slug.push_str(letters),
            None if letter.is_alphanumeric() => slug.push(letter),
            // an accent that stands by itself belongs to the letter before it
            None if matches!(letter, '\u{300}'..='\u{36f}' | '\'' | '’') => {}
            None if slug.is_empty() || slug.ends_with('-') => {}
            None => slug.push('-'),
        }
    }
    Value::from(slug.trim_end_matches('-'))
}

/// How a Latin letter with a mark is written without one.
fn plain(letter: char) -> Option<&'static str> {
    Some(match letter {
        'æ' | 'ä' => "ae",
        'ø' | 'ö' | 'œ' => "oe",
        'å' => "aa",
        'ü' => "ue",
        'ß' => "ss",
        'þ' => "th",
        'à' | 'á' | 'â' | 'ã' | 'ā' | 'ă' | 'ą' => "a",
        'ç' | 'ć' | 'č' => "c",
        'ð' | 'ď' | 'đ' => "d",
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ė' | 'ę' | 'ě' => "e",
        'ğ' | 'ģ' => "g",
        'ì' | 'í' | 'î' | 'ï' | 'ī' | 'į' | 'ı' => "i",
        'ķ' => "k",
        'ł' | 'ļ' | 'ľ' => "l",
        'ñ' | 'ń' | 'ň' | 'ņ' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ō' | 'ő' => "o",
        'ř' => "r",
        'ś' | 'š' | 'ş' | 'ș' => "s",
        'ť' | 'ţ' | 'ț' => "t",
        'ù' | 'ú' | 'û' | 'ū' | 'ů' | 'ű' | 'ų' => "u",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        _ => return None,
    })
}

/// `path`: percent-encoded, the slashes kept.
fn path(text: &str) -> Value {
    Value::from_safe_string(text.split('/').map(encode_segment).collect::<Vec<_>>().join("/"))
}

/// `economic_path`: e-conomic's own code for identifiers in a path, letter by letter in one pass, then percent-encoding.
fn economic_path(text: &str) -> Value {
    const CODED: [char; 14] = ['<', '>', '*', '%', ':', '&', '/', '\\', '_', ' ', '?', '.', '#', '+'];
    let code = |letter: char| match CODED.iter().position(|coded| *coded == letter) {
        Some(number) => format!("_{number}_"),
        None => encode_segment(letter.encode_utf8(&mut [0; 4])),
    };
    Value::from_safe_string(text.chars().map(code).collect())
}

/// `percent_twice`: one path segment, percent-encoded and that once more.
fn percent_twice(text: &str) -> Value {
    Value::from_safe_string(encode_segment(&encode_segment(text)))
}

/// The patterns compiled so far.
#[derive(Default)]
struct Patterns(Mutex<HashMap<String, Regex>>);

/// Compiles a pattern of bounded size; or says in one line why it is none.
pub(super) fn compile_pattern(pattern: &str) -> Result<Regex, String> {
    let compiled = RegexBuilder::new(pattern).size_limit(LARGEST_PATTERN).dfa_size_limit(LARGEST_PATTERN).build();
    compiled.map_err(|error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default();
        last.trim_start_matches("error: ").to_owned()
    })
}

/// `regex_match(text, pattern)`: the text that matches and its groups as a list, or nothing.
fn regex_match(value: &Value, pattern: &str, patterns: &Patterns) -> Result<Value, Error> {
    if is_hole(value) {
        return Ok(Value::UNDEFINED);
    }
    let text = text_of(value)?;
    let mut known = patterns.0.lock().unwrap_or_else(PoisonError::into_inner);
    let compiled = match known.get(pattern) {
        Some(compiled) => compiled.clone(),
        None => {
            let compiled = compile_pattern(pattern)
                .map_err(|problem| refuse(format!("`regex_match` cannot read the pattern `{pattern}`: {problem}")))?;
            if known.len() >= MOST_PATTERNS {
                known.clear();
            }
            known.insert(pattern.to_owned(), compiled.clone());
            compiled
        }
    };
    drop(known);
    let groups = compiled.captures(&text).map(|found| {
        let texts = found.iter().map(|group| group.map_or(Value::from(()), |group| Value::from(group.as_str())));
        texts.collect::<Vec<_>>()
    });
    Ok(groups.map_or(Value::UNDEFINED, Value::from))
}
