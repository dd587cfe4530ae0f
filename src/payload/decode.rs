//! From a request to its decoded body: inflated, its format found out, its charset undone, and what is always a list made one.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::Value as Json;

use super::charset::Charset;
use super::content_type::ContentType;
use super::inflate::{Uninflated, inflate};
use super::limits::Budget;
use super::options::Payload;
use super::{Format, csv, form, json, json_lenient, jwt, lists, multipart, ndjson, positional, xml};
use crate::model::delivery::Request;

/// A request's body, inflated and not decoded yet.
#[derive(Debug)]
pub struct Content<'p> {
    payload: &'p Payload,
    declared: ContentType,
    bytes: Bytes,
    budget: Budget,
}

impl Payload {
    /// Inflates the body, within the source's `max_body`.
    pub fn open(&self, request: &Request) -> Result<Content<'_>, Uninflated> {
        self.open_within(request, Budget::verified())
    }

    /// The same before the sender is verified: a body that anyone may have sent may have fewer values.
    pub fn open_unverified(&self, request: &Request) -> Result<Content<'_>, Uninflated> {
        self.open_within(request, Budget::unverified())
    }

    fn open_within(&self, request: &Request, budget: Budget) -> Result<Content<'_>, Uninflated> {
        let bytes = inflate(request, self.most_bytes)?;
        let declared = ContentType::parse(request.header("content-type").unwrap_or_default());
        Ok(Content { payload: self, declared, bytes, budget })
    }
}

impl Content<'_> {
    /// The body as it stands, as text; `None` when it is none.
    pub fn raw(&self) -> Option<String> {
        let charset = self.charset(None).ok()?;
        charset.text(&self.bytes).ok().map(Cow::into_owned)
    }

    /// The decoded body; `None` when there is no body. The reason never repeats what stands in it.
    pub fn decode(&self) -> Result<Option<Json>, String> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let declared;
        let format = match &self.payload.format {
            Some(format) => format,
            None => {
                declared = self.declared.format(|| self.begins_like_json())?;
                &declared
            }
        };
        let Some(mut body) = self.decode_as(format)? else { return Ok(None) };
        self.payload.lists_in(format).for_each(|place| lists::make_list(&mut body, place));
        Ok(Some(body))
    }

    fn decode_as(&self, format: &Format) -> Result<Option<Json>, String> {
        let (bytes, budget) = (&self.bytes, self.budget);
        let text = || self.text(None);
        Ok(Some(match format {
            Format::Json if !self.payload.is_lenient => json::decode_within(&text()?, budget)?,
            Format::Json | Format::JsonLenient => json_lenient::decode(&text()?, budget)?,
            Format::Form => form::decode(bytes, self.charset(None)?, budget)?,
            Format::Positional(positional) => positional::decode(positional, bytes, self.charset(None)?)?,
            Format::Xml => xml::decode(&self.text(xml::declared_charset(bytes))?, budget)?,
            Format::Csv(csv) => csv::decode(csv, &text()?, budget)?,
            Format::Ndjson => ndjson::decode(&text()?, budget)?,
            Format::Multipart => multipart::decode(bytes, &self.declared, self.charset(None)?, budget)?,
            Format::Text => Json::String(text()?.into_owned()),
            Format::None => return Ok(None),
            Format::Jwt => jwt::decode(&text()?)?,
        }))
    }

    fn text(&self, hint: Option<&str>) -> Result<Cow<'_, str>, String> {
        self.charset(hint)?.text(&self.bytes).map_err(|reason| format!("the body is no text: {reason}"))
    }

    fn charset(&self, hint: Option<&str>) -> Result<Charset, String> {
        Charset::of(self.payload.charset, self.declared.parameter("charset"), &self.bytes, hint)
    }

    fn begins_like_json(&self) -> bool {
        self.text(None).is_ok_and(|text| text.trim_start().starts_with(['{', '[']))
    }
}
