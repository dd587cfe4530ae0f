//! `hooktable new`: a route file and its tests to start from, as an example or guessed from captured requests.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;

use super::flags::GlobalFlags;
use super::output;
use super::run::Exit;
use crate::config::diagnostic::Diagnostics;
use crate::config::source::{Sources, Span};
use crate::rehearsal::sketch;
use crate::routes::receive;
use crate::routes::saved;

/// The flags of `new`.
#[derive(Debug, Args)]
pub struct New {
    /// The source's name: letters, digits, `_` and `-`
    name: String,
    /// Captured requests to guess from: `.http` files, or files with a JSON body
    #[arg(long, value_name = "CAPTURE", num_args = 1..)]
    from: Vec<PathBuf>,
}

impl New {
    /// Writes the two files; never over one that is there.
    pub fn run(self, global: GlobalFlags) -> anyhow::Result<Exit> {
        let name = self.name.strip_suffix(".yaml").unwrap_or(&self.name);
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
        if name.is_empty() || !name.chars().all(allowed) {
            bail!("`{name}` cannot name a source\nhint: letters a to z, digits, `_` and `-`");
        }
        let folder = global.settings()?.routes;
        let (route, tests) = (folder.join(format!("{name}.yaml")), folder.join(format!("{name}.test.yaml")));
        if let Some(there) = [&route, &tests].into_iter().find(|path| path.exists()) {
            bail!("`{}` is there already", there.display());
        }
        let sketch = if self.from.is_empty() { sketch::example(name) } else { self.guessed(name)? };
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
        write_new(&route, &sketch.route)?;
        write_new(&tests, &sketch.tests)?;
        output::data(&format!("{}\n{}", route.display(), tests.display()));
        output::note(&format!("next: read them, then `hooktable check {0}` and `hooktable test {0}`", route.display()));
        Ok(Exit::Fine)
    }

    fn guessed(&self, name: &str) -> anyhow::Result<sketch::Sketch> {
        let file = Sources::default().add(name, "");
        let receive = receive::compile(None, name, Span::new(file, 0..0), &mut Diagnostics::default());
        let receive = receive.context("a source without `receive` has a path of its own")?;
        let mut requests = Vec::new();
        for path in &self.from {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read the capture `{}`", path.display()))?;
            let request = saved::read(&text, &receive).map_err(|reason| anyhow::anyhow!("`{}`: {reason}", path.display()))?;
            requests.push(request);
        }
        sketch::from_requests(name, &requests).map_err(|reason| anyhow::anyhow!("{reason}"))
    }
}

fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let made = std::fs::File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
    made.with_context(|| format!("cannot write `{}`", path.display()))
}
