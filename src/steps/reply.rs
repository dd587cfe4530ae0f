//! `reply:`: what the sender of a delivery is answered in place of the delivery's id. When it is answered is the intake's business.

use std::time::Duration;

use reqwest::header::HeaderValue;
use serde_json::Value as Json;

use super::api::compile_headers;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{Named, options};
use crate::config::shape;
use crate::config::source::Spanned;
use crate::config::units::format_duration;
use crate::config::yaml::Node;
use crate::expr::reads::Reads;
use crate::expr::template::{Context, Engine};
use crate::expr::value::{Compiler, Value, ValueError};
use crate::model::answered::Answered;
use crate::model::event::EventDocument;

/// Headers that are the server's own to write.
const OWN_HEADERS: [&str; 5] = ["connection", "content-length", "date", DELIVERY, "transfer-encoding"];
/// The longest that a sender is made to wait: few wait any longer themselves.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The header of every reply that has the delivery's id.
pub const DELIVERY: &str = "hooktable-delivery";

options! {
    /// What the sender is answered in place of the delivery's id, once the delivery is stored. Of several records the first one's counts.
    pub struct ReplyOptions {
        /// The status, from 200 to 299; 200 if it is left out.
        status: Option<Spanned<u32>>,
        /// The body as JSON.
        json: Option<Node>,
        /// The body as plain text.
        text: Option<Node> as shape::text_value,
        /// Headers.
        headers: Named<Node> as shape::text_value,
        /// How long the sender is made to wait for the rows, 30s at most; the reply may look at what was fetched then. It is told
        /// 202 and the delivery's id when a record fails or the time is over.
        wait: Option<Spanned<Duration>>,
    }
}

/// An answer as it is written, for deliveries and for handshakes.
#[derive(Clone, Copy)]
pub struct Written<'a> {
    /// `status`.
    pub status: Option<&'a Spanned<u32>>,
    /// `json`.
    pub json: Option<&'a Node>,
    /// `text`.
    pub text: Option<&'a Node>,
    /// `headers`.
    pub headers: &'a Named<Node>,
    /// What to do about a status that is none.
    pub hint: &'static str,
}

/// A compiled answer.
#[derive(Debug)]
pub struct Content {
    status: u16,
    body: Body,
    headers: Vec<(String, Value)>,
}

#[derive(Debug)]
enum Body {
    Empty,
    Text(Value),
    Json(Value),
}

/// A compiled `reply`.
#[derive(Debug)]
pub struct Reply {
    content: Content,
    reads: Reads,
    /// How long its sender waits for the records to end.
    pub wait: Option<Duration>,
    /// Whether it looks at what is known only then.
    pub reads_later: bool,
}

