//! Reading pictures: every kind of sample, and everything that must be refused.

use crate::common;
use lesionlens::domain::slice::{Channel, Depth};
use lesionlens::domain::study::{Place, Study, Warning};
use lesionlens::io::error::Problem;
use lesionlens::io::{load, paths};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use tiff::encoder::{Compression, DeflateLevel, Rational, TiffEncoder, colortype};
use tiff::tags::ResolutionUnit;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn write(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn png(width: u32, height: u32, colour: png::ColorType, depth: png::BitDepth, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    bytes
}

/// Of the study, then of its first slice.
fn warnings(study: &Study) -> Vec<Warning> {
    [study.warnings.clone(), study.slice(0).unwrap().warnings.clone()].concat()
}

fn problem(path: &Path) -> Problem {
    load(path).unwrap_err().problem
}

#[test]
fn eight_bit_grey_is_taken_as_it_is_whatever_the_name() {
    let folder = folder();
    let data: Vec<u8> = (0..=255).collect();
    let path = write(&folder, "scan.jpg", &png(16, 16, png::ColorType::Grayscale, png::BitDepth::Eight, &data));
    let study = load(&path).unwrap();
    let slice = study.slice(0).unwrap();
    assert_eq!((slice.width(), slice.height(), slice.depth()), (16, 16, Depth::Eight));
    assert!(slice.values().iter().zip(&data).all(|(a, b)| *a == f32::from(*b)));
    assert!(warnings(&study).is_empty());
}

#[test]
fn colour_becomes_bt601_luminance_with_a_warning_and_grey_rgb_stays() {
    let folder = folder();
    let data = [200u8, 100, 50].repeat(256);
    let path = write(&folder, "c.png", &png(16, 16, png::ColorType::Rgb, png::BitDepth::Eight, &data));
    let study = load(&path).unwrap();
    // 0.299·200 + 0.587·100 + 0.114·50 = 124.2
    assert!(study.slice(0).unwrap().values().iter().all(|v| *v == 124.0));
    assert_eq!(warnings(&study), [Warning::ColourToGrey, Warning::FewGreys]);
    let data = [77u8, 77, 77].repeat(256);
    let path = write(&folder, "g.png", &png(16, 16, png::ColorType::Rgb, png::BitDepth::Eight, &data));
    let study = load(&path).unwrap();
    assert!(warnings(&study) == [Warning::FewGreys] && study.slice(0).unwrap().values()[9] == 77.0);
}

#[test]
fn sixteen_bits_are_windowed_and_transparency_lies_on_black() {
    let folder = folder();
    let values: Vec<u16> = (0..1024).map(|i| 1_000 + i * 4).collect();
    let data: Vec<u8> = values.iter().flat_map(|v| v.to_be_bytes()).collect();
    let path = write(&folder, "deep.png", &png(32, 32, png::ColorType::Grayscale, png::BitDepth::Sixteen, &data));
    let slice = load(&path).unwrap().slice(0).unwrap();
    assert_eq!(slice.value(1, 0), Some(1_004.0));
    let grey = slice.grey();
    assert!(grey[0] < 1.0 && grey[1023] > 254.0 && (grey[512] - 127.6).abs() < 1.0);

    let data = [200u8, 0].repeat(256);
    let path = write(&folder, "clear.png", &png(16, 16, png::ColorType::GrayscaleAlpha, png::BitDepth::Eight, &data));
    let study = load(&path).unwrap();
    assert!(study.slice(0).unwrap().values().iter().all(|v| *v == 0.0));
    assert_eq!(warnings(&study), [Warning::Transparency, Warning::FewGreys]);
}

#[test]
fn tiffs_of_every_kind_give_the_same_picture() {
    let folder = folder();
    let (w, h) = (32u32, 24u32);
    let base: Vec<u8> = (0..w * h).map(|i| (i % 251) as u8).collect();
    for (name, compression) in [
        ("none", Compression::Uncompressed),
        ("lzw", Compression::Lzw),
        ("deflate", Compression::Deflate(DeflateLevel::Fast)),
        ("packbits", Compression::Packbits),
    ] {
        let mut bytes = Vec::new();
        let mut encoder = TiffEncoder::new(Cursor::new(&mut bytes)).unwrap().with_compression(compression);
        encoder.write_image::<colortype::Gray8>(w, h, &base).unwrap();
        let wide: Vec<u16> = base.iter().map(|v| u16::from(*v) * 257).collect();
        encoder.write_image::<colortype::Gray16>(w, h, &wide).unwrap();
        let float: Vec<f32> = base.iter().map(|v| f32::from(*v) / 255.0 - 7.0).collect();
        encoder.write_image::<colortype::Gray32Float>(w, h, &float).unwrap();
        let rgb: Vec<u8> = base.iter().flat_map(|v| [*v; 3]).collect();
        encoder.write_image::<colortype::RGB8>(w, h, &rgb).unwrap();
        let rgba: Vec<u8> = base.iter().flat_map(|v| [*v, *v, *v, 255]).collect();
        encoder.write_image::<colortype::RGBA8>(w, h, &rgba).unwrap();
        let study = load(&write(&folder, "stack.tif", &bytes)).unwrap();
        assert_eq!(study.count(), 5, "{name}: a multi-page file is a stack");
        for page in 0..study.count() {
            let slice = study.slice(page).unwrap();
            let worst = slice.grey().iter().zip(&base).map(|(a, b)| (a - f32::from(*b)).abs()).fold(0.0, f32::max);
            // Deep pages are windowed by percentiles of 0 … 250, which stretches them to 0 … 255.
            let tolerance = if slice.depth() == Depth::Eight { 0.0 } else { 5.1 };
            assert!(worst <= tolerance, "{name}, page {page}: {worst}");
        }
    }
}

#[test]
fn pixel_size_is_believed_only_when_it_can_be_one() {
    let folder = folder();
    let tiff = |per_cm: u32, unit: ResolutionUnit| {
        let mut bytes = Vec::new();
        let mut encoder = TiffEncoder::new(Cursor::new(&mut bytes)).unwrap();
        let mut image = encoder.new_image::<colortype::Gray8>(16, 16).unwrap();
        image.resolution(unit, Rational { n: per_cm, d: 1 });
        image.write_data(&[9; 256]).unwrap();
        write(&folder, "r.tif", &bytes)
    };
    let spacing = |path: PathBuf| load(&path).unwrap().slice(0).unwrap().spacing;
    assert_eq!(spacing(tiff(10, ResolutionUnit::Centimeter)).unwrap().row_mm, 1.0);
    assert_eq!(spacing(tiff(72, ResolutionUnit::Inch)), None);
    // 300 dots per inch, said in centimetres.
    assert_eq!(spacing(tiff(118, ResolutionUnit::Centimeter)), None);
    assert_eq!(spacing(tiff(10, ResolutionUnit::None)), None);
}

#[test]
fn everything_that_is_not_a_whole_picture_is_refused_with_its_reason() {
    let folder = folder();
    let path = folder.path().join("gone.png");
    assert_eq!(problem(&path), Problem::Missing);
    assert_eq!(problem(folder.path()), Problem::Folder);
    #[cfg(unix)]
    assert_eq!(problem(Path::new("/dev/zero")), Problem::NotAFile);
    assert_eq!(problem(&write(&folder, "empty.png", b"")), Problem::Empty);
    assert_eq!(problem(&write(&folder, "text.png", b"this is no picture at all")), Problem::NotAnImage);

    let whole = png(64, 64, png::ColorType::Grayscale, png::BitDepth::Eight, &[7; 64 * 64]);
    for cut in [9, 20, 40, whole.len() / 2, whole.len() - 14] {
        let found = problem(&write(&folder, "cut.png", &whole[..cut]));
        assert!(matches!(found, Problem::Truncated | Problem::Damaged(_)), "{cut}: {found:?}");
    }
    let tiny = png(8, 64, png::ColorType::Grayscale, png::BitDepth::Eight, &[7; 8 * 64]);
    assert_eq!(problem(&write(&folder, "tiny.png", &tiny)), Problem::TooSmall { width: 8, height: 64 });
}

#[test]
fn a_truncated_jpeg_is_not_shown_as_whole() {
    let folder = folder();
    let mut jpeg = Vec::new();
    let pixels: Vec<u8> = (0..128 * 128).map(|i| (i * 7 % 256) as u8).collect();
    image::codecs::jpeg::JpegEncoder::new(&mut jpeg).encode(&pixels, 128, 128, image::ExtendedColorType::L8).unwrap();
    assert!(load(&write(&folder, "whole.jpg", &jpeg)).is_ok());
    for share in [2, 3, 10] {
        let cut = write(&folder, "cut.jpg", &jpeg[..jpeg.len() - jpeg.len() / share]);
        assert_eq!(problem(&cut), Problem::Truncated);
    }
}

/// A JPEG of 32×16 whose left half is bright, with an EXIF orientation (tag 0x0112).
fn oriented_jpeg(orientation: u8) -> Vec<u8> {
    let pixels: Vec<u8> = (0..32 * 16).map(|i| (i / 32) as u8 + if i % 32 < 16 { 200 } else { 20 }).collect();
    let mut jpeg = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 100)
        .encode(&pixels, 32, 16, image::ExtendedColorType::L8)
        .unwrap();
    let mut exif = b"\xFF\xE1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    jpeg.splice(2..2, exif);
    jpeg
}

