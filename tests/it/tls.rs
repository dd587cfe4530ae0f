//! Target databases over TLS, with an authority and certificates of our own: what each mode of the URL promises, and what is said when
//! the other side is not who it should be.

use std::path::{Path, PathBuf};
use std::process::Command;

use hooktable::clock::Clock;
use hooktable::target::{DatabaseOptions, Targets};
use serde_json::json;

use crate::support::postgres::{is_skipped, new_database};
use crate::support::tcp_proxy::TcpProxy;
use crate::support::test_app::repository;

/// An authority with the key of a server called `localhost`, and another authority that knows nothing of it.
struct Keys(tempfile::TempDir);

impl Keys {
    fn make() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["ca", "other"] {
            let subject = format!("/CN=Hooktable test authority {name}");
            openssl(folder.path(), &["req", "-x509", "-days", "2", "-subj", &subject], name, &["-out", &format!("{name}.pem")]);
        }
        openssl(folder.path(), &["req", "-subj", "/CN=localhost"], "server", &["-out", "server.csr"]);
        let extensions = "subjectAltName=DNS:localhost\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n";
        std::fs::write(folder.path().join("extensions"), extensions).expect("written");
        let sign =
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out server.pem";
        run_openssl(folder.path(), &sign.split(' ').collect::<Vec<_>>());
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("a path").replace('/', "%2F")
    }
}

/// With a new key of this name.
fn openssl(folder: &Path, before: &[&str], key: &str, after: &[&str]) {
    let key = format!("{key}.key");
    let new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", &key];
    run_openssl(folder, &[before, &new, after].concat());
}

fn run_openssl(folder: &Path, arguments: &[&str]) {
    let done = Command::new("openssl").args(arguments).current_dir(folder).output();
    let done = done.unwrap_or_else(|error| {
        panic!("`openssl` cannot be run: {error}\nhint: install it (`apt install openssl`), or set HOOKTABLE_TEST_SQLITE_ONLY=1")
    });
    assert!(done.status.success(), "openssl {arguments:?}\n{}", String::from_utf8_lossy(&done.stderr));
}

/// A server with these keys; stopped when it is dropped.
struct Server {
    script: PathBuf,
    folder: tempfile::TempDir,
    /// Its URL without the host, and what stands behind it.
    before: String,
    after: String,
}

