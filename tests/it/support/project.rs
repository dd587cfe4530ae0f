//! A folder as an operator has it, with the real binary run in it: commands to their end, the server until it is stopped.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json};
use tempfile::TempDir;

/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The folder.
pub(crate) struct Project {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) data: String,
    pub(crate) notes: String,
}

impl Project {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("routes.d")).expect("a folder");
        Self { folder, environment: Vec::new() }
    }

    /// The two-line file of the guide with its token `sesame`, and a table for it.
    pub(crate) fn with_sensors() -> Self {
        let project = Self::new().environment("SENSORS_TOKEN", "sesame").file("routes.d/sensors.yaml", SENSORS);
        let made = project.run(&["tables", "--create"]);
        assert_eq!(made.code, 0, "{made:?}");
        project
    }

    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn file(self, path: &str, text: &str) -> Self {
        self.write(path, text);
        self
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        std::fs::write(self.folder.path().join(path), text).expect("written");
    }

    pub(crate) fn path(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join(path)
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        let output = self.command(arguments).output().expect("the binary runs");
        Said {
            code: output.status.code().unwrap_or(-1),
            data: String::from_utf8(output.stdout).expect("text"),
            notes: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// Runs a command to its end, with lines on its standard input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Said {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        // a command that refuses its arguments may end before it has read them
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("it ends");
        Said {
            code: output.status.code().unwrap_or(-1),
            data: String::from_utf8(output.stdout).expect("text"),
            notes: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// Runs a command that must end well; what it printed as data.
    pub(crate) fn data_of(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.code, 0, "{arguments:?}: {said:?}");
        said.data
    }

    /// Starts the server and waits until it says where it listens.
    pub(crate) fn serve(&self) -> Serving {
        self.serve_with(&[])
    }

    /// The same with more arguments.
    pub(crate) fn serve_with(&self, more: &[&str]) -> Serving {
        let arguments = [&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"], more].concat();
        let mut child = self.command(&arguments).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let said = Arc::new(Mutex::new(String::new()));
        let (stream, heard) = (child.stderr.take().expect("piped"), Arc::clone(&said));
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let mut heard = heard.lock().expect("not poisoned");
                heard.push_str(&line);
                heard.push('\n');
            }
        });
        let mut serving = Serving { child, said, intake: String::new(), admin: String::new() };
        serving.intake = serving.address_behind("webhooks");
        serving.admin = serving.address_behind("admin");
        serving
    }

    /// The rows of a table in `data/tables.db`.
    pub(crate) fn rows(&self, table: &str) -> Vec<Map<String, Json>> {
        use hooktable::clock::Clock;
        use hooktable::target::{DatabaseOptions, Targets};
        let url = format!("sqlite://{}", self.path("data/tables.db").display());
        let database = DatabaseOptions::new("main", url, "tenant");
        let targets = Targets::open(vec![database], Clock::system());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(targets.database("main").expect("main").rows(table, None, &[])).expect("rows")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hooktable"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

const SENSORS: &str = "auth: { token: $.headers.x_token, secret: { env: SENSORS_TOKEN } }
write: { insert: sensor_log, set: { received_at: $.received_at, raw: $.body } }
";

/// The running server; killed when it is dropped.
pub(crate) struct Serving {
    child: Child,
    said: Arc<Mutex<String>>,
    pub(crate) intake: String,
    pub(crate) admin: String,
}

impl Serving {
    /// Everything on standard error so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().expect("not poisoned").clone()
    }

    /// Waits until it has said `text`.
    pub(crate) fn wait_until_it_says(&self, text: &str) {
        until(|| self.said().contains(text), || format!("it never said `{text}`, but:\n{}", self.said()));
    }

    /// Sends SIGTERM.
    pub(crate) fn ask_to_stop(&self) {
        // the shell's own, since not every machine has the program
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
    }

    /// Asks it to stop and waits; the exit code and everything it said.
    pub(crate) fn terminate(self) -> (i32, String) {
        self.ask_to_stop();
        self.wait_for_end()
    }

    /// The exit code and everything it said, once it has ended.
    pub(crate) fn wait_for_end(mut self) -> (i32, String) {
        let mut status = None;
        until(
            || {
                status = self.child.try_wait().expect("a process");
                status.is_some()
            },
            || "it does not stop".to_owned(),
        );
        self.wait_until_it_says("stopped");
        (status.and_then(|status| status.code()).unwrap_or(-1), self.said())
    }

    fn address_behind(&mut self, word: &str) -> String {
        let mut found = None;
        until(
            || {
                let said = self.said();
                let line = said.lines().find(|line| line.trim_start().starts_with(word));
                found = line
                    .and_then(|line| line.split("http://").nth(1))
                    .map(|rest| rest.split(' ').next().unwrap_or(rest).to_owned());
                found.is_some() || self.child.try_wait().expect("a process").is_some()
            },
            || "it does not start".to_owned(),
        );
        found.unwrap_or_else(|| panic!("it ended:\n{}", self.said()))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks again and again until something holds; fails after a while.
pub(crate) fn until(mut holds: impl FnMut() -> bool, complaint: impl FnOnce() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{}", complaint());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

/// One request on a connection of its own.
pub(crate) fn request(address: &str, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head = format!("{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    // a server that refuses a body by its length may answer before it has read it
    let _ = stream.write_all(body.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Reply { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}
