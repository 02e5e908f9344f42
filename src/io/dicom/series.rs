//! Files of one series → slices in order of their place in the patient.

use super::frame::{Decoded, Pixels};
use super::groups::{SAME_PLACE_MM, along, divided};
use super::header::{FrameHeader, Header};
use super::looks::Looks;
use crate::domain::geometry::{Affine, Layout, Plane, Vector, difference, dot, length, scaled};
use crate::domain::resliced::Resliced;
use crate::domain::slice::{Slice, SpacingSource};
use crate::domain::study::{Cut, FrameError, Frames, Grouping, Origin, Place, Study, Warning};
use crate::io::error::{LoadError, Problem};
use crate::io::paths::natural;
use crate::io::recent::Recent;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Slice distances that differ by less, in mm, are the same.
const EVEN_MM: f64 = 0.1;
/// Share by which they may differ all the same.
const EVEN_SHARE: f64 = 0.03;
/// Slices whose grey values are looked at, evenly over a series: enough to see whether the windows of its files serve, and more where
/// the range of these values is the window.
const SAMPLED: usize = 8;
const SAMPLED_WITHOUT_WINDOW: usize = 32;
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
    looks: Looks,
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
        let header = &self.headers[at.file];
        let frame = if header.mosaic.is_some() { 0 } else { header.frames[at.frame].number };
        Some(Origin { file: &header.path, frame })
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
            let mut slice = self.decode(file, frame)?.slice;
            self.looks.give(&mut slice, header, &header.frames[frame]);
            let bytes = slice.area() * size_of::<f32>();
            Ok((Arc::new(slice), bytes))
        };
        let failed = |problem: Problem| FrameError::File { file: header.path.clone(), problem: problem.to_string() };
        self.decoded.get_or_make((place.cut.time, place.index), decode).map_err(failed)
    }
}

impl Series {
    fn decode(&self, file: usize, frame: usize) -> Result<Decoded, Problem> {
        let header = &self.headers[file];
        // The newest stays whatever its size; a second one never does.
        let open = || Pixels::open(header).map(|pixels| (Arc::new(pixels), 1));
        self.open.get_or_make(file, open)?.decode(header, frame)
    }

