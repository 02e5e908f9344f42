//! Which numbered pictures of a folder are one study.
//!
//! Names that count up are no proof: collections of strangers are numbered too. Pictures belong together when their names carry a
//! patient part, or when successive ones look alike, as neighbouring slices do.

use super::source::Source;
use super::{dimensions, pictures};
use crate::domain::resample::resize;
use crate::domain::study::Grouping;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// Side of the shrunken pictures that are compared.
const SIDE: usize = 32;
/// Pictures of more pixels are not compared: decoding a folder of them would keep the reader waiting.
const MOST_PIXELS: u64 = 4 << 20;
/// Pictures decoded between two looks at whether the work was cancelled.
const TOGETHER: usize = 64;
/// Successive pairs that must speak against a common patient before a name is doubted, and how many of them are looked at.
const FEWEST_PAIRS: usize = 5;
const MOST_PAIRS: usize = 8;
/// Fewest pictures that looks alone make a study of: two of strangers may be alike by chance.
const FEWEST_ALIKE: usize = 3;
/// Correlation of successive slices. In 95 patients of TCGA-LGG its median is 0.90 and more; of 3,000 pairs of strangers in Br35H
/// 99 % stay below 0.86.
const STRONG: f32 = 0.9;
/// Correlation that slices at the ends of a head still reach.
const FAIR: f32 = 0.8;

/// What names of slices of one study share: folder, name up to the last number, name after it, and size.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    folder: PathBuf,
    before: String,
    after: String,
    size: (u32, u32),
}

impl Pattern {
    /// `None` for a name without a number, or for anything but a single picture.
    pub fn of(path: &Path) -> Option<Self> {
        Self::named(path, dimensions(path)?)
    }

    /// The pattern of a picture whose width and height are known; `None` for a name without a number.
    pub fn named(path: &Path, size: (u32, u32)) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().into_owned();
        let (before, _, after) = around_number(&name)?;
        Some(Self { folder: path.parent()?.to_path_buf(), before: before.into(), after: after.into(), size })
    }

    /// Whether the name says whose picture it is: a number stands before the slice's own.
    fn names_a_patient(&self) -> bool {
        self.before.contains(|c: char| c.is_ascii_digit())
    }
}

/// What stands before the last number of a name, the number, and what stands after it; the name's ending is not looked at.
fn around_number(name: &str) -> Option<(&str, &str, &str)> {
    let plain = name.rfind('.').unwrap_or(name.len());
    let end = name[..plain].rfind(|c: char| c.is_ascii_digit())? + 1;
    let start = name[..end]
        .rfind(|c: char| !c.is_ascii_digit())
        .map_or(0, |at| at + name[at..].chars().next().map_or(1, char::len_utf8));
    Some((&name[..start], &name[start..end], &name[end..]))
}

/// The last number of a file's name.
pub fn number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    around_number(&name)?.1.parse().ok()
}

/// What names of slices have in common, for lists: `TCGA_X_1.tif` → `TCGA_X`.
pub fn common_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let before = around_number(&name).map_or("", |(before, ..)| before);
    let trimmed = before.trim_end_matches(['_', '-', '.', ' ', '(']);
    if !trimmed.is_empty() {
        return trimmed.to_string();
    }
    path.parent().and_then(|p| p.file_name()).map_or(name, |folder| folder.to_string_lossy().into_owned())
}

/// A title for several pictures: what their names have in common, and from which number to which where the name alone does not
/// tell them from others of their folder.
pub fn title(files: &[PathBuf], grouping: Grouping) -> String {
    let common = files.first().map(|first| common_name(first)).unwrap_or_default();
    let ends = (files.first().and_then(|f| number(f)), files.last().and_then(|f| number(f)));
    match (grouping, ends) {
        (Grouping::Alike | Grouping::Hand, (Some(first), Some(last))) => format!("{common} {first}–{last}"),
        _ => common,
    }
}

