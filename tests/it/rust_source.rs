//! Rust files as the tidy test needs them: code without comments and texts, the texts by themselves, which lines are tests, and
//! how long each function is. A scanner, not a parser: it knows comments, literals and braces.

use std::ops::Range;
use std::path::{Path, PathBuf};

/// One file of the project.
pub(crate) struct RustFile {
    /// From the project's root, with `/`: `src/config/yaml.rs`.
    pub(crate) path: String,
    /// As it is on disk.
    pub(crate) text: String,
    /// The same bytes with comments and the insides of literals blanked, so that places agree with `text`.
    pub(crate) code: String,
    /// Every text literal and the byte at which it begins.
    pub(crate) literals: Vec<(usize, String)>,
    /// The bytes of `#[cfg(test)]` items.
    tests: Vec<Range<usize>>,
}

/// A function and how many lines of code it has, blank ones and comments not counted.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

impl RustFile {
    /// Scans a file's text.
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        let (code, literals) = Scanner::new(&text).scan();
        let tests = test_items(&code);
        Self { path, text, code, literals, tests }
    }

    /// Every Rust file below `folder`, which is written from the project's root, sorted by path.
    pub(crate) fn all_below(folder: &str) -> Vec<RustFile> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut folders = vec![root.join(folder)];
        let mut files: Vec<PathBuf> = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a folder of the project can be read") {
                let path = entry.expect("an entry can be read").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    files.push(path);
                }
            }
        }
        files.sort();
        let read = |path: PathBuf| {
            let text = std::fs::read_to_string(&path).expect("a Rust file is UTF-8");
            let below_root = path.strip_prefix(root).expect("it was found below the root");
            RustFile::new(below_root.to_string_lossy().replace('\\', "/"), text)
        };
        let mut files: Vec<RustFile> = files.into_iter().map(read).collect();
        mark_test_files(&mut files);
        files
    }

    /// The line of a byte, from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }

    /// Whether a byte belongs to a `#[cfg(test)]` item.
    pub(crate) fn is_test(&self, at: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&at))
    }

    /// How many lines stand outside `#[cfg(test)]` items.
    pub(crate) fn production_lines(&self) -> usize {
        let in_tests: usize = self.tests.iter().map(|range| self.text[range.clone()].lines().count()).sum();
        self.text.lines().count().saturating_sub(in_tests)
    }

    /// Where `word` stands in the code as a word of its own.
    pub(crate) fn places_of(&self, word: &str) -> Vec<usize> {
        places_of_word(&self.code, word)
    }

    /// The functions that have a body.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        for start in self.places_of("fn") {
            let name: String = self.code[start + 2..].trim_start().chars().take_while(|letter| is_word(*letter)).collect();
            let Some(end) = end_of_item(&self.code, start) else { continue };
            if name.is_empty() || !self.code[start..end].ends_with('}') {
                continue;
            }
            let lines = self.code[start..end].lines().filter(|line| !line.trim().is_empty()).count();
            functions.push(Function { name, line: self.line(start), lines });
        }
        functions
    }
}

/// Where `word` stands in `text` with no letter, digit or `_` beside it.
pub(crate) fn places_of_word(text: &str, word: &str) -> Vec<usize> {
    let stands_alone = |at: usize| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    };
    text.match_indices(word).map(|(at, _)| at).filter(|at| stands_alone(*at)).collect()
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Marks files whose `mod name;` stands under `#[cfg(test)]` as tests from first to last.
fn mark_test_files(files: &mut [RustFile]) {
    let mut test_files: Vec<String> = Vec::new();
    for file in files.iter() {
        let folder = match file.path.rsplit_once('/') {
            Some((folder, "mod.rs" | "lib.rs" | "main.rs")) => folder.to_owned(),
            _ => file.path.trim_end_matches(".rs").to_owned(),
        };
        for item in &file.tests {
            let item = file.code[item.clone()].trim_end();
            if let Some(name) = item.strip_suffix(';').and_then(|item| item.rsplit_once("mod ")).map(|(_, name)| name.trim()) {
                test_files.push(format!("{folder}/{name}.rs"));
                test_files.push(format!("{folder}/{name}/"));
            }
        }
    }
    for file in files {
        if test_files.iter().any(|test| file.path == *test || (test.ends_with('/') && file.path.starts_with(test))) {
            file.tests = vec![Range { start: 0, end: file.text.len() }];
        }
    }
}

fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut items: Vec<Range<usize>> = Vec::new();
    for (start, attribute) in code.match_indices("#[cfg(test)]") {
        if items.last().is_some_and(|item| item.contains(&start)) {
            continue;
        }
        let end = end_of_item(code, start + attribute.len()).unwrap_or(code.len());
        items.push(start..end);
    }
    items
}

