//! Small compressed blobs: sealed requests, masked texts, attempts, bundles.

use super::error::StoreError;

/// Fast rather than small: it runs once for every request.
const LEVEL: i32 = 1;

/// `plain`, compressed.
pub(crate) fn pack(plain: &[u8]) -> Result<Vec<u8>, StoreError> {
    zstd::bulk::compress(plain, LEVEL).map_err(|error| StoreError::Damaged(format!("cannot compress: {error}")))
}

/// What was packed. `what` names it in the error.
pub(crate) fn unpack(packed: &[u8], what: &str) -> Result<Vec<u8>, StoreError> {
    zstd::stream::decode_all(packed).map_err(|error| StoreError::Damaged(format!("{what} cannot be decompressed: {error}")))
}

/// What was packed, as text.
pub(crate) fn unpack_text(packed: &[u8], what: &str) -> Result<String, StoreError> {
    String::from_utf8(unpack(packed, what)?).map_err(|_| StoreError::Damaged(format!("{what} is not UTF-8")))
}
