//! The key that clients name in `X-API-Key`.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq;

/// Environment variable that holds the key where no file is named.
pub const VARIABLE: &str = "LESIONLENS_API_KEY";

/// A key from which nothing but its comparison can be had. Hashes are compared, so that not even its length shows in the time.
pub struct Key([u8; 32]);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("{}: cannot be read ({reason}); check the path and your permission to read it", path.display())]
    File { path: PathBuf, reason: std::io::Error },
    #[error("{place} holds no key; write one line of letters and digits into it")]
    Empty { place: String },
    #[error("{place} holds a key of several words or with signs that no header carries; use letters and digits")]
    Unsendable { place: String },
}

impl Key {
    /// The key in `file`, else in the environment; `None` where neither is given.
    ///
    /// # Errors
    /// If the file cannot be read, or what should be a key cannot be one.
    pub fn find(file: Option<&Path>) -> Result<Option<Self>, KeyError> {
        if let Some(path) = file {
            let failed = |reason| KeyError::File { path: path.to_path_buf(), reason };
            let text = std::fs::read_to_string(path).map_err(failed)?;
            return Self::new(&text, &path.display().to_string()).map(Some);
        }
        match std::env::var_os(VARIABLE) {
            Some(text) => Self::new(&text.to_string_lossy(), VARIABLE).map(Some),
            None => Ok(None),
        }
    }

    fn new(text: &str, place: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(KeyError::Empty { place: place.into() });
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(KeyError::Unsendable { place: place.into() });
        }
        Ok(Self(Sha256::digest(text).into()))
    }

    /// Whether a request names this key, in `X-API-Key` or as a bearer's token.
    pub fn is_named_in(&self, headers: &HeaderMap) -> bool {
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        let named = headers.get("x-api-key").map(|value| value.as_bytes()).or(bearer);
        named.is_some_and(|named| bool::from(self.0.ct_eq(&Sha256::digest(named))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_key_in_either_header_opens() {
        let key = Key::new(" abc123\n", "test").unwrap();
        let with = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            key.is_named_in(&headers)
        };
        assert!(with("x-api-key", "abc123") && with("authorization", "Bearer abc123"));
        assert!(!with("x-api-key", "abc12") && !with("x-api-key", "abc1234") && !with("authorization", "abc123"));
        assert!(!key.is_named_in(&HeaderMap::new()));
    }

    #[test]
    fn what_no_header_can_carry_is_no_key() {
        assert!(matches!(Key::new(" \n", "f"), Err(KeyError::Empty { .. })));
        assert!(matches!(Key::new("two words", "f"), Err(KeyError::Unsendable { .. })));
    }
}
