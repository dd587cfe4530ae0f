//! Recorded answers in place of a provider: for `hooktable test`, where nothing leaves the machine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Url};
use tokio::sync::Notify;

use super::call::{Call, masked_url};
use super::fault::Fault;
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

impl RecordedAnswer {
    /// Whether it is for this request, whatever that carries.
    pub fn is_for(&self, method: &Method, url: &Url) -> bool {
        Target::of(&self.method, &self.url) == Target::of(method, url)
    }

    /// The first header that it requires and `headers` do not hold with that value.
    pub fn missing_header(&self, headers: &[(HeaderName, HeaderValue)]) -> Option<&str> {
        missing_header(self, headers)
    }
}

/// A request that was made, answered by a recording or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordedCall {
    /// `GET`, …
    pub method: String,
    /// Masked.
    pub url: String,
}

/// What goes wrong with a call on purpose.
#[derive(Clone)]
pub enum Disturbance {
    /// It is answered with this status and nothing else.
    Status(u16),
    /// The connection is lost.
    Reset,
    /// Its answer waits at a gate.
    Stall(Arc<Gate>),
}

/// Where an answer waits until it is let through.
#[derive(Default)]
pub struct Gate {
    reached: Notify,
    opened: Notify,
}

impl Gate {
    /// Until an answer waits here.
    pub async fn reached(&self) {
        self.reached.notified().await;
    }

    /// Lets it through.
    pub fn open(&self) {
        self.opened.notify_one();
    }
}

/// All recorded answers of one test and the requests made so far.
pub struct Recorded {
    answers: Mutex<Vec<(Target, RecordedAnswer)>>,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    calls: Vec<RecordedCall>,
    forwards: Vec<Call>,
    used: Vec<usize>,
    /// By the number of the call, from 0.
    disturbances: BTreeMap<usize, Disturbance>,
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
        let recorded = Self { answers: Mutex::default(), made: Mutex::default() };
        recorded.replace(answers);
        recorded
    }

    /// From now on there are these answers, none of them given yet.
    pub fn replace(&self, answers: Vec<RecordedAnswer>) {
        let answers = answers.into_iter().map(|answer| (Target::of(&answer.method, &answer.url), answer)).collect();
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner) = answers;
        self.made.lock().unwrap_or_else(PoisonError::into_inner).used.clear();
    }

    /// Goes wrong with the call of this number, counted from 0, retries included; it uses up no answer.
    pub fn disturb(&self, call: usize, disturbance: Disturbance) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).disturbances.insert(call, disturbance);
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
    pub(super) async fn answer(&self, method: &Method, url: &Url, call: &Call) -> Result<Reply, Fault> {
        let mask = &call.mask;
        if call.is_forward {
            self.made.lock().unwrap_or_else(PoisonError::into_inner).forwards.push(call.clone());
            let target = Target::of(method, url);
            let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            if answers.iter().all(|(known, _)| *known != target) {
                return Ok(Reply { status: 200, headers: Vec::new(), body: Bytes::new() });
            }
            drop(answers);
            return self.find(method, url, &call.headers, mask).map_err(Fault::permanent);
        }
        match self.note(RecordedCall { method: method.to_string(), url: masked_url(url, mask) }) {
            Some(Disturbance::Status(status)) => return Ok(Reply { status, headers: Vec::new(), body: Bytes::new() }),
            Some(Disturbance::Reset) => {
                return Err(Fault::Passing(format!("api `{}`: the connection was lost on purpose", call.api.name)));
            }
            Some(Disturbance::Stall(gate)) => {
                gate.reached.notify_one();
                gate.opened.notified().await;
            }
            None => {}
        }
        self.find(method, url, &call.headers, mask).map_err(Fault::permanent)
    }

    /// What is to go wrong with the call.
    fn note(&self, call: RecordedCall) -> Option<Disturbance> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let number = made.calls.len();
        made.calls.push(call);
        made.disturbances.remove(&number)
    }

    fn find(&self, method: &Method, url: &Url, headers: &[(HeaderName, HeaderValue)], mask: &Mask) -> Result<Reply, String> {
        let target = Target::of(method, url);
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let same: Vec<usize> = (0..answers.len()).filter(|index| answers[*index].0 == target).collect();
        let fitting = |index: &usize| missing_header(&answers[*index].1, headers).is_none();
        let fitting: Vec<usize> = same.iter().copied().filter(fitting).collect();
        let unused = fitting.iter().find(|index| !made.used.contains(index));
        let Some(index) = unused.or(fitting.last()).copied() else {
            return Err(no_answer(&answers, &format!("{method} {}", masked_url(url, mask)), headers, &same, mask));
        };
        made.used.push(index);
        Ok(reply(&answers[index].1))
    }
}

fn no_answer(
    answers: &[(Target, RecordedAnswer)],
    asked: &str,
    headers: &[(HeaderName, HeaderValue)],
    same: &[usize],
    mask: &Mask,
) -> String {
    if let Some(name) = same.first().and_then(|index| missing_header(&answers[*index].1, headers)) {
        return format!("no recorded answer for `{asked}`: header `{name}` is not what the recorded one requires");
    }
    let mut known: Vec<String> = Vec::new();
    for (_, answer) in answers {
        let text = format!("{} {}", answer.method, masked_url(&answer.url, mask));
        if !known.contains(&text) {
            known.push(text);
        }
    }
    known.sort_by_cached_key(|text| strsim::levenshtein(text, asked));
    known.truncate(3);
    match known.is_empty() {
        true => format!("no recorded answer for `{asked}`, none is recorded at all"),
        false => format!("no recorded answer for `{asked}`\nhint: the nearest recorded: `{}`", known.join("`, `")),
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
