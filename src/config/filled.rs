//! A file with every default filled in, written as YAML again: what is written keeps its order of options, what goes without saying
//! is marked `# default`.

use super::shape::{Block, OptionShape, Shape};
use super::yaml::{Content, Node};

/// One option with what stands behind it.
pub struct Filled<'n> {
    /// Its name.
    pub name: String,
    /// What is written.
    pub value: Value<'n>,
    /// Said behind it.
    pub comment: Option<&'static str>,
}

/// What stands behind a name.
pub enum Value<'n> {
    /// What the author wrote, with its shape.
    Written(&'n Node, Shape),
    /// What goes without saying.
    Default(&'static str),
    /// More options.
    Options(Vec<Filled<'n>>),
    /// A list of maps of options, each with lines to be said before it.
    List(Vec<(Vec<String>, Vec<Filled<'n>>)>),
}

/// The options of a block: those that are written, and the defaults of the others. One that is `like` another has that one's
/// values in their place.
pub fn options<'n>(block: &Block, written: &dyn Fn(&str) -> Option<&'n Node>) -> Vec<Filled<'n>> {
    let is_like_another = written("like").is_some();
    let options = (block.options)().into_iter().filter_map(|option| filled(option, written));
    options.filter(|one| !is_like_another || matches!(one.value, Value::Written(..))).collect()
}

fn filled<'n>(option: OptionShape, written: &dyn Fn(&str) -> Option<&'n Node>) -> Option<Filled<'n>> {
    let name = option.name.to_owned();
    if let Some(node) = written(option.name) {
        return Some(Filled { name, value: Value::Written(node, option.shape), comment: None });
    }
    if let Some(default) = option.default {
        return Some(Filled { name, value: Value::Default(default), comment: Some("default") });
    }
    // a block that may be left out whole has the defaults of its options
    let Shape::Block(inner) = option.shape else { return None };
    let inner: Vec<OptionShape> = (inner.options)();
    let defaults: Vec<_> = inner.iter().filter_map(|one| Some((one.name, one.default?))).collect();
    if defaults.is_empty() || inner.iter().any(|one| one.required) {
        return None;
    }
    let defaults = defaults.into_iter().map(|(name, default)| Filled {
        name: name.to_owned(),
        value: Value::Default(default),
        comment: Some("default"),
    });
    Some(Filled { name, value: Value::Options(defaults.collect()), comment: None })
}

/// Options as YAML.
pub fn yaml(options: &[Filled<'_>]) -> String {
    let mut out = String::new();
    options.iter().for_each(|one| write(one, 0, &mut out));
    out
}

fn write(one: &Filled<'_>, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    let name = text(&one.name, false);
    let comment = one.comment.map(|comment| format!("   # {comment}")).unwrap_or_default();
    match &one.value {
        Value::Default(default) => out.push_str(&format!("{pad}{name}: {default}{comment}\n")),
        Value::Options(options) => {
            out.push_str(&format!("{pad}{name}:{comment}\n"));
            options.iter().for_each(|inner| write(inner, indent + 2, out));
        }
        Value::List(items) => {
            out.push_str(&format!("{pad}{name}:{comment}\n"));
            for (lines, options) in items {
                lines.iter().for_each(|line| out.push_str(&format!("{pad}  # {line}\n")));
                item(options, indent + 2, out);
            }
        }
        Value::Written(node, shape) => written(&name, node, shape, &comment, indent, out),
    }
}

/// One item of a list: its first option stands behind the dash.
fn item(options: &[Filled<'_>], indent: usize, out: &mut String) {
    let mut lines = String::new();
    options.iter().for_each(|inner| write(inner, indent + 2, &mut lines));
    lines.replace_range(indent..indent + 1, "-");
    out.push_str(&lines);
}

fn written(name: &str, node: &Node, shape: &Shape, comment: &str, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match (shape_for(node, shape), &node.content) {
        (Shape::Block(block) | Shape::LongForm(block), Content::Map(_)) => {
            out.push_str(&format!("{pad}{name}:{comment}\n"));
            options(block, &|name| node.get(name)).iter().for_each(|inner| write(inner, indent + 2, out));
        }
        (Shape::Named(inner), Content::Map(entries)) if entries.iter().any(|entry| is_block(&entry.value, inner)) => {
            out.push_str(&format!("{pad}{name}:{comment}\n"));
            for entry in entries {
                written(&text(&entry.name.value, false), &entry.value, inner, "", indent + 2, out);
            }
        }
        (Shape::List(inner), Content::List(items)) if items.iter().any(|item| is_block(item, inner)) => {
            out.push_str(&format!("{pad}{name}:{comment}\n"));
            for one in items {
                if let Shape::Block(block) = shape_for(one, inner) {
                    item(&options(block, &|name| one.get(name)), indent + 2, out);
                }
            }
        }
        // one item may stand without the dash
        (Shape::List(inner), Content::Map(_)) if is_block(node, inner) => written(name, node, inner, comment, indent, out),
        _ => out.push_str(&format!("{pad}{name}: {}{comment}\n", flow(node, false))),
    }
}

/// Of several shapes, the block that has all the names that are written.
fn shape_for<'s>(node: &Node, shape: &'s Shape) -> &'s Shape {
    let Shape::OneOf(shapes) = shape else { return shape };
    let names = || node.entries().into_iter().flatten().map(|entry| entry.name.value.as_str());
    let has_all = |shape: &&Shape| match shape {
        Shape::Block(block) => names().all(|name| (block.options)().iter().any(|option| option.name == name)),
        _ => false,
    };
    shapes.iter().find(has_all).filter(|_| node.entries().is_some()).unwrap_or(shape)
}

