//! Colours by number: PALETTE COLOR (PS3.3 C.7.6.3.1.5, C.7.6.3.1.6).

use super::table::Table;
use super::values::text;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

/// Tables from stored values to red, green and blue.
#[derive(Debug, Clone, PartialEq)]
pub struct Palette {
    tables: [Table; 3],
    /// Entry of full brightness.
    highest: f64,
}

impl Palette {
    /// `None` when the picture has no palette, or one that is packed in segments.
    pub fn of(object: &InMemDicomObject) -> Option<Self> {
        if text(object, tags::PHOTOMETRIC_INTERPRETATION)? != "PALETTE COLOR" {
            return None;
        }
        let table = |descriptor, data| Table::from_parts(object.get(descriptor)?, object.get(data)?);
        let tables = [
            table(tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA)?,
            table(tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA)?,
            table(tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA)?,
        ];
        // Some writers say sixteen bits and mean eight.
        let is_dim = tables.iter().all(|table| table.largest() <= f64::from(u8::MAX));
        let highest = if is_dim { f64::from(u8::MAX) } else { tables[0].highest() };
        Some(Self { tables, highest })
    }

    /// Red, green and blue from 0 to 255.
    pub fn colour(&self, stored: f64) -> [f64; 3] {
        self.tables.each_ref().map(|table| table.get(stored) / self.highest * 255.0)
    }
}
