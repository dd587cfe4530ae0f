//! The master key: where it comes from and what makes it acceptable. It wraps the data keys and seals nothing else.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use zeroize::Zeroizing;

use super::error::StoreError;
use crate::secret::Secret;

/// Thirty-two bytes that are wiped when dropped.
pub(crate) type KeyBytes = Zeroizing<[u8; 32]>;

/// A master key and whether it was made just now.
pub(crate) struct MasterKey {
    /// The key.
    pub(crate) bytes: KeyBytes,
    /// Whether it is new, so that nothing can have been sealed with it.
    pub(crate) is_new: bool,
}

/// The key that was given as text, or the one in the key file, which is made when nothing is sealed yet.
pub(crate) fn obtain(given: Option<&Secret<String>>, key_file: &Path, sealed_rows_exist: bool) -> Result<MasterKey, StoreError> {
    if let Some(text) = given {
        return Ok(MasterKey { bytes: parse(text.expose())?, is_new: false });
    }
    match std::fs::read_to_string(key_file) {
        Ok(text) => Ok(MasterKey { bytes: parse(Zeroizing::new(text).trim())?, is_new: false }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if sealed_rows_exist {
                return Err(StoreError::MissingMasterKey { key_file: key_file.to_owned() });
            }
            let bytes = random_key()?;
            write_new(key_file, &bytes).map_err(|error| cannot_open(key_file, &error))?;
            Ok(MasterKey { bytes, is_new: true })
        }
        Err(error) => Err(cannot_open(key_file, &error)),
    }
}

/// Thirty-two random bytes.
pub(crate) fn random_key() -> Result<KeyBytes, StoreError> {
    let mut bytes = KeyBytes::default();
    getrandom::fill(bytes.as_mut_slice())
        .map_err(|error| StoreError::Damaged(format!("the system gave no random bytes: {error}")))?;
    Ok(bytes)
}

/// The key that stands beside the key file while the master key is rotated, if one does.
pub(crate) fn read_next(key_file: &Path) -> Result<Option<KeyBytes>, StoreError> {
    match std::fs::read_to_string(next_file(key_file)) {
        Ok(text) => parse(Zeroizing::new(text).trim()).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cannot_open(&next_file(key_file), &error)),
    }
}

/// Puts a key beside the key file, to become it once the state is wrapped by it.
pub(crate) fn write_next(key_file: &Path, bytes: &KeyBytes) -> Result<(), StoreError> {
    forget_next(key_file)?;
    let next = next_file(key_file);
    write_new(&next, bytes).map_err(|error| cannot_open(&next, &error))
}

/// Makes the key that stands beside the key file the key.
pub(crate) fn adopt_next(key_file: &Path) -> Result<(), StoreError> {
    let renamed = std::fs::rename(next_file(key_file), key_file).and_then(|()| sync_folder(key_file));
    renamed.map_err(|error| cannot_open(key_file, &error))
}

/// Removes a key that stands beside the key file and was never used.
pub(crate) fn forget_next(key_file: &Path) -> Result<(), StoreError> {
    let next = next_file(key_file);
    match std::fs::remove_file(&next) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(cannot_open(&next, &error)),
        _ => Ok(()),
    }
}

fn next_file(key_file: &Path) -> PathBuf {
    let mut name = key_file.as_os_str().to_owned();
    name.push(".next");
    PathBuf::from(name)
}

/// Reads a key from hex or base64.
pub(crate) fn parse(text: &str) -> Result<KeyBytes, StoreError> {
    let mut bytes = KeyBytes::default();
    if text.len() == 64 && hex::decode_to_slice(text, bytes.as_mut_slice()).is_ok() {
        return Ok(bytes);
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(text).map(Zeroizing::new);
    let decoded = decoded.map_err(|_| StoreError::BadMasterKey { reason: "it is neither hex nor base64".into() })?;
    if decoded.len() != 32 {
        return Err(StoreError::BadMasterKey { reason: format!("it has {} bytes, not 32", decoded.len()) });
    }
    bytes.copy_from_slice(&decoded);
    Ok(bytes)
}

fn write_new(key_file: &Path, bytes: &KeyBytes) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(key_file)?;
    let text = Zeroizing::new(format!("{}\n", hex::encode(bytes.as_slice())));
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    sync_folder(key_file)
}

fn sync_folder(key_file: &Path) -> std::io::Result<()> {
    let folder = key_file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}

fn cannot_open(key_file: &Path, error: &std::io::Error) -> StoreError {
    StoreError::CannotOpen { path: key_file.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_hex_and_from_base64() {
        let key = [7u8; 32];
        let base64 = base64::engine::general_purpose::STANDARD.encode(key);
        assert_eq!(*parse(&hex::encode(key)).expect("hex"), key);
        assert_eq!(*parse(&base64).expect("base64"), key);
    }

    #[test]
    fn a_short_key_is_refused_without_showing_it() {
        let error = parse("c2VjcmV0").expect_err("too short").to_string();
        assert!(error.contains("6 bytes") && !error.contains("c2VjcmV0"), "{error}");
    }
}
