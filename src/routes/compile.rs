//! From a route file's options to a compiled source. Pure: texts in, source and diagnostics out.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::admits::{admit_hash, bundle_hash};
use super::file::{FileOptions, RouteOptions, stuck_after};
use super::masking::secrecy;
use super::names::{self, Scopes};
use super::onboarding;
use super::receive::{self, Receive};
use super::source::{Source, TenantRule};
use super::{handshake, lint, replies, row_lanes, signing, verifying};
use crate::auth::secret::{self, SecretReader, Surroundings};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::Named;
use crate::config::source::Spanned;
use crate::config::yaml::Node;
use crate::expr::reads::Reads;
use crate::expr::scope::{Scope, SecretRule};
use crate::expr::template::Engine;
use crate::expr::value::{Compiler, Condition, Value};
use crate::model::bundle::Bundle;
use crate::model::retry::RetryPolicy;
use crate::payload;
use crate::steps::admission::{Admission, Route};
use crate::steps::api::{self, Api};
use crate::steps::choose::{Matcher, Pattern};
use crate::steps::enrich;
use crate::steps::extract::{self, Extract};
use crate::steps::forward::{self, Forward};
use crate::steps::integration;
use crate::steps::lane::{Coalesce, Queueing, REMEMBER, compile_lanes};
use crate::steps::late;
use crate::steps::map::{self, Destination, Write};
use crate::steps::pipeline::Pipeline;
use crate::steps::retry_options::retry_policy;
use crate::steps::write_options::{Verb, WriteOptions};

/// What compiling needs to know of the world.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// The databases that writes can go to.
    pub destinations: &'a [Destination],
    /// Where secrets are asked for.
    pub secrets: &'a (dyn SecretReader + Sync),
    /// The environments that templates run in.
    pub engine: &'a Engine,
    /// Reads a file that belongs to a route file, such as a sample, by its path; or says why it cannot.
    pub files: &'a (dyn Fn(&str) -> Result<String, String> + Sync),
}

/// A file to compile: its options, and what it is known as.
pub struct Input<'a> {
    /// The file's options, what other files lend merged in.
    pub options: &'a FileOptions,
    /// The root of its tree.
    pub root: &'a Node,
    /// The source's name.
    pub name: &'a str,
    /// What it is compiled from.
    pub bundle: Bundle,
    /// Those of its templates that only its onboarding text is made of.
    pub for_people: BTreeSet<String>,
}

