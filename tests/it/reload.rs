//! Changes of the folder of route files as editors, tools and orchestrators make them, seen by the real program on the real file
//! system: live within a second, and nothing that goes wrong with a file stops what runs.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::project::{Project, Reply, Serving, request, until};

/// The longest that a change may take here, where other tests run at the same time. On a quiet machine it is less than a second.
const SLACK: Duration = Duration::from_secs(8);

/// The file in a version that requests can ask for.
fn version(number: u32) -> String {
    format!(
        "receive: {{ path: /in/sensors, headers: {{ x_version: [any, v{number}] }} }}\n\
         auth: {{ token: $.headers.x_token, secret: {{ env: SENSORS_TOKEN }} }}\n\
         write: {{ insert: sensor_log, set: {{ raw: $.body }} }}\n"
    )
}

fn ask(server: &Serving, path: &str, version: &str) -> Reply {
    request(&server.intake, "POST", path, &[("x-token", "sesame"), ("x-version", version)], "{}")
}

fn goes_on(server: &Serving) {
    assert_eq!(ask(server, "/in/sensors", "any").status, 200, "{}", server.said());
}

/// Waits for the first answer of a version; says how long after the last save it came.
#[expect(clippy::print_stdout, reason = "the time is what the test is about")]
fn live(server: &Serving, number: u32, how: &str) {
    let saved = Instant::now();
    let version = format!("v{number}");
    until(|| ask(server, "/in/sensors", &version).status == 200, || format!("{how} is not seen: {}", server.said()));
    println!("live {:>4} ms after {how}", saved.elapsed().as_millis());
    assert!(saved.elapsed() < SLACK, "{how} took {:?}", saved.elapsed());
}

fn start() -> (Project, Serving, PathBuf) {
    let project = Project::with_sensors();
    project.write("routes.d/sensors.yaml", &version(0));
    let server = project.serve();
    let file = project.path("routes.d/sensors.yaml");
    (project, server, file)
}

fn write(path: &Path, text: impl AsRef<[u8]>) {
    std::fs::write(path, text).expect("written");
}

#[test]
fn a_change_is_live_whatever_way_the_file_is_written() {
    let (project, server, file) = start();
    live(&server, 0, "the start");
    write(&file, version(1));
    live(&server, 1, "a write in place");
    let beside = project.path("routes.d/.sensors.yaml.swp");
    write(&beside, version(2));
    std::fs::rename(&beside, &file).expect("renamed");
    live(&server, 2, "a rename over it");
    for save in 1..=200 {
        write(&file, version(1000 + save));
    }
    live(&server, 1200, "the last of 200 saves");
    goes_on(&server);
    let kept = project.path("kept");
    std::fs::rename(project.path("routes.d"), &kept).expect("moved away");
    server.wait_until_it_says("everything runs on as it was");
    goes_on(&server);
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(server.said().matches("everything runs on as it was").count(), 1, "it is said once: {}", server.said());
    std::fs::create_dir(project.path("routes.d")).expect("a folder");
    write(&file, version(3));
    live(&server, 3, "the folder was removed and made again");
    write(&file, version(4));
    live(&server, 4, "a write in the new folder");
}

#[test]
fn a_swapped_link_and_another_revision_are_seen() {
    let (project, server, file) = start();
    let folder = project.path("routes.d");
    std::fs::remove_file(&file).expect("removed");
    server.wait_until_it_says("its file `routes.d/sensors.yaml` has vanished; it goes on for five minutes");
    goes_on(&server);
    for number in [1, 2, 3] {
        // a ConfigMap as a kubelet writes it: files are links through `..data`, which is swapped
        let data = folder.join(format!("..2026_{number}"));
        std::fs::create_dir(&data).expect("a folder");
        write(&data.join("sensors.yaml"), version(number));
        symlink(data.file_name().expect("a name"), folder.join("..data_tmp")).expect("linked");
        std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).expect("swapped");
        if number == 1 {
            symlink("..data/sensors.yaml", &file).expect("linked");
        }
        live(&server, number, "a swapped link");
    }
    std::fs::remove_dir_all(&folder).expect("removed");
    std::fs::create_dir(&folder).expect("a folder");
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=test", "-c", "user.email=test@example.com"]).args(arguments).current_dir(&folder);
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null").output()
    };
    if git(&["init", "-q"]).is_err() {
        return println!("there is no git here: another revision is not tried");
    }
    for number in [11, 12] {
        write(&file, version(number));
        git(&["add", "."]).expect("git");
        git(&["commit", "-qm", "a version"]).expect("git");
    }
    live(&server, 12, "a folder that git keeps");
    assert!(git(&["checkout", "-q", "HEAD~1"]).expect("git").status.success());
    live(&server, 11, "git checkout");
}

