//! How a call is made: with its session, URL after URL, page after page, once for each item.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt as _, stream};
use reqwest::Url;
use serde_json::Value as Json;
use tokio::time::Instant;

use super::answer::{document_of, failure_of};
use super::api::Absent;
use super::call::{Call, CallEnd, Each};
use super::find::list_of;
use super::pages::Pages;
use super::pipeline::{LONGEST_FETCH, RunContext};
use super::request::{Page, mapping};
use crate::config::units::format_duration;
use crate::expr::template::Context;
use crate::http_client::call::Answer;
use crate::model::attempt::CallTrace;
use crate::model::event::EventDocument;
use crate::model::failure::{Failure, Step};

/// How many calls for items are made side by side where the api says nothing.
const SIDE_BY_SIDE: usize = 4;
/// The most items that calls are made for.
const MOST_ITEMS: usize = 1000;
/// The most bytes of all pages, or of the answers for all items, together.
const MOST_BYTES: usize = 50 << 20;

/// What one call came to.
enum Fetched {
    Value(Json),
    Absent,
    Skipped,
}

/// An answer that counts, what it says, and where it came from.
struct Found {
    answer: EventDocument,
    bytes: usize,
    url: Url,
    /// Which of the call's URLs it was.
    index: usize,
}

impl Call {
    /// Makes the call; the traces say what was asked, also when it fails.
    pub async fn run(&self, document: &EventDocument, context: &RunContext<'_>) -> (Vec<CallTrace>, Result<CallEnd, Failure>) {
        let mut traces = Vec::new();
        let end = self.follow(document, context, &mut traces).await;
        let end = end.map_err(|failure| Failure { reason: format!("call `{}`: {}", self.name, failure.reason), ..failure });
        (traces, end)
    }

    async fn follow(
        &self,
        document: &EventDocument,
        context: &RunContext<'_>,
        traces: &mut Vec<CallTrace>,
    ) -> Result<CallEnd, Failure> {
        if !self.when_each && !self.is_wanted(document, context)? {
            return Ok(CallEnd::Skipped);
        }
        if let Some(each) = &self.each {
            return self.for_each(each, document, context, traces).await.map(CallEnd::Result);
        }
        match self.fetch(document, context, traces).await? {
            Fetched::Value(value) => Ok(CallEnd::Result(value)),
            Fetched::Skipped => Ok(CallEnd::Skipped),
            Fetched::Absent => match self.absent {
                Absent::Gone => Ok(CallEnd::Gone),
                Absent::Null => Ok(CallEnd::Result(Json::Null)),
                Absent::Ignore => Ok(CallEnd::Ignore),
                Absent::Fail => Err(self.absence()),
            },
        }
    }

    fn is_wanted(&self, document: &EventDocument, context: &RunContext<'_>) -> Result<bool, Failure> {
        let Some(when) = &self.when else { return Ok(true) };
        when.holds(Context { document, secrets: Some(context.secrets) }).map_err(|error| mapping("`when`", &error))
    }

    fn absence(&self) -> Failure {
        let reason =
            if self.find.is_some() { "no item is the one that `find` looks for" } else { "the API has no such thing (404)" };
        Failure::permanent(Step::Enrich, reason)
    }

    /// The results for all items in their order; null for one that `when` leaves out or the provider does not have.
    async fn for_each(
        &self,
        each: &Each,
        document: &EventDocument,
        context: &RunContext<'_>,
        traces: &mut Vec<CallTrace>,
    ) -> Result<Json, Failure> {
        let found = each.list.list(Context { document, secrets: None }).map_err(|error| mapping("`each`", &error))?;
        let items = list_of(found, &each.list.origin(), "`each`")?;
        if items.len() > MOST_ITEMS {
            let reason = format!("`each`: the list has {} items; calls are made for {MOST_ITEMS} at most", items.len());
            return Err(Failure::permanent(Step::Enrich, reason));
        }
        // none begins any more once one is held: those under way come to their end and are kept, so that no request is made twice
        let is_held = AtomicBool::new(false);
        let is_held = &is_held;
        let calls = items.into_iter().enumerate().map(|(position, item)| async move {
            let mut document = document.clone();
            document.set(&each.name, item);
            document.set("position", Json::from(position));
            let mut traces = Vec::new();
            let fetched = match self.when_each.then(|| self.is_wanted(&document, context)) {
                _ if is_held.load(Ordering::Relaxed) => Ok(Fetched::Skipped),
                Some(Ok(false)) => Ok(Fetched::Skipped),
                Some(Err(failure)) => Err(failure),
                _ => self.fetch(&document, context, &mut traces).await,
            };
            if fetched.as_ref().is_err_and(Failure::is_held) {
                is_held.store(true, Ordering::Relaxed);
            }
            (position, traces, fetched)
        });
        let mut calls = stream::iter(calls).buffered(self.api.concurrency.unwrap_or(SIDE_BY_SIDE));
        let (mut results, mut bytes, mut held) = (Vec::new(), 0, None);
        while let Some((position, made, fetched)) = calls.next().await {
            bytes += made.iter().map(|trace| trace.bytes).sum::<u64>();
            traces.extend(made);
            if bytes > MOST_BYTES as u64 {
                let reason = format!("`each`: the answers for the items have more than {MOST_BYTES} bytes");
                return Err(Failure::permanent(Step::Enrich, reason));
            }
            let of_item = |failure: Failure| Failure { reason: format!("item {position}: {}", failure.reason), ..failure };
            match fetched.map_err(of_item) {
                Ok(Fetched::Value(value)) => results.push(value),
                Ok(Fetched::Absent) if self.absent == Absent::Fail => return Err(of_item(self.absence())),
                Ok(Fetched::Absent | Fetched::Skipped) => results.push(Json::Null),
                Err(failure) if failure.is_held() => held = held.or(Some(failure)),
                Err(failure) => return Err(failure),
            }
        }
        held.map_or(Ok(Json::Array(results)), Err)
    }

