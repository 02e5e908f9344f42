//! Networks that run through candle-transformers, on the CPU and on GPUs.

use super::TorchError;
use super::dict::Dict;
use super::renaming::Renaming;
use super::transformer::Transformer;
use crate::exec::Parameters;
use candle_core::{D, DType, Device, Module, Result, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use candle_transformers::models::{convnext, mobilenetv4};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// Which of candle-transformers' families; its text form stands in cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Of the second version.
    ConvNext,
    /// With attention.
    MobilenetV4,
    VisionTransformer,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::ConvNext, Kind::MobilenetV4, Kind::VisionTransformer];

    /// What cards call it.
    pub fn id(self) -> &'static str {
        match self {
            Kind::ConvNext => "convnext",
            Kind::MobilenetV4 => "mobilenet-v4",
            Kind::VisionTransformer => "vit",
        }
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::ConvNext => "ConvNeXt",
            Kind::MobilenetV4 => "MobileNetV4",
            Kind::VisionTransformer => super::transformer::NAME,
        }
    }

    pub(super) fn of(dict: &Dict) -> Option<Self> {
        if super::convnext::fits(dict) {
            Some(Kind::ConvNext)
        } else if dict.has("conv_stem.weight") && dict.has("norm_head.weight") {
            Some(Kind::MobilenetV4)
        } else {
            super::transformer::fits(dict).then_some(Kind::VisionTransformer)
        }
    }
}

/// Side of pictures that leave a pixel behind five halvings.
const SMALLEST_SIDE: usize = 32;

/// A loaded network with probabilities at its end.
pub struct Stock {
    kind: Kind,
    scores: Box<dyn Module + Send + Sync>,
    side: usize,
    outputs: usize,
    device: Device,
}

impl std::fmt::Debug for Stock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} for {} pixels with {} outputs", self.kind.name(), self.side, self.outputs)
    }
}

impl Stock {
    /// Builds what an imported model's file holds, for pictures of `side` pixels.
    ///
    /// # Errors
    /// If the tensors are not those of a network of this kind.
    pub fn load(
        kind: Kind,
        tensors: Parameters,
        side: usize,
        device: &Device,
    ) -> std::result::Result<Self, TorchError> {
        let on = |(name, tensor): (String, Tensor)| Ok::<_, TorchError>((name, tensor.to_device(device)?));
        let dict = Dict::new(tensors.into_iter().map(on).collect::<std::result::Result<_, _>>()?);
        Ok(Self { device: device.clone(), ..Self::new(kind, &dict, Some(side))? })
    }

    /// `side` is 224 by default, or what a transformer's positions say.
    pub(super) fn new(kind: Kind, dict: &Dict, side: Option<usize>) -> std::result::Result<Self, TorchError> {
        let free_side = side.unwrap_or(super::USUAL_SIDE);
        if free_side < SMALLEST_SIDE && kind != Kind::VisionTransformer {
            let wanted = format!("{SMALLEST_SIDE} or more");
            return Err(TorchError::Side { name: kind.name(), side: free_side, wanted });
        }
        let (scores, side, outputs): (Box<dyn Module + Send + Sync>, _, _) = match kind {
            Kind::ConvNext => {
                let (tensors, outputs) = with_head(kind, &super::convnext::in_timm_names(dict)?, "head.fc")?;
                let sizes = [
                    convnext::Config::atto(),
                    convnext::Config::femto(),
                    convnext::Config::pico(),
                    convnext::Config::nano(),
                    convnext::Config::tiny(),
                    convnext::Config::small(),
                    convnext::Config::base(),
                    convnext::Config::large(),
                    convnext::Config::xlarge(),
                    convnext::Config::huge(),
                ];
                let build = |size: &convnext::Config, tensors| convnext::convnext(size, outputs, tensors);
                (Box::new(first_that_fits(kind, &sizes, &tensors, build)?), free_side, outputs)
            }
            Kind::MobilenetV4 => {
                let (tensors, outputs) = with_head(kind, dict, "classifier")?;
                let sizes = [
                    mobilenetv4::Config::small(),
                    mobilenetv4::Config::medium(),
                    mobilenetv4::Config::hybrid_medium(),
                    mobilenetv4::Config::large(),
                    mobilenetv4::Config::hybrid_large(),
                ];
                let build = |size: &mobilenetv4::Config, tensors| mobilenetv4::mobilenetv4(size, outputs, tensors);
                (Box::new(first_that_fits(kind, &sizes, &tensors, build)?), free_side, outputs)
            }
            Kind::VisionTransformer => {
                let network = Transformer::new(dict)?;
                let (own, outputs) = (network.side(), network.outputs());
                if let Some(side) = side.filter(|side| *side != own) {
                    return Err(TorchError::Side { name: kind.name(), side, wanted: own.to_string() });
                }
                (Box::new(network), own, outputs)
            }
        };
        Ok(Self { kind, scores, side, outputs, device: Device::Cpu })
    }

