//! `write:` as it is written: the options of one write, and what is wrong with them by themselves.

use super::version::VersionOptions;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{FromYaml, Named, options, report_choice};
use crate::config::shape::{self, Shape};
use crate::config::source::{Span, Spanned};
use crate::config::yaml::Node;
use crate::expr::typed::LongForm;

options! {
    /// One write: which table, which row or rows, which values.
    pub struct WriteOptions {
        /// A new row in this table for every record.
        insert: Option<Spanned<String>>,
        /// The row of this table with this `key`: made or brought to these values.
        upsert: Option<Spanned<String>>,
        /// The row of this table with this `key`: brought to these values if it is there.
        update: Option<Spanned<String>>,
        /// The row of this table with this `key` goes.
        delete: Option<Spanned<String>>,
        /// The rows of this table `of` a parent become exactly this list.
        replace: Option<Spanned<String>>,
        /// The named database.
        into: Option<Spanned<String>> = "main",
        /// Whether it happens at all.
        when: Option<Node> as shape::condition,
        /// The columns that find the row.
        key: Named<Node> as LongForm::value_shape,
        /// The key that the row had before: it is moved first, and where both are, the old one goes. Missing, null or empty is no move.
        was: Named<Node> as LongForm::value_shape,
        /// The columns that say whose rows they are.
        of: Named<Node> as LongForm::value_shape,
        /// `{ name: list }`: once for each item, under that name.
        each: Named<Node>,
        /// `{ name: [columns] }`: columns from fields of the same name.
        copy: Named<Vec<Spanned<String>>>,
        /// The columns and their values.
        set: Named<Node> as LongForm::value_shape,
        /// What a missing value in `set` does: the column becomes NULL, keeps what it has, or the record fails.
        missing: Option<Missing> = "null",
        /// A column that is set to the moment of the delivery instead of deleting the row; an `upsert` or `replace` that has the row again clears it.
        soft: Option<Spanned<String>>,
        /// Which of two states is the newer one: an older one changes nothing, not even a row that is gone. Instead of the route's. `fetched`: the moment at which the fetch began that the values come from.
        version: Option<VersionOptions>,
        /// Whether rows carry no tenant.
        shared: Option<bool> = "false",
    }
}

/// What a value in `set` does when it is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Missing {
    /// The column becomes NULL.
    #[default]
    Null,
    /// The column keeps its value.
    Keep,
    /// The record fails.
    Fail,
}

const FIND_THE_ROW: &str = "name the columns that find the row: `key: { id: $.body.id }`";
const MISSING: &[&str] = &["keep", "fail", "null"];

impl FromYaml for Missing {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        match node.text() {
            Some("keep") => Some(Self::Keep),
            Some("fail") => Some(Self::Fail),
            Some("null" | "NULL") => Some(Self::Null),
            _ => {
                report_choice(MISSING, node, diagnostics);
                None
            }
        }
    }
    fn shape() -> Shape {
        Shape::Word(MISSING)
    }
}

fn refuse(written: Option<Span>, message: &str, hint: &str, diagnostics: &mut Diagnostics) {
    if let Some(span) = written {
        diagnostics.report(Diagnostic::error("misplaced-option", span, message).hint(hint));
    }
}

/// What a write does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// A new row.
    Insert,
    /// One row, made or changed.
    Upsert,
    /// One row, changed.
    Update,
    /// One row, taken away.
    Delete,
    /// The rows of a parent.
    Replace,
}

impl Verb {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Upsert => "upsert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Replace => "replace",
        }
    }
}

impl WriteOptions {
    /// The verb and the table. Reports when there is not exactly one.
    pub fn verb(&self, diagnostics: &mut Diagnostics) -> Option<(Verb, &Spanned<String>)> {
        let written = [
            (Verb::Insert, &self.insert),
            (Verb::Upsert, &self.upsert),
            (Verb::Update, &self.update),
            (Verb::Delete, &self.delete),
            (Verb::Replace, &self.replace),
        ];
        let mut written = written.into_iter().filter_map(|(verb, table)| Some((verb, table.as_ref()?)));
        match (written.next(), written.next()) {
            (None, _) => {
                diagnostics.report(
                    Diagnostic::error("missing-option", self.head, "a write needs a verb and a table; found neither")
                        .hint("say `insert: TABLE`, `upsert: TABLE`, `update: TABLE`, `delete: TABLE` or `replace: TABLE`"),
                );
                None
            }
            (Some((verb, one)), Some((other, two))) => {
                let message = format!("a write does one thing; found `{}` and `{}`", verb.name(), other.name());
                diagnostics.report(
                    Diagnostic::error("one-of", two.span, message)
                        .related(one.span, "the other one")
                        .hint("make two writes of it, each behind a dash"),
                );
                None
            }
            (first, None) => first,
        }
    }

