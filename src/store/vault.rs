//! Sealing: AES-256-GCM-SIV under one data key per tenant, each wrapped by the master key. What a blob belongs to is bound to
//! it as associated data, so that one moved to another row does not open.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use aes_gcm_siv::aead::{Aead, Payload};
use aes_gcm_siv::{Aes256GcmSiv, KeyInit, Nonce};
use sha2::Digest as _;
use uuid::Uuid;

use super::error::StoreError;
use super::master_key::{KeyBytes, random_key};
use crate::model::delivery::DeliveryId;
use crate::model::forward::ForwardId;
use crate::secret::Secret;

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;
const CHECK: &[u8] = b"hooktable";

/// A key that seals what belongs to one tenant.
pub(crate) struct DataKey {
    /// Its row.
    pub(crate) key_id: i64,
    cipher: Aes256GcmSiv,
}

/// The master key and the data keys that it opened.
pub(crate) struct Vault {
    state_id: Uuid,
    master: RwLock<Aes256GcmSiv>,
    keys: RwLock<HashMap<i64, Arc<DataKey>>>,
    work_key: [u8; 32],
}

impl Vault {
    /// A vault without data keys.
    pub(crate) fn new(state_id: Uuid, master_key: &KeyBytes) -> Self {
        let work_key =
            sha2::Sha256::new().chain_update(b"hooktable work hashes").chain_update(master_key.as_slice()).finalize().into();
        Self { state_id, master: RwLock::new(cipher(master_key)), keys: RwLock::default(), work_key }
    }

    /// What work hashes are keyed with: known to nobody who has only the database. It stays what it was at the start, also when the
    /// master key is rotated: records of before and after then only do not merge.
    pub(crate) fn work_key(&self) -> &[u8; 32] {
        &self.work_key
    }

    /// The state that everything here is bound to.
    pub(crate) fn state_id(&self) -> Uuid {
        self.state_id
    }

    /// What is stored to recognise the master key by.
    pub(crate) fn check(&self) -> Result<Vec<u8>, StoreError> {
        seal(&self.master(), &self.bound("check", &[]), CHECK)
    }

    /// Whether `check` was made under this master key.
    pub(crate) fn fits(&self, check: &[u8]) -> bool {
        open(&self.master(), &self.bound("check", &[]), check).is_some_and(|plain| plain == CHECK)
    }

    /// A new data key for a tenant, wrapped for storing.
    pub(crate) fn new_wrapped_key(&self, tenant_id: i64) -> Result<Vec<u8>, StoreError> {
        self.wrap(tenant_id, random_key()?.as_slice())
    }

    /// Opens a stored data key and keeps it at hand.
    pub(crate) fn unwrap_key(&self, key_id: i64, tenant_id: i64, wrapped: &[u8]) -> Result<Arc<DataKey>, StoreError> {
        let bytes = self.unwrapped(key_id, tenant_id, wrapped)?;
        let key = Arc::new(DataKey { key_id, cipher: cipher(&bytes) });
        self.keys.write().unwrap_or_else(PoisonError::into_inner).insert(key_id, Arc::clone(&key));
        Ok(key)
    }

    /// A stored data key, wrapped by the master key of `successor` instead.
    pub(crate) fn rewrapped(
        &self,
        successor: &Vault,
        key_id: i64,
        tenant_id: i64,
        wrapped: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        successor.wrap(tenant_id, self.unwrapped(key_id, tenant_id, wrapped)?.as_slice())
    }

    /// From now on data keys are wrapped by the master key of `successor`.
    pub(crate) fn adopt(&self, successor: Vault) {
        let master = successor.master.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.master.write().unwrap_or_else(PoisonError::into_inner) = master;
    }

