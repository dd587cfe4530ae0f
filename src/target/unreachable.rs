//! Why no connection to a database server could be made, in words that never hold its URL. What the other side said stands behind
//! what it means.

use std::io::ErrorKind;
use std::path::Path;

use super::dialect::Dialect;

/// In words, for the person who writes the URL.
pub(super) fn reason(dialect: Dialect, url: &str, error: &sqlx::Error) -> String {
    let said = match error {
        sqlx::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    };
    let is_absent = matches!(error, sqlx::Error::Io(error) if error.kind() == ErrorKind::NotFound);
    let means = match said.as_str() {
        _ if is_absent => missing_file(url).map(|file| format!("the file `{file}` that its URL names is not there")),
        said if said.contains("UnknownIssuer") => Some(format!(
            "its certificate is of no authority that is trusted here; name the file of its authority with `{}` in the URL",
            if dialect == Dialect::Mysql { "ssl-ca=" } else { "sslrootcert=" }
        )),
        said if said.contains("not valid for name") || said.contains("NotValidForName") => {
            Some("its certificate is not for the host that the URL names".to_owned())
        }
        said if said.contains("server does not support TLS") => Some("it offers no TLS, which its URL asks for".to_owned()),
        _ => None,
    };
    match means {
        Some(means) => format!("{means} ({said})"),
        None => said,
    }
}

/// The first file of keys or certificates in a URL's parameters that is not there.
fn missing_file(url: &str) -> Option<String> {
    const FILES: &[&str] = &["sslrootcert", "ssl-root-cert", "ssl-ca", "sslcert", "ssl-cert", "sslkey", "ssl-key"];
    let (_, parameters) = url.split_once('?')?;
    let mut files = form_urlencoded::parse(parameters.as_bytes()).filter(|(name, _)| FILES.contains(&name.as_ref()));
    files.find(|(_, file)| !Path::new(file.as_ref()).exists()).map(|(_, file)| file.into_owned())
}
