//! The table from request to source. A request sees one version of it from first to last.

use std::sync::Arc;

use super::receive::Receive;
use super::source::Source;
use crate::model::bundle::ActiveVersion;
use crate::model::delivery::Request;

/// All sources, those that cannot take requests included: their senders are told to come again.
#[derive(Default)]
pub struct RouteTable {
    entries: Vec<Entry>,
}

/// A source and whether it takes requests.
#[derive(Clone)]
pub struct Entry {
    /// The source, for matching and, when it is ready, for running.
    pub source: Arc<Source>,
    /// Why it takes no requests, when it takes none.
    pub not_ready: Option<String>,
}

/// What a request came to.
pub enum Matched<'t> {
    /// This source, with the parameters of the path.
    Source(&'t Arc<Source>, Vec<(String, String)>),
    /// A source that takes no requests now, and why.
    NotReady(&'t str, &'t str),
    /// A source, but not by this method; these are its methods.
    WrongMethod(Vec<&'t str>),
    /// None.
    Nothing,
}

impl RouteTable {
    /// A table of these entries.
    pub fn new(entries: Vec<Entry>) -> Self {
        Self { entries }
    }

    /// All entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The source whose request this is; by a method of its handshakes too, which is none of its deliveries'.
    pub fn find(&self, request: &Request) -> Matched<'_> {
        let mut methods = Vec::new();
        for entry in &self.entries {
            let receive: &Receive = &entry.source.receive;
            let Some(parameters) = receive.path_parameters(&request.path) else { continue };
            if !receive.values_match(request) {
                continue;
            }
            if !receive.let_in().any(|method| method == request.method) {
                methods.extend(receive.methods.iter().map(String::as_str));
                continue;
            }
            return match &entry.not_ready {
                Some(reason) => Matched::NotReady(&entry.source.name, reason),
                None => Matched::Source(&entry.source, parameters),
            };
        }
        if methods.is_empty() { Matched::Nothing } else { Matched::WrongMethod(methods) }
    }

    /// The source of this name, ready or not.
    pub fn source(&self, name: &str) -> Option<&Arc<Source>> {
        self.entries.iter().map(|entry| &entry.source).find(|source| source.name == name)
    }

    /// The sources whose work is done: those that take requests. What waits for another stays until it is ready.
    pub fn active_versions(&self) -> Vec<ActiveVersion> {
        let ready = self.entries.iter().filter(|entry| entry.not_ready.is_none());
        ready.map(|entry| ActiveVersion { source: entry.source.name.clone(), admit_hash: entry.source.admit_hash }).collect()
    }
}
