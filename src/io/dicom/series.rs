//! Files of one series → slices in order of their place in the patient.

use super::frame::Pixels;
use super::header::{FrameHeader, Header};
use crate::domain::geometry::{Affine, Layout, Orientation, Plane, Vector, difference, dot, length, scaled};
use crate::domain::slice::{Slice, Spacing, SpacingSource};
use crate::domain::study::{Cut, FrameError, Frames, Grouping, Origin, Place, Study, Warning};
use crate::io::error::{LoadError, Problem};
use crate::io::paths::natural;
use crate::io::recent::Recent;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

/// Slice distances that differ by less, in mm, are the same.
const EVEN_MM: f64 = 0.1;
/// Share by which they may differ all the same.
const EVEN_SHARE: f64 = 0.03;
/// Slices nearer than this, in mm, lie in one place.
const SAME_PLACE_MM: f64 = 0.01;
/// Slices that may be damaged before a series counts as such.
const MOST_TRIED: usize = 8;
/// Bytes of decoded slices that a series keeps.
const SLICES_BYTES: usize = 24 << 20;

/// A frame by its file's place in the list and its own number.
#[derive(Debug, Clone, Copy)]
struct FrameRef {
    file: usize,
    frame: usize,
}

/// A series whose frames are decoded when they are asked for.
struct Series {
    headers: Vec<Header>,
    /// By time, then by place.
    frames: Vec<Vec<FrameRef>>,
    layout: Option<Layout>,
    /// The last file: a multi-frame one is opened once.
    open: Recent<usize, Arc<Pixels>>,
    decoded: Recent<(usize, usize), Arc<Slice>>,
}

impl Frames for Series {
    fn times(&self) -> usize {
        self.frames.len()
    }

    fn native(&self) -> Plane {
        let orientation = self.headers.first().and_then(|h| h.frames.first()?.orientation);
        orientation.map_or(Plane::Axial, |o| o.plane())
    }

    fn count(&self, _plane: Plane) -> usize {
        self.frames[0].len()
    }

    fn layout(&self, _cut: Cut) -> Option<Layout> {
        self.layout
    }

    fn origin(&self, place: Place) -> Option<Origin<'_>> {
        let at = self.frames.get(place.cut.time)?.get(place.index)?;
        Some(Origin { file: &self.headers[at.file].path, frame: at.frame })
    }

    fn is_at_hand(&self, place: Place) -> bool {
        self.decoded.has(&(place.cut.time, place.index))
    }

    fn slice(&self, place: Place) -> Result<Arc<Slice>, FrameError> {
        let missing = FrameError::NoSuchSlice { index: place.index + 1, count: self.frames[0].len() };
        let found = self.frames.get(place.cut.time).and_then(|frames| frames.get(place.index));
        let FrameRef { file, frame } = *found.ok_or(missing)?;
        let header = &self.headers[file];
        let decode = || {
            // The newest stays whatever its size; a second one never does.
            let open = || Pixels::open(&header.path).map(|pixels| (Arc::new(pixels), 1));
            let slice = Arc::new(self.open.get_or_make(file, open)?.slice(header, frame)?);
            let bytes = slice.area() * size_of::<f32>();
            Ok((slice, bytes))
        };
        let failed = |problem: Problem| FrameError::File { file: header.path.clone(), problem: problem.to_string() };
        self.decoded.get_or_make((place.cut.time, place.index), decode).map_err(failed)
    }
}

/// One frame with what its order depends on.
struct Placed<'a> {
    at: FrameRef,
    header: &'a Header,
    frame: &'a FrameHeader,
    /// Along the normal, in mm.
    depth: Option<f64>,
    /// Counts places along the normal.
    rank: usize,
}

/// A study of the files of one series; slices of another size or orientation than most are left out and counted.
///
/// # Errors
/// If the first slice cannot be decoded.
pub fn load(mut headers: Vec<Header>) -> Result<Study, LoadError> {
    let mut warnings = Vec::new();
    drop_copies(&mut headers, &mut warnings);
    let Some(first) = headers.first() else { return Err(LoadError::new(&PathBuf::new(), Problem::NoPixels)) };
    let (subject, source, single) = (first.subject.clone(), first.path.clone(), headers.len() == 1);
    let description = first.description.clone();
    let (frames, layout) = arranged(&headers, &mut warnings);
    let files = headers.iter().map(|header| header.path.clone()).collect();
    let name = if single { source.file_name() } else { source.parent().and_then(|p| p.file_name()) };
    let name = name.unwrap_or(source.as_os_str()).to_string_lossy().into_owned();
    let title = match description.filter(|_| !single) {
        Some(description) => description,
        None => name,
    };
    let series = Series { headers, frames, layout, open: Recent::new(0), decoded: Recent::new(SLICES_BYTES) };
    let study = Study {
        source: if single { source.clone() } else { source.parent().unwrap_or(&source).to_path_buf() },
        title,
        files,
        frames: Arc::new(series),
        truth: None,
        subject,
        grouping: Grouping::Series,
        intensities: Arc::default(),
        warnings,
    };
    // A series is refused only when nothing of it can be seen.
    let mut first = None;
    for index in 0..study.count() {
        match study.slice(index) {
            Ok(_) => return Ok(study),
            Err(error) => _ = first.get_or_insert(error),
        }
        if index == MOST_TRIED {
            break;
        }
    }
    match first {
        Some(FrameError::File { file, problem }) => Err(LoadError::new(&file, Problem::Slice(problem))),
        Some(error) => Err(LoadError::new(&source, Problem::Slice(error.to_string()))),
        None => Err(LoadError::new(&source, Problem::NoPixels)),
    }
}