#[test]
fn left_and_right_are_never_swapped() {
    let folder = folder();
    let open = |orientation| load(&write(&folder, "photo.jpg", &oriented_jpeg(orientation))).unwrap();
    let bright = |study: &lesionlens::domain::study::Study, x: usize, y: usize| {
        study.slice(0).unwrap().value(x, y).unwrap() > 128.0
    };
    let plain = open(1);
    assert!(warnings(&plain).is_empty() && bright(&plain, 2, 2) && !bright(&plain, 29, 2));
    // 2, 4, 5, 7 ask for a mirror image: told, not done.
    for mirrored in [2, 4, 5, 7] {
        let study = open(mirrored);
        assert_eq!(warnings(&study), [Warning::MirrorIgnored], "{mirrored}");
        assert!(bright(&study, 2, 2) && !bright(&study, 29, 2), "{mirrored}");
    }
    // 6: turn right, so the left half comes to the top; 8: turn left; 3: upside down.
    let right = open(6);
    assert_eq!((right.slice(0).unwrap().width(), warnings(&right).as_slice()), (16, [Warning::Rotated].as_slice()));
    assert!(bright(&right, 2, 2) && !bright(&right, 2, 29));
    let left = open(8);
    assert!(!bright(&left, 2, 2) && bright(&left, 2, 29));
    let down = open(3);
    assert!(!bright(&down, 2, 2) && bright(&down, 29, 2));
}

