//! Recorded answers in place of a provider: for `hooktable test`, where nothing leaves the machine.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Url};

use super::call::{Call, masked_url};
use super::origin::Origin;
use super::send::Reply;
use crate::secret::Mask;

/// One answer and the request it is for.
#[derive(Clone)]
pub struct RecordedAnswer {
    /// The request's method.
    pub method: Method,
    /// Absolute; the order of its query does not matter.
    pub url: Url,
    /// Headers the request must carry, with these values.
    pub required_headers: Vec<(String, String)>,
    /// The answer's status.
    pub status: u16,
    /// The answer's headers.
    pub headers: Vec<(String, String)>,
    /// The answer's body.
    pub body: Bytes,
}

/// A request that was made, answered by a recording or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordedCall {
    /// `GET`, …
    pub method: String,
    /// Masked.
    pub url: String,
}

/// All recorded answers of one test and the requests made so far.
pub struct Recorded {
    answers: Vec<(Target, RecordedAnswer)>,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    calls: Vec<RecordedCall>,
    forwards: Vec<Call>,
    used: Vec<usize>,
}

/// What a request is found by.
#[derive(PartialEq, Eq)]
struct Target {
    method: Method,
    origin: Option<Origin>,
    segments: Vec<Vec<u8>>,
    query: Vec<(String, String)>,
}

impl Recorded {
    /// Several answers to the same request are given in this order; the last one repeats.
    pub fn new(answers: Vec<RecordedAnswer>) -> Self {
        let answers = answers.into_iter().map(|answer| (Target::of(&answer.method, &answer.url), answer)).collect();
        Self { answers, made: Mutex::default() }
    }

    /// The requests made so far, retries and redirects included; a call that shared another's answer made none.
    pub fn calls(&self) -> Vec<RecordedCall> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).calls.clone()
    }

    /// What was sent rather than asked, in order.
    pub fn forwards(&self) -> Vec<Call> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).forwards.clone()
    }

    /// The answer to a request, or why there is none, masked.
    pub(super) fn answer(&self, method: &Method, url: &Url, call: &Call) -> Result<Reply, String> {
        let (headers, mask) = (&call.headers, &call.mask);
        let target = Target::of(method, url);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if call.is_forward {
            made.forwards.push(call.clone());
        } else {
            made.calls.push(RecordedCall { method: method.to_string(), url: masked_url(url, mask) });
        }
        let same: Vec<usize> = (0..self.answers.len()).filter(|index| self.answers[*index].0 == target).collect();
        let fitting = |index: &usize| missing_header(&self.answers[*index].1, headers).is_none();
        let fitting: Vec<usize> = same.iter().copied().filter(fitting).collect();
        let unused = fitting.iter().find(|index| !made.used.contains(index));
        let Some(index) = unused.or(fitting.last()).copied() else {
            if call.is_forward && same.is_empty() {
                return Ok(Reply { status: 200, headers: Vec::new(), body: Bytes::new() });
            }
            return Err(self.no_answer(method, url, headers, &same, mask));
        };
        made.used.push(index);
        Ok(reply(&self.answers[index].1))
    }

    fn no_answer(
        &self,
        method: &Method,
        url: &Url,
        headers: &[(HeaderName, HeaderValue)],
        same: &[usize],
        mask: &Mask,
    ) -> String {
        let asked = format!("{method} {}", masked_url(url, mask));
        if let Some(name) = same.first().and_then(|index| missing_header(&self.answers[*index].1, headers)) {
            return format!("no recorded answer for `{asked}`: header `{name}` is not what the recorded one requires");
        }
        let mut known: Vec<String> = Vec::new();
        for (_, answer) in &self.answers {
            let text = format!("{} {}", answer.method, masked_url(&answer.url, mask));
            if !known.contains(&text) {
                known.push(text);
            }
        }
        known.sort_by_cached_key(|text| strsim::levenshtein(text, &asked));
        known.truncate(3);
        match known.is_empty() {
            true => format!("no recorded answer for `{asked}`, none is recorded at all"),
            false => format!("no recorded answer for `{asked}`\nhint: the nearest recorded: `{}`", known.join("`, `")),
        }
    }
}

impl Target {
    fn of(method: &Method, url: &Url) -> Self {
        let segments = url.path().split('/').map(|segment| percent_decode_str(segment).collect()).collect();
        let mut query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        query.sort();
        Self { method: method.clone(), origin: Origin::of(url), segments, query }
    }
}

/// The first header that `answer` requires and `headers` do not hold with that value.
fn missing_header<'a>(answer: &'a RecordedAnswer, headers: &[(HeaderName, HeaderValue)]) -> Option<&'a str> {
    let holds = |name: &str, value: &str| {
        headers.iter().any(|(known, held)| known.as_str().eq_ignore_ascii_case(name) && held.as_bytes() == value.as_bytes())
    };
    answer.required_headers.iter().find(|(name, value)| !holds(name, value)).map(|(name, _)| name.as_str())
}

fn reply(answer: &RecordedAnswer) -> Reply {
    let headers = answer.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    Reply { status: answer.status, headers, body: answer.body.clone() }
}
