//! What each code of a diagnostic means, why it matters and how it is mended, with an example that has the problem and one that
//! does not. The texts are the pages beside this file; tests run every example.

/// The pages, each a group of codes.
const PAGES: [&str; 7] = [
    include_str!("yaml.md"),
    include_str!("options.md"),
    include_str!("values.md"),
    include_str!("signatures.md"),
    include_str!("work.md"),
    include_str!("folder.md"),
    include_str!("tables.md"),
];

/// A group of codes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// What its codes are about.
    pub title: &'static str,
    /// Its codes, in the order of the page.
    pub explanations: Vec<Explanation>,
}

/// What one code means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// The code, as in `error[unknown-option]`.
    pub code: &'static str,
    /// What was found.
    pub means: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// How it is mended.
    pub fix: &'static str,
    /// A file that has the problem and the same one mended; none where a file cannot show it in a few lines. A line `# file: PATH`
    /// begins another file.
    pub example: Option<(&'static str, &'static str)>,
}

/// All explanations, by group.
pub fn all() -> Vec<Group> {
    PAGES.iter().map(|page| group(page)).collect()
}

/// The explanation of a code.
pub fn find(code: &str) -> Option<Explanation> {
    all().into_iter().flat_map(|group| group.explanations).find(|one| one.code == code)
}

/// All codes.
pub fn codes() -> Vec<&'static str> {
    all().into_iter().flat_map(|group| group.explanations).map(|one| one.code).collect()
}

fn group(page: &'static str) -> Group {
    let (head, sections) = page.split_once("\n## ").unwrap_or((page, ""));
    let title = head.trim_start_matches('#').trim();
    Group { title, explanations: sections.split("\n## ").map(explanation).collect() }
}

fn explanation(section: &'static str) -> Explanation {
    let (code, rest) = section.split_once('\n').unwrap_or((section, ""));
    let (words, examples) = rest.split_once("```yaml wrong\n").unwrap_or((rest, ""));
    let (means, rest) = words.split_once("\n\nWhy: ").unwrap_or((words, ""));
    let (why, fix) = rest.split_once("\n\nFix: ").unwrap_or((rest, ""));
    let example = examples.split_once("```\n\n```yaml right\n");
    let example = example.map(|(wrong, right)| (wrong, right.trim_end().strip_suffix("```").unwrap_or(right)));
    Explanation { code: code.trim(), means: means.trim(), why: why.trim(), fix: fix.trim(), example }
}
