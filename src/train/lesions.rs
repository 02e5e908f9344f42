//! Lesions laid over pictures of other patients (after TumorCP, Yang et al. 2021, and CarveMix, Zhang et al. 2021), and lesions made
//! fainter than they are: training then shows more places, shapes and contrasts than its few patients have.

use super::cache::Pixels;
use super::dataset::{Dataset, Seen};
use super::error::TrainError;
use super::recipe::{Augmentation, Recipe};
use super::sources::{Item, Part};
use crate::domain::card::InputSpec;
use rand::Rng;
use rand::seq::IndexedRandom;

/// Grey values up to here are air.
const AIR: u8 = 10;
/// Pixels around a lesion's box that say how bright tissue is beside it.
const MARGIN: usize = 12;
/// Donors, and places for a lesion, that are tried before the picture stays as it is.
const TRIES: usize = 16;
/// Largest difference in height between a lesion and the slice that it is laid on, share of the stack.
const HEIGHT: f32 = 0.1;

/// What a recipe does to lesions, and whose may be laid over other pictures.
#[derive(Debug)]
pub struct Lesions {
    /// Probability that a picture is given another patient's lesion.
    transplant: f32,
    /// Largest share of its contrast that a lesion loses.
    fade: f32,
    /// Training examples with a lesion.
    donors: Vec<usize>,
    /// Of every example within its patient's stack, 0–1; a half for a single picture.
    heights: Vec<f32>,
}

impl Lesions {
    pub fn new(recipe: &Recipe, data: &Dataset) -> Self {
        Self::among(&data.items, &recipe.augment)
    }

    fn among(items: &[Item], rule: &Augmentation) -> Self {
        let may_give = |i: &usize| items[*i].part == Part::Train && items[*i].outline.is_some();
        Self {
            transplant: rule.transplant,
            fade: rule.fade,
            donors: (0..items.len()).filter(may_give).collect(),
            heights: (0..items.len()).map(|i| height(items, i)).collect(),
        }
    }

    /// Varies the lesions of example `item`, which is `seen`. Draws from `rng` only what the recipe asks for, so that the examples of
    /// recipes without it do not change.
    ///
    /// # Errors
    /// As [`Dataset::seen`].
    pub fn vary(
        &self,
        seen: &mut Seen,
        item: usize,
        (data, input): (&Dataset, &InputSpec),
        rng: &mut impl Rng,
    ) -> Result<(), TrainError> {
        if self.fade > 0.0 {
            let contrast = 1.0 - rng.random_range(0.0..=self.fade);
            for pixels in seen.slices_mut().into_iter().flatten() {
                fade(pixels, contrast);
            }
        }
        if self.transplant > 0.0 && rng.random::<f32>() < self.transplant {
            let contrast = 1.0 - rng.random_range(0.0..=self.fade);
            let Some(donor) = self.donor(item, &data.items, rng) else { return Ok(()) };
            let alone = seen.beside.iter().all(Option::is_none);
            let donor = data.seen(donor, input, alone)?;
            let lesions = donor.slices().map(|pixels| pixels.and_then(Lesion::of));
            let place = lesions[1].as_ref().and_then(|lesion| Place::random(&seen.picture, lesion, rng));
            let Some(place) = place else { return Ok(()) };
            for pair in seen.slices_mut().into_iter().zip(&lesions) {
                if let (Some(host), Some(lesion)) = pair {
                    transplant(host, lesion, &place, contrast);
                }
            }
        }
        Ok(())
    }

    /// An example of another patient with a lesion, of the same kind of pictures, from about the same height; `None` if none was
    /// found soon.
    fn donor(&self, item: usize, items: &[Item], rng: &mut impl Rng) -> Option<usize> {
        let suits = |donor: usize| {
            let [a, b] = [donor, item].map(|i| &items[i]);
            let far = (self.heights[donor] - self.heights[item]).abs();
            a.source == b.source && a.patient != b.patient && far <= HEIGHT
        };
        (0..TRIES).find_map(|_| self.donors.choose(rng).copied().filter(|donor| suits(*donor)))
    }
}