/// A file that lies in two folders is one slice.
fn drop_copies(headers: &mut Vec<Header>, warnings: &mut Vec<Warning>) {
    let before = headers.len();
    let mut seen = HashSet::new();
    headers.retain(|header| header.instance_uid.as_ref().is_none_or(|uid| seen.insert(uid.clone())));
    if headers.len() < before {
        warnings.push(Warning::Duplicates(before - headers.len()));
    }
}

/// Frames by time and place, and the box they make when they make one.
fn arranged(headers: &[Header], warnings: &mut Vec<Warning>) -> (Vec<Vec<FrameRef>>, Option<Layout>) {
    let all = headers.iter().enumerate().flat_map(|(file, header)| {
        let frames = header.frames.iter().enumerate();
        frames.map(move |(number, frame)| Placed {
            at: FrameRef { file, frame: number },
            header,
            frame,
            depth: None,
            rank: 0,
        })
    });
    let mut all: Vec<Placed> = all.collect();
    let before = all.len();
    let alike = most_common(&all);
    all.retain(|one| is_like(one, &alike));
    if all.len() < before {
        warnings.push(Warning::MixedOrientations(before - all.len()));
    }
    if all.iter().any(|one| one.frame.spacing.is_some_and(|s| s.source == SpacingSource::ImagerPixelSpacing)) {
        warnings.push(Warning::DetectorSpacing);
    }
    let known = |one: &Placed| one.frame.orientation.zip(one.frame.position);
    if all.len() > 1 && all.iter().all(|one| known(one).is_some()) {
        place(&mut all);
    } else if all.len() > 1 {
        warnings.push(Warning::OrderUnknown);
    }
    if all.iter().any(|one| one.frame.orientation.is_none()) {
        warnings.push(Warning::OrientationUnknown);
    }
    let by_name = |a: &Placed, b: &Placed| natural(&a.header.path.to_string_lossy(), &b.header.path.to_string_lossy());
    all.sort_by(|a, b| {
        let rank = a.rank.cmp(&b.rank);
        let moment = || {
            let pairs = a.header.moment.iter().zip(&b.header.moment);
            let orders = pairs.map(|(x, y)| x.unwrap_or(0.0).total_cmp(&y.unwrap_or(0.0)));
            orders.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
        };
        rank.then(a.frame.time.cmp(&b.frame.time))
            .then_with(moment)
            .then(a.header.instance.cmp(&b.header.instance))
            .then_with(|| by_name(a, b))
            .then(a.at.frame.cmp(&b.at.frame))
    });
    let stacks = by_time(&all, warnings);
    let mut layout = boxed(&stacks[0], warnings);
    // Every slice of every point in time must lie where the box says.
    if let Some(affine) = layout.and_then(|l| l.affine).filter(|_| all.len() > 1) {
        let tolerance = EVEN_MM.max(affine.spacing()[2] * EVEN_SHARE);
        let off = |(index, one): (usize, &Placed)| {
            let told = affine.patient_from_voxel([0.0, 0.0, index as f64]);
            one.frame.position.is_none_or(|at| length(difference(at, told)) > tolerance)
        };
        if stacks.iter().any(|stack| stack.iter().enumerate().any(off)) {
            warnings.push(Warning::Contradiction("ImagePositionPatient"));
            layout = layout.map(|l| Layout::stored(l.size, None));
        }
    }
    (stacks.into_iter().map(|stack| stack.into_iter().map(|one| one.at).collect()).collect(), layout)
}

type Likeness = (u32, u32, Option<Orientation>, Option<Spacing>);

fn likeness(one: &Placed) -> Likeness {
    (one.header.width, one.header.height, one.frame.orientation, one.frame.spacing)
}

fn is_like(one: &Placed, (width, height, orientation, spacing): &Likeness) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= 0.01 * b;
    let sized = match (spacing, one.frame.spacing) {
        (Some(a), Some(b)) => near(a.row_mm, b.row_mm) && near(a.column_mm, b.column_mm),
        (a, b) => a.is_some() == b.is_some(),
    };
    let turned = match (orientation, one.frame.orientation) {
        (Some(a), Some(b)) => !a.same_way(&b),
        (a, b) => a.is_some() != b.is_some(),
    };
    sized && (one.header.width, one.header.height) == (*width, *height) && !turned
}

