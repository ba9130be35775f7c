//! AES in the two modes that SeaTunnel has, with initialization vectors that are derived.

use std::fmt;

use aes::{Aes128, Aes192, Aes256};
use aes_gcm::aead::Aead;
use aes_gcm::aead::consts::U12;
use aes_gcm::{AesGcm, Nonce};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyInit as _, KeyIvInit};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Bytes of the vector of GCM.
const GCM_IV_BYTES: usize = 12;
/// Bytes of the vector of CBC, and of a block.
const CBC_IV_BYTES: usize = 16;
/// What the key that derives vectors is made for, so that no key serves two ends.
const IV_PURPOSE: &[u8] = b"culvert: initialization vectors of FieldEncrypt, 1";

/// The mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Gcm,
    Cbc,
}

/// A mode with its key.
#[derive(Clone)]
pub(super) struct Cipher {
    algorithm: Algorithm,
    key: Vec<u8>,
    iv_key: Vec<u8>,
}

/// Where a row stands: its transaction, the event in it, the row in that.
type Place<'p> = (&'p str, u32, u32);

/// Runs a piece of code with the block cipher of the key's size.
macro_rules! with_block_cipher {
    ($key:expr, $cipher:ident => $code:expr) => {
        match $key.len() {
            16 => {
                type $cipher = Aes128;
                $code
            }
            24 => {
                type $cipher = Aes192;
                $code
            }
            _ => {
                type $cipher = Aes256;
                $code
            }
        }
    };
}

impl Cipher {
    /// `None` unless the key has 16, 24 or 32 bytes.
    pub(super) fn new(algorithm: Algorithm, key: Vec<u8>) -> Option<Cipher> {
        if ![16, 24, 32].contains(&key.len()) {
            return None;
        }
        let iv_key = mac(&key, &[IV_PURPOSE])?;
        Some(Cipher { algorithm, key, iv_key })
    }

    /// The vector and the encrypted bytes. `None` when they are too many for the mode.
    pub(super) fn seal(&self, column: &str, place: Option<Place<'_>>, plain: &[u8]) -> Option<Vec<u8>> {
        let place = place.map_or_else(Vec::new, |(transaction, event, row)| {
            let mut bytes = transaction.as_bytes().to_vec();
            bytes.extend(event.to_be_bytes());
            bytes.extend(row.to_be_bytes());
            bytes
        });
        let mut iv = mac(&self.iv_key, &[column.as_bytes(), &place, plain])?;
        let sealed = match self.algorithm {
            Algorithm::Gcm => {
                iv.truncate(GCM_IV_BYTES);
                let nonce = Nonce::<U12>::try_from(iv.as_slice()).ok()?;
                with_block_cipher!(self.key, Block => {
                    AesGcm::<Block, U12>::new_from_slice(&self.key).ok()?.encrypt(&nonce, plain).ok()?
                })
            }
            Algorithm::Cbc => {
                iv.truncate(CBC_IV_BYTES);
                with_block_cipher!(self.key, Block => {
                    cbc::Encryptor::<Block>::new_from_slices(&self.key, &iv).ok()?.encrypt_padded_vec::<Pkcs7>(plain)
                })
            }
        };
        iv.extend(sealed);
        Some(iv)
    }

    /// The bytes that were encrypted; `None` when these are none, or of another key.
    pub(super) fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        match self.algorithm {
            Algorithm::Gcm => {
                let (iv, sealed) = sealed.split_at_checked(GCM_IV_BYTES)?;
                let nonce = Nonce::<U12>::try_from(iv).ok()?;
                with_block_cipher!(self.key, Block => {
                    AesGcm::<Block, U12>::new_from_slice(&self.key).ok()?.decrypt(&nonce, sealed).ok()
                })
            }
            Algorithm::Cbc => {
                let (iv, sealed) = sealed.split_at_checked(CBC_IV_BYTES)?;
                with_block_cipher!(self.key, Block => {
                    let cipher = cbc::Decryptor::<Block>::new_from_slices(&self.key, iv).ok()?;
                    cipher.decrypt_padded_vec::<Pkcs7>(sealed).ok()
                })
            }
        }
    }
}

/// HMAC-SHA-256 of parts, each with its length in front, so that no two lists of parts are alike.
fn mac(key: &[u8], parts: &[&[u8]]) -> Option<Vec<u8>> {
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).ok()?;
    for part in parts {
        mac.update(&u64::try_from(part.len()).ok()?.to_be_bytes());
        mac.update(part);
    }
    Some(mac.finalize().into_bytes().to_vec())
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}(******)", self.algorithm)
    }
}
