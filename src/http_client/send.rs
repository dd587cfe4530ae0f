//! One request and its redirects: where it may go, where it is sent instead in rehearsals, how much of an answer is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response, Url};
use tokio::time::timeout;

use super::call::Call;
use super::fault::{Fault, refused};
use super::guard::{Guard, check_literal};
use super::limits::Limits;
use super::origin::{Origin, moved_to};
use super::recorded::Recorded;
use crate::config::units::format_duration;
use crate::model::failure::{Failure, Step};

/// How long a connection may take, TLS and name included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How many redirects are followed.
const MOST_REDIRECTS: usize = 5;

/// In place of the bytes of an answer's body that came: not even its head did.
const NOTHING: u64 = u64::MAX;

/// Sends requests.
pub(super) struct Transport {
    guarded: Client,
    open: Client,
    simulated: Vec<(Origin, Url)>,
    recorded: Option<Arc<Recorded>>,
}

/// A complete answer.
pub(super) struct Reply {
    pub(super) status: u16,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

impl Reply {
    /// The first header of that name, which is in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// One request of a chain of redirects.
struct Hop {
    method: Method,
    url: Url,
    with_body: bool,
}

/// Where a request goes.
enum Way<'a> {
    Recorded(&'a Recorded),
    To(&'a Client, Url),
}

impl Transport {
    pub(super) fn new(
        user_agent: &str,
        simulated: Vec<(Origin, Url)>,
        recorded: Option<Arc<Recorded>>,
    ) -> Result<Self, reqwest::Error> {
        let builder = || {
            Client::builder()
                .user_agent(user_agent)
                .no_proxy()
                .referer(false)
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT_TIMEOUT)
        };
        let guarded = builder().dns_resolver(Arc::new(Guard)).build()?;
        Ok(Self { guarded, open: builder().build()?, simulated, recorded })
    }

    /// Whether nothing real is ever called.
    pub(super) fn is_recorded(&self) -> bool {
        self.recorded.is_some()
    }

    /// Whether `call` may be made at all; asked before a token is spent on it. A name is looked at when it is resolved.
    pub(super) fn check(&self, call: &Call) -> Result<(), Failure> {
        self.way(call, &call.url).map(drop)
    }

    /// Makes the request and follows its redirects, with a token for each of these; all of it takes `longest` at most.
    pub(super) async fn send(&self, call: &Call, limits: Option<&Limits>, longest: Duration) -> Result<Reply, Fault> {
        let received = AtomicU64::new(NOTHING);
        match timeout(longest, self.follow(call, limits, &received)).await {
            Ok(ended) => ended,
            Err(_) => Err(Fault::Passing(too_slow(call, longest, received.into_inner()))),
        }
    }

    async fn follow(&self, call: &Call, limits: Option<&Limits>, received: &AtomicU64) -> Result<Reply, Fault> {
        let mut hop = Hop { method: call.method.clone(), url: call.url.clone(), with_body: true };
        for _ in 0..=MOST_REDIRECTS {
            let reply = self.send_one(call, &hop, received).await?;
            let Some(next) = hop.redirected(&reply, call)? else { return Ok(reply) };
            self.way(call, &next.url).map_err(Fault::Final)?;
            if let Some(limits) = limits {
                limits.take(&call.api).await.map_err(|at| Fault::Final(used_up(call, at)))?;
            }
            hop = next;
        }
        Err(Fault::permanent(format!("api `{}` redirects more than {MOST_REDIRECTS} times", call.api.name)))
    }

    async fn send_one(&self, call: &Call, hop: &Hop, received: &AtomicU64) -> Result<Reply, Fault> {
        let (client, url) = match self.way(call, &hop.url).map_err(Fault::Final)? {
            Way::To(client, url) => (client, url),
            Way::Recorded(recorded) => {
                // Identical calls made side by side are to find each other in flight here as they do in production.
                tokio::task::yield_now().await;
                return recorded.answer(&hop.method, &hop.url, call).await;
            }
        };
        let body = call.body.as_ref().filter(|_| hop.with_body);
        let mut request = client.request(hop.method.clone(), url).headers(headers(call, body.map(|(kind, _)| kind))?);
        if let Some((_, content)) = body {
            request = request.body(content.clone());
        }
        received.store(NOTHING, Ordering::Relaxed);
        let response = request.send().await.map_err(|error| Fault::of_request(error, call))?;
        received.store(0, Ordering::Relaxed);
        read(response, call, received).await
    }

    /// Declared origins only, in rehearsals too; the address guard is for what is really called.
    fn way(&self, call: &Call, url: &Url) -> Result<Way<'_>, Failure> {
        let origin = Origin::of(url)
            .filter(|origin| call.api.allowed_origins.iter().any(|allowed| Origin::parse(allowed).as_ref() == Some(origin)));
        let Some(origin) = origin else { return Err(undeclared(call, url)) };
        if let Some(recorded) = &self.recorded {
            return Ok(Way::Recorded(recorded));
        }
        if let Some((_, base)) = self.simulated.iter().find(|(simulated, _)| *simulated == origin) {
            return Ok(Way::To(&self.open, moved_to(url, base)));
        }
        if call.api.allow_private {
            return Ok(Way::To(&self.open, url.clone()));
        }
        check_literal(url).map_err(|forbidden| refused(call, forbidden))?;
        Ok(Way::To(&self.guarded, url.clone()))
    }
}

impl Hop {
    /// The request that `reply` asks for instead, if it does.
    fn redirected(&self, reply: &Reply, call: &Call) -> Result<Option<Self>, Fault> {
        let location = reply.header("location").filter(|_| matches!(reply.status, 301 | 302 | 303 | 307 | 308));
        let Some(location) = location else { return Ok(None) };
        if call.is_forward && !matches!(reply.status, 307 | 308) {
            return Ok(None);
        }
        let url = self.url.join(location).map_err(|_| {
            Fault::permanent(format!("api `{}` answered {} with a `location` that is no URL", call.api.name, reply.status))
        })?;
        let keeps_method = matches!(reply.status, 307 | 308) || self.method == Method::GET;
        let method = if keeps_method { self.method.clone() } else { Method::GET };
        Ok(Some(Self { method, url, with_body: self.with_body && keeps_method }))
    }
}

fn headers(call: &Call, content_type: Option<&String>) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::with_capacity(call.headers.len() + 1);
    let mut add = |name: &HeaderName, mut value: HeaderValue| {
        value.set_sensitive(true);
        headers.append(name, value);
    };
    for (name, value) in &call.headers {
        add(name, value.clone());
    }
    if let Some(content_type) = content_type.filter(|_| !call.headers.iter().any(|(name, _)| name == CONTENT_TYPE)) {
        let value = HeaderValue::from_str(content_type);
        add(&CONTENT_TYPE, value.map_err(|_| Fault::permanent("the content type of the request is no header value"))?);
    }
    Ok(headers)
}

