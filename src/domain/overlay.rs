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

    /// The other colour of the pair: red with green, magenta with cyan.
    pub fn partner(self) -> Self {
        match self {
            OverlayColour::Red => OverlayColour::Green,
            OverlayColour::Green => OverlayColour::Red,
            OverlayColour::Magenta => OverlayColour::Cyan,
            OverlayColour::Cyan => OverlayColour::Magenta,
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
    /// The model keeps the colour that was chosen for it, whatever lies beside it. The reference takes the other of the pair.
    pub fn colours(&self) -> Colours {
        Colours { prediction: self.colour, truth: self.colour.partner() }
    }

    /// Opaque colour of the filling where model and reference overlap; `None` without a filling.
    pub fn overlap(&self) -> Option<[u8; 3]> {
        let Colours { prediction, truth } = self.colours();
        let fill = |colour: OverlayColour| {
            let [r, g, b] = colour.rgb();
            [r, g, b, self.fill()]
        };
        let [r, g, b, alpha] = over(fill(prediction), fill(truth));
        (alpha > 0).then_some([r, g, b])
    }

    /// Opacity of the filling in 0–255.
    fn fill(&self) -> u8 {
        (self.opacity.clamp(0.0, 1.0) * 255.0).round() as u8
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
    let colours = style.colours();
    let layers = [(truth, colours.truth), (prediction, colours.prediction)];
    let fits = |mask: &Mask| (mask.width(), mask.height()) == (width, height);
    let layers: Vec<(&Mask, [u8; 3])> =
        layers.into_iter().filter_map(|(mask, colour)| Some((mask.filter(|m| fits(m))?, colour.rgb()))).collect();
    let fill = style.fill();
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
    fn the_model_keeps_its_colour_beside_a_reference() {
        let full = Mask::new(4, 4, vec![true; 16]);
        for colour in OverlayColour::ALL {
            let style = OverlayStyle { colour, opacity: 1.0, contour: false };
            let alone = paint(full.as_ref(), None, style).unwrap();
            let beside = paint(full.as_ref(), Some(&Mask::empty(4, 4)), style).unwrap();
            assert_eq!((alone[5], beside[5]), (beside[5], alone[5]));
            assert_eq!(beside[5][..3], colour.rgb());
            let truth = paint(Some(&Mask::empty(4, 4)), full.as_ref(), style).unwrap();
            assert_eq!(truth[5][..3], colour.partner().rgb());
            assert!(colour.partner() != colour && colour.partner().partner() == colour);
        }
    }

    #[test]
    fn the_legend_names_the_colour_that_an_overlap_is_painted_in() {
        let full = Mask::new(4, 4, vec![true; 16]);
        let style = OverlayStyle { colour: OverlayColour::Red, opacity: 0.5, contour: false };
        let both = paint(full.as_ref(), full.as_ref(), style).unwrap();
        assert_eq!(Some([both[5][0], both[5][1], both[5][2]]), style.overlap());
        // Half red over half green: two parts of red to one of green, to rounding.
        assert_eq!(style.overlap(), Some([186, 113, 62]));
        assert_eq!(OverlayStyle { opacity: 0.0, ..style }.overlap(), None);
    }
}
