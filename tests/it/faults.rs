//! The disk, the clock and the connections to databases fail under a real server, by real means: a small file system, calls of the
//! system that fail, a proxy. What was acknowledged takes effect once, senders are told to come again, and all goes on by itself.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::flaky_api::{Chance, Failing, FlakyApi};
use crate::support::postgres::{OwnServer, database_on, is_skipped, new_database};
use crate::support::server::ServerProcess;
use crate::support::tcp_proxy::{Mood, TcpProxy};
use crate::support::test_app::repository;
use crate::support::trial::{Sending, Trial};

/// Things that are sent about, and more deliveries of each than will be sent.
const THINGS: u64 = 20;
const MANY: u64 = 100_000;
/// A sender hears that it has to come again within two seconds; the rest is for a machine that does other things too.
const PROMPT: Duration = Duration::from_millis(3500);
const PATIENCE: Duration = Duration::from_secs(60);

async fn steady_api() -> FlakyApi {
    FlakyApi::start(Failing::default(), Arc::new(Chance::new(1))).await
}

/// Calls of the system that fail as files in a folder say, for programs that are started with this environment.
struct Faults {
    folder: PathBuf,
    library: String,
}

impl Faults {
    fn of(folder: &Path) -> Self {
        // kept out of the folder's name: what fails are the files that are called so
        let library = folder.join("shim.so");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(repository("tests/faults/shim.c")).arg("-ldl");
        assert!(compiler.status().expect("a C compiler").success());
        Self { folder: folder.to_owned(), library: library.to_str().expect("a path").to_owned() }
    }

    fn environment(&self) -> [(&str, &str); 2] {
        [("LD_PRELOAD", &self.library), ("HOOKTABLE_TEST_FAULTS", self.folder.to_str().expect("a path"))]
    }

    fn set(&self, fault: &str, text: &str) {
        // in one step: a half-written number is another time of day
        let path = self.folder.join(fault);
        let next = path.with_extension("next");
        std::fs::write(&next, text).expect("written");
        std::fs::rename(next, path).expect("renamed");
    }

    fn end(&self, fault: &str) {
        std::fs::remove_file(self.folder.join(fault)).expect("removed");
    }
}

/// A server whose calls of the system fail.
struct Faulty {
    trial: Trial,
    _folder: tempfile::TempDir,
    faults: Faults,
}

impl Faulty {
    async fn new(api: &FlakyApi) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { trial: Trial::on_sqlite(api).await, faults: Faults::of(folder.path()), _folder: folder }
    }

    fn start(&self) -> ServerProcess {
        self.trial.start(0, &self.faults.environment())
    }
}

/// Senders are refused promptly while `fault` holds, and taken again when it ends.
async fn refused_and_taken_again(sending: &Sending, begin: impl FnOnce(), end: impl AsyncFnOnce()) {
    sending.goes_on(100).await;
    sending.take_slowest();
    begin();
    sending.is_refused(50).await;
    end().await;
    sending.goes_on(100).await;
    let slowest = sending.take_slowest();
    assert!(slowest < PROMPT, "a sender waited for {slowest:?}");
}

fn said(trial: &Trial, words: &str) {
    assert!(ServerProcess::said(&trial.of(0)).contains(words), "`{words}` is not in\n{}", trial.said());
}

