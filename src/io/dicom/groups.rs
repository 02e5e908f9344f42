//! Divides the frames of a series into studies: those of one size, one orientation and one kind belong together.

use super::header::{FrameHeader, Header};
use super::kind::Kind;
use crate::domain::geometry::{Orientation, dot, scaled};
use crate::domain::slice::Spacing;
use std::collections::{BTreeMap, HashMap};

/// Slices nearer than this, in mm, lie in one place.
pub const SAME_PLACE_MM: f64 = 0.01;

/// The studies in the files of one series, the first frame's first. A file whose frames differ is part of several.
pub fn divided(headers: Vec<Header>) -> Vec<Vec<Header>> {
    by_likeness(headers).into_iter().flat_map(by_kind).collect()
}

/// Size, orientation and pixel size, which slices of one box share.
#[derive(Clone, Copy)]
struct Likeness {
    size: (u32, u32),
    orientation: Option<Orientation>,
    spacing: Option<Spacing>,
}

impl Likeness {
    fn of(header: &Header, frame: &FrameHeader) -> Self {
        Self { size: (header.width, header.height), orientation: frame.orientation, spacing: frame.spacing }
    }

    fn is_like(&self, other: &Likeness) -> bool {
        let near = |a: f64, b: f64| (a - b).abs() <= 0.01 * b;
        let sized = match (self.spacing, other.spacing) {
            (Some(a), Some(b)) => near(a.row_mm, b.row_mm) && near(a.column_mm, b.column_mm),
            (a, b) => a.is_some() == b.is_some(),
        };
        let turned = match (self.orientation, other.orientation) {
            (Some(a), Some(b)) => !a.same_way(&b),
            (a, b) => a.is_some() != b.is_some(),
        };
        self.size == other.size && sized && !turned
    }
}

fn by_likeness(headers: Vec<Header>) -> Vec<Vec<Header>> {
    let mut groups: Vec<Likeness> = Vec::new();
    sorted_out(headers, |header, frame| {
        let own = Likeness::of(header, frame);
        groups.iter().position(|group| own.is_like(group)).unwrap_or_else(|| {
            groups.push(own);
            groups.len() - 1
        })
    })
}

/// Frames of several kinds stay together when every kind fills the same places: they are then counted like points in time. Otherwise
/// each set of places is a study, unless the kinds do not explain why frames lie in one place.
fn by_kind(headers: Vec<Header>) -> Vec<Vec<Header>> {
    let Some(places) = Places::of(&headers) else { return vec![headers] };
    let mut of_kind: BTreeMap<&Kind, Vec<usize>> = BTreeMap::new();
    let mut crowds: HashMap<usize, usize> = HashMap::new();
    for frame in headers.iter().flat_map(|header| &header.frames) {
        let place = places.of_frame(frame);
        of_kind.entry(&frame.kind).or_default().push(place);
        *crowds.entry(place).or_default() += 1;
    }
    of_kind.values_mut().for_each(|places| places.sort_unstable());
    let most = crowds.values().copied().max().unwrap_or(1);
    if most == 1 || of_kind.len() > most {
        return vec![headers];
    }
    let mut groups: Vec<&Vec<usize>> = Vec::new();
    let mut numbers: HashMap<Kind, usize> = HashMap::new();
    for (kind, filled) in &of_kind {
        let number = groups.iter().position(|group| group == &filled).unwrap_or_else(|| {
            groups.push(filled);
            groups.len() - 1
        });
        numbers.insert((*kind).clone(), number);
    }
    sorted_out(headers, |_, frame| numbers.get(&frame.kind).copied().unwrap_or(0))
}

/// Deals frames into groups by their number, in order of their first frame; a header goes with its frames.
fn sorted_out(headers: Vec<Header>, mut group_of: impl FnMut(&Header, &FrameHeader) -> usize) -> Vec<Vec<Header>> {
    let mut order: Vec<usize> = Vec::new();
    let mut groups: Vec<Vec<Header>> = Vec::new();
    for mut header in headers {
        let frames = std::mem::take(&mut header.frames);
        let mut parts: Vec<(usize, Vec<FrameHeader>)> = Vec::new();
        for frame in frames {
            let number = group_of(&header, &frame);
            match parts.iter_mut().find(|(part, _)| *part == number) {
                Some((_, frames)) => frames.push(frame),
                None => parts.push((number, vec![frame])),
            }
        }
        for (number, frames) in parts {
            let part = Header { frames, ..header.clone() };
            match order.iter().position(|known| *known == number) {
                Some(at) => groups[at].push(part),
                None => {
                    order.push(number);
                    groups.push(vec![part]);
                }
            }
        }
    }
    groups
}

/// Places along the normal of slices that all lie the same way.
struct Places {
    orientation: Orientation,
    depths: Vec<f64>,
}

impl Places {
    /// `None` when a frame does not say where it lies.
    fn of(headers: &[Header]) -> Option<Self> {
        let frames = || headers.iter().flat_map(|header| &header.frames);
        let orientation = frames().next()?.orientation?;
        let depth = |frame: &FrameHeader| Some(along(&orientation, frame.orientation.and(frame.position)?));
        let mut depths: Vec<f64> = frames().map(depth).collect::<Option<_>>()?;
        depths.sort_by(f64::total_cmp);
        depths.dedup_by(|next, last| *next - *last < SAME_PLACE_MM);
        Some(Self { orientation, depths })
    }

    fn of_frame(&self, frame: &FrameHeader) -> usize {
        let depth = frame.position.map_or(0.0, |at| along(&self.orientation, at));
        self.depths.partition_point(|known| *known < depth - SAME_PLACE_MM)
    }
}

/// mm along the normal, in the direction in which slices of this plane are counted.
pub fn along(orientation: &Orientation, position: crate::domain::geometry::Vector) -> f64 {
    let (normal, [.., onwards]) = (orientation.normal(), orientation.plane().directions());
    let normal = if dot(normal, onwards) < 0.0 { scaled(normal, -1.0) } else { normal };
    dot(position, normal)
}
