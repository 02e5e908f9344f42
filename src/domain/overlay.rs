//! How masks are painted over a scan, on screen and in exports alike.

use super::mask::Mask;
use serde::{Deserialize, Serialize};

/// Colour of the predicted mask; magenta and cyan can be told from grey and from each other by colour-blind readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OverlayColour {
    #[default]
    Red,
    Green,
    Magenta,
    Cyan,
}

impl OverlayColour {
    pub const ALL: [OverlayColour; 4] =
        [OverlayColour::Red, OverlayColour::Green, OverlayColour::Magenta, OverlayColour::Cyan];

    /// Name on the command line and in locales.
    pub fn id(self) -> &'static str {
        match self {
            OverlayColour::Red => "red",
            OverlayColour::Green => "green",
            OverlayColour::Magenta => "magenta",
            OverlayColour::Cyan => "cyan",
        }
    }

    pub fn rgb(self) -> [u8; 3] {
        match self {
            OverlayColour::Red => [255, 59, 48],
            OverlayColour::Green => [48, 220, 90],
            OverlayColour::Magenta => [255, 64, 214],
            OverlayColour::Cyan => [0, 214, 240],
        }
    }
}

/// How the overlay looks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OverlayStyle {
    pub colour: OverlayColour,
    /// Opacity of the filling in 0–1.
    pub opacity: f32,
    pub contour: bool,
}

impl Default for OverlayStyle {
    fn default() -> Self {
        Self { colour: OverlayColour::default(), opacity: 0.35, contour: true }
    }
}

/// Which colour means what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colours {
    pub prediction: OverlayColour,
    pub truth: OverlayColour,
}

impl OverlayStyle {
    /// Beside a truth the pair is fixed, so that the two cannot be mixed up: prediction green and truth red, or cyan and magenta
    /// for readers who chose one of these.
    pub fn colours(&self, beside_truth: bool) -> Colours {
        use OverlayColour::{Cyan, Green, Magenta, Red};
        match (beside_truth, self.colour) {
            (false, prediction) => Colours { prediction, truth: Red },
            (true, Red | Green) => Colours { prediction: Green, truth: Red },
            (true, Magenta | Cyan) => Colours { prediction: Cyan, truth: Magenta },
        }
    }
}

/// Straight-alpha RGBA pixels of the prediction and, when given, of the truth, at the masks' size.
pub fn paint(prediction: Option<&Mask>, truth: Option<&Mask>, style: OverlayStyle) -> Option<Vec<[u8; 4]>> {
    paint_as(prediction, truth, style, [0; 4], |pixel| pixel)
}

/// As [`paint`], each pixel turned into another type on the way; most stay `clear` and cost next to nothing.
pub fn paint_as<C: Copy>(
    prediction: Option<&Mask>,
    truth: Option<&Mask>,
    style: OverlayStyle,
    clear: C,
    colour: impl Fn([u8; 4]) -> C,
) -> Option<Vec<C>> {
    let size = prediction.or(truth)?;
    let (width, height) = (size.width(), size.height());
    let colours = style.colours(truth.is_some());
    let layers = [(truth, colours.truth), (prediction, colours.prediction)];
    let fits = |mask: &Mask| (mask.width(), mask.height()) == (width, height);
    let layers: Vec<(&Mask, [u8; 3])> =
        layers.into_iter().filter_map(|(mask, colour)| Some((mask.filter(|m| fits(m))?, colour.rgb()))).collect();
    let fill = (style.opacity.clamp(0.0, 1.0) * 255.0).round() as u8;
    let mut out = vec![clear; width * height];
    for (y, row) in out.chunks_exact_mut(width.max(1)).enumerate() {
        let at = |mask: &Mask, x: usize| mask.pixels()[y * width + x];
        let used = layers.iter().any(|(mask, _)| mask.pixels()[y * width..][..width].contains(&true));
        for (x, pixel) in row.iter_mut().enumerate().filter(|_| used) {
            let mut mixed = [0; 4];
            for (mask, [r, g, b]) in layers.iter().filter(|(mask, _)| at(mask, x)) {
                let edge = style.contour && mask.is_edge(x as i64, y as i64);
                mixed = over([*r, *g, *b, if edge { 255 } else { fill }], mixed);
            }
            if mixed != [0; 4] {
                *pixel = colour(mixed);
            }
        }
    }
    Some(out)
}

/// Porter–Duff "over" on straight-alpha pixels.
fn over(top: [u8; 4], bottom: [u8; 4]) -> [u8; 4] {
    if bottom[3] == 0 {
        return top;
    }
    let (a, b) = (f32::from(top[3]) / 255.0, f32::from(bottom[3]) / 255.0);
    let alpha = a + b * (1.0 - a);
    let mix = |t: u8, u: u8| ((f32::from(t) * a + f32::from(u) * b * (1.0 - a)) / alpha).round() as u8;
    [mix(top[0], bottom[0]), mix(top[1], bottom[1]), mix(top[2], bottom[2]), (alpha * 255.0).round() as u8]
}

/// Overlay on scan, opaque RGB.
pub fn composite(grey: &[u8], overlay: Option<&[[u8; 4]]>) -> Vec<[u8; 3]> {
    let pixel = |(i, shade): (usize, &u8)| {
        let top = overlay.and_then(|o| o.get(i)).copied().unwrap_or_default();
        let [r, g, b, _] = over(top, [*shade, *shade, *shade, 255]);
        [r, g, b]
    };
    grey.iter().enumerate().map(pixel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filling_and_contour_by_hand() {
        let mask = Mask::new(5, 5, (0..25).map(|i| (1..4).contains(&(i % 5)) && (1..4).contains(&(i / 5))).collect());
        let style = OverlayStyle { colour: OverlayColour::Cyan, opacity: 0.5, contour: true };
        let overlay = paint(mask.as_ref(), None, style).unwrap();
        assert_eq!(overlay[12], [0, 214, 240, 128]);
        assert_eq!(overlay[6], [0, 214, 240, 255]);
        assert_eq!(overlay[0][3], 0);
        // Half cyan over grey 100: (0 + 100) / 2, (214 + 100) / 2, (240 + 100) / 2, to rounding.
        let rgb = composite(&[100; 25], Some(&overlay));
        assert_eq!((rgb[0], rgb[12]), ([100; 3], [50, 157, 170]));
    }

    #[test]
    fn beside_a_truth_the_prediction_is_green_and_the_truth_red() {
        let full = Mask::new(4, 4, vec![true; 16]);
        let style = OverlayStyle { colour: OverlayColour::Red, opacity: 1.0, contour: false };
        let overlay = paint(full.as_ref(), Some(&Mask::empty(4, 4)), style).unwrap();
        assert_eq!(overlay[5][..3], OverlayColour::Green.rgb());
        let truth = paint(Some(&Mask::empty(4, 4)), full.as_ref(), style).unwrap();
        assert_eq!(truth[5][..3], OverlayColour::Red.rgb());
    }
}
