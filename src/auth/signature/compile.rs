//! From the options of `signature` to the scheme; what would leave a hole in it is refused.

use super::grammar::{self, Reading};
use super::key::Key;
use super::options::{SignatureOptions, SignedRequestOptions, TimestampOptions, Tolerance};
use super::places::{self, Places};
use super::scheme::{Each, Scheme};
use super::text::{self, SignedText};
use crate::auth::secret::{SecretSource, Surroundings};
use crate::auth::secret_form::SecretForm;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::source::Span;
use crate::expr::value::Compiler;

/// Compiles it.
pub(in crate::auth) fn compile(
    options: &SignedRequestOptions,
    surroundings: &Surroundings<'_>,
    diagnostics: &mut Diagnostics,
    unset: &mut Diagnostics,
) -> Option<Scheme> {
    let options = &options.signature;
    let outer = surroundings.compiler;
    let each = compile_each(options, &outer, diagnostics);
    let scope = outer.scope.with(options.each.names().take(1));
    let inner = Compiler { engine: outer.engine, scope: &scope };
    let at = places::compile(&options.at, &inner, diagnostics);
    let reading = grammar::compile(options.read.as_ref(), diagnostics);
    let signed = text::compile(options.signed.as_ref(), &inner, diagnostics);
    let stamped: &[_] = options.timestamp.as_ref().map_or(&[], |timestamp| &timestamp.at);
    let timestamp = places::compile(stamped, &inner, diagnostics);
    let id = places::compile(&options.id, &inner, diagnostics);
    let digest = options.body_sha256.as_ref().map(|node| places::compile_path(node, &inner, diagnostics));
    let secret = surroundings.secret(&options.secret, options.span, "signature", diagnostics, unset);
    let (each, at, reading, signed) = (each?, at?, reading?, signed?);
    let (timestamp, id, secret) = (timestamp?, id?, secret?);
    let body_sha256 = digest.map_or(Some(None), |digest| digest.map(Some))?;
    let scheme = Scheme {
        at,
        algorithm: options.algorithm.value,
        form: form_of(options),
        secret,
        encoding: options.encoding.unwrap_or_default(),
        reading,
        signed,
        timestamp,
        unit: options.timestamp.as_ref().and_then(|timestamp| timestamp.unit).unwrap_or_default(),
        id,
        tolerance: options.tolerance.as_ref().map_or(Tolerance::None, |tolerance| tolerance.value),
        body_sha256,
        each,
    };
    check(options, &scheme, diagnostics);
    check_secret(options, &scheme, diagnostics, unset);
    Some(scheme)
}

fn form_of(options: &SignatureOptions) -> SecretForm {
    let usual = if options.algorithm.has_public_key() { SecretForm::Pem } else { SecretForm::Utf8 };
    options.secret_as.as_ref().map_or(usual, |form| form.value)
}

