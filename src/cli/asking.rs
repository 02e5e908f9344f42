//! Which models a command asks, from which thresholds on, and where they run.

use super::choice::choice;
use super::isa::IsaChoice;
use super::probability;
use super::threads::Threads;
use crate::batch::pair::{Pair, PairError, Wishes};
use crate::domain::card::{Card, Task};
use crate::engine::device::{self, DeviceChoice};
use crate::models::registry::Registry;
use anyhow::bail;
use candle_core::Device;

#[derive(clap::Args)]
pub struct Asking {
    /// Classifier by id, or `none`.
    #[arg(long)]
    classifier: Option<String>,
    /// Segmenter by id, or `none`.
    #[arg(long)]
    segmenter: Option<String>,
    /// Probability from which a slice counts as positive; the card's by default.
    #[arg(long, value_parser = probability)]
    threshold: Option<f64>,
    /// Probability from which a pixel belongs to the mask; the card's by default.
    #[arg(long, value_parser = probability)]
    mask_threshold: Option<f64>,
    #[arg(long, default_value = "auto", value_parser = choice(DeviceChoice::ALL, DeviceChoice::label))]
    device: DeviceChoice,
    #[command(flatten)]
    threads: Threads,
    #[command(flatten)]
    isa: IsaChoice,
}

impl Asking {
    /// Settles threads and instructions, and opens the device.
    pub fn open_device(&self) -> anyhow::Result<Device> {
        self.threads.apply()?;
        self.isa.apply()?;
        let opened = device::open(self.device);
        if let Some(notice) = &opened.notice {
            eprintln!("note: {notice}");
        }
        Ok(opened.device)
    }

    /// The segmenter that the user named, `none` aside.
    pub fn named_segmenter(&self) -> Option<&str> {
        self.segmenter.as_deref().filter(|id| *id != "none")
    }

    /// Asks this model alone. A threshold without the name of its part is the model's.
    ///
    /// # Errors
    /// If the user named models besides.
    pub fn only(mut self, card: &Card) -> anyhow::Result<Self> {
        if self.classifier.is_some() || self.segmenter.is_some() {
            bail!("`{}` is measured alone; leave --classifier and --segmenter away, or use `evaluate`", card.id);
        }
        let [classifier, segmenter] = match card.task {
            Task::Segmentation => ["none", &card.id],
            Task::Binary | Task::Multiclass => [&card.id, "none"],
        };
        (self.classifier, self.segmenter) = (Some(classifier.into()), Some(segmenter.into()));
        self.mask_threshold = self.mask_threshold.or(self.threshold);
        Ok(self)
    }

    /// The models asked for, the default pair without a wish.
    ///
    /// # Errors
    /// As [`Pair::choose`].
    pub fn pair(&self, registry: &Registry) -> Result<Pair, PairError> {
        let wishes = Wishes {
            classifier: self.classifier.as_deref(),
            segmenter: self.segmenter.as_deref(),
            threshold: self.threshold,
            mask_threshold: self.mask_threshold,
        };
        Pair::choose(registry, wishes)
    }
}
