//! `integration:` as it is written.

use crate::config::diagnostic::Diagnostics;
use crate::config::options::{FromYaml, Named, options, report_expected};
use crate::config::shape::{self, Shape};
use crate::config::yaml::{Content, Node};

options! {
    /// What each customer's set-up holds, and how the one of a request is found. Without `is` and `where` it is the tenant's one
    /// integration of this source.
    pub struct IntegrationOptions {
        /// Where its unguessable endpoint id stands: `$.params.integration`.
        is: Option<Node> as shape::text_value,
        /// The open fields it is found by, record by record: `{ shop: $.headers.x_shopify_shop_domain }`.
        r#where: Named<Node> as shape::text_value,
        /// Its fields.
        fields: Named<FieldOptions>,
    }
}

options! {
    /// One field of an integration.
    pub struct FieldOptions {
        /// What it is called when it is asked for; a text, or one per language: `{ en: API key, da: API-nøgle }`.
        label: Option<Label>,
        /// Where it is found, for the person who is asked.
        help: Option<String>,
        /// Whether it is a secret: sealed where it is stored, masked where it is shown.
        secret: Option<bool> = "false",
        /// Whether it must be there.
        required: Option<bool> = "true",
        /// Where in the request it comes along: `$.body.eConomicAPIKey`; what comes along wins over what is stored.
        from: Option<Node> as shape::text_value,
    }
}

/// A text in one language or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(pub Vec<(String, String)>);

impl Label {
    /// The text in a language, or in English, or in whichever there is.
    pub fn in_language(&self, language: &str) -> &str {
        let find = |wanted: &str| self.0.iter().find(|(known, _)| known == wanted);
        find(language).or_else(|| find("en")).or_else(|| self.0.first()).map_or("", |(_, text)| text)
    }
}

impl FromYaml for Label {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        match &node.content {
            Content::Scalar(_) => String::from_yaml(node, diagnostics).map(|text| Self(vec![("en".to_owned(), text)])),
            Content::Map(_) => {
                let named = Named::<String>::from_yaml(node, diagnostics)?;
                Some(Self(named.entries.into_iter().map(|(language, text)| (language.value, text)).collect()))
            }
            Content::List(_) => {
                report_expected("a text, or one per language", node, diagnostics);
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::OneOf(vec![Shape::Text, Shape::Named(Box::new(Shape::Text))])
    }
}

impl IntegrationOptions {
    /// Whether an integration says which tenant a request or a record is for.
    pub fn names_tenant(&self) -> bool {
        self.is.is_some() || !self.r#where.is_empty()
    }

    /// The names of the secret fields that are stored.
    pub fn stored_secrets(&self) -> Vec<String> {
        let stored = self.fields.entries.iter().filter(|(_, field)| field.secret == Some(true) && field.from.is_none());
        stored.map(|(name, _)| name.value.clone()).collect()
    }
}
