//! `hooktable check --explain`: what the code of a problem means, why it matters and how it is mended.

use anyhow::bail;
use serde_json::json;

use super::output;
use super::run::Exit;
use crate::config::diagnostic::closest;
use crate::config::explain::{self, Explanation};

/// Prints the explanation of a code; of none, all codes.
pub(super) fn print(code: &str, as_json: bool) -> anyhow::Result<Exit> {
    if code.is_empty() {
        return print_all(as_json);
    }
    // as it is copied from a message: `error[unknown-option]`
    let bare = code.trim_end_matches([']', ':']).rsplit('[').next().unwrap_or(code);
    let Some(explanation) = explain::find(bare) else {
        match closest(bare, explain::codes()) {
            Some(near) => bail!("there is no code `{bare}`\nhint: did you mean `{near}`?"),
            None => bail!("there is no code `{bare}`\nhint: `hooktable check --explain` lists them"),
        }
    };
    if as_json {
        output::json(&object(&explanation))?;
    } else {
        output::data(&text(&explanation));
    }
    Ok(Exit::Fine)
}

fn print_all(as_json: bool) -> anyhow::Result<Exit> {
    let groups = explain::all();
    if as_json {
        let all: Vec<_> = groups.iter().flat_map(|group| &group.explanations).map(object).collect();
        output::json(&all)?;
        return Ok(Exit::Fine);
    }
    for group in &groups {
        output::data(&format!("{}\n", group.title));
        let rows = group.explanations.iter().map(|one| [format!("  {}", one.code), first_sentence(one.means)]);
        output::data(&without_headings(&output::table_text(["", ""], rows)));
    }
    Ok(Exit::Fine)
}

fn without_headings(table: &str) -> String {
    table.lines().skip(1).collect::<Vec<_>>().join("\n") + "\n"
}

fn first_sentence(text: &str) -> String {
    text.split_once(". ").map_or_else(|| text.trim_end_matches('.').to_owned(), |(first, _)| first.to_owned())
}

fn text(explanation: &Explanation) -> String {
    let Explanation { code, means, why, fix, example } = explanation;
    let mut text = format!("{code}\n\n{means}\n\nwhy it matters: {why}\n\nthe fix: {fix}");
    if let Some((wrong, right)) = example {
        text.push_str(&format!("\n\nwrong:\n\n{}\n\nright:\n\n{}", indented(wrong), indented(right)));
    }
    text
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn object(explanation: &Explanation) -> serde_json::Value {
    let Explanation { code, means, why, fix, example } = explanation;
    json!({ "code": code, "means": means, "why": why, "fix": fix, "wrong": example.map(|one| one.0), "right": example.map(|one| one.1) })
}
