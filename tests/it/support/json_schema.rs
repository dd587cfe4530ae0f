//! A validator for as much of JSON Schema draft-07 as our schemas use. A keyword it does not know is a failure, so that the schemas
//! cannot say what nothing checks.

use serde_json::Value as Json;

/// What does not fit, each with its place; nothing when it fits.
pub(crate) fn problems(schema: &Json, value: &Json) -> Vec<String> {
    let mut problems = Vec::new();
    validate(schema, schema, value, "$", &mut problems);
    problems
}

fn fits(root: &Json, schema: &Json, value: &Json) -> bool {
    let mut problems = Vec::new();
    validate(root, schema, value, "", &mut problems);
    problems.is_empty()
}

fn validate(root: &Json, schema: &Json, value: &Json, at: &str, problems: &mut Vec<String>) {
    let Some(keywords) = schema.as_object() else { panic!("{schema} is no schema") };
    for (keyword, told) in keywords {
        let fine = match keyword.as_str() {
            "$schema" | "title" | "description" | "definitions" | "examples" | "then" | "default" => true,
            "$ref" => {
                let path = told.as_str().and_then(|path| path.strip_prefix('#')).expect("a place in the schema");
                let target = root.pointer(path).unwrap_or_else(|| panic!("{path} is not there"));
                validate(root, target, value, at, problems);
                true
            }
            "type" => types(told).any(|one| is_type(value, one)),
            "enum" => told.as_array().is_some_and(|values| values.contains(value)),
            "pattern" => value.as_str().is_none_or(|text| pattern(told).is_match(text)),
            "minimum" => value.as_f64().is_none_or(|number| number >= told.as_f64().expect("a number")),
            "required" => strings(told).all(|name| value.as_object().is_none_or(|fields| fields.contains_key(name))),
            "anyOf" => told.as_array().expect("a list").iter().any(|one| fits(root, one, value)),
            "allOf" => {
                told.as_array().expect("a list").iter().for_each(|one| validate(root, one, value, at, problems));
                true
            }
            "if" => {
                if fits(root, told, value) {
                    validate(root, &schema["then"], value, at, problems);
                }
                true
            }
            "items" => {
                let items = value.as_array().into_iter().flatten().enumerate();
                items.for_each(|(index, item)| validate(root, told, item, &format!("{at}[{index}]"), problems));
                true
            }
            "properties" => {
                for (name, inner) in told.as_object().expect("a map") {
                    if let Some(field) = value.get(name) {
                        validate(root, inner, field, &format!("{at}.{name}"), problems);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = |name: &String| schema["properties"].get(name).is_some();
                let others = value.as_object().into_iter().flatten().filter(|(name, _)| !known(name));
                for (name, field) in others {
                    match told {
                        Json::Bool(false) => problems.push(format!("{at}: `{name}` is not known")),
                        told => validate(root, told, field, &format!("{at}.{name}"), problems),
                    }
                }
                true
            }
            other => panic!("the validator does not know `{other}`"),
        };
        if !fine {
            problems.push(format!("{at}: {value} is not `{keyword}: {told}`"));
        }
    }
}

fn types(told: &Json) -> impl Iterator<Item = &str> {
    told.as_str().into_iter().chain(strings(told))
}

fn strings(told: &Json) -> impl Iterator<Item = &str> {
    told.as_array().into_iter().flatten().map(|name| name.as_str().expect("a text"))
}

fn pattern(told: &Json) -> regex::Regex {
    regex::Regex::new(told.as_str().expect("a text")).expect("a regular expression")
}

fn is_type(value: &Json, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        other => panic!("the validator does not know the type `{other}`"),
    }
}