    /// Side of the square input in pixels.
    pub fn side(&self) -> usize {
        self.side
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Probabilities [batch, outputs] of pictures [batch, side, side, 3]; `None` when cancelled, which is asked between pictures.
    pub fn run(&self, x: &Tensor, cancelled: &(dyn Fn() -> bool + Sync)) -> Result<Option<Tensor>> {
        let mut answers = Vec::new();
        for example in 0..x.dim(0)? {
            if cancelled() {
                return Ok(None);
            }
            let picture = x.narrow(0, example, 1)?.to_device(&self.device)?.permute((0, 3, 1, 2))?.contiguous()?;
            let scores = self.scores.forward(&picture)?;
            answers.push(if self.outputs == 1 {
                candle_nn::ops::sigmoid(&scores)?
            } else {
                candle_nn::ops::softmax(&scores, D::Minus1)?
            });
        }
        Tensor::cat(&answers, 0).map(Some)
    }
}

/// The network of the first size whose tensors are all there, in their shapes.
fn first_that_fits<S, N>(
    kind: Kind,
    sizes: &[S],
    tensors: &Parameters,
    build: impl Fn(&S, VarBuilder<'static>) -> Result<N>,
) -> std::result::Result<N, TorchError> {
    let device = tensors.values().next().map_or(Device::Cpu, |tensor| tensor.device().clone());
    let problems = || vec!["its sizes are those of no published one".to_string()];
    let found = sizes.iter().find_map(|size| {
        let used = Arc::new(Mutex::new(BTreeSet::new()));
        let recorded = Recorded { tensors: tensors.clone(), used: used.clone() };
        let network = build(size, VarBuilder::from_backend(Box::new(recorded), DType::F32, device.clone())).ok()?;
        // A smaller one would fit too, and leave the rest aside.
        let is_whole = used.lock().is_ok_and(|used| used.len() == tensors.len());
        is_whole.then_some(network)
    });
    found.ok_or_else(|| TorchError::Mismatch { name: kind.name(), problems: problems() })
}

/// Tensors that remember which of them were asked for.
struct Recorded {
    tensors: Parameters,
    used: Arc<Mutex<BTreeSet<String>>>,
}

impl SimpleBackend for Recorded {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let tensor = self.get_unchecked(name, dtype, device)?;
        if *tensor.shape() != shape {
            candle_core::bail!("`{name}` is {:?}, needs {shape:?}", tensor.shape());
        }
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        let Some(tensor) = self.tensors.get(name) else { candle_core::bail!("no tensor `{name}`") };
        if let Ok(mut used) = self.used.lock() {
            used.insert(name.to_string());
        }
        tensor.to_device(device)?.to_dtype(dtype)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }
}

/// All tensors as they are, but the head under its plain name, with how many classes it tells apart.
fn with_head(kind: Kind, dict: &Dict, head: &str) -> std::result::Result<(Parameters, usize), TorchError> {
    let mut names = Renaming::new(kind.name(), dict);
    for name in dict.names().filter(|name| !name.starts_with(&format!("{head}."))) {
        names.tensor(name, name);
    }
    let outputs = names.head(&[head], head);
    Ok((names.finish()?, outputs))
}
