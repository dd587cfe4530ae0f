//! Answers that may serve again: for as long as the route file or the provider says, after the provider confirmed them, or to the
//! same attempt once it is no longer held. Bounded in bytes; what was not used for the longest time goes first.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH};

use super::api::CacheRule;
use super::call::{Answer, Call, Identity};
use crate::clock::Timestamp;

/// The most bytes of all answers together.
const MOST_BYTES: usize = 32 << 20;
/// The largest answer that is kept.
const LARGEST: usize = MOST_BYTES / 8;
/// What an answer costs besides its bytes.
const OVERHEAD: usize = 256;
/// For how long an attempt that is held finds its answers again.
const LONGEST_HOLD: Duration = Duration::from_secs(60 * 60);

/// The answers that are kept.
#[derive(Default)]
pub(super) struct Cache {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    entries: HashMap<Identity, Entry>,
    /// By when they were last used.
    turns: BTreeMap<u64, Identity>,
    last_turn: u64,
    bytes: usize,
}

struct Entry {
    answer: Answer,
    /// Whether it is kept for one attempt alone, rather than for whoever comes in time.
    of_attempt: bool,
    /// For how long the provider says that it is good.
    declared: Option<Duration>,
    /// What the provider is asked with whether it has changed.
    validator: Option<Validator>,
    turn: u64,
    bytes: usize,
}

/// A header that makes a request conditional.
pub(super) type Validator = (HeaderName, HeaderValue);

impl Cache {
    /// An answer that may serve `call` at `now`, whose identity is `identity`.
    pub(super) fn find(&self, call: &Call, identity: Identity, now: Timestamp) -> Option<Answer> {
        let mut kept = self.lock();
        let own = call.attempt.as_ref().map(|attempt| identity.of_attempt(attempt));
        let serves = |identity: &Identity| kept.entries.get(identity).is_some_and(|entry| entry.serves(call, now));
        let found = [Some(identity), own].into_iter().flatten().find(serves)?;
        kept.touch(found);
        kept.entries.get(&found).map(|entry| entry.answer.clone())
    }

    /// A kept answer that the provider can confirm, and how to ask for that.
    pub(super) fn to_confirm(&self, call: &Call, identity: Identity) -> Option<(Answer, Validator)> {
        call.cache?;
        let kept = self.lock();
        let entry = kept.entries.get(&identity)?;
        Some((entry.answer.clone(), entry.validator.clone()?))
    }

    /// Keeps an answer for whoever may be served with it.
    pub(super) fn keep(&self, call: &Call, identity: Identity, answer: &Answer) {
        let directives = directives(answer);
        let by_time = call.cache.is_some() && (200..300).contains(&answer.status) && !directives.no_store;
        let mut kept = self.lock();
        kept.remove(identity);
        if by_time {
            let validator = (call.method == Method::GET).then(|| validator(answer)).flatten();
            kept.insert(identity, Entry { declared: directives.max_age, validator, ..Entry::new(answer, false) });
        }
        // apart from each other: attempts that take turns under a narrow limit would else never get beyond what they share
        if let Some(attempt) = call.attempt.as_ref().filter(|_| answer.status != 401) {
            kept.insert(identity.of_attempt(attempt), Entry::new(answer, true));
        }
        kept.shrink();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn new(answer: &Answer, of_attempt: bool) -> Self {
        let headers: usize = answer.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let bytes = answer.body.len() + headers + OVERHEAD;
        Self { answer: answer.clone(), of_attempt, declared: None, validator: None, turn: 0, bytes }
    }

    /// By time only what reads no delivery may be older than the record; whatever began after the record came is fresh enough for it.
    fn serves(&self, call: &Call, now: Timestamp) -> bool {
        let age = now.since(self.answer.began_at);
        if self.of_attempt {
            // an attempt begins after its record came, whatever a clock says that did not move in between
            return age < LONGEST_HOLD && self.answer.began_at >= call.fresh_after;
        }
        let is_fresh = self.answer.began_at > call.fresh_after;
        let in_time = (200..300).contains(&self.answer.status)
            && match call.cache {
                Some(CacheRule::For(longest)) => age < longest,
                Some(CacheRule::Headers) => self.declared.is_some_and(|longest| age < longest),
                None => false,
            };
        in_time && (call.reference || is_fresh)
    }
}

impl Kept {
    fn touch(&mut self, identity: Identity) {
        self.last_turn += 1;
        let turn = self.last_turn;
        if let Some(entry) = self.entries.get_mut(&identity) {
            self.turns.remove(&entry.turn);
            entry.turn = turn;
            self.turns.insert(turn, identity);
        }
    }

