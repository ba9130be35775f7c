//! Tokens: who may ask, and who may change.
//!
//! A token is 256 random bits behind its role's name. On disk are the SHA-256 sums alone: such a token needs
//! no slow hash, because nobody can go through 2^256 of them. The admin's own token lies beside the
//! registry, readable for the service's user alone, who can read the passwords in there anyhow:
//! docs/decisions/0030-who-may-ask.md.

use std::fs::{OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use culvert_api::{Error, ErrorKind};
use rand::TryRngCore;
use rand::rngs::OsRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::terminal::complain;

/// Largest file of tokens.
const FILE_BYTES_MAX: u64 = 1 << 20;
const VERSION: u32 = 1;

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// To look at everything that is not a secret.
    Read,
    /// To change everything.
    Admin,
}

impl Role {
    /// The word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Admin => "admin",
        }
    }
}

/// Somebody who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    /// The name of the token.
    pub(crate) name: String,
    pub(crate) role: Role,
}

impl Who {
    /// Everybody, where no token is asked for.
    pub(crate) fn anybody() -> Who {
        Who { name: "anybody".to_owned(), role: Role::Admin }
    }
}

/// The file of tokens.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    tokens: Vec<KeptToken>,
}

#[derive(Clone, Serialize, Deserialize)]
struct KeptToken {
    name: String,
    role: Role,
    /// In hexadecimal.
    sha256: String,
}

/// All tokens.
pub(crate) struct Tokens {
    known: Vec<(Who, [u8; 32])>,
}

impl Tokens {
    /// Reads the file; where there is none, makes two tokens, prints them, and writes the admin's to
    /// `admin_file`.
    ///
    /// # Errors
    /// A file that cannot be read or written, is no file of tokens, or can be read by others.
    pub(crate) fn open(path: &Path, admin_file: &Path) -> Result<Tokens, Error> {
        let kept = match std::fs::metadata(path) {
            Ok(found) if found.len() > FILE_BYTES_MAX => return Err(misshapen(path, "it is too large")),
            Ok(found) if found.permissions().mode() & 0o022 != 0 => {
                let error = misshapen(path, "others may write it");
                return Err(error.hint("chmod 600 the file: whoever writes it is admin"));
            }
            Ok(_) => {
                let text = std::fs::read_to_string(path).map_err(|error| unusable(path, error))?;
                serde_json::from_str(&text).map_err(|error| misshapen(path, &error.to_string()))?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => make(path, admin_file)?,
            Err(error) => return Err(unusable(path, error)),
        };
        if kept.version != VERSION {
            return Err(misshapen(path, &format!("its version is {}", kept.version)));
        }
        let known = |token: KeptToken| {
            let sum = unhex(&token.sha256)
                .ok_or_else(|| misshapen(path, &format!("'{}' has no SHA-256 sum", token.name)))?;
            Ok((Who { name: token.name, role: token.role }, sum))
        };
        Ok(Tokens { known: kept.tokens.into_iter().map(known).collect::<Result<_, Error>>()? })
    }

    /// Whose token this is. Takes the same time for every token of a length.
    pub(crate) fn who(&self, token: &str) -> Option<&Who> {
        let sum = sum(token);
        let mut found = u32::MAX;
        for (place, (_, known)) in self.known.iter().enumerate() {
            let place = u32::try_from(place).unwrap_or(u32::MAX);
            let same: Choice = known.ct_eq(&sum);
            found = u32::conditional_select(&found, &place, same);
        }
        usize::try_from(found).ok().and_then(|place| self.known.get(place)).map(|(who, _)| who)
    }
}

fn make(path: &Path, admin_file: &Path) -> Result<Kept, Error> {
    let mut tokens = Vec::new();
    let mut told = vec!["Tokens of the HTTP interface, printed this once:".to_owned()];
    for role in [Role::Admin, Role::Read] {
        let token = random_token(role)?;
        told.push(format!("  {:<5} {token}", role.word()));
        tokens.push(KeptToken { name: role.word().to_owned(), role, sha256: hex(&sum(&token)) });
        if role == Role::Admin {
            write_private(admin_file, &format!("{token}\n"))?;
        }
    }
    let kept = Kept { version: VERSION, tokens };
    // Names and sums always serialise.
    write_private(path, &format!("{}\n", serde_json::to_string_pretty(&kept).unwrap_or_default()))?;
    told.push(format!("The admin's lies in {} as well, for commands of this user.", admin_file.display()));
    complain(&told.join("\n"));
    Ok(kept)
}

fn random_token(role: Role) -> Result<String, Error> {
    let mut bits = [0_u8; 32];
    OsRng.try_fill_bytes(&mut bits).map_err(|error| {
        Error::new(ErrorKind::Unavailable, "the system gives no random numbers").caused_by(error)
    })?;
    Ok(format!("culvert_{}_{}", role.word(), URL_SAFE_NO_PAD.encode(bits)))
}

fn sum(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if !text.is_ascii() || text.len() != 64 {
        return None;
    }
    let mut bytes = [0_u8; 32];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(place * 2..place * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// Writes a file that its user alone may read; a file that was there is replaced as a whole.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let beside = path.with_extension("new");
    let written = || {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    written().map_err(|error| unusable(path, error))
}

fn unusable(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Permission, "the file cannot be used")
        .context("file", path.display())
        .caused_by(error)
}

fn misshapen(path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::Config, format!("the file is no file of tokens: {why}"))
        .context("file", path.display())
        .hint("remove it to have new tokens made at the next start")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn tokens_are_made_once_and_only_their_sums_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (path, admin) = (folder.path().join("tokens"), folder.path().join("admin.token"));
        Tokens::open(&path, &admin).unwrap();
        let token = std::fs::read_to_string(&admin).unwrap().trim().to_owned();
        let kept = std::fs::read_to_string(&path).unwrap();
        assert!(token.starts_with("culvert_admin_") && token.len() > 50, "{token}");
        assert!(!kept.contains(&token), "{kept}");
        assert_eq!((mode(&path), mode(&admin)), (0o600, 0o600));
        let again = Tokens::open(&path, &admin).unwrap();
        assert_eq!(again.who(&token).map(|who| who.role), Some(Role::Admin));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), kept);
        let read = "culvert_read_".to_owned() + &token["culvert_admin_".len()..];
        for wrong in ["", "culvert_admin_", &token[1..], &format!("{token} "), &read] {
            assert_eq!(again.who(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_file_that_others_may_write_or_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, admin) = (folder.path().join("tokens"), folder.path().join("admin.token"));
        Tokens::open(&path, &admin).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o620)).unwrap();
        assert!(Tokens::open(&path, &admin).err().unwrap().to_string().contains("others may write it"));
        for text in ["", "{}", "{\"version\": 2, \"tokens\": []}", "[]"] {
            write_private(&path, text).unwrap();
            assert!(Tokens::open(&path, &admin).is_err(), "{text}");
        }
        let short = "{\"version\":1,\"tokens\":[{\"name\":\"a\",\"role\":\"admin\",\"sha256\":\"00\"}]}";
        write_private(&path, short).unwrap();
        assert!(Tokens::open(&path, &admin).err().unwrap().to_string().contains("no SHA-256 sum"));
    }
}