    /// A data key by its row.
    pub(crate) fn key(&self, key_id: i64) -> Option<Arc<DataKey>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(&key_id).cloned()
    }

    /// Seals a delivery's request.
    pub(crate) fn seal_request(&self, key: &DataKey, owner: &Owner<'_>, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        seal(&key.cipher, &owner.bound(self), plain)
    }

    /// Opens a delivery's request.
    pub(crate) fn open_request(&self, key_id: i64, owner: &Owner<'_>, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let opened = self.key(key_id).and_then(|key| open(&key.cipher, &owner.bound(self), sealed));
        opened.ok_or_else(|| StoreError::Sealed { what: format!("delivery `{}`", owner.delivery) })
    }

    /// Seals what a forward is made of.
    pub(crate) fn seal_forward(&self, key: &DataKey, owner: &Forwarded<'_>, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        seal(&key.cipher, &owner.bound(self), plain)
    }

    /// Opens what a forward is made of.
    pub(crate) fn open_forward(&self, key_id: i64, owner: &Forwarded<'_>, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let opened = self.key(key_id).and_then(|key| open(&key.cipher, &owner.bound(self), sealed));
        opened.ok_or_else(|| StoreError::Sealed { what: format!("forward `{}`", owner.forward) })
    }

    /// Seals what an integration holds.
    pub(crate) fn seal_set_up(&self, key: &DataKey, owner: &SetUp<'_>, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        seal(&key.cipher, &owner.bound(self), plain)
    }

    /// Opens what an integration holds.
    pub(crate) fn open_set_up(&self, key_id: i64, owner: &SetUp<'_>, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let opened = self.key(key_id).and_then(|key| open(&key.cipher, &owner.bound(self), sealed));
        opened.ok_or_else(|| StoreError::Sealed { what: format!("integration {}", owner.integration) })
    }

    /// Seals a lane's label; the key's row stands in front of it.
    pub(crate) fn seal_label(&self, key: &DataKey, lane_hash: &[u8], label: &str) -> Result<Vec<u8>, StoreError> {
        let sealed = seal(&key.cipher, &self.bound("lane", &[lane_hash]), label.as_bytes())?;
        Ok([key.key_id.to_be_bytes().as_slice(), &sealed].concat())
    }

    /// Opens a lane's label; none when it does not open, since a list must not fail because of one.
    pub(crate) fn open_label(&self, lane_hash: &[u8], sealed: &[u8]) -> Option<String> {
        let (key_id, sealed) = sealed.split_first_chunk::<8>()?;
        let key = self.key(i64::from_be_bytes(*key_id))?;
        String::from_utf8(open(&key.cipher, &self.bound("lane", &[lane_hash]), sealed)?).ok()
    }

    /// Seals what a handshake has shown.
    pub(crate) fn seal_shown(&self, key: &DataKey, hash: &[u8; 32], value: &str) -> Result<Vec<u8>, StoreError> {
        seal(&key.cipher, &self.bound("shown by a handshake", &[hash]), value.as_bytes())
    }

    /// Opens what a handshake has shown.
    pub(crate) fn open_shown(&self, key_id: i64, hash: &[u8; 32], sealed: &[u8]) -> Result<Secret<String>, StoreError> {
        let opened = self.key(key_id).and_then(|key| open(&key.cipher, &self.bound("shown by a handshake", &[hash]), sealed));
        let text = opened.and_then(|plain| String::from_utf8(plain).ok()).map(Secret::new);
        text.ok_or_else(|| StoreError::Sealed { what: "what a handshake has shown".to_owned() })
    }

    fn master(&self) -> RwLockReadGuard<'_, Aes256GcmSiv> {
        self.master.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrap(&self, tenant_id: i64, data_key: &[u8]) -> Result<Vec<u8>, StoreError> {
        seal(&self.master(), &self.bound("data key", &[&tenant_id.to_be_bytes()]), data_key)
    }

    fn unwrapped(&self, key_id: i64, tenant_id: i64, wrapped: &[u8]) -> Result<KeyBytes, StoreError> {
        let bound = self.bound("data key", &[&tenant_id.to_be_bytes()]);
        let plain = open(&self.master(), &bound, wrapped).map(zeroize::Zeroizing::new);
        let bytes = plain.as_deref().and_then(|plain| <[u8; 32]>::try_from(plain.as_slice()).ok());
        bytes.map(KeyBytes::new).ok_or_else(|| StoreError::Sealed { what: format!("data key {key_id}") })
    }

    fn bound(&self, purpose: &str, parts: &[&[u8]]) -> Vec<u8> {
        let mut bound = self.state_id.as_bytes().to_vec();
        for part in std::iter::once(&purpose.as_bytes()).chain(parts) {
            bound.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bound.extend_from_slice(part);
        }
        bound
    }
}

/// The row of the key that a lane's label is sealed with.
pub(crate) fn label_key(sealed: &[u8]) -> Option<i64> {
    sealed.first_chunk::<8>().map(|key_id| i64::from_be_bytes(*key_id))
}

/// What a sealed request belongs to.
pub(crate) struct Owner<'a> {
    /// The delivery.
    pub(crate) delivery: DeliveryId,
    /// Its tenant; 0 for none.
    pub(crate) tenant_id: i64,
    /// Its source.
    pub(crate) source: &'a str,
}

impl Owner<'_> {
    fn bound(&self, vault: &Vault) -> Vec<u8> {
        vault.bound("request", &[self.delivery.0.as_bytes(), &self.tenant_id.to_be_bytes(), self.source.as_bytes()])
    }
}

/// What a forward's sealed content belongs to.
pub(crate) struct Forwarded<'a> {
    /// The forward.
    pub(crate) forward: ForwardId,
    /// The tenant of its record; 0 for none.
    pub(crate) tenant_id: i64,
    /// Its source.
    pub(crate) source: &'a str,
}

impl Forwarded<'_> {
    fn bound(&self, vault: &Vault) -> Vec<u8> {
        vault.bound("forward", &[self.forward.0.as_bytes(), &self.tenant_id.to_be_bytes(), self.source.as_bytes()])
    }
}

/// What an integration's sealed fields belong to.
pub(crate) struct SetUp<'a> {
    /// Its row.
    pub(crate) integration: i64,
    /// Its tenant.
    pub(crate) tenant_id: i64,
    /// Its source.
    pub(crate) source: &'a str,
}

impl SetUp<'_> {
    fn bound(&self, vault: &Vault) -> Vec<u8> {
        let parts = [&self.integration.to_be_bytes()[..], &self.tenant_id.to_be_bytes(), self.source.as_bytes()];
        vault.bound("integration", &parts)
    }
}

fn cipher(key: &KeyBytes) -> Aes256GcmSiv {
    Aes256GcmSiv::new(&(**key).into())
}

fn seal(cipher: &Aes256GcmSiv, bound: &[u8], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut nonce = [0u8; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(|error| StoreError::Damaged(format!("the system gave no random bytes: {error}")))?;
    let payload = Payload { msg: plain, aad: bound };
    let sealed = cipher.encrypt(&Nonce::from(nonce), payload).map_err(|_| StoreError::Damaged("too long to seal".into()))?;
    Ok([&[VERSION], nonce.as_slice(), &sealed].concat())
}

fn open(cipher: &Aes256GcmSiv, bound: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (version, rest) = sealed.split_first()?;
    let (nonce, message) = rest.split_first_chunk::<NONCE_BYTES>()?;
    if *version != VERSION {
        return None;
    }
    cipher.decrypt(&Nonce::from(*nonce), Payload { msg: message, aad: bound }).ok()
}
