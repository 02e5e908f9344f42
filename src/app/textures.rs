//! Pictures for the GPU: made when what they show changes, never otherwise. Overlays of large pictures are painted off the UI
//! thread.

use super::background::{Background, Fault, Latest};
use super::entry::{Entry, EntryId};
use super::session::Session;
use super::state::{Interpolation, Settings};
use super::view::View;
use crate::domain::geometry::Layout;
use crate::domain::mask::Mask;
use crate::domain::measure::Measurements;
use crate::domain::overlay::{self, OverlayColour, OverlayStyle};
use crate::domain::prediction::Segmentation;
use crate::domain::resample::resize;
use crate::domain::slice::{Channel, Spacing};
use crate::domain::study::Place;
use crate::domain::voxel_mask::VoxelMask;
use crate::domain::window::Window;
use egui::{Color32, ColorImage, Pos2, Rect, TextureFilter, TextureHandle, TextureOptions, pos2, vec2};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// Pictures of up to this many pixels get their overlay within a frame.
const INLINE_PIXELS: usize = 1 << 20;
/// Thumbnails kept as textures.
const MOST_THUMBNAILS: usize = 256;

/// A part of the picture in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Region {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

/// A slice of an open study.
type SliceId = (EntryId, Place);

fn slice_id(entry: &Entry) -> SliceId {
    (entry.id, entry.shown.place)
}

#[derive(Clone, PartialEq)]
struct ScanKey {
    entry: SliceId,
    window: Window,
    invert: bool,
    channel: Option<Channel>,
    interpolation: Interpolation,
    /// A full-resolution cut-out of a picture too large to draw whole.
    region: Option<Region>,
}

#[derive(Clone, PartialEq)]
struct OverlayKey {
    entry: SliceId,
    model: Option<String>,
    /// Identity of the mask by voxel, for a slice of another plane than the one that was asked about.
    voxels: Option<usize>,
    /// Identity of the truth, which can be replaced.
    truth: Option<usize>,
    mask_threshold: f32,
    spacing: Option<Spacing>,
    style: OverlayStyle,
    interpolation: Interpolation,
}

/// What is known of the mask on show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaskFacts {
    pub measurements: Option<Measurements>,
    /// Overlap with the truth.
    pub dice: Option<f64>,
}

impl MaskFacts {
    pub fn of(mask: Option<&Mask>, truth: Option<&Mask>, spacing: Option<Spacing>) -> Self {
        Self {
            measurements: mask.map(|m| Measurements::of(m, spacing)),
            dice: mask.zip(truth).and_then(|(m, t)| m.dice(t)),
        }
    }
}

impl OverlayKey {
    /// Whether figures made for one hold for the other: all but the looks.
    fn same_mask(&self, other: &OverlayKey) -> bool {
        let Self { entry, model, voxels, truth, mask_threshold, spacing, .. } = self;
        let figures = (&other.entry, &other.model, &other.voxels, &other.truth, &other.mask_threshold, &other.spacing);
        (entry, model, voxels, truth, mask_threshold, spacing) == figures
    }
}

/// The edge of one mask, drawn as lines so that it is equally thin at every zoom.
pub struct Contour {
    pub colour: OverlayColour,
    /// Ends of each line, as shares of the picture's width and height.
    pub lines: Vec<[Pos2; 2]>,
}

impl Contour {
    fn of(mask: &Mask, colour: OverlayColour) -> Self {
        let share = |(x, y): (u32, u32)| pos2(x as f32 / mask.width() as f32, y as f32 / mask.height() as f32);
        Self { colour, lines: mask.border().into_iter().map(|line| line.map(share)).collect() }
    }
}

struct Painted {
    image: Option<ColorImage>,
    contours: Vec<Contour>,
    facts: MaskFacts,
}

/// The probability map of the entry on show at the picture's own size.
struct Map {
    segmentation: Arc<Segmentation>,
    values: Vec<f32>,
}

/// What lies over the scan now.
struct Overlay {
    key: OverlayKey,
    filling: Option<TextureHandle>,
    contours: Vec<Contour>,
    facts: MaskFacts,
}

