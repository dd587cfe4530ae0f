//! A compiled write at work on one event document: which row operations it comes to, also when the thing is gone.

use serde_json::{Value as Json, json};

use super::map::{Column, Write};
use super::write_options::{Missing, Verb};
use crate::expr::template::Context;
use crate::expr::value::{Value, kind_of};
use crate::model::change::{Cell, Operation, Row, Version};
use crate::model::event::EventDocument;
use crate::model::failure::Failure;

/// An operation with the version of what it tells.
pub(super) type Versioned = (Operation, Option<Version>);

/// One write at work on one document.
pub(super) struct Mapping<'a> {
    /// The write.
    pub(super) write: &'a Write,
    /// Whose rows these are.
    pub(super) tenant: Option<&'a str>,
    /// When the delivery came, as the mark of a row that is gone.
    pub(super) received_at: Json,
}

impl Mapping<'_> {
    /// What a thing that is there comes to.
    pub(super) fn present(&self, document: &mut EventDocument) -> Result<Vec<Versioned>, Failure> {
        if self.write.verb == Verb::Replace {
            let of = self.found_by(&self.write.of, document, None, true)?;
            let rows = self.per_item(document, |mapping, document, item| {
                let mut set = mapping.values(document, item)?;
                set.extend(mapping.write.soft.iter().map(|column| mark(column, Json::Null)));
                Ok(Row { key: mapping.found_by(&mapping.write.key, document, item, false)?, set })
            })?;
            let soft = self.write.soft.as_ref().map(|column| mark(column, self.received_at.clone()));
            return Ok(vec![(Operation::Replace { of, rows, soft }, self.version(document)?)]);
        }
        let operations = self.per_item(document, |mapping, document, item| {
            let version = mapping.version(document)?;
            let key = || mapping.found_by(&mapping.write.key, document, item, true);
            let operations = match mapping.write.verb {
                Verb::Insert => vec![Operation::Insert { set: mapping.with_tenant(mapping.values(document, item)?)? }],
                Verb::Update => vec![Operation::Update { key: key()?, set: mapping.values(document, item)? }],
                Verb::Delete => vec![mapping.taken_away(key()?)],
                Verb::Upsert | Verb::Replace => {
                    let key = key()?;
                    let moved = mapping.old_key(document, item, &key)?.map(|from| Operation::Move { from, to: key.clone() });
                    let mut set = mapping.values(document, item)?;
                    set.extend(mapping.write.soft.iter().map(|column| mark(column, Json::Null)));
                    moved.into_iter().chain([Operation::Upsert { key, set }]).collect()
                }
            };
            Ok(operations.into_iter().map(|operation| (operation, version.clone())).collect::<Vec<_>>())
        })?;
        Ok(operations.into_iter().flatten().collect())
    }

    /// What is left to do when the thing no longer exists: nothing was fetched, so only what the delivery itself says can be used.
    pub(super) fn gone(&self, document: &mut EventDocument) -> Result<Vec<Versioned>, Failure> {
        match self.write.verb {
            Verb::Insert | Verb::Update => Ok(Vec::new()),
            Verb::Replace => {
                let key = self.found_by(&self.write.of, document, None, true)?;
                Ok(vec![(self.taken_away(key), self.version(document)?)])
            }
            Verb::Upsert | Verb::Delete => {
                let operations = self.per_item(document, |mapping, document, item| {
                    let key = mapping.found_by(&mapping.write.key, document, item, true);
                    // a thing that is gone may have only the key that it had
                    let old = mapping.old_key(document, item, key.as_deref().unwrap_or_default())?;
                    let own = match (key, &old) {
                        (Err(_), Some(_)) => None,
                        (key, _) => Some(key?),
                    };
                    let version = mapping.version(document)?;
                    let taken = old.into_iter().chain(own).map(|key| (mapping.taken_away(key), version.clone()));
                    Ok(taken.collect::<Vec<_>>())
                })?;
                Ok(operations.into_iter().flatten().collect())
            }
        }
    }

    fn version(&self, document: &EventDocument) -> Result<Option<Version>, Failure> {
        let place = || format!("{} `{}`", self.write.place, self.write.table.value);
        self.write.version.as_ref().map(|version| version.evaluate(document, &place())).transpose()
    }

    /// The row of a key goes, or is marked.
    fn taken_away(&self, key: Vec<Cell>) -> Operation {
        match &self.write.soft {
            Some(column) => Operation::SoftDelete { key, mark: mark(column, self.received_at.clone()) },
            None => Operation::Delete { key },
        }
    }

    /// The key that the row had, where it had another one. `was` may name some columns of the key; the others are what they are.
    fn old_key(&self, document: &EventDocument, item: Option<Item<'_>>, key: &[Cell]) -> Result<Option<Vec<Cell>>, Failure> {
        if self.write.was.is_empty() {
            return Ok(None);
        }
        let mut old = Vec::with_capacity(self.write.key.len());
        for column in &self.write.key {
            let was = self.write.was.iter().find(|was| was.name == column.name);
            let from = was.unwrap_or(column);
            let value = from.value.evaluate(Context::from(document)).map_err(|error| self.write.failure(&from.name, &error.0))?;
            match value {
                Some(value) if !value.is_null() && value != "" => old.push(cell(from, value, origin(from, item))),
                _ => return Ok(None),
            }
        }
        let old = self.with_tenant(old)?;
        let same = old.len() == key.len() && old.iter().zip(key).all(|(one, other)| one.value == other.value);
        Ok((!same).then_some(old))
    }

    /// Runs once, or once for each item under its name.
    fn per_item<T>(
        &self,
        document: &mut EventDocument,
        run: impl Fn(&Self, &EventDocument, Option<Item<'_>>) -> Result<T, Failure>,
    ) -> Result<Vec<T>, Failure> {
        let Some((name, list)) = &self.write.each else { return Ok(vec![run(self, document, None)?]) };
        let fail = |reason: &str| self.write.failure("each", reason);
        let items = match list.list(Context::from(&*document)).map_err(|error| fail(&error.0))? {
            Some(Json::Array(items)) => items,
            Some(other) => return Err(fail(&format!("`{}` is {}, not a list", list.origin(), kind_of(&other)))),
            None => return Err(fail(&format!("the list `{}` is missing; an empty one would be `[]`", list.origin()))),
        };
        let mut results = Vec::with_capacity(items.len());
        for (position, item) in items.into_iter().enumerate() {
            document.set(name, item);
            document.set("position", json!(position));
            results.push(run(self, document, Some(Item { name, list, position }))?);
        }
        document.remove(name);
        document.remove("position");
        Ok(results)
    }

    fn found_by(
        &self,
        columns: &[Column],
        document: &EventDocument,
        item: Option<Item<'_>>,
        with_tenant: bool,
    ) -> Result<Vec<Cell>, Failure> {
        let mut cells = Vec::with_capacity(columns.len() + 1);
        for column in columns {
            let origin = origin(column, item);
            match column.value.evaluate(Context::from(document)).map_err(|error| self.write.failure(&column.name, &error.0))? {
                Some(Json::Null) => {
                    return Err(self.write.failure(&column.name, &format!("`{origin}` is null; a row cannot be found by it")));
                }
                Some(value) => cells.push(cell(column, value, origin)),
                None => {
                    return Err(self.write.failure(&column.name, &format!("`{origin}` is missing; a row cannot be found by it")));
                }
            }
        }
        if with_tenant { self.with_tenant(cells) } else { Ok(cells) }
    }

    /// The cells with the tenant's before them. Without a tenant there is no row of a source that has one.
    fn with_tenant(&self, mut cells: Vec<Cell>) -> Result<Vec<Cell>, Failure> {
        if let Some(column) = &self.write.tenant_column {
            let Some(tenant) = self.tenant else {
                return Err(self.write.failure(column, "the delivery belongs to no tenant, and these rows need one"));
            };
            cells.insert(0, Cell { column: column.clone(), value: json!(tenant), declared: None, origin: "$.tenant".to_owned() });
        }
        Ok(cells)
    }

    fn values(&self, document: &EventDocument, item: Option<Item<'_>>) -> Result<Vec<Cell>, Failure> {
        let mut cells = Vec::with_capacity(self.write.set.len());
        for column in &self.write.set {
            let origin = origin(column, item);
            let value =
                column.value.evaluate(Context::from(document)).map_err(|error| self.write.failure(&column.name, &error.0))?;
            match (value, self.write.missing) {
                (Some(value), _) => cells.push(cell(column, value, origin)),
                (None, _) if column.value.required == Some(true) => {
                    return Err(self.write.failure(&column.name, &format!("`{origin}` is missing")));
                }
                (None, Missing::Keep) => {}
                (None, Missing::Fail) => return Err(self.write.failure(&column.name, &format!("`{origin}` is missing"))),
                (None, Missing::Null) => match self.absent_answer(column, document) {
                    Some(name) => {
                        return Err(self.write.failure(&column.name, &format!("there is no `{name}` to take `{origin}` from")));
                    }
                    None => cells.push(cell(column, Json::Null, origin)),
                },
            }
        }
        Ok(cells)
    }

    /// The call whose whole answer is absent, when that is why a value is missing: it must not become a row of NULLs.
    fn absent_answer<'c>(&self, column: &'c Column, document: &EventDocument) -> Option<&'c str> {
        let absent = |name: &&String| document.get(name).is_none_or(|answer| answer.is_null());
        column.answers.iter().find(absent).map(String::as_str)
    }
}

/// The current item of `each`.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// The list it is of.
    pub(super) list: &'a Value,
    /// Its position there, from 0.
    pub(super) position: usize,
}

fn cell(column: &Column, value: Json, origin: String) -> Cell {
    Cell { column: column.name.clone(), value, declared: column.value.declared, origin }
}

/// The cell of the column that marks rows as gone.
fn mark(column: &str, value: Json) -> Cell {
    Cell { column: column.to_owned(), value, declared: None, origin: "$.received_at".to_owned() }
}

/// Where a value comes from: `$.line.quantity` of the third item of `$.order.lines` is `$.order.lines[2].quantity`.
pub(super) fn origin(column: &Column, item: Option<Item<'_>>) -> String {
    let text = column.value.value.origin();
    let Some(item) = item else { return text };
    let (Some(list), Some(path)) = (item.list.as_path(), column.value.value.as_path()) else { return text };
    match path.first_name() {
        (name, range) if name == item.name => {
            let rest = &text[range.end..];
            let rest = rest.strip_prefix("']").or(rest.strip_prefix("\"]")).unwrap_or(rest);
            format!("{}[{}]{rest}", list.text(), item.position)
        }
        _ => text,
    }
}
