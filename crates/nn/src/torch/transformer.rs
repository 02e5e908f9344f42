//! Vision transformers (Dosovitskiy et al. 2020), DINOv2's among them, by the encoder of candle-transformers.
//!
//! Its `dinov2` has a thousand classes and other ε than the weights were trained with; DINOv2's layer scales are factors of the layers
//! before them, so the plain encoder serves every one.

use super::TorchError;
use super::dict::Dict;
use super::renaming::Renaming;
use candle_core::{D, DType, Device, IndexOp, Module, Result, Tensor};
use candle_nn::{Activation, LayerNorm, Linear, VarBuilder};
use candle_transformers::models::vit::{Config, Embeddings, Encoder};

/// Name of the architecture for people.
pub const NAME: &str = "ViT";

/// Whose names a state dict has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Library {
    Timm,
    Torchvision,
    Transformers,
}

/// What the head looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pooling {
    Token,
    Mean,
    /// The class token, then the mean over the patches.
    Both,
}

pub struct Transformer {
    embeddings: Embeddings,
    encoder: Encoder,
    /// Behind the encoder, or behind the mean.
    norm: LayerNorm,
    pooling: Pooling,
    head: Linear,
    side: usize,
}

pub fn fits(dict: &Dict) -> bool {
    library(dict).is_some()
}

fn library(dict: &Dict) -> Option<Library> {
    if dict.has("cls_token") && dict.has("patch_embed.proj.weight") {
        Some(Library::Timm)
    } else if dict.has("class_token") && dict.has("conv_proj.weight") {
        Some(Library::Torchvision)
    } else {
        dict.has("vit.embeddings.cls_token").then_some(Library::Transformers)
    }
}

impl Library {
    /// Class token, positions, patch convolution.
    fn entrance(self) -> [&'static str; 3] {
        match self {
            Library::Timm => ["cls_token", "pos_embed", "patch_embed.proj"],
            Library::Torchvision => ["class_token", "encoder.pos_embedding", "conv_proj"],
            Library::Transformers => [
                "vit.embeddings.cls_token",
                "vit.embeddings.position_embeddings",
                "vit.embeddings.patch_embeddings.projection",
            ],
        }
    }

    fn block(self, at: usize) -> String {
        match self {
            Library::Timm => format!("blocks.{at}"),
            Library::Torchvision => format!("encoder.layers.encoder_layer_{at}"),
            Library::Transformers => format!("vit.encoder.layer.{at}"),
        }
    }

    /// Inside a block: norm before attention, its output, norm before the dense pair, and that pair.
    fn parts(self) -> [&'static str; 5] {
        match self {
            Library::Timm => ["norm1", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"],
            Library::Torchvision => ["ln_1", "self_attention.out_proj", "ln_2", "mlp.0", "mlp.3"],
            Library::Transformers => {
                ["layernorm_before", "attention.output.dense", "layernorm_after", "intermediate.dense", "output.dense"]
            }
        }
    }

    fn head(self) -> &'static [&'static str] {
        match self {
            Library::Timm => &["head", "linear_head"],
            Library::Torchvision => &["heads"],
            Library::Transformers => &["classifier"],
        }
    }

    fn norm(self) -> &'static str {
        match self {
            Library::Timm => "norm",
            Library::Torchvision => "encoder.ln",
            Library::Transformers => "vit.layernorm",
        }
    }

    fn epsilon(self) -> f64 {
        if self == Library::Transformers { 1e-12 } else { 1e-6 }
    }
}

/// Attention heads by width, as published; no tensor tells.
fn heads(width: usize) -> Option<usize> {
    match width {
        192 | 384 | 512 | 768 | 1024 => Some(width / 64),
        1280 => Some(16),
        _ => None,
    }
}

