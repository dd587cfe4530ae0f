//! JSON as the template engine sees it, and back: lists and objects are looked into without a copy, numbers keep their digits.

use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value, ValueKind};
use serde_json::Value as Json;

use super::decimal::Decimal;

/// A list or object of the document, looked into without copying it.
struct Part {
    root: Arc<Json>,
    place: Vec<Step>,
}

/// One step into a JSON value.
#[derive(Clone)]
pub(crate) enum Step {
    Name(String),
    Index(usize),
}

impl Part {
    fn value(&self) -> &Json {
        self.place.iter().fold(self.root.as_ref(), |value, step| {
            match step {
                Step::Name(name) => value.get(name),
                Step::Index(index) => value.get(index),
            }
            .unwrap_or(&Json::Null)
        })
    }

    fn child(&self, step: Step, child: &Json) -> Value {
        let mut place = self.place.clone();
        place.push(step);
        lazily(&self.root, &place, child)
    }
}

impl std::fmt::Debug for Part {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.value())
    }
}

impl Object for Part {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.value().is_array() { ObjectRepr::Seq } else { ObjectRepr::Map }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match self.value() {
            Json::Object(fields) => {
                let name = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
                fields.get(&name).map(|child| self.child(Step::Name(name), child))
            }
            Json::Array(items) => {
                let index = usize::try_from(key.as_i64()?).ok()?;
                items.get(index).map(|child| self.child(Step::Index(index), child))
            }
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.value() {
            Json::Object(fields) => {
                let names: Vec<Value> = fields.keys().map(|name| Value::from(name.as_str())).collect();
                Enumerator::Iter(Box::new(names.into_iter()))
            }
            Json::Array(items) => Enumerator::Iter(Box::new((0..items.len()).map({
                let part = Arc::clone(self);
                move |index| part.value().get(index).map_or(Value::UNDEFINED, |child| part.child(Step::Index(index), child))
            }))),
            _ => Enumerator::Empty,
        }
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        match self.value() {
            Json::Object(fields) => Some(fields.len()),
            Json::Array(items) => Some(items.len()),
            _ => Some(0),
        }
    }

    fn render(self: &Arc<Self>, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.value())
    }
}

/// A place of a shared JSON value as the engine sees it; `value` is what stands there.
pub(crate) fn lazily(root: &Arc<Json>, place: &[Step], value: &Json) -> Value {
    match value {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::String(text) => Value::from(text.as_str()),
        Json::Number(number) => number_value(&number.to_string()),
        Json::Array(_) | Json::Object(_) => Value::from_object(Part { root: Arc::clone(root), place: place.to_vec() }),
    }
}

fn number_value(text: &str) -> Value {
    match text.parse::<i128>() {
        // `-0` would lose its sign as an integer; it is kept as it was sent
        Ok(number) if text != "-0" => i64::try_from(number).map_or_else(|_| Value::from(number), Value::from),
        _ => Value::from_object(Decimal(text.to_owned())),
    }
}

/// An expression's view of a JSON value.
pub(crate) fn from_json(value: &Json) -> Value {
    let root = Arc::new(value.clone());
    lazily(&root, &[], &root)
}

/// The JSON value of what an expression gave; `None` when it is missing.
pub(crate) fn to_json(value: &Value) -> Option<Json> {
    if let Some(decimal) = value.downcast_object_ref::<Decimal>() {
        return decimal.0.parse().ok().map(Json::Number);
    }
    if let Some(part) = value.downcast_object_ref::<Part>() {
        return Some(part.value().clone());
    }
    match value.kind() {
        ValueKind::Undefined => None,
        ValueKind::None => Some(Json::Null),
        ValueKind::Bool => Some(Json::Bool(value.is_true())),
        ValueKind::Number => value.to_string().parse().ok().map(Json::Number).or(Some(Json::Null)),
        ValueKind::Bytes => Some(Json::String(String::from_utf8_lossy(value.as_bytes().unwrap_or_default()).into_owned())),
        ValueKind::Seq | ValueKind::Iterable => {
            Some(Json::Array(value.try_iter().ok()?.map(|item| to_json(&item).unwrap_or(Json::Null)).collect()))
        }
        ValueKind::Map => {
            let fields = value.try_iter().ok()?.filter_map(|key| {
                let field = value.get_item(&key).ok()?;
                Some((key.to_string(), to_json(&field)?))
            });
            Some(Json::Object(fields.collect()))
        }
        _ => Some(Json::String(value.to_string())),
    }
}