/// The studies that pictures of one pattern make, in the order of their numbers.
pub fn studies(pattern: &Pattern, files: Vec<PathBuf>, cancelled: &dyn Fn() -> bool) -> Vec<Source> {
    if files.len() < 2 {
        return files.into_iter().map(Source::File).collect();
    }
    let numbers: Vec<Option<u64>> = files.iter().map(|file| number(file)).collect();
    let follows: Vec<bool> =
        numbers.windows(2).map(|pair| pair[0].and_then(|n| n.checked_add(1)) == pair[1] && pair[1].is_some()).collect();
    if pattern.names_a_patient() && counts_up(&numbers) && !looks_mixed(pattern, &files, cancelled) {
        return vec![Source::Slices { files, grouping: Grouping::Name }];
    }
    let (width, height) = pattern.size;
    let spans = if files.len() < FEWEST_ALIKE || u64::from(width) * u64::from(height) > MOST_PIXELS {
        Vec::new()
    } else {
        alike(&likeness(&shrunken(&files, &follows, cancelled), &follows))
    };
    let mut sources = Vec::new();
    let mut files = files.into_iter();
    let mut at = 0;
    for (first, last) in spans {
        sources.extend(files.by_ref().take(first - at).map(Source::File));
        let together = files.by_ref().take(last + 1 - first).collect();
        sources.push(Source::Slices { files: together, grouping: Grouping::Alike });
        at = last + 1;
    }
    sources.extend(files.map(Source::File));
    sources
}

/// Whether at least half of the numbers from the first to the last are there.
fn counts_up(numbers: &[Option<u64>]) -> bool {
    match (numbers.first().copied().flatten(), numbers.last().copied().flatten()) {
        (Some(first), Some(last)) => last.saturating_sub(first) <= 2 * (numbers.len() as u64 - 1),
        _ => false,
    }
}

/// Whether pictures whose name speaks for one patient look like those of several: `scans2024_1.png`, `scans2024_2.png` …
fn looks_mixed(pattern: &Pattern, files: &[PathBuf], cancelled: &dyn Fn() -> bool) -> bool {
    let (pairs, (width, height)) = (files.len() - 1, pattern.size);
    if pairs < FEWEST_PAIRS || u64::from(width) * u64::from(height) > MOST_PIXELS || cancelled() {
        return false;
    }
    let looked_at = pairs.min(MOST_PAIRS);
    let mut found: Vec<f32> = (0..looked_at)
        .into_par_iter()
        .filter_map(|i| {
            let at = i * pairs / looked_at;
            Some(correlation(&Thumbnail::of(&files[at])?, &Thumbnail::of(&files[at + 1])?))
        })
        .collect();
    found.sort_by(f32::total_cmp);
    found.get(found.len() / 2).is_some_and(|median| *median < FAIR)
}

/// A picture shrunk to `SIDE`², less its mean.
struct Thumbnail {
    values: Vec<f32>,
    /// Sum of squares.
    energy: f32,
}

impl Thumbnail {
    /// `None` when the file is not a readable picture of one page.
    fn of(path: &Path) -> Option<Self> {
        let pages = pictures(path).ok()?;
        let [page] = pages.as_slice() else { return None };
        let mut values = resize(&page.values(), (page.width(), page.height()), (SIDE, SIDE));
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        values.iter_mut().for_each(|v| *v -= mean);
        let energy = values.iter().map(|v| v * v).sum();
        Some(Self { values, energy })
    }
}

/// Pearson's correlation of two pictures, −1 to 1; 0 when one is flat.
fn correlation(a: &Thumbnail, b: &Thumbnail) -> f32 {
    let product: f32 = a.values.iter().zip(&b.values).map(|(a, b)| a * b).sum();
    let both = (a.energy * b.energy).sqrt();
    if both > 0.0 { product / both } else { 0.0 }
}

/// The pictures that have a follower or follow one, shrunk; `None` for all others.
fn shrunken(files: &[PathBuf], follows: &[bool], cancelled: &dyn Fn() -> bool) -> Vec<Option<Thumbnail>> {
    let is_compared =
        |i: usize| i.checked_sub(1).is_some_and(|before| follows[before]) || follows.get(i) == Some(&true);
    let mut all = Vec::with_capacity(files.len());
    for start in (0..files.len()).step_by(TOGETHER) {
        let part = start..(start + TOGETHER).min(files.len());
        if cancelled() {
            all.resize_with(files.len(), || None);
            return all;
        }
        let made: Vec<_> =
            part.into_par_iter().map(|i| is_compared(i).then(|| Thumbnail::of(&files[i])).flatten()).collect();
        all.extend(made);
    }
    all
}