/// Textures of the slice on show and of the list.
pub struct Textures {
    scan: Option<(ScanKey, TextureHandle)>,
    overlay: Option<Overlay>,
    /// What should be on show now.
    wanted: Option<OverlayKey>,
    map: Option<Map>,
    thumbnails: HashMap<SliceId, TextureHandle>,
    /// Overlays of large pictures.
    work: Latest<OverlayKey, Painted>,
}

/// Everything an overlay is made of, ready to cross threads.
struct Job {
    segmentation: Option<Arc<Segmentation>>,
    /// Instead of a segmentation: the mask of the whole study, found in another plane, and how this slice cuts it.
    voxels: Option<(Arc<VoxelMask>, Layout)>,
    truth: Option<Arc<Mask>>,
    display: (usize, usize),
}

impl Job {
    /// Paints what `key` says. `map` is the segmentation's probability map at the picture's size when it is at hand.
    fn run(&self, key: &OverlayKey, map: Option<&[f32]>) -> Painted {
        let threshold = key.mask_threshold;
        let mask = self.segmentation.as_ref().and_then(|s| match map {
            Some(map) => Mask::from_probability(map, s.width, s.height, threshold),
            None => Some(s.mask(threshold)),
        });
        let index = key.entry.1.index;
        let resliced = || self.voxels.as_ref().and_then(|(mask, layout)| mask.slice(layout, index));
        let mask = mask.or_else(resliced);
        let facts = MaskFacts::of(mask.as_ref(), self.truth.as_deref(), key.spacing);
        let mask = mask.as_ref().map(|m| shrunk(m, self.display));
        let truth = self.truth.as_deref().map(|m| shrunk(m, self.display));
        let (mask, truth) = (mask.as_deref(), truth.as_deref());
        let style = key.style;
        let colours = style.colours();
        let layers = [(truth, colours.truth), (mask, colours.prediction)];
        let contours = layers.iter().filter(|_| style.contour);
        let contours = contours.filter_map(|(mask, colour)| Some(Contour::of((*mask)?, *colour))).collect();
        let filling = OverlayStyle { contour: false, ..style };
        let colour = |[r, g, b, a]: [u8; 4]| Color32::from_rgba_unmultiplied(r, g, b, a);
        let pixels = overlay::paint_as(mask, truth, filling, Color32::TRANSPARENT, colour);
        let image = pixels.map(|pixels| ColorImage::new([self.display.0, self.display.1], pixels));
        Painted { image, contours, facts }
    }
}

/// The mask at the size it is drawn at.
pub(super) fn shrunk(mask: &Mask, to: (usize, usize)) -> Cow<'_, Mask> {
    let from = (mask.width(), mask.height());
    if from == to {
        return Cow::Borrowed(mask);
    }
    let values: Vec<f32> = mask.pixels().iter().map(|m| f32::from(u8::from(*m))).collect();
    let small = Mask::from_probability(&resize(&values, from, to), to.0, to.1, 0.5);
    Cow::Owned(small.unwrap_or_else(|| Mask::empty(to.0, to.1)))
}

fn options(interpolation: Interpolation) -> TextureOptions {
    let magnification = match interpolation {
        Interpolation::Nearest => TextureFilter::Nearest,
        Interpolation::Linear => TextureFilter::Linear,
    };
    TextureOptions { magnification, minification: TextureFilter::Linear, ..TextureOptions::LINEAR }
}

impl Textures {
    pub fn new(background: &Background) -> Self {
        let work = Latest::new(background);
        Self { scan: None, overlay: None, wanted: None, map: None, thumbnails: HashMap::new(), work }
    }

    /// Takes in what was painted off the UI thread.
    ///
    /// # Errors
    /// If painting ended early.
    pub fn poll(&mut self, ctx: &egui::Context) -> Result<(), Fault> {
        if let Some(done) = self.work.poll() {
            let (key, painted) = done?;
            // An overlay of another slice is not wanted any more.
            if self.wanted.as_ref().is_some_and(|wanted| wanted.entry == key.entry) {
                self.show(ctx, key, painted);
            }
        }
        Ok(())
    }

