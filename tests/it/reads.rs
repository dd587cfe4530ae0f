//! What a template is said to look at is never too little: whatever value changes its result, the reads cover it.

use hooktable::expr::reads::{Reads, value_at};
use hooktable::expr::template::{Context, Engine, Purpose, Template};
use hooktable::model::event::EventDocument;
use serde_json::{Value as Json, json};

const TEMPLATES: &[&str] = &[
    "{{ body.a.b }}",
    "{{ body['a'].b }}",
    "{{ body['dotted.name'] }}",
    "{{ body['dotted.name'] }}-{{ body.a['b'] }}",
    "{{ body[event] }}",
    "{{ body[body.pick].b }}",
    "{{ body.lines[0].n }}",
    "{{ body.lines[body.index].n }}",
    "{{ body.lines[1:] }}",
    "{{ body.lines[body.index:][0].n }}",
    "{{ body.text[1:3] }}",
    "{{ body.lines | map(attribute='n') | join('-') }}",
    "{{ body.lines | selectattr('on') | list | length }}",
    "{{ body.lines | length }}",
    "{{ body | length }}",
    "{{ body.a | attr('b') }}",
    "{{ (body.a if body.flag else body.c) }}",
    "{{ body.nope or body.c }}",
    "{{ body.nope | default(body.c) }}",
    "{{ body.a is defined and body.flag }}",
    "{{ body.c in [body.d, body.text] }}",
    "{{ body.c not in body.text }}",
    "{{ {'k': body.c, body.text: 1} }}",
    "{{ dict(x=body.c).x }}",
    "{{ [body.c, body.d][body.index] }}",
    "{{ range(body.index) | list }}",
    "{{ words(body.text, 3) }}",
    "{{ body.text | replace(body.c, body.d) }}",
    "{% set o = body %}{{ o.c }}",
    "{% set o = body.a %}{% set p = o %}{{ p.b }}",
    "{% set body = body.a %}{{ body.b }}",
    "{% set a, b = [body.c, body.d] %}{{ a }}{{ b }}",
    "{% set x %}{{ body.c }}{% endset %}{{ x }}",
    "{% set x | upper %}{{ body.text }}{% endset %}{{ x }}",
    "{% if body.flag %}{% set body = {'c': 1} %}{% endif %}{{ body.c }}",
    "{% with body = body.a %}{{ body.b }}{% endwith %}{{ body.c }}",
    "{% for line in body.lines %}{{ line.n }}{% endfor %}",
    "{% for line in body.lines if line.on %}{{ loop.index }}{{ line.n }}{{ body.c }}{% endfor %}",
    "{% for body in body.lines %}{{ body.n }}{% endfor %}",
    "{% for x in body.empty %}{{ x }}{% else %}{{ body.c }}{% endfor %}",
    "{% for name, value in body.a | items %}{{ name }}={{ value }}{% endfor %}",
    "{% for name in body.a %}{{ name }}{{ body.a[name] }}{% endfor %}",
    "{% macro m(x, y=body.c) %}{{ x }}{{ y }}{{ body.d }}{% endmacro %}{{ m(body.text) }}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{{ body.c }}{% endcall %}",
    "{% filter replace('x', body.text) %}x{{ body.c }}{% endfilter %}",
    "{% set n = namespace(v=body.c) %}{% for l in body.lines %}{% set n.v = l.n %}{% endfor %}{{ n.v }}",
    "{% include 'part' %}",
    "{% for line in body.lines %}{% include 'line' %}{% endfor %}",
    "{% from 'macros' import m %}{{ m(body.a) }}",
    "{% import 'macros' as all %}{{ all.m(body.a) }}",
];

fn engine() -> Engine {
    let templates = [
        ("part", "{{ body.c }}{% include 'deeper' %}"),
        ("deeper", "{{ body.a.b }}"),
        ("line", "{{ line.n }}{{ body.text }}"),
        ("macros", "{% macro m(x) %}{{ x.b }}{{ body.d }}{% endmacro %}"),
    ];
    let mut sources = hooktable::config::source::Sources::default();
    let file = sources.add("templates", "");
    Engine::with_templates(templates.map(|(name, text)| (name.to_owned(), (file, text.to_owned()))))
}

fn whole() -> Json {
    json!({
        "event": "c",
        "body": {
            "a": { "b": "one", "z": "unseen" }, "dotted.name": "two", "dotted": { "name": "other" },
            "c": "b", "d": "d", "pick": "a", "index": 1, "flag": true, "text": "abc", "empty": [],
            "lines": [{ "n": 1, "on": true }, { "n": 2, "on": false }]
        }
    })
}

fn document(whole: &Json) -> EventDocument {
    let mut document = EventDocument::default();
    for (name, value) in whole.as_object().expect("an object") {
        document.set(name, value.clone());
    }
    document
}

/// Pointers to every value in a document, and what stands there instead when it is changed.
fn places(value: &Json, at: &str, found: &mut Vec<String>) {
    let fields: Vec<(String, &Json)> = match value {
        Json::Object(fields) => fields.iter().map(|(name, field)| (name.clone(), field)).collect(),
        Json::Array(items) => items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect(),
        _ => Vec::new(),
    };
    for (name, field) in fields {
        let place = format!("{at}/{name}");
        places(field, &place, found);
        found.push(place);
    }
}

#[test]
fn what_changes_the_result_is_read() {
    let engine = engine();
    let original = whole();
    let mut all = Vec::new();
    places(&original, "", &mut all);
    let mut felt = 0;
    for text in TEMPLATES {
        let template = Template::compile(text, &engine, Purpose::Text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let mut reads = Reads::default();
        template.add_reads(&engine, &mut reads);
        let result = |whole: &Json| template.evaluate(Context::from(&document(whole))).map_err(|error| error.message);
        let seen = |whole: &Json| {
            let document = document(whole);
            reads.places().map(|place| value_at(&document, place).cloned()).collect::<Vec<_>>()
        };
        let before = result(&original);
        assert!(before.is_ok(), "{text}: {before:?}");
        for place in &all {
            for other in [json!(null), json!("a"), json!(0), json!([]), json!({ "b": 7 }), json!([{ "n": 9 }])] {
                let mut changed = original.clone();
                *changed.pointer_mut(place).expect("a place") = other;
                if result(&changed) != before {
                    felt += 1;
                    assert_ne!(seen(&changed), seen(&original), "{text}: {place} changes the result and is not read");
                }
            }
        }
    }
    assert!(felt > 500, "only {felt} changes were felt");
}
