//! `handshake:`: what providers ask before they send, or between deliveries: an echo, a challenge, a secret for a person to read.
//! What may be written, what it compiles to, and what comes of a request; who asks and who may see it is the intake's to say.

use super::oracle;
use super::receive::METHODS;
use super::verifying::reads_body;
use crate::auth::scheme::{self, Auth, AuthOptions};
use crate::auth::secret::{SecretOptions, Surroundings};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{Named, options};
use crate::config::shape;
use crate::config::source::{Span, Spanned};
use crate::config::yaml::Node;
use crate::expr::convert::scalar_text;
use crate::expr::reads::Reads;
use crate::expr::scope::{SecretRule, SecretValues};
use crate::expr::template::{Context, Engine};
use crate::expr::value::{Compiler, Condition, Value, ValueError};
use crate::model::answered::Answered;
use crate::model::delivery::Request;
use crate::model::event::EventDocument;
use crate::payload::options::Payload;
use crate::payload::request::document;
use crate::secret::{Mask, Secret};
use crate::steps::integration::IntegrationRule;
use crate::steps::reply::{Content, Written, compile_content};

/// The largest body that a handshake looks into, on the wire and inflated.
const MOST_BYTES: u64 = 64 << 10;

options! {
    /// A request that is no delivery: it is answered at once and never reaches the inbox.
    pub struct HandshakeOptions {
        /// Which requests it is for: an expression over the request. One that names `method` lets that method in. What looks into a body that cannot be read is false.
        when: Node as shape::condition,
        /// How its sender proves who it is, when not by the file's `auth`.
        auth: Option<AuthOptions>,
        /// What is answered; without it 200 and nothing else.
        reply: Option<HandshakeReplyOptions>,
        /// Values for support staff, by a name of yours: every one that came while an onboarding window of the source was open.
        show: Named<Node> as shape::text_value,
    }
}

options! {
    /// The answer to a handshake.
    pub struct HandshakeReplyOptions {
        /// The body as plain text. A secret may stand in it as the key of `hmac` and nowhere else; so too in `json` and `headers`.
        text: Option<Node> as shape::text_value,
        /// The body as JSON.
        json: Option<Node>,
        /// The status, from 200 to 299.
        status: Option<Spanned<u32>> = "200",
        /// Headers.
        headers: Named<Node> as shape::text_value,
    }
}

/// The handshakes of a source.
#[derive(Debug, Default)]
pub struct Handshakes {
    list: Vec<Handshake>,
    /// Whether one of them looks into the body.
    reads_body: bool,
    /// How bodies are read: as the file says, else as the content type does.
    payloads: Vec<Payload>,
    /// Where the secrets come from that sign answers which anyone can have.
    pub(super) answering: Vec<(String, Span)>,
}

/// A compiled handshake.
#[derive(Debug)]
pub struct Handshake {
    /// How its sender proves who it is, when not by the file's `auth`; and whether that needs the decoded body.
    pub auth: Option<(Auth, bool)>,
    when: Condition,
    when_reads_body: bool,
    reply: Content,
    show: Vec<(String, Value)>,
    methods: Vec<String>,
}

/// What handshakes are compiled with.
pub(super) struct Input<'a> {
    /// As they are written.
    pub(super) options: &'a [HandshakeOptions],
    /// The root of the file's tree.
    pub(super) root: &'a Node,
    /// What the operator holds.
    pub(super) declared: &'a Named<Vec<SecretOptions>>,
    /// The file's own scheme.
    pub(super) auth: Option<&'a Auth>,
    /// What schemes and expressions over requests are compiled with.
    pub(super) surroundings: Surroundings<'a>,
}

/// Compiles them.
pub(super) fn compile(
    input: &Input<'_>,
    payload: Option<&Payload>,
    integration: Option<&IntegrationRule>,
    diagnostics: &mut Diagnostics,
    unset: &mut Diagnostics,
) -> Option<Handshakes> {
    let mut answering = Vec::new();
    let one = |options| compile_one(options, input, integration, &mut answering, diagnostics, unset);
    let compiled = input.options.iter().map(one).collect::<Vec<_>>();
    let list = compiled.into_iter().collect::<Option<Vec<_>>>()?;
    let reads_body = list.iter().any(|handshake| handshake.reads_body(input.surroundings.compiler.engine));
    Some(Handshakes { list, reads_body, payloads: payload?.strict(MOST_BYTES).into(), answering })
}