impl Server {
    fn start(script: &str, keys: &Keys) -> Self {
        let (script, folder) = (repository(script), tempfile::tempdir().expect("a temporary folder"));
        let done = Command::new(&script).arg("start").arg(folder.path()).arg(keys.0.path()).output().expect("the script runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let url = String::from_utf8_lossy(&done.stdout).trim().to_owned();
        let (before, after) = url.split_once("127.0.0.1").expect("the host");
        Self { script, folder, before: before.to_owned(), after: after.to_owned() }
    }

    fn url(&self, host: &str, parameters: &str) -> String {
        format!("{}{host}{}?{parameters}", self.before, self.after)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new(&self.script).arg("stop").arg(self.folder.path()).output();
    }
}

fn database(url: &str) -> Targets {
    Targets::open(vec![DatabaseOptions::new("main", url, "tenant")], Clock::system())
}

/// Whether the connection is encrypted, as `look` makes a table of it; or why there is none.
async fn is_encrypted(url: &str, look: &str) -> Result<bool, String> {
    let targets = database(url);
    let main = targets.database("main").expect("main");
    main.connect().await.map_err(|failure| failure.reason)?;
    main.run_script(&format!("drop table if exists told; create table told as {look}")).await.expect("a look");
    let rows = main.rows("told", None, &[]).await.expect("rows");
    Ok(rows[0]["encrypted"] == json!(1))
}

const POSTGRES: &str = "select ssl as encrypted from pg_stat_ssl where pid = pg_backend_pid()";
const MARIADB: &str =
    "select variable_value <> '' as encrypted from information_schema.session_status where variable_name = 'Ssl_cipher'";

/// Each case: the host, the parameters, and whether the connection is encrypted or what is said instead.
async fn check(server: &Server, look: &str, cases: &[(&str, String, Result<bool, &str>)]) {
    for (host, parameters, expected) in cases {
        let is = is_encrypted(&server.url(host, parameters), look).await;
        match (&is, expected) {
            (Ok(is), Ok(expected)) => assert_eq!(is, expected, "{host} {parameters}"),
            (Err(said), Err(expected)) => {
                let expected = format!("database `main` cannot be opened: {expected}");
                assert!(said.starts_with(&expected), "{host} {parameters}: {said}");
            }
            _ => panic!("{host} {parameters}: {is:?}, not {expected:?}"),
        }
    }
}

const STRANGER: &str = "its certificate is of no authority that is trusted here; name the file of its authority with";
const OTHER_HOST: &str = "its certificate is not for the host that the URL names";
const NO_TLS: &str = "it offers no TLS, which its URL asks for";

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_reached_as_its_url_says() {
    if is_skipped() {
        return;
    }
    let keys = Keys::make();
    let server = Server::start("scripts/postgres", &keys);
    let (ours, other) = (keys.path("ca.pem"), keys.path("other.pem"));
    let with = |mode: &str, authority: &str| format!("sslmode={mode}&sslrootcert={authority}");
    let stranger = format!("{STRANGER} `sslrootcert=`");
    check(
        &server,
        POSTGRES,
        &[
            ("localhost", with("verify-full", &ours), Ok(true)),
            ("localhost", with("verify-full", &other), Err(&stranger)),
            ("localhost", "sslmode=verify-full".to_owned(), Err(&stranger)),
            ("127.0.0.1", with("verify-full", &ours), Err(OTHER_HOST)),
            ("127.0.0.1", with("verify-ca", &ours), Ok(true)),
            ("127.0.0.1", with("verify-ca", &other), Err(&stranger)),
            // encrypted, but with whoever answers
            ("127.0.0.1", with("require", &other), Ok(true)),
            ("127.0.0.1", "sslmode=prefer".to_owned(), Ok(true)),
            ("127.0.0.1", String::new(), Ok(true)),
            ("127.0.0.1", "sslmode=allow".to_owned(), Ok(false)),
            ("127.0.0.1", "sslmode=disable".to_owned(), Ok(false)),
        ],
    )
    .await;
    let missing = is_encrypted(&server.url("localhost", "sslmode=verify-full&sslrootcert=no-such.pem"), POSTGRES).await;
    assert!(missing.is_err_and(|said| said.contains("no-such.pem")), "the file is named");
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_is_reached_as_its_url_says() {
    if is_skipped() {
        return;
    }
    let keys = Keys::make();
    let server = Server::start("scripts/mariadb", &keys);
    let (ours, other) = (keys.path("ca.pem"), keys.path("other.pem"));
    let with = |mode: &str, authority: &str| format!("ssl-mode={mode}&ssl-ca={authority}");
    let stranger = format!("{STRANGER} `ssl-ca=`");
    check(
        &server,
        MARIADB,
        &[
            ("localhost", with("VERIFY_IDENTITY", &ours), Ok(true)),
            ("localhost", with("VERIFY_IDENTITY", &other), Err(&stranger)),
            ("localhost", "ssl-mode=VERIFY_IDENTITY".to_owned(), Err(&stranger)),
            ("127.0.0.1", with("VERIFY_IDENTITY", &ours), Err(OTHER_HOST)),
            ("127.0.0.1", with("VERIFY_CA", &ours), Ok(true)),
            ("127.0.0.1", with("VERIFY_CA", &other), Err(&stranger)),
            ("127.0.0.1", with("REQUIRED", &other), Ok(true)),
            ("127.0.0.1", "ssl-mode=PREFERRED".to_owned(), Ok(true)),
            ("127.0.0.1", String::new(), Ok(true)),
            ("127.0.0.1", "ssl-mode=DISABLED".to_owned(), Ok(false)),
        ],
    )
    .await;
    let missing = is_encrypted(&server.url("localhost", "ssl-mode=VERIFY_CA&ssl-ca=no-such.pem"), MARIADB).await;
    assert!(missing.is_err_and(|said| said.contains("no-such.pem")), "the file is named");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_where_the_url_asks_for_it() {
    if is_skipped() {
        return;
    }
    // what listens on a socket offers none
    let (_proxy, url) = TcpProxy::in_front_of(&new_database().await).await;
    for mode in ["require", "verify-ca", "verify-full"] {
        let said = is_encrypted(&url.replace("sslmode=disable", &format!("sslmode={mode}")), POSTGRES).await;
        assert!(said.as_ref().is_err_and(|said| said.contains(NO_TLS)), "{mode}: {said:?}");
    }
    assert_eq!(is_encrypted(&url.replace("sslmode=disable", "sslmode=prefer"), POSTGRES).await, Ok(false));
}