/// The byte behind the `;` or `}` that ends the item which begins at `start`.
fn end_of_item(code: &str, start: usize) -> Option<usize> {
    let mut braces = 0usize;
    let mut others = 0usize;
    for (at, letter) in code[start..].char_indices() {
        match letter {
            '(' | '[' => others += 1,
            ')' | ']' => others = others.saturating_sub(1),
            '{' => braces += 1,
            '}' => {
                braces = braces.saturating_sub(1);
                if braces == 0 && others == 0 {
                    return Some(start + at + 1);
                }
            }
            ';' if braces == 0 && others == 0 => return Some(start + at + 1),
            _ => {}
        }
    }
    None
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
    code: String,
    literals: Vec<(usize, String)>,
}

impl<'t> Scanner<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, at: 0, code: String::with_capacity(text.len()), literals: Vec::new() }
    }

    fn scan(mut self) -> (String, Vec<(usize, String)>) {
        while let Some(letter) = self.rest().chars().next() {
            let after_word = self.code.chars().next_back().is_some_and(is_word);
            if self.rest().starts_with("//") {
                let length = self.rest().find('\n').unwrap_or(self.rest().len());
                self.blank(length);
            } else if self.rest().starts_with("/*") {
                self.blank(length_of_block_comment(self.rest()));
            } else if letter == '"' {
                self.literal(1, "\"", true);
            } else if let Some(hashes) = hashes_of_raw_literal(self.rest()).filter(|_| !after_word) {
                let start = self.rest().find('"').unwrap_or_default() + 1;
                self.literal(start, &format!("\"{}", "#".repeat(hashes)), false);
            } else if let Some(length) = length_of_character(self.rest()) {
                self.blank(length);
            } else {
                self.code.push(letter);
                self.at += letter.len_utf8();
            }
        }
        (self.code, self.literals)
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// Puts a blank for each of the next bytes; line ends stay.
    fn blank(&mut self, length: usize) {
        let blanks = self.text[self.at..self.at + length].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' });
        self.code.extend(blanks);
        self.at += length;
    }

    /// A text literal whose inside begins `opening` bytes on; its quotes stay in the code.
    fn literal(&mut self, opening: usize, closing: &str, escapes: bool) {
        let rest = self.rest();
        let inside = &rest[opening..];
        let mut end = inside.len();
        let mut skip = false;
        for (at, letter) in inside.char_indices() {
            if skip {
                skip = false;
            } else if escapes && letter == '\\' {
                skip = true;
            } else if inside[at..].starts_with(closing) {
                end = at;
                break;
            }
        }
        self.literals.push((self.at, inside[..end].to_owned()));
        self.code.push_str(&rest[..opening]);
        self.at += opening;
        self.blank(end);
        let closing = self.rest().len().min(closing.len());
        self.code.push_str(&self.rest()[..closing]);
        self.at += closing;
    }
}

fn length_of_block_comment(text: &str) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The number of `#` when a raw text literal begins here.
fn hashes_of_raw_literal(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("br").or_else(|| text.strip_prefix("cr")).or_else(|| text.strip_prefix('r'))?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    rest[hashes..].starts_with('"').then_some(hashes)
}

/// The length of a character literal when one begins here, not a lifetime.
fn length_of_character(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('\'')?;
    if inside.starts_with('\\') {
        return inside[2..].find('\'').map(|end| end + 4);
    }
    let letter = inside.chars().next()?;
    inside[letter.len_utf8()..].starts_with('\'').then_some(letter.len_utf8() + 2)
}

#[test]
fn comments_and_texts_are_no_code_and_places_stay() {
    let text = "let a = \"// \\\" {\"; // }\nlet b = '{'; /* { /* } */ */ let c: &'static str = r#\"a\"b\"#;\n";
    let file = RustFile::new("a.rs", text);
    assert_eq!(file.code.len(), text.len());
    assert_eq!(file.code.find("let c"), text.find("let c"));
    assert!(!file.code.contains(['{', '}']), "{}", file.code);
    assert_eq!(file.literals.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), ["// \\\" {", "a\"b"]);
}

#[test]
fn functions_are_measured_without_comments_and_tests_are_not_production() {
    let text =
        "trait A { fn none(&self); }\nfn two(a: [u8; 2]) {\n    // why\n\n}\n#[cfg(test)]\nmod tests {\n    fn a() {}\n}\n";
    let file = RustFile::new("a.rs", text);
    let found: Vec<_> = file.functions().into_iter().map(|function| (function.name, function.line, function.lines)).collect();
    assert_eq!(found, [("two".to_owned(), 2, 2), ("a".to_owned(), 8, 1)]);
    assert_eq!(file.production_lines(), 5);
    assert!(file.is_test(text.find("fn a").expect("it is there")));
}
