//! One call under `enrich` as it is written.

use std::time::Duration;

use super::api_options::{Absent, CallRetryOptions};
use super::body;
use super::find::FindOptions;
use super::pages::PagesOptions;
use crate::config::diagnostic::Diagnostics;
use crate::config::options::{FromYaml, Named, OptionDoc, options};
use crate::config::shape::{self, Shape};
use crate::config::source::Spanned;
use crate::config::units::Rate;
use crate::config::yaml::{Content, Node};
use crate::http_client::api::{CacheRule, StatusPattern};

options! {
    /// A call to a provider.
    pub struct CallOptions {
        /// The api it goes to; need not be said where there is one.
        api: Option<Spanned<String>>,
        /// What is fetched: a path below the api's base, or a list of them, each tried when the one before answers 404.
        get: Vec<Node> as shape::text_value,
        /// What is asked with a body, where a provider looks things up that way.
        post: Vec<Node> as shape::text_value,
        /// What stands behind `?`.
        query: Named<Node> as shape::text_value,
        /// What this call carries besides the api's headers.
        headers: Named<Node> as shape::text_value,
        /// A body of JSON.
        json: Option<Node>,
        /// A body as forms send it.
        form: Named<Node> as shape::text_value,
        /// A body as forms with files send it.
        multipart: Named<Node> as shape::text_value,
        /// A body of text.
        text: Option<Node> as shape::text_value,
        /// `{ name: list }`: once for each item, which has that name; the result is a list in the same order.
        each: Named<Node>,
        /// Whether it is made at all; where it looks at the item of `each`, it is asked for each.
        when: Option<Node> as shape::condition,
        /// How a list goes on behind its first page.
        pages: Option<PagesOptions>,
        /// The one item of a list that is meant, in place of `take`.
        find: Option<FindOptions>,
        /// What is taken of the answer: `$.answer.body.data`; what the api says by default.
        take: Option<Node>,
        /// What a 404 or 410 means: gone, null, ignore or fail; what the api says by default.
        absent: Option<Absent>,
        /// The statuses of an answer that counts; what the api says by default.
        accept: Vec<StatusPattern>,
        /// For how long an answer serves other records too; what the api says by default.
        cache: Option<CacheRule>,
        /// How many of these calls in how long, on top of the api's own limits.
        limits: Vec<Rate>,
        /// The name of the budget that `limits` are taken out of, where several calls share one.
        budget: Option<Spanned<String>>,
        /// The longest it may take; what the api says by default.
        timeout: Option<Duration>,
        /// Short retries inside an attempt; what the api says by default.
        retry: Option<OwnRetry>,
    }
}

/// The retries of one call. They have no defaults of their own: what is not said at all is as the api says.
#[derive(Clone, Debug)]
pub struct OwnRetry(pub(super) CallRetryOptions);

impl FromYaml for OwnRetry {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        CallRetryOptions::from_yaml(node, diagnostics).map(Self)
    }
    fn shape() -> Shape {
        Shape::OneOf(vec![CallRetryOptions::shape()])
    }
}

/// A call as it may be written: a text or a list of texts is a GET.
#[derive(Clone, Debug)]
pub struct CallForm(pub(super) CallOptions);

impl CallForm {
    /// The values that are looked for in the event document before the call is made.
    pub fn values(&self) -> impl Iterator<Item = &Node> {
        let named = self.0.query.entries.iter().chain(&self.0.headers.entries).chain(&self.0.each.entries).map(|(_, node)| node);
        self.0.get.iter().chain(&self.0.post).chain(self.bodies().values()).chain(named)
    }

    /// The api that it names.
    pub fn api(&self) -> Option<&Spanned<String>> {
        self.0.api.as_ref()
    }

    /// What it carries besides the api's headers.
    pub fn headers(&self) -> &[(Spanned<String>, Node)] {
        &self.0.headers.entries
    }

    /// The condition under which it is made.
    pub fn when(&self) -> Option<&Node> {
        self.0.when.as_ref()
    }

    /// The names that its items have.
    pub fn items(&self) -> impl Iterator<Item = &Spanned<String>> {
        self.0.each.entries.iter().map(|(name, _)| name)
    }

    /// What may be written in a call.
    pub const OPTIONS: &'static [OptionDoc] = CallOptions::OPTIONS;

    pub(super) fn bodies(&self) -> body::Written<'_> {
        let CallOptions { json, form, multipart, text, .. } = &self.0;
        body::Written { json: json.as_ref(), form, multipart, text: text.as_ref() }
    }
}

impl FromYaml for CallForm {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        if matches!(node.content, Content::Map(_)) {
            return CallOptions::from_yaml(node, diagnostics).map(Self);
        }
        let get = Vec::from_yaml(node, diagnostics)?;
        let none = Named::default;
        Some(Self(CallOptions {
            span: node.span,
            head: node.head(),
            api: None,
            get,
            post: Vec::new(),
            query: none(),
            headers: none(),
            json: None,
            form: none(),
            multipart: none(),
            text: None,
            each: none(),
            when: None,
            pages: None,
            find: None,
            take: None,
            absent: None,
            accept: Vec::new(),
            cache: None,
            limits: Vec::new(),
            budget: None,
            timeout: None,
            retry: None,
        }))
    }

    fn shape() -> Shape {
        Shape::OneOf(vec![Shape::List(Box::new(shape::text_value())), CallOptions::shape()])
    }
}
