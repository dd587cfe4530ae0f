//! Templates that others include: part of the version that uses them, checked where they stand.

use std::collections::BTreeMap;
use std::fs;

use hooktable::config::render;
use hooktable::expr::template::Engine;
use hooktable::model::event::EventDocument;
use hooktable::routes::compile::World;
use hooktable::routes::folder::Folder;
use hooktable::routes::load::{Loaded, TemplateText, Texts, load};
use hooktable::steps::map::Destination;

use crate::documentation::AllSet;

const SOURCE: &str = r#"
auth: { none: "an example" }
extract:
  lines: $.body.lines
write:
  insert: log
  set:
    text: "{% for line in lines %}{% include 'mail/line.txt' %}{% endfor %}"
    plain: "{{ body.x }}"
"#;

fn loaded(texts: &Texts) -> Loaded {
    let world = World {
        destinations: &[Destination { name: "main".into(), tenant_column: "tenant".into() }],
        secrets: &AllSet,
        engine: &Engine::default(),
        files: &|_| Err("is not read here".into()),
    };
    load(texts, world, &[])
}

fn texts(source: &str, templates: &[(&str, &str)]) -> Texts {
    let template = |(name, text): &(&str, &str)| {
        ((*name).to_owned(), TemplateText { path: format!("templates/{name}"), text: (*text).to_owned() })
    };
    Texts {
        routes: BTreeMap::from([("routes.d/log.yaml".to_owned(), source.to_owned())]),
        templates: templates.iter().map(template).collect(),
        ..Texts::default()
    }
}

fn problems(source: &str, templates: &[(&str, &str)]) -> String {
    let loaded = loaded(&texts(source, templates));
    render::text(&loaded.diagnostics, &loaded.texts, false)
}

fn first_text(loaded: &Loaded, body: &str) -> Result<String, String> {
    let source = loaded.files[0].source.as_ref().expect("compiles");
    let mut document = EventDocument::default();
    document.set("body", serde_json::from_str::<serde_json::Value>(body).expect("json"));
    let lines = document.get("body").expect("body")["lines"].clone();
    document.set("lines", lines);
    let write = &source.admission.routes[0].pipeline.writes[0];
    let changes = write.changes(&mut document, false, None).map_err(|failure| failure.reason)?;
    Ok(format!("{:?}", changes[0].operation))
}

#[test]
fn a_template_is_part_of_the_version_that_includes_it() {
    let templates =
        [("mail/line.txt", "{% include 'unit.txt' %}"), ("unit.txt", "{{ line.n }} {{ body.unit }};"), ("other", "{{")];
    let first = loaded(&texts(SOURCE, &templates));
    assert!(first.diagnostics.is_empty(), "{}", render::text(&first.diagnostics, &first.texts, false));
    let source = first.files[0].source.as_ref().expect("compiles");
    let files: Vec<&str> = source.bundle.files.keys().map(String::as_str).collect();
    assert_eq!(files, ["routes.d/log.yaml", "templates/mail/line.txt", "templates/unit.txt"]);
    let text = first_text(&first, r#"{"lines":[{"n":1.50},{"n":2}],"unit":"pcs","x":1}"#).expect("text");
    assert!(text.contains("1.50 pcs;2 pcs;"), "{text}");
    assert!(source.admission.routes[0].reads.places().any(|place| place == ["body", "unit"]), "an included name is read");

    let changed = [("mail/line.txt", "{% include 'unit.txt' %}"), ("unit.txt", "{{ line.n }}!{{ body.unit }}"), ("other", "{{")];
    let second = loaded(&texts(SOURCE, &changed));
    assert_ne!(second.files[0].source.as_ref().expect("compiles").bundle_hash, source.bundle_hash);

    let stored = Texts::of_bundle(&source.bundle);
    let again = loaded(&stored);
    assert_eq!(again.files[0].source.as_ref().expect("compiles").bundle_hash, source.bundle_hash);
}

#[test]
fn a_hole_inside_an_included_template_is_named_with_its_place() {
    let loaded = loaded(&texts(SOURCE, &[("mail/line.txt", "\n{{ line.n }}")]));
    let reason = first_text(&loaded, r#"{"lines":[{}],"x":1}"#).expect_err("a hole");
    assert!(reason.contains("`line.n` is missing (in the template `mail/line.txt`, line 2)"), "{reason}");
}

#[test]
fn problems_stand_in_the_file_that_has_them() {
    for (template, at, message) in [
        ("a\n{{ lne.n }}", "templates/mail/line.txt:2:4", "the event document has no `lne` here"),
        ("{{ line.n | uper }}", "templates/mail/line.txt:1:13", "there is no filter `uper`"),
        ("{{ line.n ~ 1 }}", "templates/mail/line.txt:1:11", "`~` would write a missing value as nothing"),
        ("{{ line.n", "templates/mail/line.txt:1:1", "this `{{` is never closed"),
        ("{{ secret.key }}", "templates/mail/line.txt:1:11", "a secret may not stand in a column"),
        ("{% include 'nope' %}", "templates/mail/line.txt:1:12", "there is no template `nope`"),
        ("{% include body.x %}", "templates/mail/line.txt:1:12", "must be written out"),
        ("{% extends 'mail/line.txt' %}", "templates/mail/line.txt:1:", "templates do not extend one another"),
    ] {
        let problems = problems(SOURCE, &[("mail/line.txt", template)]);
        assert!(problems.contains(at) && problems.contains(message), "{template}:\n{problems}");
    }
    let missing = problems(SOURCE, &[("mail/lines.txt", "")]);
    assert!(missing.contains("routes.d/log.yaml:8:") && missing.contains("did you mean `mail/lines.txt`?"), "{missing}");
}

#[test]
fn macros_can_be_imported() {
    let source = SOURCE.replace(
        "\"{% for line in lines %}{% include 'mail/line.txt' %}{% endfor %}\"",
        "\"{% import 'macros' as m %}{% from 'macros' import loud as l %}{{ m.loud(body.x) }}{{ l(body.y) }}\"",
    );
    let loaded = loaded(&texts(&source, &[("macros", "{% macro loud(word) %}{{ word | upper }}!{% endmacro %}")]));
    assert!(loaded.diagnostics.is_empty(), "{}", render::text(&loaded.diagnostics, &loaded.texts, false));
    let text = first_text(&loaded, r#"{"lines":[],"x":"ho","y":"hey"}"#).expect("text");
    assert!(text.contains("HO!HEY!"), "{text}");
}

#[test]
fn the_folder_of_templates_is_read_with_the_folder_of_routes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (routes, templates) = (folder.path().join("routes.d"), folder.path().join("templates"));
    fs::create_dir_all(templates.join("mail")).expect("folders");
    fs::create_dir_all(&routes).expect("folders");
    fs::write(routes.join("log.yaml"), SOURCE).expect("a file");
    let read = Folder::new(&routes).with_templates(&templates);
    let before = read.fingerprint().expect("a fingerprint");
    fs::write(templates.join("mail/line.txt"), "{{ line.n }}").expect("a file");
    fs::write(templates.join(".hidden"), "{{").expect("a file");
    assert_ne!(read.fingerprint().expect("a fingerprint"), before);
    let texts = read.read().expect("texts");
    assert_eq!(texts.templates.keys().collect::<Vec<_>>(), ["mail/line.txt"]);
    assert!(loaded(&texts).diagnostics.is_empty());
    assert!(Folder::new(&routes).with_templates(folder.path().join("nope")).read().expect("texts").templates.is_empty());
}