/// Slices on one side of an example over those of its whole stack but one.
fn height(items: &[Item], index: usize) -> f32 {
    let next = |i: usize, direction: usize| items[i].beside[direction];
    let [before, after] =
        [0, 1].map(|direction| std::iter::successors(next(index, direction), |i| next(*i, direction)).count());
    if before + after == 0 { 0.5 } else { before as f32 / (before + after) as f32 }
}

/// Brings the lesion's grey values closer to the tissue around it.
fn fade(pixels: &mut Pixels, contrast: f32) {
    let Some(Lesion { weights, around, .. }) = Lesion::of(pixels) else { return };
    for (grey, weight) in pixels.grey.iter_mut().zip(weights).filter(|(_, weight)| *weight > 0.0) {
        let value = f32::from(*grey);
        *grey = (value + weight * (1.0 - contrast) * (around - value)).round() as u8;
    }
}

/// Lays a donor's lesion on the host, as much brighter or darker than what it covers as it is against its own surroundings, and adds
/// it to the host's outline.
fn transplant(host: &mut Pixels, lesion: &Lesion, place: &Place, contrast: f32) {
    let side = host.side;
    let covered: Vec<(usize, f32, f32)> = place
        .covered(lesion)
        .filter(|(_, weight, _)| *weight > 0.0)
        .map(|(i, weight, (u, v))| (i, weight, bilinear(&lesion.pixels.grey, side, u, v)))
        .collect();
    let weights: f32 = covered.iter().map(|(_, weight, _)| weight).sum();
    if weights <= 0.0 {
        return;
    }
    let beneath = covered.iter().map(|(i, weight, _)| weight * f32::from(host.grey[*i])).sum::<f32>() / weights;
    if host.mask.is_empty() {
        host.mask = vec![0; side * side];
    }
    for (i, weight, grey) in covered {
        let value = f32::from(host.grey[i]);
        let laid = beneath + contrast * (grey - lesion.around);
        host.grey[i] = (value + weight * (laid - value)).clamp(0.0, 255.0).round() as u8;
        if weight >= 0.5 {
            host.mask[i] = 1;
        }
    }
}

/// A lesion in a picture.
struct Lesion<'a> {
    pixels: &'a Pixels,
    bounds: Bounds,
    /// 0–1, soft at the edge; of the whole picture.
    weights: Vec<f32>,
    /// Mean grey value of tissue beside it.
    around: f32,
}

impl<'a> Lesion<'a> {
    /// `None` without lesion, or without tissue beside it.
    fn of(pixels: &'a Pixels) -> Option<Self> {
        let side = pixels.side;
        let bounds = Bounds::of(&pixels.mask, side)?;
        let mut weights = vec![0.0; side * side];
        for (x, y) in bounds.grown(2, side).pixels() {
            // The mean of 5 × 5 pixels.
            let near = Bounds { left: x, right: x, top: y, bottom: y }.grown(2, side);
            weights[y * side + x] =
                near.pixels().map(|(x, y)| f32::from(pixels.mask[y * side + x])).sum::<f32>() / 25.0;
        }
        let least = tissue(pixels);
        let beside = bounds.grown(MARGIN, side).pixels().map(|(x, y)| y * side + x);
        let beside: Vec<f32> = beside
            .filter(|i| pixels.mask[*i] == 0 && f32::from(pixels.grey[*i]) >= least)
            .map(|i| f32::from(pixels.grey[i]))
            .collect();
        let around = beside.iter().sum::<f32>() / beside.len() as f32;
        (!beside.is_empty()).then_some(Self { pixels, bounds, weights, around })
    }
}

/// Least grey value of tissue: half of the mean of what is not air.
fn tissue(pixels: &Pixels) -> f32 {
    let lit = pixels.grey.iter().filter(|v| **v > AIR);
    let (sum, count) = lit.fold((0.0, 0), |(sum, count), v| (sum + f32::from(*v), count + 1));
    0.5 * sum / count.max(1) as f32
}