impl Transformer {
    /// # Errors
    /// If a tensor is missing, misshapen or left over, or the sizes are those of no published one.
    pub fn new(dict: &Dict) -> std::result::Result<Self, TorchError> {
        let wrong = |problem: String| TorchError::Mismatch { name: NAME, problems: vec![problem] };
        let library =
            library(dict).ok_or_else(|| wrong("its names are none of timm, torchvision or transformers".into()))?;
        let [token, positions, patches] = library.entrance();
        let patch = dict.dims(&format!("{patches}.weight")).last().copied().unwrap_or(0);
        let (&[_, places, width], true) = (dict.dims(positions), patch > 0) else {
            return Err(wrong(format!("`{positions}` or `{patches}.weight` is missing or misshapen")));
        };
        let across = (places.saturating_sub(1) as f64).sqrt() as usize;
        if across * across + 1 != places {
            return Err(wrong(format!(
                "`{positions}` has {places} places, which is no square of patches and a class token"
            )));
        }
        let heads = heads(width).ok_or_else(|| {
            wrong(format!("a width of {width} belongs to no published one, so its attention heads are unknown"))
        })?;
        let side = across * patch;
        let [before, attended, after, wide, narrow] = library.parts();
        let blocks = dict.count(|at| format!("{}.{before}.weight", library.block(at)));
        let mut names = Renaming::new(NAME, dict);
        names.tensor(token, "embeddings.cls_token");
        names.tensor(positions, "embeddings.position_embeddings");
        names.layer(patches, "embeddings.patch_embeddings.projection");
        for at in 0..blocks {
            let (from, to) = (library.block(at), format!("encoder.layer.{at}"));
            names.layer(&format!("{from}.{before}"), &format!("{to}.layernorm_before"));
            names.layer(&format!("{from}.{after}"), &format!("{to}.layernorm_after"));
            names.layer(&format!("{from}.{wide}"), &format!("{to}.intermediate.dense"));
            let scaled = [(attended, "ls1", "attention.output.dense"), (narrow, "ls2", "output.dense")];
            for (layer, scale, place) in scaled {
                scaled_layer(
                    &mut names,
                    dict,
                    &format!("{from}.{layer}"),
                    &format!("{from}.{scale}.gamma"),
                    &format!("{to}.{place}"),
                );
            }
            attention(&mut names, dict, library, &from, &format!("{to}.attention.attention"), width);
        }
        // timm puts the norm behind the mean when it averages.
        let averages = dict.has("fc_norm.weight");
        names.layer(if averages { "fc_norm" } else { library.norm() }, "norm");
        // Of pre-training.
        names.pass_over("mask_token");
        let outputs = names.head(library.head(), "head");
        let head = dict.head(library.head()).ok().and_then(|layers| layers.first().map(|layer| layer.name));
        let features = head.map(|name| dict.dims(&format!("{name}.weight"))[1]);
        let pooling = match features {
            Some(features) if features == width && averages => Pooling::Mean,
            Some(features) if features == 2 * width => Pooling::Both,
            Some(features) if features == width => Pooling::Token,
            features => {
                names.problem(format!("its head takes {} features, not {width}", features.unwrap_or(0)));
                Pooling::Token
            }
        };
        let tensors = names.finish()?;
        let first = library.block(0);
        let config = Config {
            hidden_size: width,
            num_hidden_layers: blocks,
            num_attention_heads: heads,
            intermediate_size: dict.dims(&format!("{first}.{wide}.weight")).first().copied().unwrap_or(0),
            hidden_act: Activation::Gelu,
            layer_norm_eps: library.epsilon(),
            image_size: side,
            patch_size: patch,
            num_channels: 3,
            qkv_bias: tensors.contains_key("encoder.layer.0.attention.attention.query.bias"),
        };
        let device = tensors.values().next().map_or(Device::Cpu, |tensor| tensor.device().clone());
        let vb = VarBuilder::from_tensors(tensors, DType::F32, &device);
        let features = if pooling == Pooling::Both { 2 * width } else { width };
        Ok(Self {
            embeddings: Embeddings::new(&config, false, vb.pp("embeddings"))?,
            encoder: Encoder::new(&config, vb.pp("encoder"))?,
            norm: candle_nn::layer_norm(width, config.layer_norm_eps, vb.pp("norm"))?,
            pooling,
            head: candle_nn::linear(features, outputs, vb.pp("head"))?,
            side,
        })
    }

    /// Side of the square input in pixels.
    pub fn side(&self) -> usize {
        self.side
    }

    pub fn outputs(&self) -> usize {
        self.head.weight().dims()[0]
    }
}

/// A dense layer whose outputs are scaled by a vector behind it, where there is one.
fn scaled_layer(names: &mut Renaming, dict: &Dict, from: &str, scale: &str, to: &str) {
    let Some(gamma) = dict.get(scale) else { return names.layer(from, to) };
    names.pass_over(scale);
    names.with(&format!("{from}.weight"), &format!("{to}.weight"), |weight| {
        weight.broadcast_mul(&gamma.reshape(((), 1))?)
    });
    names.with(&format!("{from}.bias"), &format!("{to}.bias"), |bias| bias * gamma);
}

/// Query, key and value, which timm and torchvision keep in one matrix.
fn attention(names: &mut Renaming, dict: &Dict, library: Library, from: &str, to: &str, width: usize) {
    let parts = ["query", "key", "value"];
    let joint = match library {
        Library::Timm => [format!("{from}.attn.qkv.weight"), format!("{from}.attn.qkv.bias")],
        Library::Torchvision => ["weight", "bias"].map(|part| format!("{from}.self_attention.in_proj_{part}")),
        Library::Transformers => {
            return parts
                .iter()
                .for_each(|part| names.layer(&format!("{from}.attention.attention.{part}"), &format!("{to}.{part}")));
        }
    };
    for (i, part) in parts.into_iter().enumerate() {
        for (name, place) in joint.iter().zip(["weight", "bias"]) {
            if place == "weight" || dict.has(name) {
                names.with(name, &format!("{to}.{part}.{place}"), |all| all.narrow(0, i * width, width)?.contiguous());
            }
        }
    }
}

impl Module for Transformer {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let tokens = self.encoder.forward(&self.embeddings.forward(x, None, false)?)?;
        let mean = |tokens: &Tensor| tokens.i((.., 1..))?.mean(1);
        let features = match self.pooling {
            Pooling::Token => self.norm.forward(&tokens.i((.., 0))?.contiguous()?)?,
            Pooling::Mean => self.norm.forward(&mean(&tokens)?)?,
            Pooling::Both => {
                let tokens = self.norm.forward(&tokens)?;
                Tensor::cat(&[tokens.i((.., 0))?, mean(&tokens)?], D::Minus1)?
            }
        };
        self.head.forward(&features)
    }
}
