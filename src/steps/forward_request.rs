//! A forward's request: filled in with the credentials as they are now, signed, sent, and what the target's answer means.

use bytes::Bytes;
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::Value as Json;

use super::call::outgoing;
use super::forward::{Forward, HOP, ID};
use super::pipeline::RunContext;
use super::request::{Filled, Page, header_value};
use crate::auth::evidence::Evidence;
use crate::auth::signature::scheme::Scheme;
use crate::auth::signature::sign::{Placed, Signing};
use crate::clock::Timestamp;
use crate::expr::template::Context;
use crate::http_client::call::Call;
use crate::model::attempt::CallTrace;
use crate::model::delivery::Request;
use crate::model::event::EventDocument;
use crate::model::failure::{Failure, Step};
use crate::model::forward::ForwardId;
use crate::payload;

/// The headers that say what the bytes of a body are.
const OF_BODY: [&str; 2] = ["content-type", "content-encoding"];

/// What a forward is made of besides the document.
#[derive(Clone, Copy)]
pub struct Sending<'a> {
    /// Its id.
    pub id: ForwardId,
    /// The request that came.
    pub request: &'a Request,
    /// How often that was forwarded before.
    pub hops: u32,
    /// When this is.
    pub now: Timestamp,
    /// The source's name.
    pub source: &'a str,
}

impl Forward {
    /// Scheme, host and port of its API, where that is known before it is sent.
    pub fn origin(&self) -> &str {
        &self.api.origin
    }

    /// Sends it; the traces say what was called, also when it fails.
    pub async fn send(
        &self,
        document: &EventDocument,
        sending: Sending<'_>,
        context: &RunContext<'_>,
    ) -> (Vec<CallTrace>, Option<Call>, Result<(), Failure>) {
        let (mut traces, mut sent) = (Vec::new(), None);
        let result = self.try_to_send(document, sending, context, &mut traces, &mut sent).await;
        (traces, sent, result.map_err(of_forward))
    }

    async fn try_to_send(
        &self,
        document: &EventDocument,
        sending: Sending<'_>,
        context: &RunContext<'_>,
        traces: &mut Vec<CallTrace>,
        sent: &mut Option<Call>,
    ) -> Result<(), Failure> {
        let mut refused = None;
        loop {
            let (call, session) = self.made(document, sending, context, refused, traces).await?;
            let (trace, answer) = context.http.call(&call).await;
            traces.push(trace);
            *sent = Some(call);
            let answer = answer?;
            match session {
                Some(session) if answer.status == 401 && refused.is_none() => refused = Some(session),
                _ => return judged(answer.status, context.credentials_came_along),
            }
        }
    }

    /// The call as it is sent, and the number of the session that it carries. Nothing is sent but a login, where there is one.
    pub async fn made(
        &self,
        document: &EventDocument,
        sending: Sending<'_>,
        context: &RunContext<'_>,
        refused: Option<u64>,
        traces: &mut Vec<CallTrace>,
    ) -> Result<(Call, Option<u64>), Failure> {
        let mut document = document.clone();
        let mut session = None;
        if let Some(rule) = &self.api.session {
            let obtained = rule.obtain(&self.api, &document, context, refused, traces).await?;
            document.set("session", std::sync::Arc::clone(&obtained.values));
            session = Some((rule, obtained));
        }
        let evaluation = Context { document: &document, secrets: Some(context.secrets) };
        let mut filled = self.request.fill(0, &Page::default(), &self.api.base, &self.api.headers, evaluation)?;
        if let Some((rule, session)) = &session
            && let Some(header) = rule.header(session)?
        {
            filled.headers.push(header);
        }
        if self.raw {
            add_raw(&mut filled, sending.request)?;
        }
        set_header(&mut filled, HeaderName::from_static(ID), &sending.id.to_string())?;
        set_header(&mut filled, HeaderName::from_static(HOP), &(sending.hops + 1).to_string())?;
        if let Some(scheme) = &self.sign {
            sign(&mut filled, scheme, sending, context)
                .map_err(|reason| Failure::permanent(Step::Forward, format!("it cannot be signed: {reason}")))?;
        }
        let mut call = outgoing(&self.name, &self.api, filled, self.timeout, context);
        // each is sent by itself, whatever is under way, and no answer of an earlier try stands for it
        (call.is_forward, call.attempt) = (true, None);
        Ok((call, session.map(|(_, session)| session.number)))
    }
}