/// Compiles a source. `None` when something essential is missing; `unset` tells of secrets that have no value.
pub fn compile(input: Input<'_>, world: World<'_>, diagnostics: &mut Diagnostics, unset: &mut Diagnostics) -> Option<Source> {
    let Input { options, root, name, bundle, for_people } = input;
    check_header(options, root, name, diagnostics);
    names::check(options, world.engine, diagnostics);
    let scopes = Scopes::new(options);
    let receive = receive::compile(options.receive.as_ref(), name, root.head(), diagnostics);
    let max_body = receive.as_ref().map_or(receive::MAX_BODY, |receive| receive.max_body);
    let payload = payload::options::compile(options.payload.as_ref(), max_body, diagnostics);
    for (secret, values) in &options.secrets.entries {
        secret::check(values, secret.span, diagnostics);
    }
    let secrets = secret::resolve_all(&options.secrets, world.secrets, unset);
    let secret_names: Vec<&Spanned<String>> = options.secrets.entries.iter().map(|(name, _)| name).collect();
    let integration_scopes = integration::Scopes { request: &scopes.request, decoded: &scopes.decoded };
    let written = options.integration.as_ref();
    let integration = integration::compile(written, &secret_names, world.engine, integration_scopes, diagnostics);
    let secret_fields = verifying::SecretFields::of(options);
    let surroundings = verifying::surroundings(&scopes, &secrets, &secret_fields, world);
    let auth = verifying::compile(options, root, &surroundings, diagnostics, unset);
    let (handshake, declared) = (&options.handshake, &options.secrets);
    let input = handshake::Input { options: handshake, root, declared, auth: auth.as_ref(), surroundings };
    let handshakes = handshake::compile(&input, payload.as_ref(), integration.as_ref(), diagnostics, unset);
    let tenant = TenantRule::of(options.tenant.as_ref(), auth.as_ref(), written, diagnostics);
    let allowed: BTreeSet<String> = options.secrets.names().map(str::to_owned).chain(fields_that_are_secret(options)).collect();
    let held: Vec<String> = fields_that_are_secret(options).collect();
    let signing = Surroundings { fields: &held, late_fields: &[], ..surroundings };
    let (has_tenant, not_set) = (tenant != TenantRule::None, RefCell::default());
    let builder = Builder { options, scopes: &scopes, allowed, has_tenant, world, signing, unset: not_set };
    let apis = builder.apis(diagnostics);
    let event = options.event.as_ref().map(|node| Value::compile_text(node, &builder.compiler(&scopes.event), diagnostics));
    let extract = extract::compile(&options.extract, &builder.compiler(&scopes.extract), diagnostics);
    let routes = builder.routes(apis.as_deref(), diagnostics);
    let reply = replies::of_file(options, &builder.identified(), world.engine);
    unset.append(builder.unset.into_inner());
    let fields: Vec<&str> = options.integration.iter().flat_map(|integration| integration.fields.names()).collect();
    let onboarding = onboarding::compile(options.onboarding.as_ref(), &fields, world.engine, diagnostics);
    let (receive, payload, auth, integration, extract, routes) = (receive?, payload?, auth?, integration?, extract?, routes?);
    let handshakes = handshakes?;
    let receive = Receive { handshake_methods: handshakes.methods(), ..receive };
    let event = event.map_or(Some(None), |event| event.map(Some))?;
    lint::check(options, &routes, world.engine, diagnostics);
    let secret_origins = signing::check(options, root, handshakes.answering.clone(), diagnostics);
    let values = row_lanes::Values { extract: &extract, event: event.as_ref(), has_tenant, engine: world.engine };
    row_lanes::check(options, &routes, &values, diagnostics);
    let (mask, secret_places) =
        secrecy((&auth, &handshakes, &routes), &integration, &payload.secret_places, &secrets, options, world.engine);
    let reads_raw = names::reads_raw(&integration, (&extract, event.as_ref()), &routes, reply.as_deref(), world.engine);
    Some(Source {
        title: options.title.clone().unwrap_or_else(|| name.to_owned()),
        name: name.to_owned(),
        path: bundle.main.clone(),
        bundle_hash: bundle_hash(&bundle),
        admit_hash: admit_hash(root, &bundle, &for_people, &receive, &routes),
        bundle,
        receive,
        credential_places: verifying::credential_places(&auth, world.engine),
        auth_reads_body: verifying::reads_body(&auth, &integration, world.engine),
        auth,
        handshakes,
        tenant,
        admission: Admission { source: name.to_owned(), payload, event, integration, extract, routes, reply, reads_raw },
        onboarding: onboarding?,
        samples: options.onboarding.iter().flat_map(|onboarding| onboarding.samples.clone()).collect(),
        secrets,
        mask,
        secret_origins,
        secret_places,
    })
}

fn check_header(options: &FileOptions, root: &Node, name: &str, diagnostics: &mut Diagnostics) {
    if let Some(version) = options.hooktable.as_ref().filter(|version| version.value != 1) {
        let message = format!("this file is written in version {} of the language; this program reads version 1", version.value);
        diagnostics.report(
            Diagnostic::error("newer-language", version.span, message)
                .hint("write `hooktable: 1`, or run the program that the file was written for"),
        );
    }
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    if name.is_empty() || !name.chars().all(allowed) {
        let span = options.source.as_ref().map_or(root.span, |source| source.span);
        diagnostics.report(
            Diagnostic::error("bad-name", span, format!("`{name}` cannot name a source"))
                .hint("letters a to z, digits, `_` and `-`"),
        );
    }
}

fn fields_that_are_secret(options: &FileOptions) -> impl Iterator<Item = String> + '_ {
    let fields = options.integration.iter().flat_map(|integration| &integration.fields.entries);
    fields.filter(|(_, field)| field.secret == Some(true)).map(|(name, _)| name.value.clone())
}

/// Compiles what stands at file level and in routes.
struct Builder<'a> {
    options: &'a FileOptions,
    scopes: &'a Scopes,
    allowed: BTreeSet<String>,
    has_tenant: bool,
    world: World<'a>,
    /// What forwards are signed with: any secret that may go out.
    signing: Surroundings<'a>,
    /// Secrets without a value that are only named in a forward.
    unset: RefCell<Diagnostics>,
}

impl<'a> Builder<'a> {
    fn compiler<'s>(&'s self, scope: &'s Scope) -> Compiler<'s> {
        Compiler { engine: self.world.engine, scope }
    }

    /// What may go out: everything before the fetch, and secrets.
    fn outgoing(&self, scope: &Scope) -> Scope {
        scope.with_secrets(SecretRule::Allowed(self.allowed.clone()))
    }

    fn apis(&self, diagnostics: &mut Diagnostics) -> Option<Vec<Arc<Api>>> {
        let names = self.options.extract.names().chain(self.options.routes.iter().flat_map(|route| route.extract.names()));
        let scope = self.outgoing(&self.scopes.extract.with(names));
        api::compile_all(&self.options.apis, &self.compiler(&scope), diagnostics)
    }

