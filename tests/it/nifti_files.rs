//! NIfTI and ANALYZE files as programs write them: of every type of voxel, in pairs, in several members, in the second version.

use lesionlens::domain::geometry::Plane;
use lesionlens::domain::study::{Cut, Place, Study, Warning};
use lesionlens::io::error::Problem;
use lesionlens::io::{load, paths};
use std::io::Write;
use std::path::Path;

const SIDE: usize = 16;
const COUNT: usize = SIDE * SIDE * 2;

/// 16×16×2 voxels, in the byte order that `bytes` makes of a number: 348 bytes of header, and four of an empty extension.
struct Header {
    bytes: Vec<u8>,
    big: bool,
}

impl Header {
    fn new(datatype: i16, big: bool) -> Self {
        let mut header = Self { bytes: vec![0; 352], big };
        header.put(0, &348i32.to_le_bytes());
        [3i16, 16, 16, 2, 1, 1, 1, 1].iter().enumerate().for_each(|(i, n)| header.put(40 + 2 * i, &n.to_le_bytes()));
        header.put(70, &datatype.to_le_bytes());
        [1f32, 2.0, 3.0, 4.0].iter().enumerate().for_each(|(i, mm)| header.put(76 + 4 * i, &mm.to_le_bytes()));
        header.put(108, &352f32.to_le_bytes());
        header.bytes[123] = 2;
        header.bytes[344..348].copy_from_slice(b"n+1\0");
        header
    }

    /// A number of which the lowest byte comes first.
    fn put(&mut self, at: usize, value: &[u8]) {
        let place = &mut self.bytes[at..at + value.len()];
        place.copy_from_slice(value);
        if self.big {
            place.reverse();
        }
    }

    fn with(mut self, at: usize, value: &[u8]) -> Self {
        self.put(at, value);
        self
    }

    /// Rows of the affine for voxels of 2×3×4 mm, along the axes of NIfTI.
    fn placed(mut self) -> Self {
        self.put(254, &1i16.to_le_bytes());
        [2f32, 3.0, 4.0].iter().enumerate().for_each(|(i, mm)| self.put(280 + 20 * i, &mm.to_le_bytes()));
        self
    }

    fn file(&self, voxels: &[u8]) -> Vec<u8> {
        [self.bytes.as_slice(), voxels].concat()
    }
}

/// Values from 0 to 100, as `number` writes one.
fn voxels<const N: usize>(number: impl Fn(u8) -> [u8; N]) -> Vec<u8> {
    (0..COUNT).flat_map(|i| number((i % 101) as u8)).collect()
}

fn values(study: &Study) -> Vec<f32> {
    let slice =
        |index| study.frames.slice(Place { cut: Cut { plane: Plane::Axial, time: 0 }, index }).unwrap().values();
    [slice(0), slice(1)].concat()
}

fn opened(path: &Path, bytes: &[u8]) -> Study {
    std::fs::write(path, bytes).unwrap();
    load(path).unwrap()
}

#[test]
fn voxels_of_every_number_are_read_in_both_byte_orders() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii");
    let wanted: Vec<f32> = (0..COUNT).map(|i| (i % 101) as f32).collect();
    let reversed = |bytes: Vec<u8>, size: usize| -> Vec<u8> {
        bytes.chunks(size).flat_map(|number| number.iter().rev().copied()).collect()
    };
    for (code, size, little) in [
        (2, 1, voxels(|v| [v])),
        (256, 1, voxels(|v| [v])),
        (4, 2, voxels(|v| i16::from(v).to_le_bytes())),
        (512, 2, voxels(|v| u16::from(v).to_le_bytes())),
        (8, 4, voxels(|v| i32::from(v).to_le_bytes())),
        (768, 4, voxels(|v| u32::from(v).to_le_bytes())),
        (1024, 8, voxels(|v| i64::from(v).to_le_bytes())),
        (1280, 8, voxels(|v| u64::from(v).to_le_bytes())),
        (16, 4, voxels(|v| f32::from(v).to_le_bytes())),
        (64, 8, voxels(|v| f64::from(v).to_le_bytes())),
    ] {
        let study = opened(&path, &Header::new(code, false).file(&little));
        assert_eq!(values(&study), wanted, "type {code}");
        let study = opened(&path, &Header::new(code, true).file(&reversed(little, size)));
        assert_eq!(values(&study), wanted, "type {code}, high byte first");
    }
    for code in [1i16, 32, 128, 1536, 2304] {
        std::fs::write(&path, Header::new(code, false).file(&vec![0; COUNT * 16])).unwrap();
        assert!(matches!(load(&path).unwrap_err().problem, Problem::Unsupported(_)), "type {code}");
    }
}

#[test]
fn an_outline_of_long_numbers_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let scan = folder.path().join("a.nii");
    let outline: Vec<u8> = (0..COUNT).flat_map(|i| i64::from(i < 40).to_le_bytes()).collect();
    std::fs::write(folder.path().join("a_mask.nii"), Header::new(1024, false).file(&outline)).unwrap();
    let study = opened(&scan, &Header::new(2, false).file(&voxels(|v| [v])));
    let place = Place { cut: study.native(), index: 0 };
    assert_eq!(study.truth(place, &study.slice(0).unwrap()).unwrap().unwrap().area(), 40);
}