fn is_block(node: &Node, shape: &Shape) -> bool {
    match shape_for(node, shape) {
        Shape::Block(_) => node.entries().is_some(),
        Shape::LongForm(_) => node.get("from").is_some(),
        Shape::List(inner) => match &node.content {
            Content::List(items) => items.iter().any(|item| is_block(item, inner)),
            _ => is_block(node, inner),
        },
        _ => false,
    }
}

/// A value on one line.
fn flow(node: &Node, inside: bool) -> String {
    match &node.content {
        Content::List(items) => format!("[{}]", items.iter().map(|item| flow(item, true)).collect::<Vec<_>>().join(", ")),
        Content::Map(entries) if entries.is_empty() => "{}".to_owned(),
        Content::Map(entries) => {
            let fields = entries.iter().map(|entry| format!("{}: {}", text(&entry.name.value, true), flow(&entry.value, true)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        Content::Scalar(scalar) if scalar.plain && !scalar.text.is_empty() && !needs_quotes(&scalar.text, inside) => {
            scalar.text.clone()
        }
        Content::Scalar(_) if node.is_null() => "null".to_owned(),
        Content::Scalar(scalar) if scalar.plain => quoted(&scalar.text),
        Content::Scalar(scalar) => text(&scalar.text, inside),
    }
}

/// A text so that it is read as a text again.
fn text(text: &str, inside: bool) -> String {
    // without quotes it might be a number, a boolean or null
    let means_more = text.is_empty()
        || text.starts_with(|letter: char| letter.is_ascii_digit() || matches!(letter, '+' | '-' | '.' | '~'))
        || ["true", "false", "null"].contains(&text.to_ascii_lowercase().as_str());
    if means_more || needs_quotes(text, inside) { quoted(text) } else { text.to_owned() }
}

fn needs_quotes(text: &str, inside: bool) -> bool {
    text.starts_with(['&', '*', '!', '|', '>', '\'', '"', '%', '@', '`', '{', '[', '}', ']', ',', '#', '?', ' '])
        || text.starts_with("- ")
        || text == "-"
        || text.ends_with([':', ' '])
        || text.contains(": ")
        || text.contains(" #")
        || text.contains(|letter: char| letter.is_control())
        || (inside && text.contains(['{', '}', '[', ']', ',']))
}

fn quoted(text: &str) -> String {
    // JSON's quoting is YAML's
    serde_json::Value::from(text).to_string()
}
