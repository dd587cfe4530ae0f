//! The long form of a value, `{ from, as, … }`: what may stand for a column or an extracted name, converted and defaulted.

use jiff::tz::TimeZone;
use serde_json::Value as Json;

use super::convert::{Reading, TimeUnit, convert};
use super::reads::Reads;
use super::template::{Context, Engine};
use super::translation::Translation;
use super::value::{Compiler, Value, ValueError};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{FromYaml, options, report_choice};
use crate::config::shape::{self, Shape};
use crate::config::source::{Span, Spanned};
use crate::config::yaml::Node;
use crate::model::change::ValueType;

options! {
    /// The long form of a value: where it comes from and what it is to be.
    pub struct LongForm {
        /// The value.
        from: Node,
        /// What it is to be: text, integer, decimal, boolean, date, time, timestamp, uuid, json, bytes.
        r#as: Option<Spanned<ValueType>>,
        /// What a number that stands for a moment counts: `s` or `ms`.
        unit: Option<Spanned<TimeUnit>>,
        /// The time zone of a local time: an IANA name, or a path to one.
        zone: Option<Node> as shape::text_value,
        /// What it is when it is missing.
        default: Option<Node>,
        /// Whether its absence is a failure; `true` in `extract`.
        required: Option<bool>,
        /// What each value is translated to, compared as text, before `as`: `{ 0: requested, 1: approved }`.
        map: Option<Node>,
        /// What a value becomes that `map` does not have.
        r#else: Option<Node>,
    }
}

impl LongForm {
    /// A value in its short or long form.
    pub fn value_shape() -> Shape {
        Shape::LongForm(Self::block())
    }
}

const TYPES: &[&str] = &["text", "integer", "decimal", "boolean", "date", "time", "timestamp", "uuid", "json", "bytes"];
const UNITS: &[&str] = &["s", "ms"];

impl FromYaml for ValueType {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let known = node.text().and_then(|text| serde_json::from_value(Json::String(text.to_owned())).ok());
        if known.is_none() {
            report_choice(TYPES, node, diagnostics);
        }
        known
    }
    fn shape() -> Shape {
        Shape::Word(TYPES)
    }
}

impl FromYaml for TimeUnit {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        match node.text() {
            Some("s") => Some(Self::Seconds),
            Some("ms") => Some(Self::Milliseconds),
            _ => {
                report_choice(UNITS, node, diagnostics);
                None
            }
        }
    }
    fn shape() -> Shape {
        Shape::Word(UNITS)
    }
}

/// A value with what it is to be: what stands for a column or an extracted name.
#[derive(Clone, Debug)]
pub struct Typed {
    /// Where it comes from.
    pub value: Value,
    /// What it is to be; without it the target column decides.
    pub declared: Option<ValueType>,
    /// Whether its absence is a failure, when the file says so.
    pub required: Option<bool>,
    unit: Option<TimeUnit>,
    zone: Option<Value>,
    default: Option<Value>,
    translation: Option<Translation>,
    /// Where it stands.
    pub span: Span,
}

/// Reports a zone that is never asked for, and one that there is not.
fn check_zone(options: &LongForm, diagnostics: &mut Diagnostics) {
    let Some(zone) = &options.zone else { return };
    if options.r#as.as_ref().is_none_or(|to| to.value != ValueType::Timestamp) {
        let message = "`zone` says whose clocks show a local time, and this is no `as: timestamp`";
        diagnostics.report(
            Diagnostic::error("zone-without-timestamp", zone.span, message).hint("write `as: timestamp`, or remove `zone`"),
        );
    }
    let literal = zone.text().filter(|text| !text.starts_with('$') && !text.contains("{{") && !text.contains("{%"));
    if let Some(name) = literal.filter(|name| TimeZone::get(name).is_err()) {
        let message = format!("expected an IANA time zone; found `{name}`");
        diagnostics.report(Diagnostic::error("unknown-zone", zone.span, message).hint("such as `Europe/Copenhagen` or `UTC`"));
    }
}

impl Typed {
    /// A value in its short form.
    pub fn of(value: Value, span: Span) -> Self {
        Self { value, declared: None, required: None, unit: None, zone: None, default: None, translation: None, span }
    }

    /// Compiles a value in its short or long form.
    pub fn compile(node: &Node, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
        if node.get("from").is_none() {
            let value = Value::compile(node, compiler, diagnostics)?;
            return Some(Self::of(value, node.span));
        }
        let options = LongForm::from_yaml(node, diagnostics)?;
        if let Some(unit) = &options.unit
            && options.r#as.as_ref().is_none_or(|to| to.value != ValueType::Timestamp)
        {
            let message = "`unit` says what a moment counts, and this is no `as: timestamp`";
            diagnostics.report(
                Diagnostic::error("unit-without-timestamp", unit.span, message).hint("write `as: timestamp`, or remove `unit`"),
            );
        }
        check_zone(&options, diagnostics);
        let value = Value::compile(&options.from, compiler, diagnostics);
        let zone = options.zone.as_ref().map(|zone| Value::compile(zone, compiler, diagnostics));
        let default = options.default.as_ref().map(|default| Value::compile(default, compiler, diagnostics));
        let translation = Translation::compile(options.map.as_ref(), options.r#else.as_ref(), compiler, diagnostics);
        Some(Self {
            value: value?,
            declared: options.r#as.map(|to| to.value),
            required: options.required,
            unit: options.unit.map(|unit| unit.value),
            zone: zone.map_or(Some(None), |zone| zone.map(Some))?,
            default: default.map_or(Some(None), |default| default.map(Some))?,
            translation: translation?,
            span: node.span,
        })
    }

    /// Whether two values stay two: nothing is translated, and of nothing a part is cut.
    pub fn keeps_apart(&self) -> bool {
        let cuts = matches!(self.declared, Some(ValueType::Boolean | ValueType::Date | ValueType::Time));
        self.translation.is_none() && !cuts
    }

    /// The value, translated and converted; `None` when it is missing and has no default, which is not translated.
    pub fn evaluate(&self, context: Context<'_>) -> Result<Option<Json>, ValueError> {
        let value = match (self.value.evaluate(context)?, &self.default) {
            (None, Some(default)) => default.evaluate(context)?,
            (Some(value), _) => match &self.translation {
                Some(translation) => translation.translate(&value, &self.value.origin(), context)?,
                None => Some(value),
            },
            (None, None) => None,
        };
        let (Some(value), Some(to)) = (&value, self.declared) else { return Ok(value) };
        let zone = self.zone.as_ref().map(|zone| zone.text(context)).transpose()?;
        let reading = Reading { unit: self.unit, zone };
        convert(value, to, &reading).map(Some).map_err(|problem| ValueError(format!("`{}`: {problem}", self.value.origin())))
    }

    /// Adds the places of the event document that it looks at.
    pub fn add_reads(&self, engine: &Engine, reads: &mut Reads) {
        for value in [Some(&self.value), self.zone.as_ref(), self.default.as_ref()].into_iter().flatten() {
            value.add_reads(engine, reads);
        }
        self.translation.iter().for_each(|translation| translation.add_reads(engine, reads));
    }
}