/// 540 bytes of header: lengths in eight bytes, distances in double precision.
#[test]
fn the_second_version_is_read_as_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = vec![0; 544];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &540i32.to_le_bytes());
    put(4, b"n+2\0\r\n\x1A\n");
    put(12, &4i16.to_le_bytes());
    [3i64, 16, 16, 2, 1, 1, 1, 1].iter().enumerate().for_each(|(i, n)| put(16 + 8 * i, &n.to_le_bytes()));
    [1f64, 2.0, 3.0, 4.0].iter().enumerate().for_each(|(i, mm)| put(104 + 8 * i, &mm.to_le_bytes()));
    put(168, &544i64.to_le_bytes());
    put(176, &2f64.to_le_bytes());
    put(184, &(-5f64).to_le_bytes());
    put(348, &1i32.to_le_bytes());
    for (row, values) in [[2f64, 0.0, 0.0, -7.0], [0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 4.0, 9.0]].iter().enumerate() {
        values.iter().enumerate().for_each(|(i, v)| put(400 + 32 * row + 8 * i, &v.to_le_bytes()));
    }
    put(500, &2i32.to_le_bytes());
    bytes.extend(voxels(|v| i16::from(v).to_le_bytes()));
    let study = opened(&folder.path().join("a.nii"), &bytes);
    let affine = study.frames.layout(study.native()).unwrap().affine.unwrap();
    // From right-anterior-superior to left-posterior-superior.
    assert_eq!(affine.origin, [7.0, 0.0, 9.0]);
    assert_eq!(affine.steps, [[-2.0, 0.0, 0.0], [0.0, -3.0, 0.0], [0.0, 0.0, 4.0]]);
    let slice = study.slice(0).unwrap();
    // The array's first voxel lies at the right front: both axes are turned round, and 255 % 101 = 53.
    assert_eq!((slice.value(0, 0), slice.value(15, 15)), (Some(2.0 * 53.0 - 5.0), Some(-5.0)));
}

#[test]
fn pairs_are_opened_by_either_file_and_analyze_without_a_mark() {
    let folder = tempfile::tempdir().unwrap();
    let (head, image) = (folder.path().join("a.hdr"), folder.path().join("a.img"));
    let pair = |magic: &[u8; 4]| {
        let mut bytes = Header::new(2, false).with(108, &0f32.to_le_bytes()).bytes;
        bytes[344..348].copy_from_slice(magic);
        bytes.truncate(348);
        bytes
    };
    std::fs::write(&image, voxels(|v| [v])).unwrap();
    let wanted: Vec<f32> = (0..COUNT).map(|i| (i % 101) as f32).collect();
    for magic in [b"ni1\0", b"\0\0\0\0"] {
        std::fs::write(&head, pair(magic)).unwrap();
        for path in [&head, &image] {
            let study = load(path).unwrap();
            assert_eq!(
                (values(&study), study.warnings.as_slice()),
                (wanted.clone(), [Warning::OrientationUnknown].as_slice())
            );
            let spacing = study.slice(0).unwrap().spacing.unwrap();
            assert_eq!((spacing.row_mm, spacing.column_mm), (3.0, 2.0));
        }
    }
    let found = paths::expand(&[folder.path().to_path_buf()], &|| false);
    assert_eq!(found.sources.len(), 1, "a pair is one study");
    std::fs::remove_file(&image).unwrap();
    assert_eq!(load(&head).unwrap_err().problem, Problem::NoImageBeside);
}

#[test]
fn packed_files_of_several_members_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii.gz");
    let bytes = Header::new(2, false).file(&voxels(|v| [v]));
    let packed = |part: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(part).unwrap();
        packer.finish().unwrap()
    };
    // Members shorter than the header.
    let members: Vec<u8> = bytes.chunks(100).flat_map(packed).collect();
    assert_eq!(values(&opened(&path, &members)).len(), COUNT);
    std::fs::write(&path, &members[..members.len() - 40]).unwrap();
    assert_eq!(load(&path).unwrap_err().problem, Problem::Truncated);
}

#[test]
fn dimensions_without_length_are_one_long_and_contradictions_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii");
    let grey = voxels(|v| [v]);
    // Seven dimensions are counted, the last four have no length.
    let mut counted = Header::new(2, false).with(40, &7i16.to_le_bytes());
    (4..8).for_each(|axis| counted.put(40 + 2 * axis, &0i16.to_le_bytes()));
    let study = opened(&path, &counted.file(&grey));
    assert_eq!((study.count(), study.frames.times()), (2, 1));
    let warnings = |header: Header| opened(&path, &header.file(&grey)).warnings;
    assert_eq!(warnings(Header::new(2, false).placed()), []);
    let sizes = Header::new(2, false).placed().with(80, &0.865f32.to_le_bytes());
    assert_eq!(warnings(sizes), [Warning::Contradiction("sform, pixdim")]);
    let negative = Header::new(2, false).placed().with(80, &(-2f32).to_le_bytes());
    assert_eq!(warnings(negative), [Warning::Contradiction("pixdim")]);
}

#[test]
fn the_outline_of_a_brats_case_is_not_a_scan() {
    let folder = tempfile::tempdir().unwrap();
    let grey = Header::new(2, false).file(&voxels(|v| [v]));
    let outline = Header::new(2, false).file(&(0..COUNT).map(|i| u8::from(i < 30)).collect::<Vec<_>>());
    for (name, bytes) in [("C_1_flair", &grey), ("C_1_t1ce", &grey), ("C_1_seg", &outline), ("lone_seg", &grey)] {
        std::fs::write(folder.path().join(format!("{name}.nii")), bytes).unwrap();
    }
    let found = paths::expand(&[folder.path().to_path_buf()], &|| false);
    let names: Vec<String> = found.sources.iter().map(|s| paths::stem(s.paths()[0])).collect();
    assert_eq!(names, ["C_1_flair", "C_1_t1ce", "lone_seg"]);
    let study = load(&folder.path().join("C_1_flair.nii")).unwrap();
    let place = Place { cut: study.native(), index: 0 };
    assert_eq!(study.truth(place, &study.slice(0).unwrap()).unwrap().unwrap().area(), 30);
}
