//! Grey picture → network input, as the model's card says. Used by the window, the command line, training and evaluation.

use crate::domain::card::{InputSpec, Scale, Sequence};
use crate::domain::intensities::{ChannelIntensities, DEVIATIONS, Intensities, moments};
use crate::domain::resample::Placement;
use crate::domain::slice::{Channel, Slice};
use crate::domain::study::Neighbourhood;

/// ImageNet means of Keras' "caffe" mode in the order of the network's channels (BGR).
pub const CAFFE_MEANS: [f32; 3] = [103.939, 116.779, 123.68];

/// ImageNet means and deviations of values 0–1 by channel (RGB), as torchvision's transforms have them.
pub const TORCH_MOMENTS: [(f32, f32); 3] = [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)];

/// Where `slice` lies in the network's square. Pixels are square there, whatever they are in the slice.
pub fn placement(slice: &Slice, spec: &InputSpec) -> Placement {
    Placement::new(slice.extent(), spec.side, spec.resize)
}

/// The square of grey values 0–255 that a network sees of one channel, or of the grey values, of a slice.
fn square(slice: &Slice, channel: Option<Channel>, study: Option<&ChannelIntensities>, spec: &InputSpec) -> Vec<f32> {
    let plane = channel.and_then(|channel| slice.channel(channel));
    let (channel, plane) = match &plane {
        Some(plane) => (channel, plane),
        None => (None, slice),
    };
    let grey = match spec.scale {
        Scale::Head => {
            let known = study.and_then(|study| study.of_channel(channel));
            let intensities = known.unwrap_or_else(|| Intensities::of([plane]));
            plane.brightness().into_iter().map(|v| intensities.grey(v)).collect()
        }
        _ => plane.grey(),
    };
    placement(slice, spec).place(&grey, slice.width(), slice.height())
}

/// Squares of grey values 0–255 [side × side] as the channels of a network's input: those of the slice itself, and those that stand
/// in its first and third channel, where the card asks for neighbours or for three sequences and they are there.
#[derive(Debug, Clone, PartialEq)]
pub struct Squares {
    pub own: Vec<f32>,
    pub beside: [Option<Vec<f32>>; 2],
}

/// What a network sees of a slice, before its values are scaled.
pub fn squares(seen: &Neighbourhood, spec: &InputSpec) -> Squares {
    let study = seen.study.as_deref();
    let channel = spec.sequence.channel();
    let beside = match spec.sequence {
        Sequence::Three => [Channel::Red, Channel::Blue]
            .map(|channel| seen.slice.is_coloured().then(|| square(&seen.slice, Some(channel), study, spec))),
        _ => [&seen.before, &seen.after].map(|slice| {
            let wanted = slice.as_ref().filter(|_| spec.neighbours);
            wanted.map(|slice| square(slice, channel, study, spec))
        }),
    };
    Squares { own: square(&seen.slice, channel, study, spec), beside }
}

/// One example [side, side, channels], channels last, as the card says: the slice, repeated over the channels, or with its neighbours
/// or its other sequences in the first and third.
pub fn network_input(seen: &Neighbourhood, spec: &InputSpec) -> Vec<f32> {
    input_of(&squares(seen, spec), spec)
}

/// As [`network_input`], from what the network sees.
pub fn input_of(Squares { own, beside }: &Squares, spec: &InputSpec) -> Vec<f32> {
    among(scaled(own, spec), beside.each_ref().map(|square| square.as_ref().map(|square| scaled(square, spec))))
}

/// A slice's input of three channels with others in the first and third; where there is none, its own stands.
pub fn among(own: Vec<f32>, [before, after]: [Option<Vec<f32>>; 2]) -> Vec<f32> {
    let mut all = own;
    for (plane, first) in [(before, 0), (after, 2)] {
        for (from, to) in plane.iter().flatten().zip(all.iter_mut()).skip(first).step_by(3) {
            *to = *from;
        }
    }
    all
}

/// Rows of `width` pixels of `channels` values, each row from right to left.
pub fn mirrored(values: &[f32], width: usize, channels: usize) -> Vec<f32> {
    values.chunks_exact(width * channels).flat_map(|row| row.chunks_exact(channels).rev().flatten().copied()).collect()
}

/// Scales a square of grey values 0–255 and repeats it over the channels.
pub fn scaled(square: &[f32], spec: &InputSpec) -> Vec<f32> {
    let channels = spec.channels;
    let spread = |value: &dyn Fn(f32, usize) -> f32| -> Vec<f32> {
        square.iter().flat_map(|v| (0..channels).map(move |c| (*v, c))).map(|(v, c)| value(v, c)).collect()
    };
    match spec.scale {
        Scale::Raw => spread(&|v, _| v),
        Scale::Unit => spread(&|v, _| v / 255.0),
        Scale::Tf => spread(&|v, _| v / 127.5 - 1.0),
        Scale::Torch => spread(&|v, c| {
            let (mean, deviation) = TORCH_MOMENTS[c % 3];
            (v / 255.0 - mean) / deviation
        }),
        Scale::Head => {
            let (low, high) = DEVIATIONS;
            spread(&|v, _| low + v / 255.0 * (high - low))
        }
        Scale::Caffe => spread(&|v, c| v - CAFFE_MEANS[c % 3]),
        Scale::Standardize => {
            let (mean, deviation) = moments(square);
            let factor = if deviation > 0.0 { 1.0 / deviation } else { 0.0 };
            spread(&|v, _| ((f64::from(v) - mean) * factor) as f32)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::card::{Luminance, Resize};

    fn spec(scale: Scale) -> InputSpec {
        InputSpec {
            neighbours: false,
            mirrored: false,
            side: 2,
            channels: 3,
            sequence: Sequence::Luminance,
            scale,
            resize: Resize::Fit,
            luminance: Luminance::Rec601,
            modality: String::new(),
        }
    }

    #[test]
    fn every_scale_by_hand() {
        let square = [0.0, 255.0, 0.0, 255.0];
        assert_eq!(scaled(&square, &spec(Scale::Raw))[..6], [0.0, 0.0, 0.0, 255.0, 255.0, 255.0]);
        assert_eq!(scaled(&square, &spec(Scale::Unit))[..6], [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        assert_eq!(scaled(&square, &spec(Scale::Tf))[..6], [-1.0, -1.0, -1.0, 1.0, 1.0, 1.0]);
        assert_eq!(scaled(&square, &spec(Scale::Standardize))[..6], [-1.0, -1.0, -1.0, 1.0, 1.0, 1.0]);
        assert_eq!(scaled(&square, &spec(Scale::Head))[..6], [-3.0, -3.0, -3.0, 5.0, 5.0, 5.0]);
        assert_eq!(scaled(&square, &spec(Scale::Caffe))[..3], [-103.939, -116.779, -123.68]);
        let torch = scaled(&square, &spec(Scale::Torch));
        let by_hand = [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225, 0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225];
        assert!(torch[..6].iter().zip(by_hand).all(|(found, wanted): (&f32, f32)| (found - wanted).abs() < 1e-6));
        assert!(scaled(&[9.0; 4], &spec(Scale::Standardize)).iter().all(|v| *v == 0.0));
    }
}
