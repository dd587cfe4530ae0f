//! SQL texts for one table, from its quoted name and its columns alone: equal columns give equal text, so that prepared statements
//! are used again. Values come as parameters, in the order each function names.

use super::dialect::{Dialect, PARAMETER, Slot};

/// The text of a statement, with what says where its parameters go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sql {
    /// The text.
    pub(super) text: String,
    /// For each parameter in the order of the text, the position of its value, from 0.
    pub(super) order: Vec<usize>,
}

impl Sql {
    /// A text that is written out, with its parameters in their order.
    pub(super) fn with_parameters(text: &str, count: usize) -> Self {
        Self { text: text.to_owned(), order: (0..count).collect() }
    }

    /// The values in the order that the dialect wants them in.
    pub(super) fn arrange<T: Clone>(&self, dialect: Dialect, values: Vec<T>) -> Vec<T> {
        match dialect {
            Dialect::Sqlite | Dialect::Postgres => values,
            Dialect::Mysql => self.order.iter().filter_map(|position| values.get(*position).cloned()).collect(),
        }
    }
}

/// A statement in the making.
struct Writer {
    dialect: Dialect,
    sql: Sql,
}

impl Writer {
    fn new(dialect: Dialect, start: &str) -> Self {
        Self { dialect, sql: Sql { text: start.to_owned(), order: Vec::new() } }
    }

    fn push(mut self, text: &str) -> Self {
        self.sql.text.push_str(text);
        self
    }

    /// What the dialect wrote, with the parameter at `position`.
    fn fragment(mut self, fragment: &str, position: usize) -> Self {
        for (index, part) in fragment.split(PARAMETER).enumerate() {
            if index > 0 {
                self.sql.text.push_str(&self.dialect.parameter(position + 1));
                self.sql.order.push(position);
            }
            self.sql.text.push_str(part);
        }
        self
    }

    fn joined(self, slots: &[Slot], offset: usize, between: &str, write: impl Fn(Dialect, &Slot) -> String) -> Self {
        let dialect = self.dialect;
        slots.iter().enumerate().fold(self, |writer, (index, slot)| {
            let writer = if index > 0 { writer.push(between) } else { writer };
            writer.fragment(&write(dialect, slot), offset + index)
        })
    }

    fn names(self, slots: &[Slot]) -> Self {
        self.joined(slots, 0, ", ", |dialect, slot| dialect.quote(&slot.name))
    }

    fn assignments(self, slots: &[Slot], offset: usize) -> Self {
        let assignment = |dialect: Dialect, slot: &Slot| format!("{} = {}", dialect.quote(&slot.name), dialect.value(slot));
        self.joined(slots, offset, ", ", assignment)
    }

    fn all_equal(self, slots: &[Slot], offset: usize) -> Self {
        self.conditions(slots, offset, Dialect::equal)
    }

    fn all_same(self, slots: &[Slot], offset: usize) -> Self {
        self.conditions(slots, offset, Dialect::same)
    }

    fn conditions(self, slots: &[Slot], offset: usize, write: fn(Dialect, &Slot) -> String) -> Self {
        if slots.is_empty() { self.push("1 = 1") } else { self.joined(slots, offset, " and ", write) }
    }
}

/// A row with these columns. Parameters: the columns.
pub(super) fn insert(dialect: Dialect, table: &str, columns: &[Slot]) -> Sql {
    insert_start(dialect, table, columns).sql
}

fn insert_start(dialect: Dialect, table: &str, columns: &[Slot]) -> Writer {
    let start = Writer::new(dialect, dialect.insert_into()).push(" ").push(table).push(" ");
    if columns.is_empty() {
        return start.push(dialect.default_values());
    }
    let into = start.push("(").names(columns).push(") values (");
    into.joined(columns, 0, ", ", Dialect::value).push(")")
}

/// A row with these columns, or these values for the row that a unique index on exactly `key` finds; a conflict with any
/// other index stays an error. Parameters: `key`, then `set`. Only where [`Dialect::names_conflict`].
pub(super) fn insert_or_update(dialect: Dialect, table: &str, key: &[Slot], set: &[Slot]) -> Sql {
    let insert = insert_start(dialect, table, &[key, set].concat());
    let conflict = insert.push(" on conflict (").names(key);
    match set {
        [] => conflict.push(") do nothing").sql,
        set => conflict.push(") do update set ").assignments(set, key.len()).sql,
    }
}