/// Makes a file that cannot be used.
type Breakage<'b> = &'b dyn Fn(&Path);

#[test]
fn a_file_that_cannot_be_used_leaves_the_last_good_version_running() {
    let (project, server, file) = start();
    let other = project.path("routes.d/another.yaml");
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(version(0).encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let utf16_unmarked = utf16[2..].to_vec();
    let put: [(&str, Breakage<'_>, &str); 8] = [
        ("a folder", &|path| std::fs::create_dir(path).expect("a folder"), "is a folder, not a file"),
        ("a dangling link", &|path| symlink("nowhere.yaml", path).expect("linked"), "does not exist"),
        ("no UTF-8", &|path| write(path, b"title: \xff\xfe\n"), "is not UTF-8 text"),
        ("UTF-16", &|path| write(path, &utf16), "is not UTF-8 text"),
        ("UTF-16 without a mark", &|path| write(path, &utf16_unmarked), "error["),
        ("NUL bytes", &|path| write(path, format!("{}\0\0", version(0))), "error["),
        ("10 MB", &|path| write(path, format!("{}# {}\n", version(0), "x".repeat(10 << 20))), "at most 1048576 are read"),
        ("nothing", &|path| write(path, ""), "the file is empty"),
    ];
    for (number, (what, make, message)) in (1..).zip(put) {
        for path in [&file, &other] {
            let said = server.said().len();
            let _ = std::fs::remove_file(path);
            make(path);
            until(
                || server.said().get(said..).is_some_and(|news| news.contains(message)),
                || format!("{what}: {message} is not said:\n{}", &server.said()[said..]),
            );
            goes_on(&server);
        }
        for path in [&file, &other] {
            let _ = std::fs::remove_file(path);
            let _ = std::fs::remove_dir(path);
        }
        write(&file, version(number));
        live(&server, number, what);
    }
    let listed = project.data_of(&["sources", "list"]);
    assert!(listed.contains("active") && !listed.contains("another"), "{listed}");
}

#[test]
fn a_file_that_claims_what_another_receives_changes_nothing_until_there_is_room() {
    let (project, server, file) = start();
    let thief = version(0).replace("/in/sensors", "/in/:anything");
    write(&project.path("routes.d/a-thief.yaml"), &thief);
    server.wait_until_it_says("`a-thief` and `sensors` can both receive the same request");
    goes_on(&server);
    write(&file, "auth: {");
    server.wait_until_it_says("sensors keeps its last good version");
    std::fs::remove_file(project.path("routes.d/a-thief.yaml")).expect("removed");
    write(&project.path("routes.d/b-thief.yaml"), &thief);
    server.wait_until_it_says("`b-thief` and `sensors` can both receive the same request");
    goes_on(&server);
    let listed = project.data_of(&["sources", "list"]);
    assert!(listed.contains("last good") && listed.contains("not ready"), "{listed}");
    std::fs::remove_file(&file).expect("removed");
    server.wait_until_it_says("activated b-thief");
    assert_eq!(ask(&server, "/in/elsewhere", "any").status, 200);
}

const SHOP: &str = "auth: { token: $.headers.x_token, secret: { env: SENSORS_TOKEN } }
extract: { id: $.body.id }
enrich: { order: { api: shop, get: \"/orders/{{ id }}\" } }
lane: \"{% include 'lane.txt' %}\"
write: { upsert: orders, key: { id: $.id }, set: { total: $.order.total } }
";
const LENDER: &str = "apis: { shop: { base: \"https://shop.example\" } }\n";

fn ask_shop(server: &Serving) -> u16 {
    request(&server.intake, "POST", "/in/shop", &[("x-token", "sesame")], r#"{"id":1}"#).status
}

#[test]
fn the_last_good_version_survives_a_restart_with_all_that_it_needs() {
    let project = Project::with_sensors();
    std::fs::create_dir(project.path("templates")).expect("a folder");
    project.write("templates/lane.txt", "order/{{ id }}");
    project.write("routes.d/apis.yaml", LENDER);
    project.write("routes.d/shop.yaml", SHOP);
    let server = project.serve();
    assert_eq!(ask_shop(&server), 200, "{}", server.said());
    drop(server);
    let breakages: [(&str, &str, &str); 3] = [
        ("routes.d/apis.yaml", "apis: { shop: {", LENDER),
        ("templates/lane.txt", "order/{{ id", "order/{{ id }}"),
        ("routes.d/shop.yaml", "auth: {", SHOP),
    ];
    for (path, broken, whole) in breakages {
        project.write(path, broken);
        let server = project.serve();
        let said = server.said();
        assert!(said.contains("LAST GOOD  shop (routes.d/shop.yaml)") && said.contains("error["), "{path}: {said}");
        assert_eq!(ask_shop(&server), 200, "{path}");
        let ready = request(&server.admin, "GET", "/readyz", &[], "").json();
        assert!(ready["sources"].to_string().contains("last_good"), "{ready}");
        project.write(path, whole);
        until(|| !project.data_of(&["sources", "list"]).contains("last good"), || server.said());
        project.write(path, broken);
        until(|| project.data_of(&["sources", "list"]).contains("last good"), || server.said());
        assert_eq!(ask_shop(&server), 200, "{path}");
        project.write(path, whole);
    }
}

#[test]
fn a_source_without_a_file_is_known_until_it_is_retired() {
    let project = Project::with_sensors();
    project.write("routes.d/sensors.yaml", &version(0).replace("insert: sensor_log", "insert: no_such_table"));
    let server = project.serve();
    goes_on(&server);
    let refused = project.run(&["sources", "retire", "sensors"]);
    assert!(refused.code == 2 && refused.notes.contains("remove the file first"), "{refused:?}");
    let refused = project.run(&["sources", "retire", "sensor"]);
    assert!(refused.code == 2 && refused.notes.contains("did you mean `sensors`?"), "{refused:?}");
    drop(server);
    std::fs::remove_file(project.path("routes.d/sensors.yaml")).expect("removed");
    let server = project.serve();
    server.wait_until_it_says("has vanished; it goes on for five minutes");
    goes_on(&server);
    let refused = project.run(&["sources", "retire", "sensors"]);
    assert!(refused.code == 2 && refused.notes.contains("2 records and forwards of `sensors` are not done"), "{refused:?}");
    assert_eq!(project.run(&["sources", "retire", "sensors", "--force"]).code, 0);
    assert_eq!(ask(&server, "/in/sensors", "any").status, 404);
    let waiting = project.data_of(&["deliveries", "list"]);
    assert_eq!(waiting.matches("the source is retired").count(), 2, "{waiting}");
    drop(server);
    let server = project.serve();
    assert_eq!(ask(&server, "/in/sensors", "any").status, 404, "also after a restart");
    project.write("routes.d/sensors.yaml", &version(1));
    live(&server, 1, "a retired source has a file again");
    until(|| project.rows("sensor_log").len() == 3, || project.data_of(&["deliveries", "list"]));
    std::fs::remove_file(project.path("routes.d/sensors.yaml")).expect("removed");
    server.wait_until_it_says("its file `routes.d/sensors.yaml` has vanished");
    let retired = project.run(&["sources", "retire", "sensors"]);
    assert_eq!((retired.code, retired.notes.as_str()), (0, "retired sensors\n"));
    assert_eq!(project.run(&["sources", "retire", "sensors"]).code, 2, "once is enough");
}