    /// Reports options that the verb needs or cannot use.
    pub fn check(&self, verb: Verb, table: &Spanned<String>, diagnostics: &mut Diagnostics) {
        let mut needs = |written: bool, option: &str, why: &str| {
            if !written {
                let message = format!("`{}` needs `{option}`; found none", verb.name());
                diagnostics.report(Diagnostic::error("missing-option", table.span, message).hint(why.to_owned()));
            }
        };
        match verb {
            Verb::Insert => {}
            Verb::Upsert | Verb::Delete => needs(!self.key.is_empty(), "key", FIND_THE_ROW),
            Verb::Update => {
                needs(!self.key.is_empty(), "key", FIND_THE_ROW);
                let set = "name the columns that change: `set: { name: $.body.name }`";
                needs(!self.set.is_empty() || !self.copy.is_empty(), "set", set);
            }
            Verb::Replace => {
                needs(!self.of.is_empty(), "of", "name the columns that say whose rows they are: `of: { order_id: $.body.id }`");
                needs(!self.each.is_empty(), "each", "name the list that the rows come from: `each: { line: $.body.lines }`");
                let key = "name the columns that tell the rows of one parent apart: `key: { line_no: $.line.number }`";
                needs(!self.key.is_empty(), "key", key);
            }
        }
        self.check_deleting(verb, diagnostics);
        if let (Verb::Insert | Verb::Replace, Some(VersionOptions { column: Some(column), .. })) = (verb, &self.version) {
            let message = format!("a version kept in a column belongs to one row; `{}` finds none or several", verb.name());
            refuse(Some(column.span), &message, "leave out `column`; the version is kept beside the table then", diagnostics);
        }
        if verb == Verb::Insert {
            let hint = "move its columns to `set`, or use `upsert`";
            refuse(self.key.span, "an `insert` makes a new row and finds none, so it has no `key`", hint, diagnostics);
        }
        if verb != Verb::Replace {
            refuse(self.of.span, "`of` says whose rows a `replace` replaces; found it elsewhere", "use `key`", diagnostics);
        }
        if let [_, (second, _), ..] = self.each.entries.as_slice() {
            diagnostics.report(
                Diagnostic::error("too-many-names", second.span, "`each` takes one name and one list; found a second")
                    .hint("make two writes of it"),
            );
        }
        self.check_columns_once(diagnostics);
    }

    /// What has to do with rows that go, or move.
    fn check_deleting(&self, verb: Verb, diagnostics: &mut Diagnostics) {
        if verb == Verb::Delete {
            for span in [self.set.span, self.copy.span] {
                refuse(
                    span,
                    "a `delete` takes a row away, so there is nothing to set",
                    "use `update`, or `soft: COLUMN`",
                    diagnostics,
                );
            }
        }
        if !matches!(verb, Verb::Upsert | Verb::Delete | Verb::Replace) {
            let span = self.soft.as_ref().map(|soft| soft.span);
            refuse(
                span,
                "`soft` marks a row that an `upsert`, `replace` or `delete` would take away; found it elsewhere",
                "remove it",
                diagnostics,
            );
        }
        if verb != Verb::Upsert {
            let message = "`was` moves the row that an `upsert` then makes or changes; found it elsewhere";
            refuse(self.was.span, message, "remove it, or use `upsert`", diagnostics);
        }
        for (name, _) in &self.was.entries {
            if verb == Verb::Upsert && !self.key.entries.iter().any(|(known, _)| known.value == name.value) {
                let message = format!("`was` gives the old value of a column of `key`; `{}` is none", name.value);
                let known = self.key.entries.iter().map(|(known, _)| known.value.as_str());
                diagnostics.report(Diagnostic::error("misplaced-option", name.span, message).did_you_mean(
                    &name.value,
                    known,
                    name.span,
                ));
            }
        }
    }

    fn check_columns_once(&self, diagnostics: &mut Diagnostics) {
        let copied = self.copy.entries.iter().flat_map(|(_, columns)| columns);
        let named = self.of.entries.iter().chain(&self.key.entries).chain(&self.set.entries).map(|(name, _)| name);
        let named = named.chain(&self.soft);
        let mut seen: Vec<&Spanned<String>> = Vec::new();
        for column in named.chain(copied) {
            match seen.iter().find(|known| known.value == column.value) {
                Some(first) => diagnostics.report(
                    Diagnostic::error("duplicate-column", column.span, format!("the column `{}` is written twice", column.value))
                        .related(first.span, "first here")
                        .hint("keep one of the two; the columns of `of` and `key` are set without being told"),
                ),
                None => seen.push(column),
            }
        }
    }
}