    async fn fetch(
        &self,
        document: &EventDocument,
        context: &RunContext<'_>,
        traces: &mut Vec<CallTrace>,
    ) -> Result<Fetched, Failure> {
        let first = self.pages.as_ref().map(Pages::first).unwrap_or_default();
        let Some(found) = self.first_found(&first, document, context, traces).await? else { return Ok(Fetched::Absent) };
        match &self.pages {
            Some(pages) => self.all_pages(pages, found, document, context, traces).await,
            None => match &self.find {
                Some(find) => {
                    let hit = find.hit(find.list(&found.answer)?, document, &found.answer, context.secrets)?;
                    Ok(hit.map_or(Fetched::Absent, Fetched::Value))
                }
                None => self.taken(&found.answer).map(Fetched::Value),
            },
        }
    }

    /// All pages joined, or the page where `find` finds what it looks for.
    async fn all_pages(
        &self,
        pages: &Pages,
        mut found: Found,
        document: &EventDocument,
        context: &RunContext<'_>,
        traces: &mut Vec<CallTrace>,
    ) -> Result<Fetched, Failure> {
        let mut all = Vec::new();
        let mut bytes = 0;
        for number in 0..pages.most {
            bytes += found.bytes;
            let items = match &self.find {
                Some(find) => find.list(&found.answer)?,
                None => list_of(self.taken(&found.answer).ok(), &self.take_origin(), "`take`")?,
            };
            let next = pages.behind(number, &found.url, &found.answer, items.len())?;
            match &self.find {
                Some(find) => {
                    if let Some(hit) = find.hit(items, document, &found.answer, context.secrets)? {
                        return Ok(Fetched::Value(hit));
                    }
                }
                None => all.extend(items),
            }
            let Some(next) = next else {
                return Ok(if self.find.is_some() { Fetched::Absent } else { Fetched::Value(Json::Array(all)) });
            };
            if bytes > MOST_BYTES {
                return Err(Failure::permanent(Step::Enrich, format!("`pages`: the pages have more than {MOST_BYTES} bytes")));
            }
            if number + 1 < pages.most {
                let page = self.find_at(found.index, &next, document, context, traces).await?;
                found = page.ok_or_else(|| Failure::passing(Step::Enrich, "`pages`: a page in the middle is not there (404)"))?;
            }
        }
        let reason = format!("`pages`: the list goes on behind page {}\nhint: `most` says how many pages are read", pages.most);
        Err(Failure::permanent(Step::Enrich, reason))
    }

    /// The answer of the first URL that has the thing.
    async fn first_found(
        &self,
        page: &Page,
        document: &EventDocument,
        context: &RunContext<'_>,
        traces: &mut Vec<CallTrace>,
    ) -> Result<Option<Found>, Failure> {
        for index in 0..self.request.count() {
            if let Some(found) = self.find_at(index, page, document, context, traces).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn find_at(
        &self,
        index: usize,
        page: &Page,
        document: &EventDocument,
        context: &RunContext<'_>,
        traces: &mut Vec<CallTrace>,
    ) -> Result<Option<Found>, Failure> {
        let (url, answer) = self.ask(index, page, document, context, traces).await?;
        match answer.status {
            status if self.accepts(status) => {
                Ok(Some(Found { bytes: answer.body.len(), answer: document_of(&answer)?, url, index }))
            }
            404 | 410 => Ok(None),
            status => Err(failure_of(status, context.credentials_came_along)),
        }
    }

    /// Asks with the session that there is; when that is refused, once more with a new one.
    async fn ask(
        &self,
        index: usize,
        page: &Page,
        document: &EventDocument,
        context: &RunContext<'_>,
        traces: &mut Vec<CallTrace>,
    ) -> Result<(Url, Answer), Failure> {
        let mut refused = None;
        loop {
            if Instant::now() >= context.calls_until {
                let longest = format_duration(LONGEST_FETCH);
                return Err(Failure::passing(
                    Step::Enrich,
                    format!("the calls of this attempt take longer than {longest} together"),
                ));
            }
            let mut document = document.clone();
            let mut session = None;
            if let Some(rule) = &self.api.session {
                let obtained = rule.obtain(&self.api, &document, context, refused, traces).await?;
                document.set("session", std::sync::Arc::clone(&obtained.values));
                session = Some((rule, obtained));
            }
            let evaluation = Context { document: &document, secrets: Some(context.secrets) };
            let mut filled = self.request.fill(index, page, &self.api.base, &self.api.headers, evaluation)?;
            if let Some((rule, session)) = &session
                && let Some(header) = rule.header(session)?
            {
                filled.headers.push(header);
            }
            let call = self.outgoing(filled, context);
            let (trace, answer) = context.http.call(&call).await;
            traces.push(trace);
            let answer = answer?;
            match session {
                Some((_, session)) if answer.status == 401 && refused.is_none() => refused = Some(session.number),
                _ => return Ok((call.url, answer)),
            }
        }
    }
}
