//! How a picture becomes a network's input and what its output means, in words and numbers for programs that run an exported network.

use super::preprocess::{CAFFE_MEANS, TORCH_MOMENTS};
use crate::domain::card::{Card, InputSpec, Resize, Scale, Sequence, Task};
use crate::domain::channel::{Channel, LEAST_SPREAD};
use crate::domain::intensities::{BRIGHT, DARK, DEVIATIONS, FILL, HEAD, SAMPLES, SLICES};
use serde_json::{Value, json};

/// Format of the note. It grows when a key changes its meaning.
const SCHEMA: u32 = 1;

/// The note of a model. A program that follows its steps gets the input that this program makes; `tests/fixtures/onnx_answers.py` is one.
pub fn of(card: &Card) -> Value {
    let input = &card.input;
    json!({
        "schema": SCHEMA,
        "model": card.id,
        "sha256": card.sha256,
        "input": { "name": "input", "shape": ["batch", input.side, input.side, input.channels], "order": "NHWC" },
        "colour": colour(input),
        "grey": grey(input.scale),
        "square": square(input),
        "channels": channels(input),
        "value": value(input),
        "mean_with_mirror_image": input.mirrored,
        "output": { "name": "output", "meaning": meaning(card), "classes": card.classes },
        "temperature": card.calibration.map(|calibration| calibration.temperature),
        "temperature_rule": "each class's probability to the power of 1 / temperature, then divided by their sum",
        "threshold": card.threshold.default,
    })
}

/// What of a colour picture is looked at.
fn colour(input: &InputSpec) -> Value {
    let name = |channel| match channel {
        Channel::Red => "red",
        Channel::Green => "green",
        Channel::Blue => "blue",
    };
    match input.sequence.channel() {
        Some(channel) => {
            json!({ "take": name(channel), "for": input.sequence.given().id(), "grey_up_to_spread": LEAST_SPREAD })
        }
        None => {
            json!({ "take": "luminance", "weights": [0.299, 0.587, 0.114], "rounded": true, "grey_up_to_spread": LEAST_SPREAD })
        }
    }
}

/// How stored values become grey values 0–255.
fn grey(scale: Scale) -> Value {
    if scale != Scale::Head {
        return json!({
            "rule": "display",
            "steps": "eight-bit values as they are; deeper ones through the display window of the file, its ends at 0 and 255",
        });
    }
    json!({
        "rule": "head",
        "steps": "over the study's slices: fill = the one value that at least `fill_share` of the border pixels have, or none; of all other \
                  values air and bright = the percentiles `air` and `bright`; least = air + `head` * (bright - air); mean and deviation \
                  (population) of the values above least, those above bright counted as bright. Then of each pixel v: 0 if v is fill or not above \
                  air; else 255 * clip(((v - mean) / deviation - low) / (high - low), 0, 1), low and high being `deviations`; a v below least \
                  gets the grey of least * (v - air) / (least - air)",
        "fill_share": FILL,
        "air": DARK,
        "bright": BRIGHT,
        "head": HEAD,
        "deviations": DEVIATIONS,
        "slices": SLICES,
        "samples_per_slice": SAMPLES,
        "sampling": "every n-th pixel of a slice row by row, n = (pixels / samples_per_slice) | 1; slices evenly spaced",
    })
}

/// How a slice is brought to the network's square.
fn square(input: &InputSpec) -> Value {
    let resize = match input.resize {
        Resize::Fit => "fit",
        Resize::Stretch => "stretch",
    };
    json!({
        "side": input.side,
        "resize": resize,
        "steps": "pixels square in mm; with `fit` the longer side fills the square and grey 0 lies around the picture, in its middle",
        "filter": "triangle, widened when shrinking: Pillow's BILINEAR on float values",
    })
}

/// What stands in each channel. Each is scaled by itself; a grey picture stands for the colours that it has not.
fn channels(input: &InputSpec) -> Value {
    match (input.channels, input.neighbours, input.sequence) {
        (3, true, _) => json!(["slice before", "slice", "slice after"]),
        (3, false, Sequence::Three) => json!(["red", "green", "blue"]),
        (channels, ..) => json!(vec!["slice"; channels]),
    }
}

/// How grey values of the square become input values.
fn value(input: &InputSpec) -> Value {
    let affine = |formula: &str, of_channel: &dyn Fn(usize) -> (f32, f32)| {
        let (factor, shift): (Vec<f32>, Vec<f32>) = (0..input.channels).map(of_channel).unzip();
        json!({ "rule": "affine", "formula": formula, "factor": factor, "shift": shift })
    };
    match input.scale {
        Scale::Raw => affine("x", &|_| (1.0, 0.0)),
        Scale::Unit => affine("x / 255", &|_| (1.0 / 255.0, 0.0)),
        Scale::Tf => affine("x / 127.5 - 1", &|_| (1.0 / 127.5, -1.0)),
        Scale::Caffe => affine("x - mean of ImageNet, in the order blue, green, red", &|c| (1.0, -CAFFE_MEANS[c % 3])),
        Scale::Torch => affine("(x / 255 - mean) / deviation of ImageNet", &|c| {
            let (mean, deviation) = TORCH_MOMENTS[c % 3];
            (1.0 / (255.0 * deviation), -mean / deviation)
        }),
        Scale::Head => {
            let (low, high) = DEVIATIONS;
            affine("-3 + x / 255 * 8, standard deviations of the head", &|_| ((high - low) / 255.0, low))
        }
        Scale::Standardize => json!({
            "rule": "standardize",
            "formula": "(x - mean) / standard deviation (population) of the square; 0 for a flat one",
        }),
    }
}

fn meaning(card: &Card) -> &'static str {
    match (card.task, card.classes.len()) {
        (Task::Binary, _) => "probability of the first class",
        (Task::Multiclass, _) => "probability of each class",
        (Task::Segmentation, 1) => "probability of a finding at each pixel",
        (Task::Segmentation, _) => "probability of each class at each pixel",
    }
}
