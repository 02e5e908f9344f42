//! Pieces of self-contained HTML pages.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A text with the characters that mean something in HTML written out.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A PNG inside the page, with its caption as plain text.
pub fn figure(png: &[u8], caption: &str) -> String {
    let (data, caption) = (STANDARD.encode(png), escaped(caption));
    format!(
        "<figure><img src=\"data:image/png;base64,{data}\" alt=\"{caption}\"><figcaption>{caption}</figcaption></figure>"
    )
}