    fn routes(&self, apis: Option<&[Arc<Api>]>, diagnostics: &mut Diagnostics) -> Option<Vec<Route>> {
        if self.options.routes.is_empty() {
            let whole = RouteOptions::of_file(self.options);
            return self.route(&whole, String::new(), apis, diagnostics).map(|route| vec![route]);
        }
        let routes = self
            .options
            .routes
            .iter()
            .enumerate()
            .map(|(index, route)| self.route(route, format!("routes[{index}]."), apis, diagnostics));
        routes.collect::<Vec<_>>().into_iter().collect()
    }

    fn route(
        &self,
        route: &RouteOptions,
        place: String,
        apis: Option<&[Arc<Api>]>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Route> {
        match &route.ignore {
            Some(reason) => self.ignoring_route(route, reason, place, diagnostics),
            None => self.working_route(route, place, apis, diagnostics),
        }
    }

    /// A route that leaves its records alone: what the file says of lanes, calls and writes is not for them.
    fn ignoring_route(
        &self,
        route: &RouteOptions,
        reason: &Spanned<String>,
        place: String,
        diagnostics: &mut Diagnostics,
    ) -> Option<Route> {
        let idle = route.own_writes().first().map(|write| write.head).or(route.enrich.span).or(route.forward.span);
        if let Some(span) = idle {
            let message = "a route that says `ignore` does nothing, so it can neither fetch, write nor forward";
            diagnostics.report(
                Diagnostic::error("misplaced-option", span, message)
                    .related(reason.span, "ignored")
                    .hint("remove one of the two"),
            );
        }
        let own =
            route.reply.as_ref().map(|reply| replies::compile(reply, &self.identified(), &[], self.world.engine, diagnostics));
        let (matcher, reply) = (
            self.matcher(route, diagnostics)?,
            own.map_or(Some(replies::of_file(self.options, &self.identified(), self.world.engine)), |own| own.map(Some))?,
        );
        Some(Route {
            matcher,
            ignore: Some(reason.value.clone()),
            extract: Extract::default(),
            queueing: Queueing::default(),
            reads: Reads::default(),
            retry: RetryPolicy::default(),
            pipeline: Pipeline::default(),
            forwards: Vec::new(),
            reply,
            writes_what_it_fetches: false,
            place,
        })
    }

    fn matcher(&self, route: &RouteOptions, diagnostics: &mut Diagnostics) -> Option<Matcher> {
        let known = self.identified();
        let when = compile_condition(route.when.as_ref(), &self.compiler(&known), diagnostics)?;
        let events = route.event.iter().map(|event| event.value.clone()).collect::<Vec<_>>();
        Some(Matcher { events: if events.is_empty() { vec![Pattern::any()] } else { events }, when })
    }

    fn working_route(
        &self,
        route: &RouteOptions,
        place: String,
        apis: Option<&[Arc<Api>]>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Route> {
        let file = self.options;
        let known = self.identified();
        let extract = extract::compile(&route.extract, &self.compiler(&known), diagnostics);
        let admitted = known.with(route.extract.names());
        let calls = merged(&file.enrich, &route.enrich);
        let matcher = self.matcher(route, diagnostics);
        let queueing =
            self.queueing(route, &self.compiler(&admitted.with_secrets(SecretRule::Refused("a lane or an id"))), diagnostics);
        let enrich = enrich::compile(&calls, apis, self.world.engine, &self.outgoing(&admitted), diagnostics);
        let fetched = admitted.with(calls.names());
        let answers: Vec<&str> = calls.names().collect();
        let writes = self.writes(route, &place, &fetched.with_secrets(SecretRule::Refused("a column")), &answers, diagnostics);
        let around = forward::Surrounding {
            apis,
            answers: &answers,
            scope: &self.outgoing(&fetched),
            signing: &self.signing,
            engine: self.world.engine,
        };
        let named = merged(&file.forward, &route.forward);
        let forwards = forward::compile_all(&named, around, diagnostics, &mut self.unset.borrow_mut());
        let reply = route.reply.as_ref().or(file.reply.as_ref());
        let reply = reply.map(|reply| replies::compile(reply, &admitted, &answers, self.world.engine, diagnostics));
        let (extract, matcher, mut queueing, enrich, writes) = (extract?, matcher?, queueing?, enrich?, writes?);
        let (forwards, reply) = (forwards?, reply.map_or(Some(None), |reply| reply.map(Some))?);
        queueing.each_by_itself = writes.iter().all(|write| write.verb == Verb::Insert);
        lint::refuse_coalesced(route.coalesce.as_ref().or(file.coalesce.as_ref()), &writes, &forwards, diagnostics);
        let pipeline = Pipeline { enrich, writes };
        let reads = self.reads(&pipeline, &forwards, &queueing);
        let stuck = route.stuck.as_ref().or(file.stuck.as_ref());
        let retry = RetryPolicy {
            stuck: stuck_after(stuck, pipeline.enrich.calls().next().is_some(), diagnostics),
            ..match (&route.retry, &file.retry) {
                (None, None) => RetryPolicy::default(),
                (own, files) => retry_policy(own.as_ref().or(files.as_ref()), diagnostics),
            }
        };
        let writes_what_it_fetches = late::writes_what_it_fetches(&pipeline, self.world.engine);
        Some(Route {
            matcher,
            ignore: None,
            extract,
            queueing,
            reads,
            retry,
            pipeline,
            forwards,
            reply,
            writes_what_it_fetches,
            place,
        })
    }

    /// What the file itself knows of a record.
    fn identified(&self) -> Scope {
        self.scopes.extract.with(self.options.extract.names())
    }

    fn queueing(&self, route: &RouteOptions, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Queueing> {
        let file = self.options;
        let gone = compile_condition(route.gone.as_ref().or(file.gone.as_ref()), compiler, diagnostics);
        let id = compile_value(route.id.as_ref().or(file.id.as_ref()), compiler, diagnostics);
        let lanes = compile_lanes(route.lane.as_ref().or(file.lane.as_ref()), compiler, diagnostics);
        let coalesce: Option<Coalesce> = route.coalesce.as_ref().or(file.coalesce.as_ref()).map(|coalesce| coalesce.value);
        let remember = route.remember.or(file.remember).unwrap_or(REMEMBER);
        Some(Queueing { gone: gone?, id: id?, remember, lanes: lanes?, each_by_itself: false, coalesce })
    }

    fn writes(
        &self,
        route: &RouteOptions,
        place: &str,
        scope: &Scope,
        answers: &[&str],
        diagnostics: &mut Diagnostics,
    ) -> Option<Vec<Write>> {
        let written: &[WriteOptions] = route.write.as_ref().unwrap_or(&self.options.write);
        let version = route.version.as_ref().or(self.options.version.as_ref());
        let surroundings =
            map::Surroundings { destinations: self.world.destinations, has_tenant: self.has_tenant, answers, version };
        let writes = written.iter().enumerate().map(|(index, write)| {
            map::compile(write, format!("{place}write[{index}]"), &surroundings, &self.compiler(scope), diagnostics)
        });
        writes.collect::<Vec<_>>().into_iter().collect()
    }

    /// Everything of a delivery that a route reads: what makes two records the same work.
    fn reads(&self, pipeline: &Pipeline, forwards: &[Forward], queueing: &Queueing) -> Reads {
        let mut all = Reads::default();
        let engine = self.world.engine;
        pipeline.enrich.calls().for_each(|call| all.extend(&call.reads));
        pipeline.writes.iter().for_each(|write| write.add_reads(engine, &mut all));
        forwards.iter().for_each(|forward| all.extend(&forward.reads));
        queueing.gone.iter().for_each(|gone| gone.add_reads(engine, &mut all));
        if self.options.integration.is_some() {
            let mut unheard = Diagnostics::default();
            let scopes = integration::Scopes { request: &self.scopes.request, decoded: &self.scopes.decoded };
            let rule = integration::compile(self.options.integration.as_ref(), &[], engine, scopes, &mut unheard);
            rule.iter().for_each(|rule| rule.add_reads(engine, &mut all));
            // the secrets of two integrations make two pieces of work
            all.add(vec!["integration".to_owned(), "id".to_owned()]);
        }
        let answers: BTreeSet<&str> = pipeline.enrich.calls().map(|call| call.name.as_str()).collect();
        let items = pipeline.writes.iter().filter_map(|write| write.each.as_ref()).map(|(name, _)| name.as_str());
        let own: BTreeSet<&str> = answers.into_iter().chain(items).chain(["position", "session", "gone"]).collect();
        let mut reads = Reads::default();
        all.places().filter(|place| !own.contains(place[0].as_str())).for_each(|place| reads.add(place.to_vec()));
        reads
    }
}

/// What a route names adds to what the file does.
fn merged<T: Clone>(file: &Named<T>, route: &Named<T>) -> Named<T> {
    let kept = file.entries.iter().filter(|(name, _)| route.get(&name.value).is_none());
    Named { entries: kept.chain(&route.entries).cloned().collect(), span: route.span.or(file.span) }
}

fn compile_condition(node: Option<&Node>, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Option<Condition>> {
    node.map(|node| Condition::compile(node, compiler, diagnostics)).map_or(Some(None), |compiled| compiled.map(Some))
}

fn compile_value(node: Option<&Node>, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Option<Value>> {
    node.map(|node| Value::compile_text(node, compiler, diagnostics)).map_or(Some(None), |compiled| compiled.map(Some))
}
