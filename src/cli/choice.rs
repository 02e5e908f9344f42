//! Enumerations as command-line values, without the enumerations knowing of command lines.

use clap::builder::{PossibleValuesParser, TypedValueParser};

/// Accepts the name of one of `all`; the help lists them.
pub fn choice<T: Copy + Send + Sync + 'static, const N: usize>(
    all: [T; N],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let named = move |text: String| all.into_iter().find(|item| name(*item) == text).unwrap_or(all[0]);
    PossibleValuesParser::new(all.map(name)).map(named)
}
