//! Which models a command asks, from which thresholds on, and where they run.

use super::choice::choice;
use super::isa::IsaChoice;
use super::probability;
use super::threads::Threads;
use crate::domain::card::Task;
use crate::engine::device::{self, DeviceChoice};
use crate::models::model::task_name;
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

/// A model with the threshold it is asked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    pub id: String,
    pub threshold: f64,
}

/// The cascade; at least one of the two is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    pub classifier: Option<Chosen>,
    pub segmenter: Option<Chosen>,
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

    /// The models asked for, the default pair without a wish.
    ///
    /// # Errors
    /// If a model is not there or answers something else, or there is none at all.
    pub fn pair(&self, registry: &Registry) -> anyhow::Result<Pair> {
        let (classifier, segmenter) = registry.default_pair();
        let pair = Pair {
            classifier: chosen(registry, self.classifier.as_deref(), classifier, self.threshold, false)?,
            segmenter: chosen(registry, self.segmenter.as_deref(), segmenter, self.mask_threshold, true)?,
        };
        if pair.classifier.is_none() && pair.segmenter.is_none() {
            bail!("without a classifier and a segmenter there is nothing to ask; choose at least one");
        }
        Ok(pair)
    }
}

fn chosen(
    registry: &Registry,
    wanted: Option<&str>,
    default: Option<String>,
    threshold: Option<f64>,
    segments: bool,
) -> anyhow::Result<Option<Chosen>> {
    let id = match wanted {
        Some("none") => None,
        Some(id) => Some(id.to_string()),
        None => default,
    };
    let Some(id) = id else { return Ok(None) };
    let card = &registry.get(&id)?.card;
    if (card.task == Task::Segmentation) != segments {
        let wanted = if segments { "--segmenter" } else { "--classifier" };
        bail!("`{id}` answers with {}; it cannot be the {wanted}", task_name(card.task));
    }
    let threshold = threshold.unwrap_or(card.threshold.default);
    Ok(Some(Chosen { id, threshold }))
}
