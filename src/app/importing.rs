//! A model file that was dropped or opened, until it is installed.

use crate::domain::card::Scale;
use crate::domain::slice::Slice;
use crate::engine::importing::{Detected, ScaleSource, Wishes};
use std::sync::Arc;

pub struct Importing {
    pub detected: Arc<Detected>,
    pub wishes: Wishes,
    /// What the file tells of its preprocessing.
    pub inferred: (Scale, ScaleSource),
    pub ranges: Ranges,
    /// It is being installed.
    pub busy: bool,
}

impl Importing {
    pub fn new(detected: Detected) -> Self {
        let (wishes, inferred) = (detected.suggested(), detected.usual_scale());
        Self { detected: Arc::new(detected), wishes, inferred, ranges: Ranges::default(), busy: false }
    }
}

/// The last range that was computed.
#[derive(Default)]
pub struct Ranges(Option<(Scale, Arc<Slice>, (f32, f32))>);

impl Ranges {
    pub fn get(&mut self, detected: &Detected, slice: &Arc<Slice>, scale: Scale) -> (f32, f32) {
        match &self.0 {
            Some((known, of, range)) if *known == scale && Arc::ptr_eq(of, slice) => *range,
            _ => {
                let range = detected.range(slice, scale);
                self.0 = Some((scale, slice.clone(), range));
                range
            }
        }
    }
}