    /// Looks at the grey values of some slices, and says whether a window of the files was of no use.
    ///
    /// # Errors
    /// If none of these slices can be decoded.
    fn look(&mut self) -> Result<bool, LoadError> {
        let headers = || self.headers.iter().flat_map(|header| header.frames.iter().map(move |frame| (header, frame)));
        let has_windows = headers().all(|(_, frame)| !frame.windows.usable.is_empty());
        let wanted = if has_windows { SAMPLED } else { SAMPLED_WITHOUT_WINDOW };
        let count = self.frames[0].len();
        let mut first = None;
        let mut sampled = Vec::new();
        for at in (0..count).step_by(count.div_ceil(wanted)) {
            let FrameRef { file, frame } = self.frames[0][at];
            match self.decode(file, frame) {
                Ok(decoded) => sampled.push(decoded),
                Err(problem) => _ = first.get_or_insert((file, problem)),
            }
        }
        if let (true, Some((file, problem))) = (sampled.is_empty(), first) {
            let path = &self.headers[file].path;
            return Err(LoadError::new(path, Problem::Slice(problem.to_string())));
        }
        let looks = Looks::of(&sampled);
        let has_unusable = headers().any(|(_, frame)| looks.finds_unusable(&frame.windows));
        self.looks = looks;
        Ok(has_unusable)
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

/// A study of the files of one series; of slices that do not belong together the largest group is shown, the others are counted.
///
/// # Errors
/// If no slice can be decoded.
pub fn load(mut headers: Vec<Header>) -> Result<Study, LoadError> {
    let mut warnings = Vec::new();
    drop_copies(&mut headers, &mut warnings);
    let files: Vec<PathBuf> = headers.iter().map(|header| header.path.clone()).collect();
    let mut groups = divided(headers);
    let frames_of = |group: &Vec<Header>| group.iter().map(|header| header.frames.len()).sum::<usize>();
    let all: usize = groups.iter().map(frames_of).sum();
    let most = groups.iter().map(frames_of).max().unwrap_or(0);
    let Some(largest) = groups.iter().position(|group| frames_of(group) == most && most > 0) else {
        return Err(LoadError::new(files.first().map_or(Path::new(""), PathBuf::as_path), Problem::NoPixels));
    };
    let headers = groups.swap_remove(largest);
    if all > most {
        warnings.push(Warning::MixedOrientations(all - most));
    }
    let first = &headers[0];
    let (subject, source, single) = (first.subject.clone(), first.path.clone(), headers.len() == 1);
    let description = first.description.clone();
    let (frames, layout) = arranged(&headers, &mut warnings);
    let name = if single { source.file_name() } else { source.parent().and_then(|p| p.file_name()) };
    let name = name.unwrap_or(source.as_os_str()).to_string_lossy().into_owned();
    let title = match description.filter(|_| !single) {
        Some(description) => description,
        None => name,
    };
    let (open, decoded) = (Recent::new(0), Recent::new(SLICES_BYTES));
    let mut series = Series { headers, frames, layout, looks: Looks::default(), open, decoded };
    if series.look()? {
        warnings.push(Warning::WindowUnusable);
    }
    Ok(Study {
        source: if single { source.clone() } else { source.parent().unwrap_or(&source).to_path_buf() },
        title,
        files,
        frames: Resliced::of(Arc::new(series)),
        truth: None,
        subject: subject.into(),
        grouping: Grouping::Series,
        intensities: Arc::default(),
        warnings,
    })
}

/// Leaves out files that are there twice. Files that merely carry one number, as some anonymisers leave them, are not copies.
fn drop_copies(headers: &mut Vec<Header>, warnings: &mut Vec<Warning>) {
    let before = headers.len();
    let mut kept: Vec<Header> = Vec::with_capacity(before);
    let mut of_uid: HashMap<String, Vec<usize>> = HashMap::new();
    for header in std::mem::take(headers) {
        let namesakes = header.instance_uid.clone().map(|uid| of_uid.entry(uid).or_default());
        if namesakes.as_ref().is_some_and(|others| others.iter().any(|at| is_copy(&kept[*at], &header))) {
            continue;
        }
        if let Some(others) = namesakes {
            others.push(kept.len());
        }
        kept.push(header);
    }
    if kept.len() < before {
        warnings.push(Warning::CopiesLeftOut(before - kept.len()));
    }
    *headers = kept;
}

/// Whether two files show the same frames in the same places.
fn is_copy(one: &Header, other: &Header) -> bool {
    one.frames == other.frames && Pixels::are_equal(&one.path, &other.path)
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
    if all.iter().any(|one| one.frame.spacing.is_some_and(|s| s.source == SpacingSource::ImagerPixelSpacing)) {
        warnings.push(Warning::DetectorSpacing);
    }
    if all.len() > 1 {
        let order = Order::of(&all);
        warnings.extend(order.warning());
        place(&mut all, order);
    }
    if all.iter().any(|one| one.frame.orientation.is_none()) {
        warnings.push(Warning::OrientationUnknown);
    }
    let by_name = |a: &Placed, b: &Placed| natural(&a.header.path.to_string_lossy(), &b.header.path.to_string_lossy());
    all.sort_by(|a, b| {
        let moment = || {
            let pairs = a.header.moment.iter().zip(&b.header.moment);
            let orders = pairs.map(|(x, y)| x.unwrap_or(0.0).total_cmp(&y.unwrap_or(0.0)));
            orders.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
        };
        a.rank
            .cmp(&b.rank)
            .then_with(|| a.frame.kind.cmp(&b.frame.kind))
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

/// What the order of slices goes by, the best that all of them have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Their places in the patient.
    Position,
    /// SliceLocation, along a direction that is not told.
    Location,
    /// InstanceNumber, or file names.
    Number,
    /// Frames of one file, as they follow each other.
    Stored,
}

impl Order {
    fn of(all: &[Placed]) -> Self {
        let files = all.iter().map(|one| one.at.file).max().map_or(0, |last| last + 1);
        if all.iter().all(|one| one.frame.orientation.is_some() && one.frame.position.is_some()) {
            Order::Position
        } else if files == 1 {
            Order::Stored
        } else if files == all.len() && all.iter().all(|one| one.header.location.is_some()) {
            Order::Location
        } else {
            Order::Number
        }
    }

    fn warning(self) -> Option<Warning> {
        match self {
            Order::Position => None,
            Order::Location => Some(Warning::OrderByLocation),
            Order::Number => Some(Warning::OrderUnknown),
            Order::Stored => Some(Warning::OrderAsStored),
        }
    }
}

/// Ranks slices along the normal, in the direction that slices of their plane are counted, or by their location.
fn place(all: &mut [Placed], order: Order) {
    let orientation = all.first().and_then(|one| one.frame.orientation);
    for one in all.iter_mut() {
        one.depth = match order {
            Order::Position => orientation.zip(one.frame.position).map(|(orientation, at)| along(&orientation, at)),
            Order::Location => one.header.location,
            Order::Number | Order::Stored => None,
        };
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

/// Thickness of a single slice that does not say its own. No volume is derived from one slice.
const UNTOLD_THICKNESS_MM: f64 = 1.0;

/// A single slice is a box as thick as the file says.
fn single_box(stack: &[Placed], size: [usize; 3]) -> Option<Layout> {
    let [one] = stack else { return None };
    let (orientation, position, spacing) = (one.frame.orientation?, one.frame.position?, one.frame.spacing?);
    let stated = [one.header.thickness, one.header.slice_distance].into_iter().flatten();
    let thick = stated.into_iter().find(|mm| *mm > 0.0).unwrap_or(UNTOLD_THICKNESS_MM);
    let steps = [
        scaled(orientation.right, spacing.column_mm),
        scaled(orientation.down, spacing.row_mm),
        scaled(orientation.normal(), thick),
    ];
    Some(Layout::stored(size, Affine::new(position, steps)))
}