async fn read(mut response: Response, call: &Call, received: &AtomicU64) -> Result<Reply, Fault> {
    let most = call.api.max_answer;
    let too_large = || Fault::permanent(format!("api `{}`: its answer has more than {most} bytes", call.api.name));
    if response.content_length().is_some_and(|length| length > most) {
        return Err(too_large());
    }
    let status = response.status().as_u16();
    let header_text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = response.headers().iter().map(|(name, value)| (name.as_str().to_owned(), header_text(value))).collect();
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Fault::of_request(error, call))? {
        if (body.len() + chunk.len()) as u64 > most {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
        received.store(body.len() as u64, Ordering::Relaxed);
    }
    Ok(Reply { status, headers, body: body.freeze() })
}

/// Tells a provider that says nothing from one that does not come to an end.
fn too_slow(call: &Call, longest: Duration, received: u64) -> String {
    let (api, longest) = (&call.api.name, format_duration(longest));
    match received {
        NOTHING => format!("api `{api}`: no answer within {longest}"),
        bytes => format!("api `{api}`: its answer did not end within {longest}, {bytes} bytes of it came"),
    }
}

fn undeclared(call: &Call, url: &Url) -> Failure {
    let found = Origin::of(url).map_or_else(|| format!("{}:", url.scheme()), |origin| origin.as_str().to_owned());
    let reason = format!(
        "api `{}` may not call `{found}`, it declares `{}`\nhint: every origin that is called must be declared by the file",
        call.api.name,
        call.api.allowed_origins.join("`, `")
    );
    Failure::permanent(Step::Enrich, call.mask.text(&reason))
}

/// The failure for a call that has to wait for its API's limits.
pub(super) fn used_up(call: &Call, at: crate::clock::Timestamp) -> Failure {
    Failure::held_until(Step::Enrich, at, format!("api `{}`: its limits permit no request before {at}", call.api.name))
}