/// Compiles a `reply`. `later` are the names of what is known only when the records have ended.
pub fn compile(options: &ReplyOptions, later: &[&str], compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Reply> {
    let written = Written {
        status: options.status.as_ref(),
        json: options.json.as_ref(),
        text: options.text.as_ref(),
        headers: &options.headers,
        hint: "senders take anything but success for a failure and send again; what is to be refused is refused by `auth`",
    };
    let content = compile_content(&written, compiler, diagnostics);
    let wait = options.wait.as_ref().filter(|wait| wait.value.is_zero() || wait.value > LONGEST_WAIT);
    if let Some(wait) = wait {
        let found = format_duration(wait.value);
        let message = format!("a sender can be made to wait for up to {}; found {found}", format_duration(LONGEST_WAIT));
        let hint = "senders give up after some seconds and send again: `wait: 3s`";
        diagnostics.report(Diagnostic::error("bad-wait", wait.span, message).hint(hint));
    }
    let content = content?;
    let mut reads = Reads::default();
    content.add_reads(compiler.engine, &mut reads);
    let reads_later = later.iter().any(|name| reads.reads_name(name));
    Some(Reply { content, reads, reads_later, wait: options.wait.as_ref().map(|wait| wait.value) })
}

impl Reply {
    /// Everything that it looks at.
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// What is answered, or why it cannot be made of this document.
    pub fn render(&self, document: &EventDocument) -> Result<Answered, ValueError> {
        let answered = self.content.render(Context::from(document))?;
        match answered.headers.iter().find(|(_, value)| HeaderValue::from_str(value).is_err()) {
            Some((name, _)) => Err(ValueError(format!("`headers.{name}` is nothing that a header can carry"))),
            None => Ok(answered),
        }
    }

    /// What it is, in words.
    pub fn words(&self) -> String {
        let body = match &self.content.body {
            Body::Empty => "nothing else",
            Body::Text(_) => "a text",
            Body::Json(_) => "JSON",
        };
        let status = self.content.status;
        match self.wait {
            Some(wait) => {
                format!("{status} with {body} once all records have ended; 202 after {} or a failure", format_duration(wait))
            }
            None => format!("{status} with {body} once it is stored"),
        }
    }
}

/// Compiles an answer.
pub fn compile_content(written: &Written<'_>, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Content> {
    let body = match (written.text, written.json) {
        (Some(_), Some(json)) => {
            let message = "a reply is either `text` or `json`; found both";
            diagnostics.report(Diagnostic::error("one-of", json.head(), message).hint("remove one of the two"));
            None
        }
        (Some(text), None) => Value::compile_text(text, compiler, diagnostics).map(Body::Text),
        (None, Some(json)) => Value::compile(json, compiler, diagnostics).map(Body::Json),
        (None, None) => Some(Body::Empty),
    };
    let headers = compile_headers(written.headers, compiler, diagnostics)
        .map(|headers| headers.into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect::<Vec<_>>());
    for (name, _) in &written.headers.entries {
        if OWN_HEADERS.contains(&name.value.to_ascii_lowercase().as_str()) {
            let message = format!("the header `{}` is the server's own to write", name.value);
            diagnostics.report(Diagnostic::error("bad-header", name.span, message).hint("leave it out"));
        }
    }
    let status = compile_status(written, diagnostics);
    Some(Content { status: status?, body: body?, headers: headers? })
}

fn compile_status(written: &Written<'_>, diagnostics: &mut Diagnostics) -> Option<u16> {
    let Some(status) = &written.status else { return Some(200) };
    let has_body = written.text.is_some() || written.json.is_some();
    let message = match status.value {
        204 | 205 if has_body => format!("an answer with the status {} has no body; found one", status.value),
        200..=299 => return u16::try_from(status.value).ok(),
        other => format!("expected a status from 200 to 299; found {other}"),
    };
    diagnostics.report(Diagnostic::error("bad-status", status.span, message).hint(written.hint));
    None
}

impl Content {
    /// 200 and nothing else.
    pub fn empty() -> Self {
        Self { status: 200, body: Body::Empty, headers: Vec::new() }
    }

    /// Adds what it looks at.
    pub fn add_reads(&self, engine: &Engine, reads: &mut Reads) {
        self.headers.iter().for_each(|(_, value)| value.add_reads(engine, reads));
        match &self.body {
            Body::Text(value) | Body::Json(value) => value.add_reads(engine, reads),
            Body::Empty => {}
        }
    }

    /// What is answered, or what it lacks for that.
    pub fn render(&self, context: Context<'_>) -> Result<Answered, ValueError> {
        let (content_type, body) = match &self.body {
            Body::Empty => (None, String::new()),
            Body::Text(value) => (Some("text/plain; charset=utf-8"), value.text(context)?),
            Body::Json(value) => {
                let json = value.evaluate(context)?.unwrap_or(Json::Null);
                (Some("application/json"), json.to_string())
            }
        };
        let headers = self.headers.iter().map(|(name, value)| Ok((name.clone(), value.text(context)?)));
        Ok(Answered { status: self.status, content_type, headers: headers.collect::<Result<_, ValueError>>()?, body })
    }
}