    /// Brings everything on show up to date. `viewport` is where the picture was last drawn. `voxels` is the mask of the whole
    /// study: a plane that was not asked about shows its cut.
    pub fn update(
        &mut self,
        ctx: &egui::Context,
        session: &Session,
        voxels: Option<&Arc<VoxelMask>>,
        view: &View,
        settings: &Settings,
        viewport: Rect,
    ) {
        let Some(entry) = session.selected() else {
            (self.scan, self.overlay, self.map) = (None, None, None);
            return;
        };
        self.update_scan(ctx, entry, view, settings, viewport);
        let voxels = voxels.filter(|_| entry.shown.place.cut != entry.cut());
        self.update_overlay(ctx, session, entry, voxels, settings);
    }

    fn update_scan(&mut self, ctx: &egui::Context, entry: &Entry, view: &View, settings: &Settings, viewport: Rect) {
        let region = self.region(ctx, entry, view, viewport);
        let key = ScanKey {
            entry: slice_id(entry),
            window: view.window,
            invert: view.invert,
            channel: view.channel,
            interpolation: settings.interpolation,
            region,
        };
        if self.scan.as_ref().is_some_and(|(old, _)| *old == key) {
            return;
        }
        let cut = region.and_then(|r| entry.shown.slice.crop(r.x, r.y, r.width, r.height));
        let shown = cut.as_ref().unwrap_or(&entry.shown.display);
        let grey = shown.shades_of(view.channel, view.window, view.invert);
        let image = ColorImage::from_gray([shown.width(), shown.height()], &grey);
        let options = options(settings.interpolation);
        match &mut self.scan {
            Some((old, texture)) => {
                texture.set(image, options);
                *old = key;
            }
            None => self.scan = Some((key, ctx.load_texture("scan", image, options))),
        }
    }

    /// The part of a very large picture to draw at full resolution: what is visible with a margin, kept while it still covers.
    fn region(&self, ctx: &egui::Context, entry: &Entry, view: &View, viewport: Rect) -> Option<Region> {
        let slice = &entry.shown.slice;
        if Arc::ptr_eq(slice, &entry.shown.display) || !viewport.is_positive() {
            return None;
        }
        let limit = ctx.input(|i| i.max_texture_side).min(super::opener::DISPLAY_SIDE) as f32;
        let corner = |p| view.image_from_screen(slice, viewport, p);
        let whole = Rect::from_min_size(pos2(0.0, 0.0), vec2(slice.width() as f32, slice.height() as f32));
        let visible = Rect::from_min_max(corner(viewport.min), corner(viewport.max)).intersect(whole);
        if !visible.is_positive() || visible.width() > limit || visible.height() > limit {
            return None;
        }
        if let Some((ScanKey { entry: id, region: Some(r), .. }, _)) = &self.scan {
            let covered = Rect::from_min_size(pos2(r.x as f32, r.y as f32), vec2(r.width as f32, r.height as f32));
            if *id == slice_id(entry) && covered.contains_rect(visible) {
                return Some(*r);
            }
        }
        let margin = ((vec2(limit, limit) - visible.size()) / 2.0).min(visible.size() * 0.25);
        let grown = visible.expand2(margin).intersect(whole);
        let (x, y) = (grown.min.x.floor() as usize, grown.min.y.floor() as usize);
        let (right, bottom) = (grown.max.x.ceil() as usize, grown.max.y.ceil() as usize);
        Some(Region { x, y, width: right.min(slice.width()) - x, height: bottom.min(slice.height()) - y })
    }