/// How a lesion is turned, sized, mirrored and moved from one picture to another of the same side.
struct Place {
    from: (f32, f32),
    to: (f32, f32),
    /// Cosine and sine over the scale; the first row is negated for a mirror image.
    inverse: [[f32; 2]; 2],
    scale: f32,
}

impl Place {
    /// A place where the lesion lies on tissue; `None` if none was found soon.
    fn random(host: &Pixels, lesion: &Lesion, rng: &mut impl Rng) -> Option<Self> {
        let least = tissue(host);
        let side = host.side as f32;
        let from = lesion.bounds.centre();
        (0..TRIES).find_map(|_| {
            let (sin, cos) = rng.random_range(-0.8..=0.8f32).sin_cos();
            let scale = rng.random_range(0.7..=1.3f32);
            let mirror = if rng.random::<bool>() { -1.0 } else { 1.0 };
            // The picture's middle is about the brain's: a mirror image lies in the other hemisphere.
            let start = ((from.0 - side / 2.0) * mirror + side / 2.0, from.1);
            let mut shift = || rng.random_range(-0.15..=0.15) * side;
            let to = (start.0 + shift(), start.1 + shift());
            let inverse = [[mirror * cos / scale, mirror * sin / scale], [-sin / scale, cos / scale]];
            let place = Self { from, to, inverse, scale };
            place.is_on_tissue(host, lesion, least).then_some(place)
        })
    }

    /// Where the host's pixel lies in the donor's picture.
    fn origin(&self, x: f32, y: f32) -> (f32, f32) {
        let (x, y) = (x - self.to.0, y - self.to.1);
        let [[a, b], [c, d]] = self.inverse;
        (self.from.0 + a * x + b * y, self.from.1 + c * x + d * y)
    }

    /// Pixels of the host that `lesion`, of the donor or of a slice beside it, may cover.
    fn bounds(&self, lesion: &Lesion) -> Bounds {
        let side = lesion.pixels.side;
        let Bounds { left, right, top, bottom } = lesion.bounds;
        let far = |a: usize, b: usize, from: f32| (a as f32 - from).abs().max((b as f32 - from).abs());
        let radius = far(left, right, self.from.0).hypot(far(top, bottom, self.from.1)) * self.scale + 4.0;
        let clamp = |v: f32| v.clamp(0.0, (side - 1) as f32) as usize;
        Bounds {
            left: clamp(self.to.0 - radius),
            right: clamp(self.to.0 + radius),
            top: clamp(self.to.1 - radius),
            bottom: clamp(self.to.1 + radius),
        }
    }

    /// Pixels of the host that `lesion` may cover: index, weight, and where in the donor's picture each lies.
    fn covered(&self, lesion: &Lesion) -> impl Iterator<Item = (usize, f32, (f32, f32))> {
        let side = lesion.pixels.side;
        self.bounds(lesion).pixels().map(move |(x, y)| {
            let (u, v) = self.origin(x as f32, y as f32);
            (y * side + x, bilinear(&lesion.weights, side, u, v), (u, v))
        })
    }

    fn is_on_tissue(&self, host: &Pixels, lesion: &Lesion, least: f32) -> bool {
        let (mut all, mut good) = (0, 0);
        for (i, ..) in self.covered(lesion).filter(|(_, weight, _)| *weight >= 0.5) {
            all += 1;
            good += usize::from(f32::from(host.grey[i]) >= least);
        }
        all > 0 && good * 20 >= all * 19
    }
}

/// A rectangle of pixels, all four edges included.
#[derive(Clone, Copy)]
struct Bounds {
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
}

impl Bounds {
    /// Of a mask; `None` when it is empty.
    fn of(mask: &[u8], side: usize) -> Option<Self> {
        let places = mask.iter().enumerate().filter(|(_, m)| **m > 0).map(|(i, _)| (i % side, i / side));
        places.fold(None, |bounds: Option<Self>, (x, y)| {
            let Self { left, right, top, bottom } = bounds.unwrap_or(Self { left: x, right: x, top: y, bottom: y });
            Some(Self { left: left.min(x), right: right.max(x), top: top.min(y), bottom: bottom.max(y) })
        })
    }