fn compile_one(
    options: &HandshakeOptions,
    input: &Input<'_>,
    integration: Option<&IntegrationRule>,
    answering: &mut Vec<(String, Span)>,
    diagnostics: &mut Diagnostics,
    unset: &mut Diagnostics,
) -> Option<Handshake> {
    let Compiler { engine, scope } = input.surroundings.compiler;
    let closed = scope.with_secrets(SecretRule::Refused("what a handshake looks at or shows"));
    let compiler = Compiler { engine, scope: &closed };
    let when = Condition::compile(&options.when, &compiler, diagnostics);
    let auth = options.auth.as_ref().map(|auth| scheme::compile(auth, &input.surroundings, diagnostics, unset));
    let secrets = input.surroundings.secrets.iter().map(|(name, _)| name.clone());
    let names = secrets.chain(input.surroundings.fields.iter().cloned()).collect();
    let open = scope.with_secrets(SecretRule::Allowed(names));
    let reply = compile_reply(options.reply.as_ref(), &Compiler { engine, scope: &open }, diagnostics);
    let show = options
        .show
        .entries
        .iter()
        .map(|(name, node)| Value::compile_text(node, &compiler, diagnostics).map(|value| (name.value.clone(), value)));
    let show = show.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>();
    let (when, reply, show) = (when?, reply?, show?);
    let auth = match auth {
        Some(auth) => Some(auth?),
        None => None,
    };
    if let (Some(written), Some(verified)) = (&options.reply, auth.as_ref().or(input.auth)) {
        answering.extend(oracle::check(written, verified, input, &Compiler { engine, scope: &open }, diagnostics));
    }
    let mut reads = Reads::default();
    when.add_reads(engine, &mut reads);
    let methods = methods_named(options, &reads, diagnostics);
    let auth = match (auth, integration) {
        (Some(auth), integration) => {
            let reads_body = reads_body(&auth, integration?, engine);
            Some((auth, reads_body))
        }
        (None, _) => None,
    };
    Some(Handshake { auth, when, when_reads_body: reads.reads_name("body"), reply, show, methods })
}

/// The methods that a condition names: the texts in it that are one.
fn methods_named(options: &HandshakeOptions, reads: &Reads, diagnostics: &mut Diagnostics) -> Vec<String> {
    if !reads.reads_name("method") {
        return Vec::new();
    }
    let text = options.when.text().unwrap_or_default();
    let quoted: Vec<&str> = text.split(['\'', '"']).skip(1).step_by(2).collect();
    let methods: Vec<String> = METHODS.into_iter().filter(|method| quoted.contains(method)).map(str::to_owned).collect();
    if methods.is_empty() {
        let message = "the condition looks at `method`, and no HTTP method stands in it; expected such as `'GET'`";
        diagnostics.report(
            Diagnostic::error("method-not-named", options.when.span, message)
                .hint("methods are in upper case: `method == 'GET'`, `method in ['GET', 'HEAD']`"),
        );
    }
    methods
}