/// How much two successive pictures look like neighbouring slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    Unlike,
    Fair,
    Strong,
}

/// One for every pair of successive pictures.
///
/// Besides the correlation, the difference counts as a share of what pictures of this folder usually hold: the almost empty slices
/// at the ends of a head correlate badly though they hardly differ.
fn likeness(thumbnails: &[Option<Thumbnail>], follows: &[bool]) -> Vec<Likeness> {
    let mut energies: Vec<f32> = thumbnails.iter().flatten().map(|t| t.energy).collect();
    energies.sort_by(f32::total_cmp);
    let usual = energies.get(energies.len() / 2).copied().unwrap_or_default();
    let judge = |(pair, follows): (&[Option<Thumbnail>], &bool)| {
        let [Some(a), Some(b)] = pair else { return Likeness::Unlike };
        if !follows || usual <= 0.0 {
            return Likeness::Unlike;
        }
        let difference: f32 = a.values.iter().zip(&b.values).map(|(a, b)| (a - b).powi(2)).sum();
        // For two pictures of the usual energy this is their correlation.
        let likeness = correlation(a, b).max(1.0 - difference / (2.0 * usual));
        match likeness {
            l if l >= STRONG => Likeness::Strong,
            l if l >= FAIR => Likeness::Fair,
            _ => Likeness::Unlike,
        }
    };
    thumbnails.windows(2).zip(follows).map(judge).collect()
}

/// First and last picture of every study, ascending: a run of strongly alike pictures, with fairly alike ones at its ends unless
/// they lead to another run.
fn alike(likeness: &[Likeness]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (first, last) in runs(0, likeness, Likeness::Fair) {
        let inner = runs(first, &likeness[first..last], Likeness::Strong);
        let cores: Vec<(usize, usize)> = inner.into_iter().filter(|(a, b)| b + 1 - a >= FEWEST_ALIKE).collect();
        match cores.as_slice() {
            [_] => found.push((first, last)),
            several => found.extend_from_slice(several),
        }
    }
    found
}

/// First and last picture of every stretch whose pairs are all at least `least` alike, single pictures among them; pictures are
/// numbered from `start` on.
fn runs(start: usize, likeness: &[Likeness], least: Likeness) -> Vec<(usize, usize)> {
    let mut found = vec![(start, start)];
    for (i, pair) in likeness.iter().enumerate() {
        let next = start + i + 1;
        match found.last_mut() {
            Some(run) if *pair >= least => run.1 = next,
            _ => found.push((next, next)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_of_one_study_share_all_but_their_last_number() {
        let around = |name| around_number(name).unwrap();
        assert_eq!(around("TCGA_CS_4942_19970222_14.tif"), ("TCGA_CS_4942_19970222_", "14", ".tif"));
        assert_eq!(around("7.png"), ("", "7", ".png"));
        assert_eq!(around("é12b (3).jpg"), ("é12b (", "3", ").jpg"));
        assert_eq!(around_number("head.png"), None);
        assert_eq!(common_name(Path::new("/x/TCGA_1_14.tif")), "TCGA_1");
        assert_eq!(common_name(Path::new("/x/14.tif")), "x");
    }

    #[test]
    fn runs_of_alike_pictures_are_found_with_their_faint_ends() {
        use Likeness::{Fair as F, Strong as S, Unlike as U};
        // Pictures 0–4 with a fair end; 5 and 6 are alike but two; 7 alone.
        assert_eq!(alike(&[F, S, S, F, U, S, U]), [(0, 4)]);
        // Two runs that only a fair pair joins stay apart.
        assert_eq!(alike(&[S, S, F, S, S]), [(0, 2), (3, 5)]);
        assert_eq!(alike(&[F, F, S, F]), []);
    }

    #[test]
    fn numbers_with_many_gaps_do_not_count_up() {
        assert!(counts_up(&[Some(9), Some(10), Some(12)]));
        assert!(!counts_up(&[Some(9), Some(400), Some(1200)]) && !counts_up(&[None, Some(3)]));
    }
}