    fn grown(self, by: usize, side: usize) -> Self {
        Self {
            left: self.left.saturating_sub(by),
            right: (self.right + by).min(side - 1),
            top: self.top.saturating_sub(by),
            bottom: (self.bottom + by).min(side - 1),
        }
    }

    fn centre(self) -> (f32, f32) {
        ((self.left + self.right) as f32 / 2.0, (self.top + self.bottom) as f32 / 2.0)
    }

    fn pixels(self) -> impl Iterator<Item = (usize, usize)> {
        (self.top..=self.bottom).flat_map(move |y| (self.left..=self.right).map(move |x| (x, y)))
    }
}

fn bilinear<T: Copy + Into<f32>>(values: &[T], side: usize, x: f32, y: f32) -> f32 {
    super::augment::bilinear(side, x, y, |i| values[i].into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    const SIDE: usize = 64;

    /// Tissue of one grey everywhere, with a square lesion of 11 × 11 pixels around (20, 30).
    fn head(tissue: u8, lesion: u8) -> Pixels {
        let inside = |i: usize| (15..=25).contains(&(i % SIDE)) && (25..=35).contains(&(i / SIDE));
        Pixels {
            side: SIDE,
            grey: (0..SIDE * SIDE).map(|i| if inside(i) { lesion } else { tissue }).collect(),
            mask: (0..SIDE * SIDE).map(|i| u8::from(inside(i))).collect(),
        }
    }

    fn lay(host: &mut Pixels, donor: &Pixels, place: &Place, contrast: f32) {
        if let Some(lesion) = Lesion::of(donor) {
            transplant(host, &lesion, place, contrast);
        }
    }

    fn at(pixels: &Pixels, x: usize, y: usize) -> u8 {
        pixels.grey[y * SIDE + x]
    }

    #[test]
    fn a_faded_lesion_loses_its_share_of_contrast_and_nothing_else_changes() {
        let mut faded = head(100, 180);
        fade(&mut faded, 0.5);
        // Half of 80 above the tissue, where the soft edge has full weight.
        assert_eq!((at(&faded, 20, 30), at(&faded, 18, 28)), (140, 140));
        let plain = head(100, 180);
        assert_eq!(faded.mask, plain.mask);
        for (i, (a, b)) in faded.grey.iter().zip(&plain.grey).enumerate() {
            assert!(plain.mask[i] == 1 || a == b, "pixel {i} is outside");
        }
        // Without a lesion there is nothing to fade.
        let mut healthy = Pixels { mask: Vec::new(), ..head(100, 100) };
        fade(&mut healthy, 0.5);
        assert_eq!(healthy.grey, head(100, 100).grey);
    }

    #[test]
    fn a_lesion_is_laid_with_its_contrast_and_its_outline() {
        let donor = head(60, 110);
        let place = Place { from: (20.0, 30.0), to: (45.0, 20.0), inverse: [[1.0, 0.0], [0.0, 1.0]], scale: 1.0 };
        for (contrast, wanted) in [(1.0, 200), (0.5, 175)] {
            let mut host = Pixels { mask: Vec::new(), ..head(150, 150) };
            lay(&mut host, &donor, &place, contrast);
            // 50 above its own surroundings, so 50 above these, or half of it.
            assert_eq!(at(&host, 45, 20), wanted);
            assert_eq!((at(&host, 45, 40), at(&host, 20, 30)), (150, 150));
            // The square in its new place, rounded: at an edge 3 of 5 pixels are the lesion's, one further in 4, then all, and an
            // outlined pixel has half of its 25.
            let count = |from_middle: usize| [5, 5, 5, 5, 4, 3].get(from_middle).copied().unwrap_or(0);
            for (i, m) in host.mask.iter().enumerate() {
                let (x, y) = (i % SIDE, i / SIDE);
                assert_eq!(*m == 1, count(x.abs_diff(45)) * count(y.abs_diff(20)) * 2 >= 25, "({x}, {y})");
            }
        }
        // A slice beside the donor's that shows no lesion gives none.
        let mut host = Pixels { mask: Vec::new(), ..head(150, 150) };
        lay(&mut host, &Pixels { mask: Vec::new(), ..head(60, 60) }, &place, 1.0);
        assert_eq!(host, Pixels { mask: Vec::new(), ..head(150, 150) });
    }

    /// Sixteen slices a patient, so that a step is a fifteenth of the stack; one patient is not trained on, another is of other pictures.
    #[test]
    fn donors_are_other_patients_of_the_same_source_at_the_same_height() {
        use super::super::folders::{Outline, Page};
        let slice = |patient: usize, i: usize| Item {
            page: Page::only(format!("{patient}-{i}.png").into()),
            stack: None,
            outline: (i != 7).then(|| Outline { file: Some("mask.png".into()), pixels: 9 }),
            beside: [(i > 0).then(|| patient * 16 + i - 1), (i < 15).then(|| patient * 16 + i + 1)],
            patient: patient.to_string(),
            source: usize::from(patient == 4),
            label: 0,
            part: if patient == 3 { Part::Validation } else { Part::Train },
        };
        let items: Vec<Item> = (0..5).flat_map(|patient| (0..16).map(move |i| slice(patient, i))).collect();
        let lesions = Lesions::among(&items, &Augmentation { transplant: 1.0, ..Augmentation::default() });
        assert_eq!((lesions.heights[0], lesions.heights[3], lesions.heights[15]), (0.0, 0.2, 1.0));
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        // A slice of the first patient without lesion.
        let found: Vec<usize> = (0..300).filter_map(|_| lesions.donor(7, &items, &mut rng)).collect();
        assert!(found.len() > 100, "{}", found.len());
        for donor in found {
            let (patient, slice) = (donor / 16, donor % 16);
            assert!([1, 2].contains(&patient) && [6, 8].contains(&slice), "slice {slice} of patient {patient}");
        }
        // Nobody else has pictures like the last patient's.
        assert_eq!((0..100).find_map(|_| lesions.donor(64 + 4, &items, &mut rng)), None);
    }

    /// A turned, sized and mirrored lesion keeps its area times the scale squared, and lies on tissue.
    #[test]
    fn random_places_are_on_tissue() {
        let donor = head(60, 110);
        // Tissue in the left half alone.
        let grey = (0..SIDE * SIDE).map(|i| if i % SIDE < SIDE / 2 { 150 } else { 0 }).collect();
        let host = Pixels { side: SIDE, grey, mask: Vec::new() };
        let lesion = Lesion::of(&donor).unwrap();
        let mut found = 0;
        for seed in 0..200 {
            let Some(place) = Place::random(&host, &lesion, &mut ChaCha8Rng::seed_from_u64(seed)) else { continue };
            found += 1;
            let mut laid = host.clone();
            lay(&mut laid, &donor, &place, 1.0);
            let outline: Vec<usize> = (0..SIDE * SIDE).filter(|i| laid.mask[*i] == 1).collect();
            let beside = outline.iter().filter(|i| *i % SIDE >= SIDE / 2).count();
            assert!(beside * 20 <= outline.len(), "seed {seed}: {beside} of {} pixels in the air", outline.len());
            // 11² less three at each corner; 15 % for the edge's pixels.
            let wanted = 109.0 * place.scale * place.scale;
            let area = outline.len() as f32;
            let is_whole =
                outline.iter().all(|i| (1..SIDE - 1).contains(&(i % SIDE)) && (1..SIDE - 1).contains(&(i / SIDE)));
            assert!(!is_whole || (area / wanted - 1.0).abs() < 0.15, "seed {seed}: {area} instead of {wanted}");
        }
        assert!(found > 100, "{found} of 200");
    }
}