#[test]
fn lying_headers_and_bombs_are_refused_before_memory_is_taken() {
    let folder = folder();
    // A PNG that says it is 60,000 × 60,000.
    let mut bytes = png(64, 64, png::ColorType::Grayscale, png::BitDepth::Eight, &[7; 64 * 64]);
    bytes[16..20].copy_from_slice(&60_000u32.to_be_bytes());
    bytes[20..24].copy_from_slice(&60_000u32.to_be_bytes());
    let crc = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    assert_eq!(problem(&write(&folder, "bomb.png", &bytes)), Problem::TooLarge { width: 60_000, height: 60_000 });
    // One that says 8,000 × 8,000 and has the data of 64 × 64.
    bytes[16..20].copy_from_slice(&8_000u32.to_be_bytes());
    bytes[20..24].copy_from_slice(&8_000u32.to_be_bytes());
    let crc = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    let found = problem(&write(&folder, "lie.png", &bytes));
    assert!(matches!(found, Problem::Truncated | Problem::Damaged(_)), "{found:?}");
    // A TIFF whose header promises 50,000 × 50,000.
    let mut tiff = Vec::new();
    TiffEncoder::new(Cursor::new(&mut tiff)).unwrap().write_image::<colortype::Gray8>(16, 16, &[1; 256]).unwrap();
    let lie = |bytes: &[u8], tag: u16, value: u32| {
        let mut out = bytes.to_vec();
        let at = (8..out.len() - 12)
            .find(|i| {
                out[*i..*i + 2] == tag.to_le_bytes()
                    && [3u16, 4].contains(&u16::from_le_bytes([out[*i + 2], out[*i + 3]]))
            })
            .unwrap();
        out[at + 2..at + 4].copy_from_slice(&4u16.to_le_bytes());
        out[at + 8..at + 12].copy_from_slice(&value.to_le_bytes());
        out
    };
    let bomb = lie(&lie(&tiff, 256, 50_000), 257, 50_000);
    assert_eq!(problem(&write(&folder, "bomb.tif", &bomb)), Problem::TooLarge { width: 50_000, height: 50_000 });
    // Any byte of a small TIFF changed, or the file cut anywhere: an answer or an error, never a panic.
    for at in 0..tiff.len() {
        for value in [0, 255, tiff[at] ^ 0x55] {
            let mut changed = tiff.clone();
            changed[at] = value;
            load(&write(&folder, "fuzz.tif", &changed)).ok();
        }
        load(&write(&folder, "fuzz.tif", &tiff[..at])).ok();
    }
}

