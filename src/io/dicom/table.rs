//! Look-up tables: of the modality, which gives values their meaning, and of the values of interest, which gives them their looks
//! (PS3.3 C.11.1.1, C.11.2.1.1).

use dicom_dictionary_std::tags;
use dicom_object::mem::InMemElement;
use dicom_object::{InMemDicomObject, Tag};

/// Input values from `first` on, one by one; what lies outside takes the value of the nearest end.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    first: f64,
    values: Vec<u16>,
    /// Bits of an entry.
    bits: u32,
}

impl Table {
    /// The first table of a sequence; `None` when there is none, or it is not what the standard asks.
    pub fn of(object: &InMemDicomObject, sequence: Tag) -> Option<Self> {
        let item = object.get(sequence)?.items()?.first()?;
        Self::from_parts(item.get(tags::LUT_DESCRIPTOR)?, item.get(tags::LUT_DATA)?)
    }

    /// A table by its descriptor (number of entries, first input value, bits of an entry) and its entries.
    pub fn from_parts(descriptor: &InMemElement, data: &InMemElement) -> Option<Self> {
        let [entries, first, bits]: [i32; 3] = descriptor.to_multi_int::<i32>().ok()?.get(..3)?.try_into().ok()?;
        let entries = if entries == 0 { 65_536 } else { usize::try_from(entries).ok()? };
        let values = match data.to_multi_int::<u16>() {
            Ok(values) if values.len() >= entries => values,
            // Eight-bit entries may lie two in a word.
            _ => data.to_bytes().ok()?.iter().map(|byte| u16::from(*byte)).collect(),
        };
        let bits = u32::try_from(bits).ok().filter(|bits| (8..=16).contains(bits))?;
        let fits = values.len() >= entries && entries > 0;
        fits.then(|| Self { first: f64::from(first), values: values[..entries].to_vec(), bits })
    }

    pub fn get(&self, value: f64) -> f64 {
        let place = (value - self.first).round().clamp(0.0, (self.values.len() - 1) as f64);
        f64::from(self.values[place as usize])
    }

    /// The largest entry.
    pub fn largest(&self) -> f64 {
        self.values.iter().copied().max().map_or(0.0, f64::from)
    }

    /// The largest value that an entry can have.
    pub fn highest(&self) -> f64 {
        f64::from((1u32 << self.bits) - 1)
    }
}