fn compile_reply(
    options: Option<&HandshakeReplyOptions>,
    compiler: &Compiler<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Content> {
    let Some(options) = options else { return Some(Content::empty()) };
    let HandshakeReplyOptions { status, json, text, headers, .. } = options;
    let hint = "what is not accepted is refused by `auth`, with 401";
    let reply = Written { status: status.as_ref(), json: json.as_ref(), text: text.as_ref(), headers, hint };
    let compiled = compile_content(&reply, compiler, diagnostics);
    let written = headers.entries.iter().map(|(_, node)| node).chain(text).chain(json);
    written.for_each(|node| refuse_bare_secrets(node, compiler, diagnostics));
    compiled
}

/// A reply that shows a secret gives it to whoever asks.
fn refuse_bare_secrets(node: &Node, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) {
    for (leaf, value) in oracle::leaves(node, compiler) {
        if value.shows_secrets(compiler.engine) {
            let message = "a secret may stand in the reply of a handshake only as the key of `hmac`";
            diagnostics.report(
                Diagnostic::error("secret-in-the-open", leaf.span, message)
                    .hint("such as `\"{{ body.token | hmac('sha256', secret.signing) | hex }}\"`"),
            );
        }
    }
}

impl Handshakes {
    /// The methods that they let in.
    pub(super) fn methods(&self) -> Vec<String> {
        let mut methods: Vec<String> = self.list.iter().flat_map(|handshake| handshake.methods.clone()).collect();
        methods.sort();
        methods.dedup();
        methods
    }

    /// Whether one of them has something to show.
    pub fn show_something(&self) -> bool {
        self.list.iter().any(Handshake::shows)
    }

    /// The first one that a request is, by its number, with the request as a document.
    pub fn find(&self, request: &Request, params: &[(String, String)]) -> Option<(usize, &Handshake, EventDocument)> {
        if self.list.is_empty() {
            return None;
        }
        let head = document(request, params);
        let whole = self.with_body(request, &head);
        self.list.iter().enumerate().find_map(|(number, handshake)| {
            let document = match &whole {
                Some(whole) => whole,
                // a condition such as `not body.event` must not hold of a body that nobody could read
                None if handshake.when_reads_body => return None,
                None => &head,
            };
            let holds = handshake.when.holds(Context::from(document)).unwrap_or(false);
            holds.then(|| (number, handshake, document.clone()))
        })
    }

    /// The document with the body; without it where there is none, and nothing where it cannot be read.
    fn with_body(&self, request: &Request, head: &EventDocument) -> Option<EventDocument> {
        if request.body.len() as u64 > MOST_BYTES || !self.reads_body {
            return None;
        }
        let decoded = self.payloads.iter().find_map(|payload| payload.open_unverified(request).ok()?.decode().ok())?;
        let mut whole = head.clone();
        if let Some(body) = decoded {
            whole.set("body", body);
        }
        Some(whole)
    }

    /// Adds what is secret in their requests: the credentials of those with an `auth` of their own, and what is shown.
    pub(super) fn cover(&self, engine: &Engine, mask: &mut Mask, reads: &mut Reads) {
        for handshake in &self.list {
            if let Some((auth, _)) = &handshake.auth {
                auth.add_secret_places(engine, reads);
                let secrets = auth.leaves().into_iter().filter_map(Auth::secret).flat_map(|secret| secret.declared());
                secrets.for_each(|secret| mask.cover_value(secret.expose()));
            }
            handshake.show.iter().for_each(|(_, value)| value.add_reads(engine, reads));
        }
    }
}

impl Handshake {
    fn reads_body(&self, engine: &Engine) -> bool {
        let mut reads = Reads::default();
        self.when.add_reads(engine, &mut reads);
        self.show.iter().for_each(|(_, value)| value.add_reads(engine, &mut reads));
        self.reply.add_reads(engine, &mut reads);
        reads.reads_name("body")
    }

    /// Whether it has something to show.
    pub fn shows(&self) -> bool {
        !self.show.is_empty()
    }

    /// What it has to show of a request; what is missing or no text is left out.
    pub fn shown(&self, document: &EventDocument) -> Vec<(String, Secret<String>)> {
        let value = |value: &Value| value.evaluate(Context::from(document)).ok().flatten().as_ref().and_then(scalar_text);
        let texts = self.show.iter().filter_map(|(name, shown)| Some((name.clone(), value(shown)?)));
        texts.filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name, Secret::new(text))).collect()
    }

    /// What is answered; or what the request lacks for it.
    pub fn answer(&self, document: &EventDocument, secrets: &SecretValues) -> Result<Answered, ValueError> {
        self.reply.render(Context { document, secrets: Some(secrets) })
    }
}
