//! One archive: its address, who asks, and what goes wrong on the way.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// Until a connection stands, and until an answer begins.
const CONNECT: Duration = Duration::from_secs(15);
const ANSWER: Duration = Duration::from_secs(120);
/// Longest JSON that is read.
const MOST_JSON: u64 = 64 << 20;

/// Who asks.
pub enum Login {
    Nobody,
    Basic { user: String, password: String },
    Bearer(String),
}

/// Why an archive did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum PacsError {
    #[error("{url} is no address; it begins with http:// or https:// and ends before /studies")]
    Url { url: String },
    #[error("{url} cannot be reached ({reason}); check the address and the network")]
    Unreachable { url: String, reason: Box<ureq::Error> },
    #[error("{url} refuses the login (status {status}); check user and password, or the token")]
    Login { url: String, status: u16 },
    #[error("{url} answers with status {status}: {told}")]
    Status { url: String, status: u16, told: String },
    #[error("{url} answers otherwise than DICOMweb says ({problem})")]
    Answer { url: String, problem: String },
    #[error("no series {uid} is there; `lesionlens pacs list` shows which are")]
    NoSeries { uid: String },
    #[error("only {found} of {wanted} images of the series arrived; nothing was kept, get it again")]
    Incomplete { found: usize, wanted: usize },
    #[error("{}: {problem}", path.display())]
    File { path: PathBuf, problem: String },
    #[error("{} was not stored: {problem}", path.display())]
    Refused { path: PathBuf, problem: String },
    #[error("cancelled; nothing was kept")]
    Cancelled,
}

/// A value as it stands in an address (RFC 3986, 3.4). Colons and the like stay as they may, because Orthanc finds nothing by encoded ones.
fn encoded(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/@".contains(&byte);
    value.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// A DICOMweb archive.
pub struct Archive {
    base: String,
    authorization: Option<String>,
    agent: Agent,
}

impl Archive {
    /// An archive below `url`, such as `https://pacs.example/dicom-web`.
    ///
    /// # Errors
    /// If `url` is no address.
    pub fn new(url: &str, login: Login) -> Result<Self, PacsError> {
        let base = url.trim_end_matches('/');
        let rest = base.strip_prefix("https://").or(base.strip_prefix("http://"));
        if rest.is_none_or(|rest| rest.is_empty() || rest.contains(['?', '#', ' '])) {
            return Err(PacsError::Url { url: url.into() });
        }
        let authorization = match login {
            Login::Nobody => None,
            Login::Basic { user, password } => {
                Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
            }
            Login::Bearer(token) => Some(format!("Bearer {token}")),
        };
        // A hospital's own authority is known to the system, not to a list in the program.
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::PlatformVerifier)
            .build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .tls_config(tls)
            .user_agent(concat!("lesionlens/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .build();
        Ok(Self { base: base.into(), authorization, agent: config.into() })
    }

    /// Whether a login would travel over a network unencrypted.
    pub fn is_open_to_listeners(&self) -> bool {
        let host = self.base.strip_prefix("http://").and_then(|rest| rest.split(['/', ':']).next());
        self.authorization.is_some() && host.is_some_and(|host| !["127.0.0.1", "localhost", "[::1]"].contains(&host))
    }

    pub fn address(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    /// Asks for `path` with these parameters, accepting `media`.
    ///
    /// # Errors
    /// If the archive cannot be reached, refuses, or answers with an error.
    pub fn get(&self, path: &str, parameters: &[(&str, String)], media: &str) -> Result<Response<Body>, PacsError> {
        let url = self.address(path);
        let mut request = self.agent.get(&url).header("Accept", media);
        for (name, value) in parameters {
            request = request.query_raw(name, encoded(value));
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        self.checked(&url, request.call())
    }

    /// Sends a body of the given type to `path`. An answer that the objects conflict is handed back like a good one: it says which.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn post(&self, path: &str, content_type: &str, media: &str, body: &[u8]) -> Result<Response<Body>, PacsError> {
        let url = self.address(path);
        let mut request = self.agent.post(&url).header("Accept", media).header("Content-Type", content_type);
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        match request.send(body) {
            Ok(answer) if answer.status().as_u16() == 409 => Ok(answer),
            other => self.checked(&url, other),
        }
    }

    fn checked(&self, url: &str, answer: Result<Response<Body>, ureq::Error>) -> Result<Response<Body>, PacsError> {
        let url = url.to_string();
        let mut answer =
            answer.map_err(|reason| PacsError::Unreachable { url: url.clone(), reason: Box::new(reason) })?;
        match answer.status().as_u16() {
            200..=299 => Ok(answer),
            status @ (401 | 403) => Err(PacsError::Login { url, status }),
            status => {
                let text = answer.body_mut().with_config().limit(4096).read_to_string().unwrap_or_default();
                let told = text.split_whitespace().collect::<Vec<_>>().join(" ");
                Err(PacsError::Status { url, status, told })
            }
        }
    }

    /// The JSON of an answer; an empty one stands for an empty list.
    ///
    /// # Errors
    /// If it is none.
    pub fn json(&self, path: &str, mut answer: Response<Body>) -> Result<serde_json::Value, PacsError> {
        let failed = |problem: String| PacsError::Answer { url: self.address(path), problem };
        let text =
            answer.body_mut().with_config().limit(MOST_JSON).read_to_string().map_err(|e| failed(e.to_string()))?;
        if text.trim().is_empty() {
            return Ok(serde_json::Value::Array(Vec::new()));
        }
        serde_json::from_str(&text).map_err(|e| failed(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_leave_their_place_in_the_address() {
        assert_eq!(encoded("12.02-15:49 A&b=ñ#%"), "12.02-15:49%20A%26b%3D%C3%B1%23%25");
    }

    #[test]
    fn an_address_is_checked_before_it_is_used() {
        for wrong in ["pacs.example", "ftp://pacs", "http://", "https://pacs/?x=1"] {
            assert!(matches!(Archive::new(wrong, Login::Nobody), Err(PacsError::Url { .. })), "{wrong}");
        }
        let basic = || Login::Basic { user: "u".into(), password: "p".into() };
        assert!(Archive::new("http://pacs/dicom-web/", basic()).unwrap().is_open_to_listeners());
        assert!(!Archive::new("https://pacs/dicom-web", basic()).unwrap().is_open_to_listeners());
        assert!(!Archive::new("http://127.0.0.1:8042/dicom-web", basic()).unwrap().is_open_to_listeners());
    }
}
