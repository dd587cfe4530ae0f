//! What a simulated API does next: answers in turn, and a limit on requests.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::simulate_file::{Fault, SimulateFile, SimulatedOptions};
use crate::config::units::Rate;

/// The plan of one API, and how far it has got.
#[derive(Default)]
pub(super) struct Script {
    latency: Duration,
    limit: Option<Rate>,
    /// The requests of the window, oldest first.
    taken: VecDeque<Instant>,
    answers: Vec<Planned>,
}

struct Planned {
    method: &'static str,
    target: String,
    passed: u32,
    after: u32,
    left: Option<u32>,
    delay: Duration,
    headers: Vec<(String, String)>,
    answer: Scripted,
}

/// An answer that is not simply a file.
#[derive(Clone)]
pub(super) struct Scripted {
    pub(super) status: u16,
    /// A file of the folder, in place of the body.
    pub(super) file: Option<String>,
    pub(super) body: Vec<u8>,
    pub(super) fault: Option<Fault>,
}

/// What becomes of one request.
#[derive(Default)]
pub(super) struct Turn {
    pub(super) delay: Duration,
    /// Whether it is over the limit.
    pub(super) refused: bool,
    pub(super) headers: Vec<(String, String)>,
    pub(super) answer: Option<Scripted>,
}

impl Script {
    pub(super) fn of(file: Option<SimulateFile>) -> Self {
        let Some(file) = file else { return Self::default() };
        Self {
            latency: file.latency.unwrap_or_default(),
            limit: file.limit,
            taken: VecDeque::new(),
            answers: file.answers.iter().filter_map(planned).collect(),
        }
    }

    /// What becomes of a request for `target`: its path and query.
    pub(super) fn turn(&mut self, method: &str, target: &str, now: Instant) -> Turn {
        let mut turn = Turn { delay: self.latency, ..Turn::default() };
        if let Some(limit) = self.limit {
            turn.refused = self.is_over(limit, now);
            turn.headers = self.told(limit, now);
            if turn.refused {
                return turn;
            }
        }
        for planned in &mut self.answers {
            if planned.method != method || !fits(&planned.target, target) {
                continue;
            }
            planned.passed = planned.passed.saturating_add(1);
            if planned.passed <= planned.after || planned.left == Some(0) {
                continue;
            }
            planned.left = planned.left.map(|left| left - 1);
            turn.delay += planned.delay;
            turn.headers.extend(planned.headers.iter().cloned());
            turn.answer = Some(planned.answer.clone());
            break;
        }
        turn
    }

    fn is_over(&mut self, limit: Rate, now: Instant) -> bool {
        while self.taken.front().is_some_and(|first| now.duration_since(*first) >= limit.window) {
            self.taken.pop_front();
        }
        let over = self.taken.len() >= limit.count as usize;
        if !over {
            self.taken.push_back(now);
        }
        over
    }

    /// In whole seconds, rounded up, as providers tell it.
    fn told(&self, limit: Rate, now: Instant) -> Vec<(String, String)> {
        let left = (limit.count as usize).saturating_sub(self.taken.len());
        let opens_in = self.taken.front().map_or(limit.window, |first| limit.window.saturating_sub(now.duration_since(*first)));
        let seconds = opens_in.as_millis().div_ceil(1000);
        let mut headers = vec![
            ("x-ratelimit-limit".to_owned(), limit.count.to_string()),
            ("x-ratelimit-remaining".to_owned(), left.to_string()),
            ("x-ratelimit-reset".to_owned(), seconds.to_string()),
        ];
        if left == 0 {
            headers.push(("retry-after".to_owned(), seconds.to_string()));
        }
        headers
    }
}

fn planned(options: &SimulatedOptions) -> Option<Planned> {
    let (method, target) = match (&options.get, &options.post) {
        (_, Some(target)) => ("POST", target),
        (Some(target), None) => ("GET", target),
        (None, None) => return None,
    };
    let headers = options.headers.entries.iter().map(|(name, value)| (name.value.replace('_', "-"), value.clone()));
    let body = match (&options.json, &options.text) {
        (Some(json), _) => json.to_json().to_string(),
        (None, Some(text)) => text.clone(),
        (None, None) => String::new(),
    };
    Some(Planned {
        method,
        target: target.value.clone(),
        passed: 0,
        after: options.after.unwrap_or(0),
        left: options.times,
        delay: options.delay.unwrap_or_default(),
        headers: headers.collect(),
        answer: Scripted {
            status: options.status.and_then(|status| u16::try_from(status).ok()).unwrap_or(200),
            file: options.file.as_ref().map(|file| file.value.clone()),
            body: body.into_bytes(),
            fault: options.fault,
        },
    })
}

/// A pattern without `?` is for the path whatever its query.
fn fits(pattern: &str, target: &str) -> bool {
    let target = if pattern.contains('?') { target } else { target.split('?').next().unwrap_or_default() };
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = target.strip_prefix(first) else { return false };
    let mut last = None;
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
        last = Some(part);
    }
    match last {
        None => rest.is_empty(),
        Some("") => true,
        Some(last) => rest.is_empty() || target.ends_with(last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_paths_and_queries() {
        for (pattern, target, expected) in [
            ("/a", "/a", true),
            ("/a", "/a?x=1", true),
            ("/a?x=1", "/a?x=1", true),
            ("/a?x=1", "/a", false),
            ("/a", "/ab", false),
            ("/orders/*", "/orders/sent/7", true),
            ("/orders/*/7", "/orders/sent/7", true),
            ("/orders/*/7", "/orders/sent/8", false),
            ("*", "/anything", true),
        ] {
            assert_eq!(fits(pattern, target), expected, "{pattern} {target}");
        }
    }
}
