//! Three linked planes of one study: the voxel where they cross, and the pictures of those beside the one in hand.

use super::background::{Background, Fault, Latest};
use super::entry::{Entry, EntryId};
use super::session::Session;
use super::state::Settings;
use super::textures::shrunk;
use super::view::View;
use super::volumetry::Whole;
use crate::domain::geometry::Plane;
use crate::domain::mask::Mask;
use crate::domain::overlay::{self, OverlayStyle};
use crate::domain::prediction::Segmentation;
use crate::domain::slice::{Channel, Slice};
use crate::domain::study::{Cut, Place, Study};
use crate::domain::voxel_mask::VoxelMask;
use crate::domain::window::Window;
use egui::{Color32, ColorImage, TextureHandle, TextureOptions};
use std::sync::Arc;

/// Slices on the sheet of the fourth cell, and the side of each in pixels.
pub const SHEET: usize = 9;
const SHEET_SIDE: usize = 160;

/// How the planes are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arrangement {
    /// One view, as for single pictures.
    #[default]
    Single,
    /// Axial, coronal and sagittal, and the positive slices.
    Grid,
    /// One of the planes over the whole room; a double click goes back.
    Enlarged,
}

/// Where the probabilities of a picture's mask come from.
#[derive(Clone)]
enum Source {
    Map(Arc<Segmentation>, f32),
    Voxels(Arc<VoxelMask>),
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Source::Map(a, at), Source::Map(b, to)) => Arc::ptr_eq(a, b) && at == to,
            (Source::Voxels(a), Source::Voxels(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// How pictures of one study look.
#[derive(Clone, Copy, PartialEq)]
struct Looks {
    window: Window,
    invert: bool,
    channel: Option<Channel>,
    style: OverlayStyle,
}

/// A slice with its mask, as it is to be shown.
#[derive(Clone, PartialEq)]
struct Key {
    entry: EntryId,
    place: Place,
    looks: Looks,
    source: Option<Source>,
}

impl Key {
    /// The slice and its picture; `None` when the slice cannot be read.
    fn paint(&self, study: &Study) -> Option<(Arc<Slice>, ColorImage)> {
        let slice = study.frames.slice(self.place).ok()?;
        let Looks { window, invert, channel, style } = self.looks;
        let mask = match &self.source {
            Some(Source::Map(map, threshold)) => Some(map.mask(*threshold)),
            Some(Source::Voxels(voxels)) => voxels.slice(&study.frames.layout(self.place.cut)?, self.place.index),
            None => None,
        };
        let grey = slice.shades_of(channel, window, invert);
        let painted = overlay::paint(mask.as_ref(), None, style);
        let rgb = overlay::composite(&grey, painted.as_deref());
        let pixels = rgb.into_iter().map(|[r, g, b]| Color32::from_rgb(r, g, b)).collect();
        let image = ColorImage::new([slice.width(), slice.height()], pixels);
        Some((slice, image))
    }
}

/// A plane beside the one in hand.
struct Pane {
    plane: Plane,
    work: Latest<Key, Option<(Arc<Slice>, ColorImage)>>,
    shown: Option<(Key, Arc<Slice>, TextureHandle)>,
}

/// The positive slices of the plane that was asked about, on one sheet.
struct Sheet {
    work: Latest<Vec<Key>, ColorImage>,
    shown: Option<(Vec<Key>, TextureHandle)>,
}

pub struct Planes {
    pub arrangement: Arrangement,
    /// The voxel of the array where the planes cross, of this study.
    cross: Option<(EntryId, [usize; 3])>,
    panes: [Pane; 3],
    sheet: Sheet,
}

impl Planes {
    pub fn new(background: &Background) -> Self {
        let pane = |plane| Pane { plane, work: Latest::new(background), shown: None };
        let sheet = Sheet { work: Latest::new(background), shown: None };
        Self { arrangement: Arrangement::default(), cross: None, panes: Plane::ALL.map(pane), sheet }
    }

    /// Whether a study has three planes to lay out.
    pub fn suit(entry: &Entry) -> bool {
        entry.study.frames.planes().len() == Plane::ALL.len()
    }

    /// Whether the study is shown in the grid.
    pub fn is_grid(&self, entry: &Entry) -> bool {
        self.arrangement == Arrangement::Grid && Self::suit(entry)
    }

    /// Column, row and slice of a plane where the planes cross.
    pub fn crossing(&self, entry: &Entry, plane: Plane) -> Option<[usize; 3]> {
        let (_, voxel) = self.cross.filter(|(id, _)| *id == entry.id)?;
        let layout = entry.study.frames.layout(Cut { plane, ..entry.place.cut })?;
        Some(layout.pixel_from_voxel(voxel))
    }

    /// Lets the planes cross at a pixel: column, row and slice of `plane`, kept within the study.
    pub fn cross_at(&mut self, entry: &Entry, plane: Plane, pixel: [usize; 3]) {
        if let Some(layout) = entry.study.frames.layout(Cut { plane, ..entry.place.cut }) {
            let (width, height) = layout.slice_size();
            let most = [width, height, layout.count()].map(|n| n.saturating_sub(1));
            let pixel = [0, 1, 2].map(|i: usize| pixel[i].min(most[i]));
            self.cross = Some((entry.id, layout.voxel_from_pixel(pixel)));
        }
    }

    /// Takes in pictures that were made.
    ///
    /// # Errors
    /// If making one ended early.
    pub fn poll(&mut self, ctx: &egui::Context) -> Result<(), Fault> {
        let options = TextureOptions::LINEAR;
        for pane in &mut self.panes {
            if let Some(done) = pane.work.poll() {
                let (key, made) = done?;
                pane.shown = made.map(|(slice, image)| (key, slice, ctx.load_texture("plane", image, options)));
            }
        }
        if let Some(done) = self.sheet.work.poll() {
            let (keys, image) = done?;
            self.sheet.shown = Some((keys, ctx.load_texture("sheet", image, options)));
        }
        Ok(())
    }

    /// Follows the reader in the plane in hand, and has the other pictures made.
    pub fn update(&mut self, session: &Session, whole: Option<&Whole>, view: &View, settings: &Settings) {
        let Some(entry) = session.selected().filter(|entry| self.is_grid(entry)) else { return };
        let plane = entry.place.cut.plane;
        let [column, row, index] = self.crossing(entry, plane).unwrap_or_else(|| start(session, entry));
        if index != entry.place.index || self.cross.is_none_or(|(id, _)| id != entry.id) {
            self.cross_at(entry, plane, [column, row, entry.place.index]);
        }
        let looks = Looks { window: view.window, invert: view.invert, channel: view.channel, style: settings.overlay };
        let key = |place: Place| {
            let own = session.segmentation_at(entry, place).filter(|_| session.gate_at(entry, place).is_open());
            let source = match place.cut == entry.cut() {
                true => own.map(|map| Source::Map(map.clone(), session.thresholds.mask)),
                false => whole.and_then(|whole| whole.mask.clone()).map(Source::Voxels),
            };
            Key { entry: entry.id, place, looks, source: source.filter(|_| settings.show_overlay) }
        };
        for plane in Plane::ALL.into_iter().filter(|plane| *plane != entry.place.cut.plane) {
            let Some([_, _, index]) = self.crossing(entry, plane) else { continue };
            let key = key(Place { cut: Cut { plane, ..entry.place.cut }, index });
            let pane = &mut self.panes[plane as usize];
            if pane.shown.as_ref().is_none_or(|(shown, ..)| *shown != key) {
                let study = entry.study.clone();
                pane.work.run("plane", key, move |key| key.paint(&study));
            }
        }
        let positive = entry.places().filter(|place| session.is_positive(entry, *place));
        let keys: Vec<Key> = spread(positive.collect()).into_iter().map(key).collect();
        if !keys.is_empty()
            && session.is_complete()
            && self.sheet.shown.as_ref().is_none_or(|(shown, _)| *shown != keys)
        {
            let study = entry.study.clone();
            self.sheet.work.run("sheet", keys, move |keys| sheet(keys, &study));
        }
    }

    /// The picture of a plane beside the one in hand: its slice and its texture.
    pub fn picture(&self, entry: &Entry, plane: Plane) -> Option<(&Arc<Slice>, &TextureHandle)> {
        let pane = self.panes.iter().find(|pane| pane.plane == plane)?;
        let (_, slice, texture) = pane.shown.as_ref().filter(|(key, ..)| key.entry == entry.id)?;
        Some((slice, texture))
    }

    /// Positive slices on one sheet of three by three, and its texture.
    pub fn sheet(&self, entry: &Entry) -> Option<(Vec<Place>, &TextureHandle)> {
        let (keys, texture) = self.sheet.shown.as_ref()?;
        keys.iter().all(|key| key.entry == entry.id).then(|| (keys.iter().map(|key| key.place).collect(), texture))
    }
}

/// Where the planes cross at first: within the mask of the slice on show, else in its middle.
fn start(session: &Session, entry: &Entry) -> [usize; 3] {
    let place = entry.place;
    let map = session.segmentation_at(entry, place).filter(|_| session.gate_at(entry, place).is_open());
    let mask = map.map(|map| map.mask(session.thresholds.mask));
    let inside = mask.and_then(|mask| {
        let pixels: Vec<usize> = (0..mask.pixels().len()).filter(|i| mask.pixels()[*i]).collect();
        let middle = *pixels.get(pixels.len() / 2)?;
        Some((middle % mask.width(), middle / mask.width()))
    });
    let (width, height) = entry.study.frames.layout(place.cut).map_or((0, 0), |layout| layout.slice_size());
    let (column, row) = inside.unwrap_or((width / 2, height / 2));
    [column, row, place.index]
}

/// At most [`SHEET`] of these, evenly spread, first and last included.
fn spread(places: Vec<Place>) -> Vec<Place> {
    let count = places.len();
    if count <= SHEET {
        return places;
    }
    (0..SHEET).map(|i| places[i * (count - 1) / (SHEET - 1)]).collect()
}

/// Small pictures in rows of three.
fn sheet(keys: &[Key], study: &Study) -> ColorImage {
    let side = SHEET_SIDE * 3;
    let mut pixels = vec![Color32::BLACK; side * side];
    for (i, slice) in keys.iter().map(|key| small(key, study)).enumerate() {
        // A slice that cannot be read leaves its cell empty.
        let Some(slice) = slice else { continue };
        let (left, top) = ((i % 3) * SHEET_SIDE, (i / 3) * SHEET_SIDE);
        for (y, row) in slice.pixels.chunks_exact(slice.size[0]).enumerate() {
            let start = (top + y) * side + left;
            pixels[start..start + row.len()].copy_from_slice(row);
        }
    }
    ColorImage::new([side, side], pixels)
}

/// A slice with its mask, as large as a cell of the sheet allows.
fn small(key: &Key, study: &Study) -> Option<ColorImage> {
    let slice = study.frames.slice(key.place).ok()?;
    let longest = slice.width().max(slice.height());
    let fit = |side: usize| (side * SHEET_SIDE / longest).clamp(1, SHEET_SIDE);
    let size = (fit(slice.width()), fit(slice.height()));
    let little = slice.resized(size.0, size.1)?;
    let mask: Option<Mask> = match &key.source {
        Some(Source::Map(map, threshold)) => Some(shrunk(&map.mask(*threshold), size).into_owned()),
        _ => None,
    };
    let grey = little.shades_of(key.looks.channel, key.looks.window, key.looks.invert);
    let rgb = overlay::composite(&grey, overlay::paint(mask.as_ref(), None, key.looks.style).as_deref());
    Some(ColorImage::new([size.0, size.1], rgb.into_iter().map(|[r, g, b]| Color32::from_rgb(r, g, b)).collect()))
}
