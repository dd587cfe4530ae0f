//! Small compressed blobs: sealed requests, masked texts, attempts, bundles.

use std::sync::{Mutex, PoisonError};

use zstd::bulk::Compressor;

use super::error::StoreError;

/// Fast rather than small: it runs once for every request.
const LEVEL: i32 = 1;

/// Compressors that are used again, since making one costs more than compressing a webhook.
#[derive(Default)]
pub(crate) struct Packer {
    idle: Mutex<Vec<Compressor<'static>>>,
}

impl Packer {
    /// `plain`, compressed.
    pub(crate) fn pack(&self, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let failed = |error| StoreError::Damaged(format!("cannot compress: {error}"));
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut compressor = match idle {
            Some(compressor) => compressor,
            None => Compressor::new(LEVEL).map_err(failed)?,
        };
        let packed = compressor.compress(plain).map_err(failed);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(compressor);
        packed
    }
}

/// What was packed. `what` names it in the error.
pub(crate) fn unpack(packed: &[u8], what: &str) -> Result<Vec<u8>, StoreError> {
    zstd::stream::decode_all(packed).map_err(|error| StoreError::Damaged(format!("{what} cannot be decompressed: {error}")))
}

/// What was packed, as text.
pub(crate) fn unpack_text(packed: &[u8], what: &str) -> Result<String, StoreError> {
    String::from_utf8(unpack(packed, what)?).map_err(|_| StoreError::Damaged(format!("{what} is not UTF-8")))
}