fn compile_each(options: &SignatureOptions, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Option<Each>> {
    if let [_, (second, _), ..] = options.each.entries.as_slice() {
        let message = "`each` takes one name and one list; found a second";
        diagnostics.report(Diagnostic::error("too-many-names", second.span, message).hint("remove one of the two"));
    }
    let Some((name, node)) = options.each.entries.first() else { return Some(None) };
    let list = places::compile_path(node, compiler, diagnostics)?;
    Some(Some(Each { name: name.value.clone(), list }))
}

fn check(options: &SignatureOptions, scheme: &Scheme, diagnostics: &mut Diagnostics) {
    if scheme.at.is_empty() {
        let message = "missing option `at`";
        diagnostics.report(
            Diagnostic::error("missing-option", options.head, message)
                .label("beside this")
                .hint("say where the signature stands: `at: $.headers.x_signature`"),
        );
    }
    let place_of_text = options.signed.as_ref().map_or(options.head, |node| node.span);
    check_timestamp(options, scheme, place_of_text, diagnostics);
    if scheme.signed.holds_id() && scheme.id.is_empty() && !scheme.reading.has_id() {
        let message = "`signed` holds `{id}`, and nothing says where the id stands";
        diagnostics.report(
            Diagnostic::error("missing-option", place_of_text, message).hint("add `id: $.headers.x_id`, or `{id}` to `read`"),
        );
    }
    let each = scheme.each.as_ref().map(|each| each.name.as_str());
    let covers = scheme.signed.holds_body()
        || scheme.signed.holds_form()
        || scheme.body_sha256.is_some()
        || ["body"].into_iter().chain(each).any(|name| scheme.signed.holds_values_of(name));
    if !covers {
        let message = "nothing of the body is signed: whoever has seen one signature can send another body with it";
        diagnostics.report(
            Diagnostic::error("unsigned-body", place_of_text, message)
                .hint("add `{body}` where the sender has it; a value that does not depend on the body is a `token`"),
        );
    }
    let digest = scheme.body_sha256.as_ref().filter(|path| !scheme.signed.holds_body() && !scheme.signed.covers(path));
    if let (Some(path), Some(written)) = (digest, &options.body_sha256) {
        let path = path.text();
        let message = format!("the digest at `{path}` is not signed: whoever has seen one signature can write another digest");
        diagnostics.report(
            Diagnostic::error("unsigned-body", written.span, message)
                .related(place_of_text, "what is signed")
                .hint(format!("add `{{{path}}}` to `signed` where the sender signs it")),
        );
    }
    if scheme.algorithm.is_plain_hash() && !scheme.signed.holds_secret() {
        let name = scheme.algorithm.name();
        let message = format!("`{name}` has no key, so anyone could compute it: `signed` needs `{{secret}}`");
        diagnostics.report(
            Diagnostic::error("hash-without-secret", options.algorithm.span, message)
                .hint(format!("such as `signed: \"{{secret}}{{body}}\"`; with a key it is `hmac-{name}`")),
        );
    }
}

fn check_timestamp(options: &SignatureOptions, scheme: &Scheme, place_of_text: Span, diagnostics: &mut Diagnostics) {
    let has_source = !scheme.timestamp.is_empty() || scheme.reading.has_timestamp();
    if let Some(TimestampOptions { head, .. }) = options.timestamp.as_ref().filter(|_| !has_source) {
        let message = "nothing says where the timestamp stands";
        diagnostics.report(
            Diagnostic::error("missing-option", *head, message)
                .hint("add `at: $.headers.x_timestamp`, or `{timestamp}` to `read`"),
        );
    } else if scheme.signed.holds_timestamp() && !has_source {
        let message = "`signed` holds `{timestamp}`, and nothing says where the timestamp stands";
        diagnostics.report(
            Diagnostic::error("missing-option", place_of_text, message)
                .hint("add `timestamp: { at: $.headers.x_timestamp }`, or `{timestamp}` to `read`"),
        );
    }
    if has_source && !is_signed(&scheme.timestamp, &scheme.reading, &scheme.signed) {
        let place = options.timestamp.as_ref().map_or(place_of_text, |timestamp| timestamp.head);
        let message = "the timestamp is not signed, so anyone could write another one";
        diagnostics.report(
            Diagnostic::error("unsigned-timestamp", place, message)
                .hint("add `{timestamp}` to `signed` where the sender has it, else remove the timestamp"),
        );
    }
    match &options.tolerance {
        None if has_source => {
            let message = "a timestamp is signed; how far may it be from now?";
            diagnostics.report(
                Diagnostic::error("missing-tolerance", options.head, message)
                    .hint("`tolerance: 5m` is usual; `tolerance: none` lets an old request be sent again at any time"),
            );
        }
        Some(tolerance) if !has_source && options.timestamp.is_none() && !scheme.signed.holds_timestamp() => {
            let message = "`tolerance` is for a timestamp, and there is none";
            diagnostics.report(
                Diagnostic::error("misplaced-option", tolerance.span, message)
                    .hint("add `timestamp: { at: … }`, or `{timestamp}` to `read`; or remove `tolerance`"),
            );
        }
        _ => {}
    }
}

/// A timestamp that stands in what is signed is signed with it.
fn is_signed(timestamp: &Places, reading: &Reading, signed: &SignedText) -> bool {
    let in_request = !reading.has_timestamp() && timestamp.paths().iter().all(|path| signed.covers(path));
    signed.holds_timestamp() || in_request
}

fn check_secret(options: &SignatureOptions, scheme: &Scheme, diagnostics: &mut Diagnostics, unset: &mut Diagnostics) {
    let refuse = |form: SecretForm, span: Span, diagnostics: &mut Diagnostics| {
        let name = scheme.algorithm.name();
        let fits = match scheme.algorithm.has_public_key() {
            true => !matches!(form, SecretForm::Utf8 | SecretForm::Whsec),
            false => !form.is_of_public_keys(),
        };
        if !fits {
            let expected = if scheme.algorithm.has_public_key() { "a public key" } else { "a secret that both sides know" };
            let forms = if scheme.algorithm.has_public_key() { "pem, jwk, hex or base64" } else { "utf8, hex, base64 or whsec" };
            let message = format!("`{name}` verifies with {expected}, which is not `{}`", form.word());
            diagnostics.report(Diagnostic::error("secret-form", span, message).hint(format!("one of {forms}")));
        }
        fits
    };
    if let Some(form) = &options.secret_as
        && !refuse(form.value, form.span, diagnostics)
    {
        return;
    }
    let SecretSource::Declared(values) = &scheme.secret else { return };
    for value in values {
        let form = value.form().unwrap_or(scheme.form);
        if form == SecretForm::StandIn || !refuse(form, options.secret.span().unwrap_or(options.head), diagnostics) {
            continue;
        }
        if let Err(reason) = Key::read(value.expose(), form, scheme.algorithm) {
            let place = options.secret.span().unwrap_or(options.head);
            unset.report(
                Diagnostic::warning("secret-form", place, reason).hint("until it is what `as` says, the file is not active"),
            );
        }
    }
}
