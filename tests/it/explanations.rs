//! Every code of a diagnostic is explained, and every explanation's example does what it says.

use std::collections::BTreeSet;

use hooktable::config::explain::{Explanation, all, codes};
use regex::Regex;

use crate::rust_source::RustFile;
use crate::support::project::Project;

/// The codes that production code reports, with the place of one.
fn reported() -> BTreeSet<(String, String)> {
    let call = Regex::new(r#"Diagnostic::(?:error|warning|without_place)\(\s*"([a-z0-9-]+)""#).expect("a pattern");
    let any = Regex::new(r"Diagnostic::(?:error|warning|without_place)\(").expect("a pattern");
    let mut found = BTreeSet::new();
    for file in RustFile::all_below("src") {
        let with_code: Vec<_> = call.captures_iter(&file.text).collect();
        let is_production = |at: usize| !file.is_test(at) && !file.path.contains("/tests/");
        for one in with_code.iter().filter(|one| is_production(one.get(0).expect("a match").start())) {
            found.insert((one[1].to_owned(), file.path.clone()));
        }
        for one in any.find_iter(&file.text).filter(|one| is_production(one.start())) {
            let literal = with_code.iter().any(|known| known.get(0).expect("a match").start() == one.start());
            assert!(literal, "{}:{}: write the code where the problem is reported", file.path, file.line(one.start()));
        }
    }
    found
}

#[test]
fn every_code_is_explained_and_every_explanation_has_a_code() {
    let (reported, explained) = (reported(), codes());
    let missing: Vec<_> = reported.iter().filter(|(code, _)| !explained.contains(&code.as_str())).collect();
    assert!(missing.is_empty(), "explain these in src/config/explain/: {missing:?}");
    let unused: Vec<_> = explained.iter().filter(|code| !reported.iter().any(|(known, _)| known == *code)).collect();
    assert!(unused.is_empty(), "nothing reports these any more: {unused:?}");
    assert_eq!(explained.iter().collect::<BTreeSet<_>>().len(), explained.len(), "a code is explained twice");
}

/// The files of an example by path, and what is run.
fn project_of(example: &str) -> (Project, Vec<String>) {
    let (mut path, mut text) = ("routes.d/example.yaml".to_owned(), String::new());
    let mut command: Vec<String> = vec!["test".into()];
    let mut files: Vec<(String, String)> = Vec::new();
    for line in example.lines() {
        if let Some(arguments) = line.strip_prefix("# file: hooktable ") {
            command = arguments.split(' ').map(str::to_owned).collect();
        } else if let Some(next) = line.strip_prefix("# file: ") {
            files.push((std::mem::replace(&mut path, next.to_owned()), std::mem::take(&mut text)));
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    files.push((path, text));
    let project = Project::new();
    for (path, text) in files.iter().filter(|(_, text)| !text.is_empty()) {
        let whole = project.path(path);
        std::fs::create_dir_all(whole.parent().expect("a folder")).expect("made");
        project.write(path, text);
    }
    (project, command)
}

/// The codes that `check` and `test` find in an example.
fn found_in(example: &str) -> BTreeSet<String> {
    let (project, command) = project_of(example);
    let mut found = BTreeSet::new();
    let test: Vec<&str> = command.iter().map(String::as_str).chain(["--format", "json"]).collect();
    let code = Regex::new(r"(?m)^error\[([a-z-]+)\]").expect("a pattern");
    for arguments in [&["check", "--format", "json"][..], &test] {
        let said = project.run(arguments);
        let report: serde_json::Value = serde_json::from_str(&said.data).unwrap_or_default();
        let lists = ["diagnostics", "problems"].into_iter().filter_map(|name| report[name].as_array());
        found.extend(lists.flatten().filter_map(|one| one["code"].as_str()).map(str::to_owned));
        // the settings are told as text
        found.extend(code.captures_iter(&said.notes).map(|one| one[1].to_owned()));
    }
    found
}

fn check(explanation: &Explanation) -> Result<(), String> {
    let Explanation { code, example, .. } = explanation;
    let Some((wrong, right)) = example else { return Ok(()) };
    let found = found_in(wrong);
    if !found.contains(*code) {
        return Err(format!("the wrong example of `{code}` produces {found:?}"));
    }
    match found_in(right) {
        found if found.is_empty() => Ok(()),
        found => Err(format!("the right example of `{code}` produces {found:?}")),
    }
}

#[test]
fn every_example_has_its_problem_and_the_mended_one_has_none() {
    let explanations: Vec<Explanation> = all().into_iter().flat_map(|group| group.explanations).collect();
    let complaints: Vec<String> = explanations.iter().filter_map(|one| check(one).err()).collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    let without = explanations.iter().filter(|one| one.example.is_none()).map(|one| one.code).collect::<Vec<_>>();
    let live = all().pop().map(|group| group.explanations).unwrap_or_default();
    let without: Vec<_> = without.into_iter().filter(|code| !live.iter().any(|one| one.code == *code)).collect();
    assert_eq!(without, ["too-many-values", "file-too-large", "unreadable-file"], "an example says more than words");
    assert!(explanations.iter().all(|one| ![one.means, one.why, one.fix].contains(&"")), "each says all three");
}
