//! `simulate.yaml` in a folder of answers: how a simulated API differs from one that is quick, generous and never fails.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::config::diagnostic::Diagnostics;
use crate::config::options::{FromYaml, Named, options};
use crate::config::render;
use crate::config::shape;
use crate::config::source::{Sources, Spanned};
use crate::config::units::Rate;
use crate::config::yaml::{Node, parse};

/// What it is called; no request is answered with it.
pub const NAME: &str = "simulate.yaml";

options! {
    /// How a simulated API behaves.
    pub struct SimulateFile {
        /// How long every answer takes.
        latency: Option<Duration> = "0s",
        /// How many requests it takes in how long; over that it answers 429 with `Retry-After`. What is left is told in `X-RateLimit-*`.
        limit: Option<Rate>,
        /// Answers that files alone cannot give. The first that fits and is not used up counts; without one the file of the path answers.
        answers: Vec<SimulatedOptions>,
    }
}

options! {
    /// One answer of a simulated API.
    pub struct SimulatedOptions {
        /// The path it is for: `/orders/sent/7`, with its query if that matters; `*` stands for anything.
        get: Option<Spanned<String>>,
        /// The same for a POST.
        post: Option<Spanned<String>>,
        /// How many requests for this pass before it counts: `after: 2` leaves the first two to the answers that follow.
        after: Option<u32> = "0",
        /// How often it is given; without it for ever.
        times: Option<u32>,
        /// Its status.
        status: Option<u32> = "200",
        /// Its headers.
        headers: Named<String>,
        /// A JSON body.
        json: Option<Node> as shape::json,
        /// A body from a file of the folder.
        file: Option<Spanned<String>>,
        /// A body as it is.
        text: Option<String>,
        /// How long it takes, besides the latency of all.
        delay: Option<Duration>,
        /// What goes wrong on the way.
        fault: Option<Fault>,
    }
}

/// What goes wrong with an answer on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The connection ends before the answer.
    Reset,
    /// The body ends half way.
    Truncate,
    /// The body comes a byte at a time.
    Drip,
}

impl FromYaml for Fault {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        match node.text() {
            Some("reset") => Some(Self::Reset),
            Some("truncate") => Some(Self::Truncate),
            Some("drip") => Some(Self::Drip),
            _ => {
                crate::config::options::report_choice(&["reset", "truncate", "drip"], node, diagnostics);
                None
            }
        }
    }
    fn shape() -> shape::Shape {
        shape::Shape::Word(&["reset", "truncate", "drip"])
    }
}

/// How the API of a folder behaves, when its folder says so.
pub(super) fn read(folder: &Path) -> io::Result<Option<SimulateFile>> {
    let text = match fs::read_to_string(folder.join(NAME)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut sources = Sources::default();
    let file = sources.add(folder.join(NAME).display().to_string(), text);
    let mut problems = Diagnostics::default();
    let read = parse(&sources, file, &mut problems).and_then(|root| SimulateFile::from_yaml(&root, &mut problems));
    match read {
        Some(read) if !problems.has_errors() => Ok(Some(read)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, render::text(&problems, &sources, false))),
    }
}
