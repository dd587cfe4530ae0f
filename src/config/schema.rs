//! The JSON Schema of a file, made from the shapes of its options. It is draft-07, the version that the YAML support of VS Code and of
//! JetBrains understands best.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::diagnostic::Diagnostics;
use super::shape::{Block, Form, Meaning, OptionShape, Shape};
use super::source::Sources;
use super::yaml::parse;

/// The schema of a file that is this block.
pub fn of(root: &Block, title: &str) -> Json {
    let mut definitions = BTreeMap::new();
    let mut schema = json!({ "$schema": "http://json-schema.org/draft-07/schema#", "title": title });
    merge(&mut schema, block(root, &mut definitions));
    schema["definitions"] = Json::Object(definitions.into_iter().collect());
    schema
}

fn block(block: &Block, definitions: &mut BTreeMap<String, Json>) -> Json {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for one in (block.options)() {
        if one.required {
            required.push(one.name);
        }
        properties.insert(one.name.to_owned(), option(&one, definitions));
    }
    let mut schema = json!({
        "type": "object",
        "description": block.doc.trim(),
        "additionalProperties": false,
        "properties": properties,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn option(option: &OptionShape, definitions: &mut BTreeMap<String, Json>) -> Json {
    let mut schema = json!({ "description": option.doc.trim() });
    if let Some(default) = option.default {
        schema["default"] = json_of(default);
    }
    let inner = of_shape(&option.shape, definitions);
    // draft-07 passes over whatever stands beside a reference
    if inner.get("$ref").is_some() {
        schema["allOf"] = json!([inner]);
    } else {
        merge(&mut schema, inner);
    }
    schema
}

fn of_shape(shape: &Shape, definitions: &mut BTreeMap<String, Json>) -> Json {
    match shape {
        Shape::Text => json!({ "type": ["string", "number", "boolean"] }),
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::WholeNumber => json!({ "type": "integer", "minimum": 0 }),
        Shape::Form(form) => of_form(form),
        Shape::Word(words) => {
            let words = words.iter().map(|word| json!(word));
            // unquoted, the word `null` is no text
            let null = shape_has_null(shape).then_some(Json::Null);
            json!({ "enum": words.chain(null).collect::<Vec<_>>() })
        }
        Shape::Free(meaning) => of_meaning(*meaning),
        Shape::List(item) => {
            let item = of_shape(item, definitions);
            json!({ "anyOf": [item, { "type": "array", "items": item }] })
        }
        Shape::Named(value) => json!({ "type": "object", "additionalProperties": of_shape(value, definitions) }),
        Shape::Block(inner) => reference(inner, definitions),
        Shape::LongForm(long) => {
            json!({ "if": { "type": "object", "required": ["from"] }, "then": reference(long, definitions) })
        }
        Shape::OneOf(shapes) => {
            let shapes: Vec<_> = shapes.iter().map(|shape| of_shape(shape, definitions)).collect();
            json!({ "anyOf": shapes })
        }
    }
}

fn shape_has_null(shape: &Shape) -> bool {
    matches!(shape, Shape::Word(words) if words.contains(&"null"))
}

fn of_form(form: &Form) -> Json {
    let types = if form.numbers { json!(["string", "number", "boolean"]) } else { json!("string") };
    json!({ "type": types, "pattern": form.pattern, "examples": form.examples })
}

fn of_meaning(meaning: Meaning) -> Json {
    match meaning {
        Meaning::Value | Meaning::Json => json!({}),
        Meaning::TextValue | Meaning::Condition => json!({ "type": ["string", "number", "boolean"] }),
        Meaning::Path => json!({ "type": "string", "pattern": "^\\$" }),
        Meaning::Row => json!({ "type": "object" }),
    }
}

fn reference(inner: &Block, definitions: &mut BTreeMap<String, Json>) -> Json {
    let name = inner.name();
    if !definitions.contains_key(&name) {
        // taken before it is filled, as a block may hold itself
        definitions.insert(name.clone(), Json::Null);
        let schema = block(inner, definitions);
        definitions.insert(name.clone(), schema);
    }
    json!({ "$ref": format!("#/definitions/{name}") })
}

fn merge(into: &mut Json, from: Json) {
    if let (Json::Object(into), Json::Object(from)) = (into, from) {
        into.extend(from);
    }
}

/// A default, which is written as it would be in a file.
fn json_of(written: &str) -> Json {
    let mut texts = Sources::default();
    let file = texts.add("default", written);
    let node = parse(&texts, file, &mut Diagnostics::default());
    node.map_or_else(|| json!(written), |node| node.to_json())
}