/// For each row that `key` finds, whether it has the values of `set` already. Parameters: `key`, then `set`.
pub(super) fn find_same(dialect: Dialect, table: &str, key: &[Slot], set: &[Slot]) -> Sql {
    let same = Writer::new(dialect, "select case when ").all_same(set, key.len()).push(" then 1 else 0 end from ").push(table);
    same.push(" where ").all_equal(key, 0).push(dialect.locking()).sql
}

/// New values for the rows that `key` finds and that have others. Parameters: `key`, then `set`.
pub(super) fn update_differing(dialect: Dialect, table: &str, key: &[Slot], set: &[Slot]) -> Sql {
    let update = Writer::new(dialect, dialect.update()).push(" ").push(table).push(" set ").assignments(set, key.len());
    update.push(" where ").all_equal(key, 0).push(" and not (").all_same(set, key.len()).push(")").sql
}

/// New values for the rows that `key` finds. Parameters: `key`, then `set`.
pub(super) fn update_found(dialect: Dialect, table: &str, key: &[Slot], set: &[Slot]) -> Sql {
    let update = Writer::new(dialect, dialect.update()).push(" ").push(table).push(" set ").assignments(set, key.len());
    update.push(" where ").all_equal(key, 0).sql
}

/// A mark for the rows that `key` finds and that have none. Parameters: `key`, then `mark`.
pub(super) fn mark_gone(dialect: Dialect, table: &str, key: &[Slot], mark: &[Slot]) -> Sql {
    let update = Writer::new(dialect, dialect.update()).push(" ").push(table).push(" set ").assignments(mark, key.len());
    let unmarked = mark.iter().map(|slot| format!(" and {} is null", dialect.quote(&slot.name))).collect::<String>();
    update.push(" where ").all_equal(key, 0).push(&unmarked).sql
}

/// New values for the rows of a parent with exactly this key. Parameters: `parent`, `key`, `set`.
pub(super) fn update_of(dialect: Dialect, table: &str, parent: &[Slot], key: &[Slot], set: &[Slot]) -> Sql {
    let update = Writer::new(dialect, dialect.update()).push(" ").push(table).push(" set ");
    let assigned = update.assignments(set, parent.len() + key.len()).push(" where ");
    assigned.all_equal(parent, 0).push(" and ").all_same(key, parent.len()).sql
}

/// The rows that `key` finds go. Parameters: `key`.
pub(super) fn delete(dialect: Dialect, table: &str, key: &[Slot]) -> Sql {
    Writer::new(dialect, "delete from ").push(table).push(" where ").all_equal(key, 0).sql
}

/// The rows of a parent with exactly this key go, NULLs in it included. Parameters: `parent`, `key`.
pub(super) fn delete_of(dialect: Dialect, table: &str, parent: &[Slot], key: &[Slot]) -> Sql {
    let delete = Writer::new(dialect, "delete from ").push(table).push(" where ").all_equal(parent, 0);
    delete.push(" and ").all_same(key, parent.len()).sql
}

/// These columns of the rows that `key` finds. Parameters: `key`.
pub(super) fn select(dialect: Dialect, table: &str, columns: &[Slot], key: &[Slot]) -> Sql {
    let select = match columns {
        [] => Writer::new(dialect, "select 1"),
        columns => Writer::new(dialect, "select ").joined(columns, 0, ", ", Dialect::read),
    };
    select.push(" from ").push(table).push(" where ").all_equal(key, 0).push(dialect.locking()).sql
}

/// These columns of all rows, ordered by others: by what these are, not by the texts that they are read as under the same names.
pub(super) fn select_all(dialect: Dialect, table: &str, columns: &[Slot], order: &[Slot]) -> Sql {
    let select = Writer::new(dialect, "select ").joined(columns, 0, ", ", Dialect::read).push(" from ").push(table).push(" as r");
    if order.is_empty() {
        return select.sql;
    }
    select.push(" order by ").joined(order, 0, ", ", |dialect, slot| format!("r.{}", dialect.quote(&slot.name))).sql
}
