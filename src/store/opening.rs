//! Opening what is sealed: the master key has to fit the state, and every data key has to open.

use uuid::Uuid;

use super::error::StoreError;
use super::master_key;
use super::sql::{Connection, fixed, query};
use super::state::OpenOptions;
use super::vault::Vault;

/// The vault of a state with all its data keys. Where others share the state, the key that it was begun with is the only one that
/// fits, also while nothing is sealed yet.
pub(super) async fn open_vault(connection: &mut Connection, options: &OpenOptions) -> Result<Vault, StoreError> {
    let row = query("select state_id, master_key_check from meta").fetch_one(connection).await?;
    let state_id = Uuid::from_bytes(fixed(row.get("state_id")?, "the state's id")?);
    let check: Option<Vec<u8>> = row.get("master_key_check")?;
    let data_keys = query("select key_id, tenant_id, wrapped from data_key").fetch_all(connection).await?;
    let must_fit = !data_keys.is_empty() || connection.is_shared() && check.is_some();
    let key = master_key::obtain(options.master_key.as_ref(), &options.key_file, must_fit)?;
    let mut vault = Vault::new(state_id, &key.bytes);
    match check {
        Some(check) if !key.is_new => {
            if !vault.fits(&check) {
                vault = finish_rotation(options, state_id, &check)?;
            } else if options.master_key.is_none() {
                master_key::forget_next(&options.key_file)?;
            }
        }
        _ => write_check(connection, &vault.check()?).await?,
    }
    for row in data_keys {
        vault.unwrap_key(row.get("key_id")?, row.get("tenant_id")?, row.get("wrapped")?)?;
    }
    Ok(vault)
}

/// The vault of a state whose master key was rotated by a program that was killed before it had put the new key in the old one's
/// place.
fn finish_rotation(options: &OpenOptions, state_id: Uuid, check: &[u8]) -> Result<Vault, StoreError> {
    let next = if options.master_key.is_none() { master_key::read_next(&options.key_file)? } else { None };
    let vault = next.map(|bytes| Vault::new(state_id, &bytes)).filter(|vault| vault.fits(check));
    let vault = vault.ok_or(StoreError::WrongMasterKey)?;
    master_key::adopt_next(&options.key_file)?;
    tracing::info!("the rotation of the master key that was cut off is complete now");
    Ok(vault)
}

/// Makes sure that the master key is still the one that this process has, and keeps it so until the commit, where others may rotate it.
pub(crate) async fn hold_master_key(connection: &mut Connection, vault: &Vault) -> Result<(), StoreError> {
    if !connection.is_shared() {
        return Ok(());
    }
    let row = query("select master_key_check from meta for share").fetch_one(connection).await?;
    let check: Option<&[u8]> = row.get("master_key_check")?;
    if check.is_some_and(|check| vault.fits(check)) { Ok(()) } else { Err(StoreError::WrongMasterKey) }
}

/// Lets nobody make a data key until the commit, where others may.
pub(crate) async fn hold_data_keys(connection: &mut Connection) -> Result<(), StoreError> {
    if connection.is_shared() {
        query("select only_row from meta for update").fetch_all(connection).await?;
    }
    Ok(())
}

pub(crate) async fn write_check(connection: &mut Connection, check: &[u8]) -> Result<(), StoreError> {
    query("update meta set master_key_check = $1").bind(check).execute(connection).await?;
    Ok(())
}