fn add_raw(filled: &mut Filled, request: &Request) -> Result<(), Failure> {
    let mut kind = None;
    for (name, value) in request.headers.iter().filter(|(name, _)| OF_BODY.contains(&name.as_str())) {
        let text = String::from_utf8_lossy(value).into_owned();
        match name.as_str() {
            "content-type" => kind = kind.or(Some(text)),
            _ => set_header(filled, HeaderName::from_static(OF_BODY[1]), &text)?,
        }
    }
    filled.body = Some((kind.unwrap_or_else(|| "application/octet-stream".to_owned()), request.body.clone()));
    Ok(())
}

fn set_header(filled: &mut Filled, name: HeaderName, text: &str) -> Result<(), Failure> {
    let value = header_value(&name, text)?;
    filled.headers.retain(|(known, _)| *known != name);
    filled.headers.push((name, value));
    Ok(())
}

/// Signs it over its final bytes, as the one who receives it will look at it.
fn sign(filled: &mut Filled, scheme: &Scheme, sending: Sending<'_>, context: &RunContext<'_>) -> Result<(), String> {
    let id = sending.id.to_string();
    let look = |filled: &Filled, look: &dyn Fn(&Evidence<'_>) -> Result<Vec<Placed>, String>| {
        let request = arriving(filled);
        let mut document = payload::request::document(&request, &[]);
        if let Ok(body) = serde_json::from_slice::<Json>(&request.body) {
            document.set("body", body);
        }
        let Sending { now, source, .. } = sending;
        let url = filled.url.as_str();
        look(&Evidence { request: &request, document: &document, url, now, source, fields: context.secrets })
    };
    let placed = look(filled, &|evidence| scheme.before_signing(evidence, Signing::Right, &id))?;
    put_all(filled, placed)?;
    let digest = look(filled, &|evidence| Ok(scheme.digest(evidence)?.into_iter().collect()))?;
    put_all(filled, digest)?;
    let signatures = look(filled, &|evidence| scheme.signatures(evidence, Signing::Right, &id))?;
    put_all(filled, signatures)
}

fn put_all(filled: &mut Filled, placed: Vec<Placed>) -> Result<(), String> {
    for (place, text) in placed {
        match place.as_slice() {
            [block, name] if block == "headers" => {
                let name = name.replace('_', "-");
                let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no header"))?;
                set_header(filled, name, &text).map_err(|failure| failure.reason)?;
            }
            [block, name] if block == "query" => set_parameter(&mut filled.url, name, &text),
            place => return Err(format!("nothing can be put at `{}`", place.join("."))),
        }
    }
    Ok(())
}

fn set_parameter(url: &mut Url, name: &str, text: &str) {
    let others: Vec<(String, String)> = url.query_pairs().into_owned().filter(|(known, _)| known != name).collect();
    url.query_pairs_mut().clear().extend_pairs(others).append_pair(name, text);
}

/// The request as it will be seen where it arrives.
fn arriving(filled: &Filled) -> Request {
    let header = |(name, value): &(HeaderName, HeaderValue)| (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes()));
    let mut headers: Vec<(String, Bytes)> = filled.headers.iter().map(header).collect();
    let (kind, body) = filled.body.clone().unzip();
    if let Some(kind) = kind.filter(|_| !headers.iter().any(|(name, _)| name == "content-type")) {
        headers.push(("content-type".to_owned(), Bytes::from(kind)));
    }
    Request {
        method: filled.method.to_string(),
        path: filled.url.path().to_owned(),
        query: filled.url.query().unwrap_or_default().to_owned(),
        headers,
        body: body.unwrap_or_default(),
        peer: None,
    }
}

fn judged(status: u16, credentials_came_along: bool) -> Result<(), Failure> {
    let passing = |reason: String| Err(Failure::passing(Step::Forward, reason));
    match status {
        200..=299 => Ok(()),
        401 if credentials_came_along => {
            passing("the target refuses the credentials that came with the request (401)".to_owned())
        }
        401 => Err(Failure::refused_credentials(
            Step::Forward,
            "the target refuses the credentials (401)\nhint: it waits until they are changed",
        )),
        408 | 425 | 429 | 500.. => passing(format!("the target answered {status}")),
        300..=399 => Err(Failure::permanent(
            Step::Forward,
            format!(
                "the target answered {status}: it wants something else to be fetched\nhint: write the address that it leads to"
            ),
        )),
        status => Err(Failure::permanent(Step::Forward, format!("the target answered {status}"))),
    }
}

/// Whatever failed on the way, it was this step.
fn of_forward(failure: Failure) -> Failure {
    Failure { step: Step::Forward, ..failure }
}
