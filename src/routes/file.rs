//! The route file as it is written: its blocks in the order in which the work happens.

use std::time::Duration;

use super::handshake::HandshakeOptions;
use super::receive::ReceiveOptions;
use crate::auth::scheme::AuthOptions;
use crate::auth::secret::SecretOptions;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{Named, options};
use crate::config::shape;
use crate::config::source::Spanned;
use crate::config::yaml::Node;
use crate::expr::typed::LongForm;
use crate::payload::options::PayloadOptions;
use crate::steps::api::ApiOptions;
use crate::steps::call::CallForm;
use crate::steps::choose::Pattern;
use crate::steps::forward::ForwardOptions;
use crate::steps::integration_options::IntegrationOptions;
use crate::steps::lane::Coalesce;
use crate::steps::reply::ReplyOptions;
use crate::steps::retry_options::RetryOptions;
use crate::steps::version::VersionOptions;
use crate::steps::write_options::WriteOptions;

/// How long a failing record may hold its lanes where the work is a fetch, and the shortest that can be said.
const STUCK: Duration = Duration::from_secs(3600);
const SHORTEST_STUCK: Duration = Duration::from_secs(60);

options! {
    /// A route file: one source.
    pub struct FileOptions {
        /// The version of the language.
        hooktable: Option<Spanned<u32>> = "1",
        /// The source's name; the file's name by default.
        source: Option<Spanned<String>>,
        /// What people call it.
        title: Option<String>,
        /// The tenant everything of this source belongs to.
        tenant: Option<Spanned<String>>,
        /// Which requests are this source's.
        receive: Option<ReceiveOptions>,
        /// How a sender proves who it is.
        auth: Option<AuthOptions>,
        /// Requests that are no deliveries, such as a provider's question whether this address is meant; the first that a request is answers it.
        handshake: Vec<HandshakeOptions>,
        /// What each customer's set-up holds.
        integration: Option<IntegrationOptions>,
        /// What the operator holds.
        secrets: Named<Vec<SecretOptions>>,
        /// How the body is read.
        payload: Option<PayloadOptions>,
        /// The providers' APIs.
        apis: Named<ApiOptions>,
        /// The event's name.
        event: Option<Node> as shape::text_value,
        /// Names taken out of the request.
        extract: Named<Node> as LongForm::value_shape,
        /// When it holds the thing no longer exists.
        gone: Option<Node> as shape::condition,
        /// The sender's own id: a second one is a duplicate.
        id: Option<Node> as shape::text_value,
        /// How long an id is remembered.
        remember: Option<Duration> = "7d",
        /// What records run one at a time, in order. A list: a record is in all of these lanes, as a renumbering is in those of
        /// both numbers; what is missing or empty in it is left out.
        lane: Option<Node> as shape::text_values,
        /// How long a failing record may hold its lanes before others pass it: `1h` where the work is a fetch, otherwise as long
        /// as it is tried. `1m` at least.
        stuck: Option<Spanned<Duration>>,
        /// Which of two states of a thing is the newer one: an older one changes no row, not even one that is gone.
        version: Option<VersionOptions>,
        /// How long a lane must be quiet before its work is done, once for all that came.
        coalesce: Option<Spanned<Coalesce>>,
        /// How often a failing record is tried again.
        retry: Option<RetryOptions>,
        /// What is fetched.
        enrich: Named<CallForm>,
        /// Which rows change.
        write: Vec<WriteOptions>,
        /// What is sent to other systems once the rows are written.
        forward: Named<ForwardOptions>,
        /// What the sender is answered in place of the delivery's id.
        reply: Option<ReplyOptions>,
        /// Which events take which way; without it the file is itself one route.
        routes: Vec<RouteOptions>,
        /// What is shown and tried when a customer is set up.
        onboarding: Option<OnboardingOptions>,
    }
}