    fn update_overlay(
        &mut self,
        ctx: &egui::Context,
        session: &Session,
        entry: &Entry,
        voxels: Option<&Arc<VoxelMask>>,
        settings: &Settings,
    ) {
        let segmentation = session.shown_segmentation(entry).cloned();
        let key = OverlayKey {
            entry: slice_id(entry),
            model: segmentation.as_ref().map(|s| s.model.sha256.clone()),
            voxels: voxels.map(|mask| Arc::as_ptr(mask) as usize),
            truth: entry.shown.truth.as_ref().map(|t| Arc::as_ptr(t) as usize),
            mask_threshold: session.thresholds.mask,
            spacing: entry.spacing(),
            style: settings.overlay,
            interpolation: settings.interpolation,
        };
        self.wanted = Some(key.clone());
        if self.overlay.as_ref().is_some_and(|old| old.key == key) {
            return;
        }
        // A stale overlay must never lie over another picture.
        if self.overlay.as_ref().is_some_and(|old| old.key.entry != slice_id(entry)) {
            self.overlay = None;
        }
        let job = Job {
            segmentation,
            voxels: voxels.cloned().zip(entry.study.frames.layout(entry.shown.place.cut)),
            truth: entry.shown.truth.clone(),
            display: (entry.shown.display.width(), entry.shown.display.height()),
        };
        if entry.shown.slice.area() <= INLINE_PIXELS {
            let map = self.map_of(job.segmentation.as_ref());
            let painted = job.run(&key, map);
            self.show(ctx, key, painted);
            return;
        }
        self.work.run("overlay", key, move |key| job.run(key, None));
    }

    fn map_of(&mut self, segmentation: Option<&Arc<Segmentation>>) -> Option<&[f32]> {
        let segmentation = segmentation?;
        if !self.map.as_ref().is_some_and(|m| Arc::ptr_eq(&m.segmentation, segmentation)) {
            self.map = Some(Map { segmentation: segmentation.clone(), values: segmentation.probability_map() });
        }
        self.map.as_ref().map(|m| m.values.as_slice())
    }

    fn show(&mut self, ctx: &egui::Context, key: OverlayKey, painted: Painted) {
        let Painted { image, contours, facts } = painted;
        let old = self.overlay.take().and_then(|overlay| overlay.filling);
        let options = options(key.interpolation);
        let filling = image.map(|image| match old {
            Some(mut texture) => {
                texture.set(image, options);
                texture
            }
            None => ctx.load_texture("overlay", image, options),
        });
        self.overlay = Some(Overlay { key, filling, contours, facts });
    }

    /// The scan, with the part of the picture it covers in pixels.
    pub fn scan(&self, entry: &Entry) -> Option<(&TextureHandle, Rect)> {
        let (key, texture) = self.scan.as_ref().filter(|(key, _)| key.entry == slice_id(entry))?;
        let slice = &entry.shown.slice;
        let r = key.region.unwrap_or(Region { x: 0, y: 0, width: slice.width(), height: slice.height() });
        Some((texture, Rect::from_min_size(pos2(r.x as f32, r.y as f32), vec2(r.width as f32, r.height as f32))))
    }

    /// The overlay of this entry, if there is one: its filling and its edges.
    pub fn overlay(&self, entry: &Entry) -> Option<(Option<&TextureHandle>, &[Contour])> {
        let wanted = self.wanted.as_ref()?;
        let shown = |overlay: &&Overlay| {
            let key = &overlay.key;
            key.entry == slice_id(entry) && key.model == wanted.model && key.voxels.is_some() == wanted.voxels.is_some()
        };
        let overlay = self.overlay.as_ref().filter(shown)?;
        Some((overlay.filling.as_ref(), &overlay.contours))
    }

    /// Sizes and overlap of the mask on this entry.
    pub fn facts(&self, entry: &Entry) -> Option<MaskFacts> {
        let wanted = self.wanted.as_ref().filter(|key| key.entry == slice_id(entry))?;
        self.overlay.as_ref().filter(|overlay| overlay.key.same_mask(wanted)).map(|overlay| overlay.facts)
    }

    /// Textures for thumbnails in view, made on demand.
    pub fn thumbnail(&mut self, ctx: &egui::Context, entry: &Entry) -> TextureHandle {
        let key = (entry.id, entry.thumbnail.0);
        if self.thumbnails.len() > MOST_THUMBNAILS && !self.thumbnails.contains_key(&key) {
            self.thumbnails.clear();
        }
        let side = super::shown::THUMBNAIL;
        let make = || {
            let image = ColorImage::from_gray([side, side], &entry.thumbnail.1);
            ctx.load_texture("thumbnail", image, TextureOptions::LINEAR)
        };
        self.thumbnails.entry(key).or_insert_with(make).clone()
    }
}
