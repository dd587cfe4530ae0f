//! Key pairs for tests: what a stand-in for a secret signs with, and what verifies that. Nothing outside tests ever has a stand-in, and
//! none of these keys is worth anything.

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaPublicKeyComponents};
use num_bigint::BigUint;
use sha2::Digest as _;

use super::algorithm::Algorithm;
use super::public_key::PublicKey;

/// The public key that belongs to a stand-in.
pub(super) fn public_key(algorithm: Algorithm, seed: &str) -> Option<PublicKey> {
    match algorithm {
        Algorithm::Ed25519 => ed25519(seed).map(|pair| PublicKey::Der(pair.public_key().as_ref().to_vec())),
        Algorithm::EcdsaP256Sha256 => p256(seed).map(|pair| PublicKey::Der(pair.public_key().as_ref().to_vec())),
        Algorithm::RsaSha1 | Algorithm::RsaSha256 | Algorithm::RsaSha512 => {
            Some(PublicKey::Rsa(RsaPublicKeyComponents { n: hex::decode(MODULUS).ok()?, e: vec![1, 0, 1] }))
        }
        _ => None,
    }
}

/// What a stand-in signs.
pub(super) fn sign(algorithm: Algorithm, seed: &str, text: &[u8]) -> Option<Vec<u8>> {
    match algorithm {
        Algorithm::Ed25519 => ed25519(seed).map(|pair| pair.sign(text).as_ref().to_vec()),
        Algorithm::EcdsaP256Sha256 => {
            let signature = p256(seed)?.sign(&SystemRandom::new(), text).ok()?;
            Some(signature.as_ref().to_vec())
        }
        Algorithm::RsaSha1 => rsa(&hex::decode("3021300906052b0e03021a05000414").ok()?, &sha1::Sha1::digest(text)),
        Algorithm::RsaSha256 => rsa(&hex::decode("3031300d060960864801650304020105000420").ok()?, &sha2::Sha256::digest(text)),
        Algorithm::RsaSha512 => rsa(&hex::decode("3051300d060960864801650304020305000440").ok()?, &sha2::Sha512::digest(text)),
        _ => None,
    }
}

fn ed25519(seed: &str) -> Option<Ed25519KeyPair> {
    Ed25519KeyPair::from_seed_unchecked(&sha2::Sha256::digest(seed)).ok()
}

fn p256(seed: &str) -> Option<EcdsaKeyPair> {
    let scalar = sha2::Sha256::digest(seed);
    let public = PrivateKey::from_private_key(&ECDH_P256, &scalar).ok()?.compute_public_key().ok()?;
    EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_ASN1_SIGNING, &scalar, public.as_ref()).ok()
}

/// PKCS #1 v1.5 by hand: with SHA-1 no library signs any more, and this key guards nothing.
fn rsa(name_of_hash: &[u8], digest: &[u8]) -> Option<Vec<u8>> {
    let (modulus, exponent) = (hex::decode(MODULUS).ok()?, hex::decode(EXPONENT).ok()?);
    let padding = modulus.len().checked_sub(name_of_hash.len() + digest.len() + 3)?;
    let message = [&[0, 1], vec![0xff; padding].as_slice(), &[0], name_of_hash, digest].concat();
    let number = |bytes: &[u8]| BigUint::from_bytes_be(bytes);
    let signature = number(&message).modpow(&number(&exponent), &number(&modulus)).to_bytes_be();
    Some([vec![0; modulus.len() - signature.len()], signature].concat())
}

/// Of a key made for this file.
const MODULUS: &str = "bcaaf26864fe5b8b7bd283b8dfc7dbd59df1d8d3dd42ebb3aa5647b1b10c9fb28e01c9ba38143fd3c81a111aab4bddecd7d7287ee62e6868\
     aa273d472ee7b68c542ae911580718b7af8edad5ca7884aaf056d78f2a0c2910b022c88fd8d6b180922cf57abe29334235e839eb101c9a9d\
     a1de972b1a7963b3ce2aa71823e6c66c478158c59891052f58de731618e003bc531f16d970b71ded1d4ae852fa93f9f789e06aa56a054f0c\
     9fc258a7e7f11b6adc59b309f7d8cc5b4d0eba39e49b0494677245a251b68e09043a00d91dd02fb6d84054427e24a1058e3b8f5b77212b62\
     88a1ca386b15ffb410d2baf4b3a047d15e249604839e89d6299c7c51e837bd5d";
/// What signs with it.
const EXPONENT: &str = "1f5ddd64e14b8f8d3a5616bbb50abd7fff9d1e8324c1543dffd70ddedb3461d595f9f29fa0e4aef2e70cfc647e6fa3d315546a6164a3f90c\
     53a3a7f2ae77ec17db037251c59c926db18492d9e1ea550635647ebc88cd524379c122ae95aaa6029dead71a23c4e6467eff5fa7b6bb46b2\
     67dfc1aab32154e3e7261cb72cfad8688d8bf7a4e04152aa472c6cf47ae3642da167e7b3ef2772764fe666e4094b69fe2b9a54574687b7c3\
     367b24a0cc366861c2c20b2018b96879c9a2321bdfe4721eebfc6b99e542ae2b19af0390f2bfb65ac22733ae905610345744cf1c2b911912\
     ad393f0b87fbc61b3fe5116abe65d8e0bbc4ee056a434351496185d42e640f59";