/// CRC-32 of ISO 3309, as PNG chunks carry it.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { 0xEDB8_8320 ^ (c >> 1) } else { c >> 1 })
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[test]
fn folders_give_their_pictures_in_natural_order_without_outlines() {
    let folder = folder();
    let bytes = png(16, 16, png::ColorType::Grayscale, png::BitDepth::Eight, &[7; 256]);
    for name in ["s_10.png", "s_9.png", "s_9_mask.png", "readme.txt.png"] {
        write(&folder, name, if name.starts_with("readme") { b"words only" } else { &bytes });
    }
    std::fs::create_dir(folder.path().join("none")).unwrap();
    let paths = [folder.path().to_path_buf(), folder.path().join("none"), folder.path().join("s_9_mask.png")];
    let found = paths::expand(&paths, &|| false);
    let names: Vec<_> =
        found.sources.iter().flat_map(|s| s.paths()).map(|f| f.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["readme.txt.png", "s_9.png", "s_10.png"], "a broken picture is opened, to be named");
    assert_eq!(found.errors[0].problem, Problem::FolderWithoutImages);
    assert_eq!(found.outlines, [folder.path().join("s_9_mask.png")]);
}

#[test]
fn an_outline_beside_a_file_is_its_truth_and_a_wrong_one_is_told() {
    let folder = folder();
    let grey = png(16, 16, png::ColorType::Grayscale, png::BitDepth::Eight, &[50; 256]);
    let path = write(&folder, "a.png", &grey);
    let mut mask = [0u8; 256];
    mask[..40].fill(255);
    write(&folder, "a_mask.png", &png(16, 16, png::ColorType::Grayscale, png::BitDepth::Eight, &mask));
    let study = load(&path).unwrap();
    let place = Place { cut: study.native(), index: 0 };
    let outline = |study: &Study| study.truth(place, &study.slice(0).unwrap());
    assert_eq!(outline(&study).unwrap().unwrap().area(), 40);
    write(&folder, "a_mask.png", &png(32, 32, png::ColorType::Grayscale, png::BitDepth::Eight, &[0; 1024]));
    let study = load(&path).unwrap();
    assert!(outline(&study).unwrap().is_none() && matches!(study.warnings[0], Warning::TruthUnusable(_)));
}

/// The published TIFFs hold three sequences; each must be that of the training picture made from it, but for its JPEG compression.
#[test]
#[cfg_attr(not(has_shared), ignore = "needs the real images of ../shared, beside the checkout")]
fn real_tiffs_have_the_sequences_of_the_training_pictures() {
    let (tifs, images) = (common::shared("data/lgg/tif"), common::shared("data/lgg/images"));
    let mut compared = 0;
    for entry in std::fs::read_dir(tifs).unwrap() {
        let path = entry.unwrap().path();
        let twin = images.join(path.file_stem().unwrap()).with_extension("jpg");
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.contains("_mask") || !twin.exists() {
            continue;
        }
        let [tiff, twin] = [&path, &twin].map(|path| load(path).unwrap().slice(0).unwrap());
        for channel in Channel::ALL {
            let [a, b] = [&tiff, &twin].map(|slice| slice.channel(channel).unwrap().values());
            let off = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).sum::<f32>() / a.len() as f32;
            assert!(off < 3.0, "{name}, {channel:?}: {off} of 255 on average");
        }
        compared += 1;
    }
    assert!(compared > 0);
}
