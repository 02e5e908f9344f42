//! Lists as spreadsheets save them: commas, semicolons or tabs, with or without a byte order mark, headers in any case.

use super::error::TrainError;
use serde::de::DeserializeOwned;
use std::path::Path;

/// Signs between cells, the first wins where a header has as many of another.
const SIGNS: [u8; 3] = [b',', b';', b'\t'];

/// The rows of the list in `path`, by the names in its first line. Names are compared in lower case, with `_` for blanks.
///
/// # Errors
/// If the file cannot be read, or a row lacks a column or holds what is not its kind.
pub fn rows<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, TrainError> {
    let bytes = std::fs::read(path).map_err(|e| TrainError::file(path, e))?;
    parsed(&text(&bytes)).map_err(|e| TrainError::file(path, e))
}

fn parsed<T: DeserializeOwned>(text: &str) -> Result<Vec<T>, csv::Error> {
    let (sign, table) = divided(text);
    let mut reader = csv::ReaderBuilder::new().delimiter(sign).trim(csv::Trim::All).from_reader(table.as_bytes());
    let names = reader.headers()?.iter().map(|name| name.trim().to_lowercase().replace(' ', "_")).collect();
    reader.set_headers(names);
    reader.deserialize().collect()
}

/// Text in UTF-8 or UTF-16 with a mark, in UTF-8 without one, or else in the alphabet of Western Windows, whose letters are Latin-1's.
fn text(bytes: &[u8]) -> String {
    let utf16 = |number: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes[2..].as_chunks().0.iter().map(|unit| number(*unit)).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        [0xFF, 0xFE, ..] => utf16(u16::from_le_bytes),
        [0xFE, 0xFF, ..] => utf16(u16::from_be_bytes),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_string(),
            Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
        },
    }
}

/// The sign between cells and the table itself. The sign is named in a first line `sep=;`, or is the one that the header has most of.
fn divided(text: &str) -> (u8, &str) {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    if let Some(sign) = first.get(..4).filter(|start| start.eq_ignore_ascii_case("sep=")).and(first.as_bytes().get(4)) {
        return (*sign, rest);
    }
    let count = |sign: &u8| first.bytes().filter(|byte| byte == sign).count();
    let most = SIGNS.iter().map(count).max().unwrap_or(0);
    (SIGNS.into_iter().find(|sign| count(sign) == most).unwrap_or(SIGNS[0]), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Row {
        file: String,
        tumor_pixels: Option<u64>,
    }

    #[test]
    fn lists_of_every_spreadsheet_are_one() {
        let wanted =
            [("niño, 1.png", Some(12)), ("b.png", None)].map(|(file, n)| Row { file: file.into(), tumor_pixels: n });
        let utf16 = |text: &str| [0xFEFF].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let lists: [Vec<u8>; 7] = [
            "file,tumor_pixels\n\"niño, 1.png\",12\nb.png,\n".into(),
            "\u{feff}File;Tumor Pixels\r\nniño, 1.png;12\r\nb.png;\r\n".into(),
            "sep=;\r\nFILE;TUMOR_PIXELS\r\nniño, 1.png;12\r\nb.png;\r\n".into(),
            " file \ttumor_pixels\nniño, 1.png\t 12\nb.png\t\n".into(),
            "sep=,\nfile,note,tumor_pixels\n\"niño, 1.png\",x,12\nb.png,y,\n".into(),
            utf16("File\tTumor Pixels\r\nniño, 1.png\t12\r\nb.png\t\r\n"),
            b"file;tumor_pixels\nni\xF1o, 1.png;12\nb.png;\n".to_vec(),
        ];
        for list in lists {
            assert_eq!(parsed::<Row>(&text(&list)).unwrap(), wanted, "{}", String::from_utf8_lossy(&list));
        }
        assert!(parsed::<Row>("name;tumor_pixels\na;1\n").is_err(), "a column is missing");
    }
}