/// A small file system in memory; gone when it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where that is not allowed.
    fn mounted_at(folder: &Path) -> Option<Self> {
        std::fs::create_dir_all(folder).expect("a folder");
        let mut mount = Command::new("mount");
        let done = mount.args(["-t", "tmpfs", "-o", "size=64m", "none"]).arg(folder).output().ok()?;
        done.status.success().then(|| Self(folder.to_owned()))
    }

    /// Writes until there is no room.
    fn fill(&self) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.0.join("filler")).expect("a file");
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.join("filler")).expect("removed");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_what_was_accepted_is_finished_and_senders_are_told_to_come_again() {
    let api = steady_api().await;
    let trial = Trial::on_sqlite(&api).await;
    let Some(disk) = SmallDisk::mounted_at(&trial.of(0).join("data")) else {
        eprintln!("not run: mounting a small file system is for root");
        return;
    };
    let _server = trial.start(0, &[]);
    let sending = trial.send(0..THINGS, MANY);
    refused_and_taken_again(
        &sending,
        || disk.fill(),
        async || {
            said(&trial, "the disk is full: the ballast was given up");
            // what was acknowledged before is finished while the disk is full
            let deadline = Instant::now() + PATIENCE;
            let everything = (0..THINGS).map(|thing| (thing, MANY)).collect();
            while trial.count(&everything).await < sending.acknowledged() {
                assert!(Instant::now() < deadline, "what was accepted is not finished\n{}", trial.said());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            disk.make_room();
        },
    )
    .await;
    said(&trial, "there is room on the disk again");
    let promised = sending.stop().await;
    trial.settles(&promised, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_sync_nothing_is_acknowledged_and_the_program_ends() {
    let api = steady_api().await;
    let faulty = Faulty::new(&api).await;
    let mut server = faulty.start();
    let sending = faulty.trial.send(0..THINGS, MANY);
    sending.goes_on(100).await;
    faulty.faults.set("fsync", "");
    let ended = server.ended(Duration::from_secs(10)).await.unwrap_or_else(|| panic!("it runs on\n{}", faulty.trial.said()));
    assert_eq!(ended.code(), Some(2), "{ended}");
    said(&faulty.trial, "the state cannot be written any more");
    let acknowledged = sending.acknowledged();
    faulty.faults.end("fsync");
    let _server = faulty.start();
    sending.goes_on(100).await;
    assert!(sending.acknowledged() > acknowledged);
    let promised = sending.stop().await;
    faulty.trial.settles(&promised, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_takes_no_writes_is_a_refusal_until_it_takes_them_again() {
    let api = steady_api().await;
    let faulty = Faulty::new(&api).await;
    let _server = faulty.start();
    let sending = faulty.trial.send(0..THINGS, MANY);
    refused_and_taken_again(
        &sending,
        || faulty.faults.set("readonly", ""),
        async || {
            tokio::time::sleep(Duration::from_secs(1)).await;
            faulty.faults.end("readonly");
        },
    )
    .await;
    said(&faulty.trial, "the state could not be committed");
    let promised = sending.stop().await;
    faulty.trial.settles(&promised, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_file_that_is_moved_away_takes_nothing_until_it_is_back() {
    let api = steady_api().await;
    let trial = Trial::on_sqlite(&api).await;
    let _server = trial.start(0, &[]);
    let sending = trial.send(0..THINGS, MANY);
    let (here, away) = (trial.of(0).join("data/state.db"), trial.of(0).join("data/elsewhere.db"));
    refused_and_taken_again(
        &sending,
        || std::fs::rename(&here, &away).expect("moved"),
        async || {
            let before = sending.acknowledged();
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert_eq!(sending.acknowledged(), before, "what is written now would be lost");
            std::fs::rename(&away, &here).expect("moved");
        },
    )
    .await;
    said(&trial, "was moved, removed or replaced");
    said(&trial, "the state file is back");
    let promised = sending.stop().await;
    trial.settles(&promised, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_file_that_may_not_be_read_any_more_stops_nothing_that_runs() {
    let api = steady_api().await;
    let trial = Trial::on_sqlite(&api).await;
    let _server = trial.start(0, &[]);
    let sending = trial.send(0..THINGS, MANY);
    sending.goes_on(50).await;
    let path = trial.of(0).join("data/state.db");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).expect("changed");
    sending.goes_on(200).await;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("changed");
    let promised = sending.stop().await;
    trial.settles(&promised, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_forward_and_back_delays_nothing() {
    // failures, so that there is always something that waits for a moment
    let failing = Failing { refused: 20, ..Failing::default() };
    let api = FlakyApi::start(failing, Arc::new(Chance::new(7))).await;
    let faulty = Faulty::new(&api).await;
    faulty.faults.set("clock", "0");
    let _server = faulty.start();
    let sending = faulty.trial.send(0..THINGS, MANY);
    for seconds in ["3600", "-7200", "86400", "-86400"] {
        sending.goes_on(100).await;
        faulty.faults.set("clock", seconds);
        sending.goes_on(100).await;
    }
    let promised = sending.stop().await;
    faulty.trial.settles(&promised, PATIENCE).await;
    said(&faulty.trial, "the clock has gone back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_clock_that_goes_back_delays_nothing_and_one_of_those_that_share_it_sees_to_that() {
    if is_skipped() {
        return;
    }
    let failing = Failing { refused: 20, ..Failing::default() };
    let api = FlakyApi::start(failing, Arc::new(Chance::new(7))).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let faults = Faults::of(folder.path());
    faults.set("clock", "0");
    let database = OwnServer::start_in(folder, &faults.environment());
    let (state, tables) = (database_on(&database.url).await, new_database().await);
    let trial = Trial::on_postgres(2, (&state, &state), (&tables, &tables), &api).await;
    let _servers = [trial.start(0, &[]), trial.start(1, &[])];
    let sending = trial.send(0..THINGS, MANY);
    for seconds in ["3600", "-7200", "86400", "-86400"] {
        sending.goes_on(100).await;
        faults.set("clock", seconds);
        sending.goes_on(100).await;
    }
    let promised = sending.stop().await;
    trial.settles(&promised, PATIENCE).await;
    let said = [0, 1].map(|number| ServerProcess::said(&trial.of(number)).matches("the clock has gone back").count());
    assert_eq!(said.iter().sum::<usize>(), 2, "once for each time: {said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_to_the_state_that_stalls_or_breaks_is_a_refusal_until_it_is_well() {
    if is_skipped() {
        return;
    }
    let api = steady_api().await;
    let (state, tables) = (new_database().await, new_database().await);
    let (proxy, through) = TcpProxy::in_front_of(&state).await;
    let trial = Trial::on_postgres(1, (&through, &state), (&tables, &tables), &api).await;
    let _server = trial.start(0, &[]);
    let sending = trial.send(0..THINGS, MANY);
    for mood in [Mood::Resets, Mood::Truncates, Mood::Stalls] {
        refused_and_taken_again(
            &sending,
            || proxy.set(mood),
            async || {
                tokio::time::sleep(Duration::from_millis(500)).await;
                proxy.set(Mood::Passes);
            },
        )
        .await;
    }
    said(&trial, "the state database is away");
    let promised = sending.stop().await;
    trial.settles(&promised, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_to_the_tables_that_stalls_or_breaks_refuses_nobody_and_writes_nothing_twice() {
    if is_skipped() {
        return;
    }
    let api = steady_api().await;
    let (state, tables) = (new_database().await, new_database().await);
    let (proxy, through) = TcpProxy::in_front_of(&tables).await;
    let trial = Trial::on_postgres(1, (&state, &state), (&through, &tables), &api).await;
    let _server = trial.start(0, &[]);
    let sending = trial.send(0..THINGS, MANY);
    for mood in [Mood::Resets, Mood::Truncates, Mood::Stalls, Mood::Truncates, Mood::Resets] {
        sending.goes_on(30).await;
        proxy.set(mood);
        sending.goes_on(30).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        proxy.set(Mood::Passes);
    }
    assert_eq!(sending.refused(), 0, "{:#?}", trial.refusals());
    let promised = sending.stop().await;
    trial.settles(&promised, PATIENCE).await;
}
