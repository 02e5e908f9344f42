//! Which classifier gates which segmenter: a small file, not code.

use serde::{Deserialize, Serialize};

/// A pair of models by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cascade {
    pub name: String,
    pub classifier: String,
    pub segmenter: String,
}

impl Cascade {
    /// From a file beside the models; `Err` says what is wrong with it.
    pub fn read(path: &std::path::Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
        toml::from_str(&text).map_err(|e| e.to_string())
    }

    /// The pair inside the program.
    pub fn built_in() -> Result<Self, toml::de::Error> {
        toml::from_str(lesionlens_weights::DEFAULT_CASCADE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_pair_is_readable_and_names_built_in_models() {
        let cascade = Cascade::built_in().unwrap();
        for id in [&cascade.classifier, &cascade.segmenter] {
            assert!(super::super::registry::embedded().any(|(embedded, _)| embedded == id), "{id}");
        }
    }
}
