//! A convolution of the plan: where it reads and writes, and how its rows or channels are shared out to threads.

use super::arena::{Workspace, Workspaces};
use super::direct::Direct;
use super::kernels::Kernel;
use super::layout::{Target, View};
use super::pack::{PackedPanel, Recipe, clamp_bounds};
use super::site::{Addition, Site, Strip};
use super::strips::each_strip;
use super::value::Value;
use super::winograd::Winograd;
use rayon::prelude::*;

/// Ways to convolve.
enum Method<T: Value> {
    Direct(Direct<T>),
    Winograd(Winograd<T>),
}

/// A ready convolution.
pub struct Convolution<T: Value> {
    site: Site<T>,
    method: Method<T>,
}

impl<T: Value> Convolution<T> {
    /// Packs weights for reading `source` and writing `target`.
    pub fn new(
        recipe: &Recipe,
        kernel: &'static Kernel<T>,
        source: View,
        addition: Option<Addition>,
        target: Target,
    ) -> Self {
        // The last odd row and column of a pooled convolution would be thrown away.
        let pooling = 1 + usize::from(recipe.pool);
        let (lower, upper) = clamp_bounds(recipe.clamp);
        let site = Site {
            kernel,
            stride: recipe.stride,
            before: recipe.before,
            height: target.view.height * pooling,
            width: target.view.width * pooling,
            lower,
            upper,
            pool: recipe.pool,
            source,
            addition,
            target,
        };
        let method = if Winograd::suits(recipe, &site) {
            Method::Winograd(Winograd::new(recipe, &site))
        } else {
            Method::Direct(Direct::new(recipe, &site))
        };
        Self { site, method }
    }

    fn panels(&self) -> &[PackedPanel<T>] {
        match &self.method {
            Method::Direct(direct) => &direct.panels,
            Method::Winograd(winograd) => &winograd.panels,
        }
    }

    /// Computes the target's interior. `slots` holds the sources; `out` is the target's slot.
    pub fn run(&self, slots: &[Vec<T>], out: &mut [T], workspaces: &Workspaces<T>, threads: usize) {
        let Target { view, frame, channel } = self.site.target;
        let rows = &mut out[frame.top * view.row..][..view.height * view.row];
        let unit = match &self.method {
            Method::Direct(_) => 1,
            Method::Winograd(winograd) => winograd.rows_at_once(&self.site),
        };
        // A short map with many channels is shared out by channels: its weights are what takes the time.
        if threads > 1 && view.height < 4 * threads * unit && self.panels().len() >= threads {
            return self.run_by_panels(slots, rows, workspaces);
        }
        let strip = match threads {
            1 => view.height,
            _ => (view.height / (8 * threads)).max(1).next_multiple_of(unit),
        };
        let work = |(i, rows): (usize, &mut [T])| {
            let mut workspace = workspaces.lend();
            let strip = Strip { first: i * strip, rows: rows.len() / view.row, row: view.row, pixel: view.pixel };
            let to = &mut rows[frame.left * view.pixel + channel..];
            match &self.method {
                Method::Direct(direct) => direct.run(&self.site, slots, strip, to, &mut workspace),
                Method::Winograd(winograd) => winograd.run(&self.site, slots, strip, to, &mut workspace),
            }
        };
        each_strip(rows, strip * view.row, threads, work);
    }

    /// Every panel into a map of its own, then side by side.
    fn run_by_panels(&self, slots: &[Vec<T>], rows: &mut [T], workspaces: &Workspaces<T>) {
        let Target { view, frame, channel } = self.site.target;
        let pixels = view.height * view.width;
        let mut prepared = workspaces.lend();
        if let Method::Winograd(winograd) = &self.method {
            winograd.transform_all(&self.site, slots, &mut prepared);
        }
        let transformed = &prepared.maps;
        let mut gathered = workspaces.lend();
        let width: usize = self.panels().iter().map(|p| p.panel.width).sum();
        gathered.maps.resize(pixels * width, T::default());
        let mut parts = Vec::with_capacity(self.panels().len());
        let mut rest = &mut gathered.maps[..];
        for packed in self.panels() {
            let (part, after) = rest.split_at_mut(pixels * packed.panel.width);
            parts.push((packed, part));
            rest = after;
        }
        parts.par_iter_mut().for_each(|(packed, part)| {
            let pixel = packed.panel.width;
            let strip = Strip { first: 0, rows: view.height, row: view.width * pixel, pixel };
            let space: &mut Workspace<T> = &mut workspaces.lend();
            match &self.method {
                Method::Winograd(winograd) => {
                    winograd.panel(&self.site, packed, transformed, slots, strip, part, &mut space.sums);
                }
                Method::Direct(direct) => direct.panel(&self.site, packed, slots, strip, part, space),
            }
        });
        for (packed, part) in parts {
            let panel = packed.panel;
            for (row, part) in rows.chunks_mut(view.row).zip(part.chunks(view.width * panel.width)) {
                let row = row[frame.left * view.pixel + channel + panel.first..].chunks_mut(view.pixel);
                for (to, from) in row.zip(part.chunks(panel.width)) {
                    to[..panel.channels].copy_from_slice(&from[..panel.channels]);
                }
            }
        }
    }
}