options! {
    /// One entry of `routes`. Its maps add to the file's by name, its lists and single values replace them.
    pub struct RouteOptions {
        /// The events it wants: a name, a list, or patterns with `*`.
        event: Vec<Spanned<Pattern>>,
        /// What else must hold.
        when: Option<Node> as shape::condition,
        /// Why these are left alone.
        ignore: Option<Spanned<String>>,
        /// More names taken out of the request.
        extract: Named<Node> as LongForm::value_shape,
        /// When it holds the thing no longer exists.
        gone: Option<Node> as shape::condition,
        /// The sender's own id: a second one is a duplicate.
        id: Option<Node> as shape::text_value,
        /// How long an id is remembered.
        remember: Option<Duration>,
        /// What records run one at a time, in order. A list: a record is in all of these lanes, as a renumbering is in those of
        /// both numbers; what is missing or empty in it is left out.
        lane: Option<Node> as shape::text_values,
        /// How long a failing record may hold its lanes before others pass it: `1h` where the work is a fetch, otherwise as long
        /// as it is tried. `1m` at least.
        stuck: Option<Spanned<Duration>>,
        /// Which of two states of a thing is the newer one: an older one changes no row, not even one that is gone.
        version: Option<VersionOptions>,
        /// How long a lane must be quiet before its work is done, once for all that came.
        coalesce: Option<Spanned<Coalesce>>,
        /// How often a failing record is tried again.
        retry: Option<RetryOptions>,
        /// What is fetched.
        enrich: Named<CallForm>,
        /// Which rows change. `[]`: none, whatever the file says.
        write: Option<Vec<WriteOptions>>,
        /// What is sent to other systems once the rows are written.
        forward: Named<ForwardOptions>,
        /// What the sender is answered in place of the delivery's id; also for what is left alone.
        reply: Option<ReplyOptions>,
    }
}

options! {
    /// What is shown and tried when a customer is set up.
    pub struct OnboardingOptions {
        /// The text that a customer is handed, a file of the folder of templates: `onboarding/economic.{{ lang }}.md`, of which the
        /// English one must be there. It knows `url` and `addresses` (one for each event, with `event`, `method`, `url` and
        /// `header`), `key`, `body`, `field`, `integration`, `tenant` and `lang`; secrets are placeholders in it.
        template: Option<Node> as shape::text_value,
        /// What to paste at the provider as the body; it knows the same names but `body`.
        body: Option<Node> as shape::text_value,
        /// Requests as the provider sends them, for trying and testing.
        samples: Vec<Spanned<String>>,
    }
}

/// How long a failing record may hold its lanes.
pub fn stuck_after(written: Option<&Spanned<Duration>>, fetches: bool, diagnostics: &mut Diagnostics) -> Option<Duration> {
    let Some(written) = written else { return fetches.then_some(STUCK) };
    if written.value < SHORTEST_STUCK {
        let message = "`stuck` must be at least `1m`: sooner, what fails for a moment would lose its place in its lane";
        diagnostics.report(Diagnostic::error("stuck-too-short", written.span, message).hint("such as `stuck: 1h`"));
    }
    Some(written.value)
}

impl RouteOptions {
    /// Its own writes.
    pub(super) fn own_writes(&self) -> &[WriteOptions] {
        self.write.as_deref().unwrap_or_default()
    }

    /// A file without `routes` is itself one route.
    pub(super) fn of_file(file: &FileOptions) -> Self {
        Self {
            span: file.span,
            head: file.head,
            event: Vec::new(),
            when: None,
            ignore: None,
            extract: Named::default(),
            gone: None,
            id: None,
            remember: None,
            lane: None,
            stuck: None,
            version: None,
            coalesce: None,
            retry: None,
            enrich: Named::default(),
            write: None,
            forward: Named::default(),
            reply: None,
        }
    }
}

impl FileOptions {
    /// Whether the file is no source but lends its `apis` and `secrets` to all others.
    pub fn lends(root: &Node) -> bool {
        let Some(entries) = root.entries() else { return false };
        let lent = |name: &str| matches!(name, "apis" | "secrets");
        let has = entries.iter().any(|entry| lent(&entry.name.value));
        has && entries.iter().all(|entry| lent(&entry.name.value) || matches!(entry.name.value.as_str(), "title" | "hooktable"))
    }
}
