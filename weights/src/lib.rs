//! The models that LesionLens ships, embedded in the program.
//!
//! Each model is a folder `ID/` beside this crate's manifest with `card.toml` and `model.safetensors`. The crate holds nothing
//! else, because its licence differs from the program's (see `LICENSE`).

/// One embedded model.
#[derive(Debug)]
pub struct EmbeddedModel {
    /// Name of the model's folder, and the id in its card.
    pub id: &'static str,
    /// Text of `card.toml`.
    pub card: &'static str,
    /// Bytes of `model.safetensors`.
    pub weights: &'static [u8],
}

/// Pair of models that the program starts with, as `default.cascade.toml` declares it.
pub static DEFAULT_CASCADE: &str = include_str!("../default.cascade.toml");

macro_rules! embedded_models {
    ($($id:literal,)*) => {
        /// The embedded models, ordered by id.
        // A static exists once in the program; a constant is copied to every place that uses it.
        pub static MODELS: &[EmbeddedModel] = &[$(EmbeddedModel {
            id: $id,
            card: include_str!(concat!("../", $id, "/card.toml")),
            weights: include_bytes!(concat!("../", $id, "/model.safetensors")),
        },)*];
    };
}

// A new or renamed model is one line here.
embedded_models! {
    "brain4",
    "kidney-ct",
    "lgg-resnet",
    "lgg-resunet",
    "tumor-general",
    "tumor-outline",
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_folder_with_a_card_is_embedded_in_order_and_called_as_its_card_says() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folders = std::fs::read_dir(here).unwrap().map(|entry| entry.unwrap().path());
        let with_card = folders.filter(|folder| folder.join("card.toml").is_file());
        let mut on_disk: Vec<String> =
            with_card.map(|folder| folder.file_name().unwrap().to_str().unwrap().to_string()).collect();
        on_disk.sort();
        let embedded: Vec<&str> = MODELS.iter().map(|model| model.id).collect();
        assert_eq!(embedded, on_disk);
        for model in MODELS {
            let line = format!("id = \"{}\"", model.id);
            assert!(model.card.lines().any(|l| l == line), "weights/{}/card.toml has another id", model.id);
        }
    }
}