    /// One that is too large is not kept.
    fn insert(&mut self, identity: Identity, entry: Entry) {
        self.remove(identity);
        if entry.bytes > LARGEST {
            return;
        }
        self.last_turn += 1;
        self.turns.insert(self.last_turn, identity);
        self.bytes += entry.bytes;
        self.entries.insert(identity, Entry { turn: self.last_turn, ..entry });
    }

    fn remove(&mut self, identity: Identity) {
        if let Some(entry) = self.entries.remove(&identity) {
            self.turns.remove(&entry.turn);
            self.bytes -= entry.bytes;
        }
    }

    fn shrink(&mut self) {
        while self.bytes > MOST_BYTES
            && let Some((_, oldest)) = self.turns.pop_first()
        {
            self.remove(oldest);
        }
    }
}

/// What a provider says about keeping its answer.
#[derive(Default)]
struct Directives {
    no_store: bool,
    max_age: Option<Duration>,
}

fn directives(answer: &Answer) -> Directives {
    let mut found = Directives::default();
    for directive in header(answer, "cache-control").unwrap_or_default().split(',') {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" => found.no_store = true,
            "no-cache" => found.max_age = Some(Duration::ZERO),
            "max-age" if found.max_age.is_none() => {
                found.max_age = value.trim().trim_matches('"').parse().ok().map(Duration::from_secs);
            }
            _ => {}
        }
    }
    // what a cache on the way has held it for already
    let age = header(answer, "age").and_then(|age| age.trim().parse().ok()).map(Duration::from_secs);
    found.max_age = found.max_age.map(|longest| longest.saturating_sub(age.unwrap_or_default()));
    found
}

fn validator(answer: &Answer) -> Option<Validator> {
    let of = |name, conditional| Some((conditional, HeaderValue::from_str(header(answer, name)?).ok()?));
    of("etag", IF_NONE_MATCH).or_else(|| of("last-modified", IF_MODIFIED_SINCE))
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// The kept answer, confirmed by one that says only that nothing has changed.
pub(super) fn confirmed(kept: Answer, confirmation: Answer) -> Answer {
    let told = |name: &str| confirmation.headers.iter().any(|(known, _)| known == name);
    let mut headers: Vec<_> = kept.headers.into_iter().filter(|(name, _)| !told(name) || name == "content-length").collect();
    headers.extend(confirmation.headers.iter().filter(|(name, _)| name != "content-length").cloned());
    Answer { status: kept.status, headers, body: kept.body, began_at: confirmation.began_at }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::http_client::tests::harness::{START, call};

    fn answer(size: usize, headers: &[(&str, &str)]) -> Answer {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Answer { status: 200, headers, body: Bytes::from(vec![b'x'; size]), began_at: START }
    }

    fn cached(number: usize) -> Call {
        Call { cache: Some(CacheRule::For(Duration::from_secs(60))), ..call(&format!("https://api.example/{number}"), |_| {}) }
    }

    #[test]
    fn memory_is_bounded_and_the_longest_unused_goes_first() {
        let cache = Cache::default();
        let keep = |number: usize| cache.keep(&cached(number), cached(number).identity(), &answer(LARGEST - 2 * OVERHEAD, &[]));
        let has = |number: usize| cache.find(&cached(number), cached(number).identity(), START).is_some();
        (0..8).for_each(keep);
        assert!((0..8).all(has));
        assert!(has(0));
        keep(8);
        assert!(has(0) && !has(1) && has(8));
        keep(0);
        {
            let kept = cache.lock();
            assert!(kept.bytes <= MOST_BYTES && kept.turns.len() == kept.entries.len());
        }
        cache.keep(&cached(9), cached(9).identity(), &answer(LARGEST, &[]));
        assert!(!has(9), "one too large is not kept");
    }

    #[test]
    fn what_the_provider_says_about_keeping_is_read() {
        let read = |text| {
            let found = directives(&answer(0, &[("cache-control", text), ("age", "10")]));
            (found.no_store, found.max_age.map(|age| age.as_secs()))
        };
        assert_eq!(read("max-age=60"), (false, Some(50)));
        assert_eq!(read("private, Max-Age=\"60\""), (false, Some(50)));
        assert_eq!(read("no-cache, max-age=60"), (false, Some(0)));
        assert_eq!(read("no-store"), (true, None));
        assert_eq!(read("max-age=soon"), (false, None));
    }
}