/// Size, orientation and pixel size of most slices.
fn most_common(all: &[Placed]) -> Likeness {
    let mut kinds: Vec<(Likeness, usize)> = Vec::new();
    for one in all {
        match kinds.iter_mut().find(|(kind, _)| is_like(one, kind)) {
            Some((_, count)) => *count += 1,
            None => kinds.push((likeness(one), 1)),
        }
    }
    let most = kinds.iter().map(|(_, count)| *count).max();
    kinds.into_iter().find(|(_, count)| Some(*count) == most).map_or((0, 0, None, None), |(kind, _)| kind)
}

/// Along the normal, in the direction that slices of this plane are counted.
fn place(all: &mut [Placed]) {
    let Some(orientation) = all.first().and_then(|one| one.frame.orientation) else { return };
    let (normal, [.., onwards]) = (orientation.normal(), orientation.plane().directions());
    let normal = if dot(normal, onwards) < 0.0 { scaled(normal, -1.0) } else { normal };
    for one in all.iter_mut() {
        one.depth = one.frame.position.map(|at| dot(at, normal));
    }
    let depth = |one: &Placed| one.depth.unwrap_or(0.0);
    all.sort_by(|a, b| depth(a).total_cmp(&depth(b)));
    for i in 1..all.len() {
        let same = depth(&all[i]) - depth(&all[i - 1]) < SAME_PLACE_MM;
        all[i].rank = all[i - 1].rank + usize::from(!same);
    }
}

/// As many slices in every place are points in time; otherwise some are there twice.
fn by_time<'a>(all: &[Placed<'a>], warnings: &mut Vec<Warning>) -> Vec<Vec<Placed<'a>>> {
    let copy = |one: &Placed<'a>| Placed { ..*one };
    let mut places: Vec<Vec<Placed>> = Vec::new();
    for one in all {
        let same = |other: &Placed| one.depth.is_some() && other.rank == one.rank;
        match places.last_mut() {
            Some(place) if place.last().is_some_and(same) => place.push(copy(one)),
            _ => places.push(vec![copy(one)]),
        }
    }
    let times = places.first().map_or(1, Vec::len).max(1);
    if places.len() > 1 && places.iter().all(|place| place.len() == times) {
        return (0..times).map(|time| places.iter().map(|place| copy(&place[time])).collect()).collect();
    }
    if places.len() == 1 && times == 1 {
        return vec![places.into_iter().flatten().collect()];
    }
    let twice = places.iter().filter(|place| place.len() > 1).map(|place| place.len() - 1).sum();
    warnings.push(Warning::Duplicates(twice));
    vec![places.into_iter().flatten().collect()]
}

/// The regular box of slices, if they make one.
fn boxed(stack: &[Placed], warnings: &mut Vec<Warning>) -> Option<Layout> {
    let header = stack.first()?.header;
    let size = [header.width as usize, header.height as usize, stack.len()];
    let places: Option<Vec<Vector>> =
        stack.iter().map(|one| one.frame.position.filter(|_| one.depth.is_some())).collect();
    let loose = Layout::stored(size, None);
    let (Some(places), Some(orientation), Some(spacing)) = (places, stack[0].frame.orientation, stack[0].frame.spacing)
    else {
        return Some(single_box(stack, size).unwrap_or(loose));
    };
    let steps: Vec<Vector> = places.windows(2).map(|pair| difference(pair[1], pair[0])).collect();
    let distances: Vec<f64> = steps.iter().map(|step| length(*step)).collect();
    let Some(first) = distances.first().copied() else { return Some(single_box(stack, size).unwrap_or(loose)) };
    let mut sorted = distances.clone();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    let even = |d: f64| (d - median).abs() <= EVEN_MM.max(median * EVEN_SHARE);
    if !distances.iter().all(|d| even(*d)) {
        let largest = sorted.last().copied().unwrap_or(first);
        warnings.push(Warning::Gaps { largest_mm: (largest * 100.0).round() as u32 });
        return Some(loose);
    }
    let whole = difference(places[places.len() - 1], places[0]);
    let onwards = scaled(whole, 1.0 / (places.len() - 1) as f64);
    // With a tilted gantry slices are nearer to each other than their corners.
    let apart = dot(onwards, orientation.normal()).abs();
    if header.slice_distance.is_some_and(|stated| (stated.abs() - apart).abs() > EVEN_MM.max(apart * EVEN_SHARE)) {
        warnings.push(Warning::Contradiction("SpacingBetweenSlices, ImagePositionPatient"));
    }
    let (across, down) = (scaled(orientation.right, spacing.column_mm), scaled(orientation.down, spacing.row_mm));
    Some(Layout::stored(size, Affine::new(places[0], [across, down, onwards])))
}

/// A single slice is a box as thick as the file says.
fn single_box(stack: &[Placed], size: [usize; 3]) -> Option<Layout> {
    let [one] = stack else { return None };
    let (orientation, position, spacing) = (one.frame.orientation?, one.frame.position?, one.frame.spacing?);
    let stated = [one.header.thickness, one.header.slice_distance].into_iter().flatten();
    let thick = stated.into_iter().find(|mm| *mm > 0.0)?;
    let steps = [
        scaled(orientation.right, spacing.column_mm),
        scaled(orientation.down, spacing.row_mm),
        scaled(orientation.normal(), thick),
    ];
    Some(Layout::stored(size, Affine::new(position, steps)))
}
