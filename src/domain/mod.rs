//! What the program is about, free of files, tensors and windows.

pub mod acquisition;
pub mod brush;
pub mod card;
pub mod cascade;
pub mod channel;
pub mod evaluation;
pub mod figures;
pub mod geometry;
pub mod headline;
pub mod intensities;
pub mod mask;
pub mod measure;
pub mod metrics;
pub mod overlay;
pub mod phantom;
pub mod prediction;
pub mod resample;
pub mod resliced;
pub mod ruler;
pub mod runs;
pub mod slice;
pub mod study;
pub mod volume;
pub mod voxel_mask;
pub mod warning;
pub mod window;
