//! What a request carries: JSON, a form, a multipart form, or text.

use bytes::Bytes;
use reqwest::Method;
use sha2::{Digest as _, Sha256};

use super::request::mapping;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::Named;
use crate::config::yaml::Node;
use crate::expr::convert::scalar_text;
use crate::expr::reads::Reads;
use crate::expr::template::{Context, Engine};
use crate::expr::value::{Compiler, Value};
use crate::model::failure::{Failure, Step};

/// The bodies that may be written; a request has at most one.
#[derive(Clone, Copy)]
pub(super) struct Written<'a> {
    pub(super) json: Option<&'a Node>,
    pub(super) form: &'a Named<Node>,
    pub(super) multipart: &'a Named<Node>,
    pub(super) text: Option<&'a Node>,
}

/// A compiled body.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Json(Value),
    Form(Vec<(String, Value)>),
    Multipart(Vec<(String, Value)>),
    Text(Value),
}

impl<'a> Written<'a> {
    /// The values of all of them.
    pub(super) fn values(self) -> impl Iterator<Item = &'a Node> {
        let named = self.form.entries.iter().chain(&self.multipart.entries).map(|(_, node)| node);
        self.json.into_iter().chain(self.text).chain(named)
    }
}

/// Compiles the body of a request, if it has one; the outer `None` says that there is a problem.
pub(super) fn compile(
    written: &Written<'_>,
    method: &Method,
    compiler: &Compiler<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Option<Body>> {
    let places = [
        written.json.map(|node| ("json", node.head())),
        written.form.span.map(|span| ("form", span)),
        written.multipart.span.map(|span| ("multipart", span)),
        written.text.map(|node| ("text", node.head())),
    ];
    let found: Vec<_> = places.into_iter().flatten().collect();
    match found.as_slice() {
        [] => return Some(None),
        [(name, span)] if *method == Method::GET => {
            let message = format!("`{name}` is a body, which a GET does not have");
            diagnostics.report(
                Diagnostic::error("misplaced-option", *span, message).hint("write `post`, or give the values under `query`"),
            );
            return None;
        }
        [_] => {}
        [(first, _), (second, span), ..] => {
            let message = format!("a request has one body; found `{first}` and `{second}`");
            diagnostics.report(Diagnostic::error("one-of", *span, message).hint("keep one of them"));
            return None;
        }
    }
    let mut fields = |named: &Named<Node>| {
        let compiled = named.entries.iter().map(|(name, node)| {
            let value = Value::compile_text(node, compiler, diagnostics);
            value.map(|value| (name.value.clone(), value))
        });
        compiled.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>()
    };
    let body = if written.form.span.is_some() {
        Body::Form(fields(written.form)?)
    } else if written.multipart.span.is_some() {
        Body::Multipart(fields(written.multipart)?)
    } else if let Some(node) = written.text {
        Body::Text(Value::compile_text(node, compiler, diagnostics)?)
    } else {
        Body::Json(Value::compile(written.json?, compiler, diagnostics)?)
    };
    Some(Some(body))
}

impl Body {
    /// Adds what it looks at.
    pub(super) fn add_reads(&self, engine: &Engine, reads: &mut Reads) {
        match self {
            Self::Json(value) | Self::Text(value) => value.add_reads(engine, reads),
            Self::Form(fields) | Self::Multipart(fields) => {
                fields.iter().for_each(|(_, value)| value.add_reads(engine, reads));
            }
        }
    }

    /// Content type and content.
    pub(super) fn fill(&self, context: Context<'_>) -> Result<(String, Bytes), Failure> {
        match self {
            Self::Json(value) => {
                let json = value.evaluate(context).map_err(|error| mapping("`json`", &error))?;
                let json =
                    json.ok_or_else(|| Failure::permanent(Step::Enrich, format!("`json`: `{}` is missing", value.origin())))?;
                Ok(("application/json".to_owned(), Bytes::from(json.to_string())))
            }
            Self::Text(value) => {
                let text = value.text(context).map_err(|error| mapping("`text`", &error))?;
                Ok(("text/plain; charset=utf-8".to_owned(), Bytes::from(text)))
            }
            Self::Form(fields) => {
                let mut form = form_urlencoded::Serializer::new(String::new());
                form.extend_pairs(filled(fields, "form", context)?);
                Ok(("application/x-www-form-urlencoded".to_owned(), Bytes::from(form.finish())))
            }
            Self::Multipart(fields) => Ok(multipart(&filled(fields, "multipart", context)?)),
        }
    }
}

/// The fields that are there; one whose value is missing is left out, as in a query.
fn filled(fields: &[(String, Value)], what: &str, context: Context<'_>) -> Result<Vec<(String, String)>, Failure> {
    let mut all = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        if let Some(value) = value.evaluate(context).map_err(|error| mapping(&format!("`{what}.{name}`"), &error))? {
            let text = scalar_text(&value)
                .ok_or_else(|| Failure::permanent(Step::Enrich, format!("`{what}.{name}` is no text or number")))?;
            all.push((name.clone(), text));
        }
    }
    Ok(all)
}

/// The boundary follows from the fields, so that equal requests are equal.
fn multipart(fields: &[(String, String)]) -> (String, Bytes) {
    let mut digest = Sha256::new();
    for (name, value) in fields {
        digest.update((name.len() as u64).to_be_bytes());
        digest.update(name);
        digest.update((value.len() as u64).to_be_bytes());
        digest.update(value);
    }
    let boundary = format!("hooktable-{}", hex::encode(&digest.finalize()[..16]));
    let escaped = |name: &str| name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
    let mut body = String::new();
    for (name, value) in fields {
        body.push_str(&format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"\r\n\r\n{value}\r\n", escaped(name)));
    }
    body.push_str(&format!("--{boundary}--\r\n"));
    (format!("multipart/form-data; boundary={boundary}"), Bytes::from(body))
}
