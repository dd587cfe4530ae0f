//! What may be written, as data: the shape of every option, from which the JSON Schema, the reference and `explain` are made, so
//! that none of them can tell another story than the reader of the files.

/// What may stand somewhere.
#[derive(Clone, Debug)]
pub enum Shape {
    /// Any scalar but null, as its text.
    Text,
    /// `true` or `false`.
    Boolean,
    /// A whole number, not negative.
    WholeNumber,
    /// A scalar with a form of its own.
    Form(Form),
    /// One of these words.
    Word(&'static [&'static str]),
    /// Something that a later step looks at.
    Free(Meaning),
    /// One of them, or a list.
    List(Box<Shape>),
    /// Names of the author's own, each with one of them.
    Named(Box<Shape>),
    /// A map of options.
    Block(Block),
    /// A value, or its long form: the block, known by `from`.
    LongForm(Block),
    /// One of several shapes.
    OneOf(Vec<Shape>),
}

/// What is read of something that the option reader leaves as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meaning {
    /// A value by the rule of values: a path, a template, or itself.
    Value,
    /// A value that comes out as one text or number.
    TextValue,
    /// A path of the event document.
    Path,
    /// A bare expression.
    Condition,
    /// Anything, as it is.
    Json,
    /// A row: columns with their values, as they are.
    Row,
}

/// The form of a scalar.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// What it is: `a duration`.
    pub words: &'static str,
    /// A regular expression that all its texts match and little else.
    pub pattern: &'static str,
    /// Whether a bare number may stand for it.
    pub numbers: bool,
    /// Some of its texts.
    pub examples: &'static [&'static str],
}

/// A map of options.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// The path of its type.
    pub id: &'static str,
    /// What it is.
    pub doc: &'static str,
    /// Its options; a function, as a block may hold itself.
    pub options: fn() -> Vec<OptionShape>,
}

/// One option.
#[derive(Clone, Debug)]
pub struct OptionShape {
    /// As it is written.
    pub name: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// What may stand behind it.
    pub shape: Shape,
    /// Whether it must be there.
    pub required: bool,
    /// What it is when it is not there, as it would be written.
    pub default: Option<&'static str>,
}

impl Block {
    /// A short name: `write` of `hooktable::steps::write_options::WriteOptions`, `token` of `hooktable::auth::token::Options`.
    pub fn name(&self) -> String {
        let mut parts = self.id.rsplit("::");
        let last = parts.next().unwrap_or_default();
        let own = last.strip_suffix("Options").unwrap_or(last);
        let own = if own.is_empty() { parts.next().unwrap_or_default() } else { own };
        let mut name = String::new();
        for letter in own.chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.extend(letter.to_lowercase());
        }
        name
    }
}

impl Shape {
    /// The same with another shape in the place of values or texts.
    pub fn with_leaf(self, leaf: Shape) -> Self {
        match self {
            Self::Free(_) | Self::Text => leaf,
            Self::List(item) => Self::List(Box::new(item.with_leaf(leaf))),
            Self::Named(value) => Self::Named(Box::new(value.with_leaf(leaf))),
            other => other,
        }
    }

    /// The blocks that stand in it.
    pub fn blocks(&self) -> Vec<Block> {
        match self {
            Self::Block(block) | Self::LongForm(block) => vec![*block],
            Self::List(inner) | Self::Named(inner) => inner.blocks(),
            Self::OneOf(shapes) => shapes.iter().flat_map(Self::blocks).collect(),
            Self::Text | Self::Boolean | Self::WholeNumber | Self::Form(_) | Self::Word(_) | Self::Free(_) => Vec::new(),
        }
    }

    /// What it is, in words; `block` names a block.
    pub fn words(&self, block: &dyn Fn(&Block) -> String) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Boolean => "`true` or `false`".to_owned(),
            Self::WholeNumber => "whole number".to_owned(),
            Self::Form(form) => form.words.to_owned(),
            Self::Word(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
            Self::Free(meaning) => meaning.words().to_owned(),
            Self::List(item) => format!("{}, or a list", item.words(block)),
            Self::Named(value) => format!("names, each with: {}", value.words(block)),
            Self::Block(inner) => block(inner),
            Self::LongForm(long) => format!("value or {}", block(long)),
            Self::OneOf(shapes) => shapes.iter().map(|shape| shape.words(block)).collect::<Vec<_>>().join("; or "),
        }
    }
}

impl Meaning {
    fn words(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::TextValue => "value that is one text or number",
            Self::Path => "path",
            Self::Condition => "condition",
            Self::Json => "anything, as it is",
            Self::Row => "row: columns with their values",
        }
    }
}

/// A value that comes out as one text or number.
pub fn text_value() -> Shape {
    Shape::Free(Meaning::TextValue)
}

/// A value that comes out as one text or number, or a list of such.
pub fn text_values() -> Shape {
    Shape::List(Box::new(text_value()))
}

/// A path.
pub fn path() -> Shape {
    Shape::Free(Meaning::Path)
}

/// A bare expression.
pub fn condition() -> Shape {
    Shape::Free(Meaning::Condition)
}

/// Anything, as it is.
pub fn json() -> Shape {
    Shape::Free(Meaning::Json)
}

/// A row.
pub fn row() -> Shape {
    Shape::Free(Meaning::Row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_called_by_its_type() {
        let name = |id| Block { id, doc: "", options: Vec::new }.name();
        assert_eq!(name("hooktable::steps::write_options::WriteOptions"), "write");
        assert_eq!(name("hooktable::auth::token::Options"), "token");
        assert_eq!(name("hooktable::expr::typed::LongForm"), "long_form");
    }
}
