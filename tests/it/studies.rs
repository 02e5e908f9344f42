//! Medical formats and whole studies: DICOM, NIfTI, series and slices by name.

use crate::common;
use crate::common::dicom;
use crate::common::{nifti, shared};
use dicom_core::value::PixelFragmentSequence;
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::tags;
use lesionlens::domain::geometry::Plane;
use lesionlens::domain::slice::{Slice, SpacingSource};
use lesionlens::domain::study::{Cut, Place, Study, Warning};
use lesionlens::domain::window::Window;
use lesionlens::io::error::Problem;
use lesionlens::io::paths::{Source, expand};
use lesionlens::io::{load, open};
use std::path::{Path, PathBuf};

const AXIAL: &str = "1\\0\\0\\0\\1\\0";

/// 16×16 pixels, all of one value.
fn flat(value: u16) -> Vec<u16> {
    vec![value; 256]
}

/// A folder as one opens it: its only study.
fn study(folder: &Path) -> Study {
    let mut found = expand(&[folder.to_path_buf()], &|| false);
    assert!(found.errors.is_empty() && found.sources.len() == 1, "{found:?}");
    open(found.sources.remove(0)).unwrap()
}

fn greys(study: &Study) -> Vec<f32> {
    (0..study.count()).map(|i| study.slice(i).unwrap().value(3, 3).unwrap()).collect()
}

#[test]
fn a_series_is_ordered_by_place_whatever_its_names_and_numbers_say() {
    let folder = tempfile::tempdir().unwrap();
    // From head to foot by name and by instance number; slices are counted from foot to head.
    for (i, z) in [30, 20, 10, 0].into_iter().enumerate() {
        let path = folder.path().join(format!("IM{i}"));
        dicom::write(&path, 16, &flat(100 + z), |o| {
            dicom::place(o, AXIAL, &format!("-8\\-8\\{z}"), "0.5\\0.75");
            dicom::put(o, tags::INSTANCE_NUMBER, VR::IS, &i.to_string());
        });
    }
    let study = study(folder.path());
    assert_eq!(greys(&study), [100.0, 110.0, 120.0, 130.0]);
    assert_eq!(study.warnings, []);
    let affine = study.frames.layout(study.native()).unwrap().affine.unwrap();
    assert_eq!((affine.origin, affine.spacing()), ([-8.0, -8.0, 0.0], [0.75, 0.5, 10.0]));
    let slice = study.slice(0).unwrap();
    let spacing = slice.spacing.unwrap();
    assert_eq!((spacing.row_mm, spacing.column_mm, spacing.source), (0.5, 0.75, SpacingSource::PixelSpacing));
    assert_eq!(slice.orientation.unwrap().marks(), ["R", "L", "A", "P"]);
    assert!(study.file(Place { cut: study.native(), index: 0 }).ends_with("IM3"));
}

#[test]
fn faults_in_a_series_are_told() {
    let make = |places: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        for (i, (orientation, position)) in places.iter().enumerate() {
            dicom::write(&folder.path().join(format!("{i}.dcm")), 16, &flat(i as u16), |o| {
                dicom::place(o, orientation, position, "1\\1");
                dicom::put(o, tags::INSTANCE_NUMBER, VR::IS, &i.to_string());
            });
        }
        let study = study(folder.path());
        (study.warnings.clone(), study.count(), study.frames.times())
    };
    // A slice is missing between 5 and 15.
    // Steps of one length that do not lie on a line make no box.
    let zigzag = make(&[(AXIAL, "0\\0\\0"), (AXIAL, "4\\0\\5"), (AXIAL, "0\\0\\10")]);
    assert_eq!(zigzag.0, [Warning::Contradiction("ImagePositionPatient")]);
    let unplaced = make(&[(AXIAL, "0\\0\\0"), (AXIAL, ""), (AXIAL, "0\\0\\10")]);
    assert_eq!((unplaced.0, unplaced.1), (vec![Warning::OrderUnknown], 3));
    let gaps = make(&[(AXIAL, "0\\0\\0"), (AXIAL, "0\\0\\5"), (AXIAL, "0\\0\\15")]);
    assert_eq!(gaps, (vec![Warning::Gaps { largest_mm: 1000 }], 3, 1));
    let twice = make(&[(AXIAL, "0\\0\\0"), (AXIAL, "0\\0\\5"), (AXIAL, "0\\0\\5"), (AXIAL, "0\\0\\10")]);
    assert_eq!(twice.0, [Warning::Duplicates(1), Warning::Gaps { largest_mm: 500 }]);
    // Every place twice: two points in time.
    let times = make(&[(AXIAL, "0\\0\\0"), (AXIAL, "0\\0\\5"), (AXIAL, "0\\0\\0"), (AXIAL, "0\\0\\5")]);
    assert_eq!(times, (vec![], 2, 2));
}

/// What is wrong with one file among several must not pass for a part of their box.
#[test]
fn odd_ones_among_the_files_of_a_series_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for i in 0..2 {
        dicom::write(&at(&format!("{i}.dcm")), 16, &flat(i), |o| {
            dicom::place(o, AXIAL, &format!("0\\0\\{}", 5 * i), "1\\1");
        });
    }
    // The same two files once more, in a folder of their own.
    std::fs::create_dir(at("copy")).unwrap();
    for name in ["0.dcm", "1.dcm"] {
        std::fs::copy(at(name), at("copy").join(name)).unwrap();
    }
    let twice = study(folder.path());
    assert_eq!(
        (twice.warnings.as_slice(), twice.count(), twice.frames.times()),
        ([Warning::CopiesLeftOut(2)].as_slice(), 2, 1)
    );
    // A damaged slice is told where it stands and closes no other.
    std::fs::remove_dir_all(at("copy")).unwrap();
    let whole = std::fs::read(at("0.dcm")).unwrap();
    std::fs::write(at("0.dcm"), &whole[..whole.len() - 100]).unwrap();
    let damaged = study(folder.path());
    assert!(damaged.slice(0).unwrap_err().to_string().contains("0.dcm") && damaged.slice(1).is_ok());
}

/// An outline that lies otherwise would be shown mirrored, or beside the tumour.
#[test]
fn an_outline_of_another_place_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (scan, mask) = (folder.path().join("a.nii"), folder.path().join("a_mask.nii"));
    let voxels: Vec<u8> = (0..16 * 16 * 20).map(|i| u8::from(i % 16 < 4) * 200).collect();
    let with = |x: f32| {
        nifti([16, 16, 20, 1], 2, &voxels, |h| {
            h[254..256].copy_from_slice(&1i16.to_le_bytes());
            for (row, step) in [x, 1.0, 1.0].into_iter().enumerate() {
                h[280 + 20 * row..284 + 20 * row].copy_from_slice(&step.to_le_bytes());
            }
        })
    };
    std::fs::write(&scan, with(-1.0)).unwrap();
    let truth = |bytes: &[u8]| {
        std::fs::write(&mask, bytes).unwrap();
        let study = load(&scan).unwrap();
        let told =
            study.warnings.iter().any(|w| matches!(w, Warning::TruthUnusable(why) if why.contains("lies elsewhere")));
        (study.truth.is_some(), told)
    };
    assert_eq!(truth(&with(-1.0)), (true, false));
    assert_eq!(truth(&with(1.0)), (false, true), "left and right exchanged");
    assert_eq!(truth(&nifti([16, 16, 20, 1], 2, &voxels, |_| {})), (false, true), "it does not say");
}

#[test]
fn windows_rescale_and_monochrome1_are_those_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    let mut pixels = flat(0);
    pixels[17] = 100;
    dicom::write(&path, 16, &pixels, |o| {
        dicom::put(o, tags::RESCALE_SLOPE, VR::DS, "2");
        dicom::put(o, tags::RESCALE_INTERCEPT, VR::DS, "-50");
        dicom::put(o, tags::WINDOW_CENTER, VR::DS, "40\\300");
        dicom::put(o, tags::WINDOW_WIDTH, VR::DS, "81\\1501");
        dicom::put(o, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME1");
    });
    let study = load(&path).unwrap();
    let slice = study.slice(0).unwrap();
    assert_eq!((slice.value(0, 0), slice.value(1, 1)), (Some(-50.0), Some(150.0)));
    // PS3.3 C.11.2.1.2.1: from 39.5 − 40 to 39.5 + 40.
    assert_eq!(slice.windows(), [Window::from_range(-0.5, 79.5), Window::from_range(-450.5, 1049.5)]);
    // High values are dark, for the reader and for the network.
    assert_eq!((slice.grey()[0], slice.grey()[17]), (255.0, 0.0));
    let shades = slice.shades(slice.default_window(), false);
    assert_eq!((shades[0], shades[17]), (255, 0));
    assert!(study.warnings.contains(&Warning::OrientationUnknown) && slice.spacing.is_none());
}

#[test]
fn a_multi_frame_file_is_a_stack_and_lying_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let frames = [flat(1), flat(2), flat(3)].concat();
    let write = |name: &str, change: &dyn Fn(&mut dicom_object::InMemDicomObject)| {
        dicom::write(&at(name), 16, &frames, |o| {
            o.put(dicom_core::DataElement::new(tags::ROWS, VR::US, dicom_core::PrimitiveValue::from(16u16)));
            dicom::put(o, tags::NUMBER_OF_FRAMES, VR::IS, "3");
            change(o);
        });
        at(name)
    };
    assert_eq!(greys(&load(&write("a", &|_| {})).unwrap()), [1.0, 2.0, 3.0]);
    // More frames than there are pixels for.
    let long = load(&write("b", &|o| dicom::put(o, tags::NUMBER_OF_FRAMES, VR::IS, "9"))).unwrap();
    let place = Place { cut: long.native(), index: 8 };
    assert!(long.frames.slice(place).unwrap_err().to_string().contains("ends before the picture does"));
    let refused = |name: &str, change: &dyn Fn(&mut dicom_object::InMemDicomObject)| {
        load(&write(name, change)).unwrap_err().problem
    };
    let huge = refused("c", &|o| dicom::put(o, tags::NUMBER_OF_FRAMES, VR::IS, "2000000"));
    assert_eq!(huge, Problem::StackTooLarge);
    let report = refused("d", &|o| _ = o.remove_element(tags::ROWS));
    assert_eq!(report, Problem::NoPixels);
    let side = |o: &mut dicom_object::InMemDicomObject, n: u16| {
        for tag in [tags::ROWS, tags::COLUMNS] {
            o.put(dicom_core::DataElement::new(tag, VR::US, dicom_core::PrimitiveValue::from(n)));
        }
    };
    assert_eq!(refused("e", &|o| side(o, 65_535)), Problem::TooLarge { width: 65_535, height: 65_535 });
    assert_eq!(refused("f", &|o| side(o, 4_000)), Problem::Slice(Problem::Truncated.to_string()));
    // Cut anywhere, a file is an error or, cut in its pixels, says so: never a picture that looks whole.
    let whole = std::fs::read(at("a")).unwrap();
    for keep in (0..whole.len()).step_by(97) {
        std::fs::write(at("cut.dcm"), &whole[..keep]).unwrap();
        let opened = load(&at("cut.dcm"));
        assert!(opened.is_err() || opened.unwrap().slice(2).is_err(), "{keep} of {} bytes", whole.len());
    }
}

#[test]
fn lengths_and_nests_beyond_a_file_are_refused_before_they_are_believed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    dicom::write(&path, 16, &flat(7), |_| {});
    let whole = std::fs::read(&path).unwrap();
    let pixels = whole.windows(6).position(|w| w == b"\xE0\x7F\x10\0OW").unwrap();
    let refused = |inserted: &[u8]| {
        std::fs::write(&path, [&whole[..pixels], inserted, &whole[pixels..]].concat()).unwrap();
        load(&path).unwrap_err().problem
    };
    // An element, an item and a fragment of 4 GB (PS3.5, 7.1.2 and 7.5.1).
    assert_eq!(refused(b"\x29\0\x10\x10OB\0\0\xFE\xFF\xFF\xFF"), Problem::Truncated);
    assert_eq!(refused(b"\x29\0\x10\x10SQ\0\0\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\xFE\xFF\xFF\xFF"), Problem::Truncated);
    // Sequences in items in sequences.
    let nest = |deep| b"\x29\0\x10\x10SQ\0\0\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF".repeat(deep);
    assert!(matches!(refused(&nest(100_000)), Problem::Damaged(why) if why.contains("nested")));
    // A list of two million texts.
    let list = [&b"\x29\0\x10\x10UC\0\0\x80\x84\x1E\0"[..], &b"\\".repeat(2_000_000)].concat();
    assert!(matches!(refused(&list), Problem::Damaged(why) if why.contains("2000000 bytes")));
    // A length in the group about the file itself, which comes before all others.
    let first = whole.windows(6).position(|w| w == b"\x08\0\x16\0UI").unwrap();
    let lying = b"\x02\0\x02\x01OB\0\0\xFE\xFF\xFF\xFF";
    std::fs::write(&path, [&whole[..first], lying, &whole[first..]].concat()).unwrap();
    assert_eq!(load(&path).unwrap_err().problem, Problem::Truncated);
    // What follows the pixels is not looked at, whatever it says.
    std::fs::write(&path, [&whole[..], &[0; 16], b"\0\0\0\0OB\0\0\xFE\xFF\xFF\xFF"].concat()).unwrap();
    assert_eq!(greys(&load(&path).unwrap()), [7.0]);
}

/// Compressions without a decoder here are refused by name (PS3.5, A.4).
#[test]
fn compressions_that_are_not_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    dicom::write(&path, 16, &flat(7), |_| {});
    let mut object = dicom_object::open_file(&path).unwrap();
    for (syntax, name) in [("1.2.840.10008.1.2.4.110", "JPEG XL"), ("1.2.840.10008.1.2.4.51", "12-bit JPEG")] {
        let fragments =
            PixelFragmentSequence::new(vec![], vec![vec![0xFFu8, 0xD8, 0xFF, 0xC1, 0, 11, 12, 0, 16, 0, 16, 1]]);
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, fragments));
        object.update_meta(|meta| meta.transfer_syntax = syntax.into());
        object.write_to_file(&path).unwrap();
        let problem = load(&path).unwrap_err().problem;
        assert!(problem.to_string().contains(&format!("packed as {name}")), "{problem}");
    }
}

fn at_plane(study: &Study, plane: Plane, time: usize, index: usize) -> std::sync::Arc<Slice> {
    study.frames.slice(Place { cut: Cut { plane, time }, index }).unwrap()
}

#[test]
fn nifti_over_time_without_and_with_geometry() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii");
    let voxels: Vec<u8> = (0..2 * 16 * 16 * 20).map(|i| if i < 5120 { 10 } else { 20 }).collect();
    std::fs::write(&path, nifti([16, 16, 20, 2], 2, &voxels, |_| {})).unwrap();
    let plain = load(&path).unwrap();
    assert_eq!((plain.frames.times(), plain.count(), plain.frames.planes()), (2, 20, [].as_slice()));
    assert_eq!(plain.warnings, [Warning::OrientationUnknown]);
    assert_eq!(at_plane(&plain, Plane::Axial, 1, 0).value(3, 3), Some(20.0));
    assert_eq!(plain.slice(0).unwrap().spacing, None, "a header that says no unit says no size");
    // A qform alone: half a turn about z (d = 1), 2×3×4 mm.
    let turned = nifti([16, 16, 20, 1], 2, &voxels[..5120], |h| {
        h[252..254].copy_from_slice(&1i16.to_le_bytes());
        h[264..268].copy_from_slice(&1f32.to_le_bytes());
        for (i, mm) in [2f32, 3.0, 4.0].into_iter().enumerate() {
            h[80 + 4 * i..84 + 4 * i].copy_from_slice(&mm.to_le_bytes());
        }
        h[123] = 2;
    });
    std::fs::write(&path, turned).unwrap();
    let study = load(&path).unwrap();
    let affine = study.frames.layout(Cut { plane: Plane::Axial, time: 0 }).unwrap().affine.unwrap();
    // RAS (−2, 0, 0), (0, −3, 0), (0, 0, 4) is LPS (2, 0, 0), (0, 3, 0), (0, 0, 4).
    assert_eq!(affine.steps, [[2.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 4.0]]);
    assert_eq!(study.frames.planes(), Plane::ALL);
}

#[test]
fn lying_nifti_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii.gz");
    let problem = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        load(&path).unwrap_err().problem
    };
    let voxels = vec![7; 16 * 16 * 20];
    assert_eq!(problem(&nifti([16, 16, 20, 1], 2, &voxels[..4000], |_| {})), Problem::Truncated);
    let huge = problem(&nifti([8_000, 8_000, 8_000, 1], 2, &voxels, |_| {}));
    assert!(matches!(huge, Problem::VolumeTooLarge { .. }), "{huge:?}");
    assert!(matches!(
        problem(&nifti([16, 16, 20, 1], 1_792, &voxels, |_| {})),
        Problem::Unsupported(_) | Problem::Truncated
    ));
    assert!(matches!(problem(&nifti([16, -16, 20, 1], 2, &voxels, |_| {})), Problem::Damaged(_)));
    let far = problem(&nifti([16, 16, 20, 1], 2, &voxels, |h| h[108..112].copy_from_slice(&f32::NAN.to_le_bytes())));
    assert!(matches!(far, Problem::Damaged(_)), "{far:?}");
    assert_eq!(
        problem(&nifti([16, 16, 20, 1], 2, &voxels, |h| h[344..348].copy_from_slice(b"ni1\0"))),
        Problem::NoImageBeside
    );
}

#[test]
fn slices_in_a_folder_are_one_study_and_named_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, side: usize| {
        let slice = lesionlens::domain::phantom::Phantom { side, seed: 1, lesion: None }.draw().0;
        std::fs::write(folder.path().join(name), lesionlens::export::png::slice(&slice).unwrap()).unwrap();
    };
    for name in ["TCGA_X1_10.png", "TCGA_X1_9.png", "TCGA_Y_1.png", "alone.png", "TCGA_X1_9_mask.png"] {
        write(name, 64);
    }
    write("TCGA_X1_11.png", 32);
    let found = expand(&[folder.path().to_path_buf()], &|| false);
    let names = |source: &Source| -> Vec<String> {
        source.paths().iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect()
    };
    let groups: Vec<Vec<String>> = found.sources.iter().map(names).collect();
    // A slice of another size is a picture of its own.
    assert_eq!(
        groups,
        [vec!["TCGA_X1_9.png", "TCGA_X1_10.png"], vec!["TCGA_X1_11.png"], vec!["TCGA_Y_1.png"], vec!["alone.png"]]
    );
    let study = open(found.sources[0].clone()).unwrap();
    assert_eq!((study.title.as_str(), study.count()), ("TCGA_X1", 2));
    let place = |index| Place { cut: study.native(), index };
    assert!(study.truth(place(0), &study.slice(0).unwrap()).unwrap().is_some());
    assert!(study.truth(place(1), &study.slice(1).unwrap()).unwrap().is_none());
    let both: Vec<PathBuf> = ["TCGA_X1_9.png", "TCGA_X1_10.png"].map(|n| folder.path().join(n)).to_vec();
    assert_eq!(expand(&both, &|| false).sources.len(), 2);
}

/// Values that pydicom 3.0.2 (with pylibjpeg) reads: smallest, largest, sum, and the pixel in row 20, column 30.
#[test]
#[cfg_attr(not(has_shared), ignore = "needs the real images of ../shared, beside the checkout")]
fn real_dicom_files_hold_what_pydicom_reads() {
    let data = shared("data/dicom/singles");
    for (name, size, low, high, sum, pixel, intercept) in [
        ("MR_small.dcm", (64, 64), 127.0, 2145.0, 2_125_338.0, 265.0, 0.0),
        ("osirix-cerebrix.dcm", (176, 224), 1024.0, 3290.0, 57_203_327.0, 1056.0, -1024.0),
        ("view0010_anon.dcm", (256, 256), 0.0, 900.0, 7_252_549.0, 27.0, 0.0),
    ] {
        let study = load(&data.join(name)).unwrap();
        let slice = study.slice(0).unwrap();
        assert_eq!((slice.width(), slice.height()), size, "{name}");
        let values = slice.values();
        let total: f64 = values.iter().map(|v| f64::from(*v - intercept)).sum();
        let (l, h) = slice.range();
        assert_eq!((l - intercept, h - intercept, total), (low, high, sum), "{name}");
        assert_eq!(slice.value(30, 20), Some(pixel + intercept), "{name}");
    }
    let series = study(&shared("data/dicom/bbmri-series"));
    let sums: Vec<f64> =
        (0..6).map(|i| series.slice(i).unwrap().values().iter().map(|v| f64::from(*v)).sum()).collect();
    // Sagittal slices count from the patient's right (x = −31 mm) to the left: here as the files are named.
    assert_eq!(sums, [10_070_572.0, 10_269_200.0, 9_916_712.0, 8_783_752.0, 9_965_144.0, 10_088_057.0]);
    assert_eq!(
        (series.count(), series.frames.native(), series.warnings.as_slice()),
        (6, Plane::Sagittal, [].as_slice())
    );
    let affine = series.frames.layout(series.native()).unwrap().affine.unwrap();
    assert!((affine.spacing()[2] - 9.0).abs() < 0.01, "{:?}", affine.spacing());
    assert_eq!(series.slice(0).unwrap().orientation.unwrap().marks(), ["A", "P", "H", "F"]);
}

/// Slices of nibabel's closest canonical array, turned to right-at-the-left: sums weighted by column and by row, so that a mirror
/// image would be noticed.
#[test]
#[cfg_attr(not(has_shared), ignore = "needs the real images of ../shared, beside the checkout")]
fn real_nifti_volumes_are_cut_as_nibabel_says() {
    let data = shared("data/nifti/TCGA-FG-6692");
    let brain = load(&data.join("OtherEXampleFromTCIA_fla_bet.nii.gz")).unwrap();
    let oblique = std::fs::read_dir(&data).unwrap().flatten().map(|e| e.path());
    let oblique = load(&oblique.into_iter().find(|p| p.to_string_lossy().contains("MRHR")).unwrap()).unwrap();
    for (study, plane, index, size, by_column, by_row) in [
        (&brain, Plane::Axial, 77, (240, 240), 408_349_502.0, 455_467_682.0),
        (&brain, Plane::Sagittal, 120, (240, 155), 322_058_173.0, 180_035_504.0),
        (&brain, Plane::Coronal, 120, (240, 155), 270_369_798.0, 173_695_818.0),
        (&oblique, Plane::Axial, 13, (208, 256), 620_516_745.0, 812_732_283.0),
        (&oblique, Plane::Sagittal, 104, (256, 26), 138_103_934.0, 13_055_219.0),
        (&oblique, Plane::Coronal, 128, (208, 26), 82_974_386.0, 10_870_655.0),
    ] {
        let slice = at_plane(study, plane, 0, index);
        assert_eq!((slice.width(), slice.height()), size);
        let values = slice.values();
        let weighted = |weight: &dyn Fn(usize) -> usize| -> f64 {
            values.iter().enumerate().map(|(i, v)| f64::from(*v) * weight(i) as f64).sum()
        };
        assert_eq!(weighted(&|i| i % size.0), by_column, "{plane:?} by column");
        assert_eq!(weighted(&|i| i / size.0), by_row, "{plane:?} by row");
    }
    assert_eq!((brain.frames.native(), oblique.frames.native()), (Plane::Axial, Plane::Axial));
}

/// Three axial slices of the drawn head, 5 mm apart, the middle one with its lesion.
fn head_series(folder: &Path) {
    for (i, z) in [10, 0, 5].into_iter().enumerate() {
        let lesion = lesionlens::domain::phantom::Phantom::example();
        let drawn = lesionlens::domain::phantom::Phantom { lesion: lesion.lesion.filter(|_| z == 5), ..lesion };
        let pixels: Vec<u16> = drawn.draw().0.values().iter().map(|v| *v as u16).collect();
        dicom::write(&folder.join(format!("IM{i}")), 256, &pixels, |o| {
            dicom::place(o, AXIAL, &format!("-128\\-128\\{z}"), "1\\1");
            dicom::put(o, tags::SOP_INSTANCE_UID, VR::UI, &format!("1.2.3.100.{z}"));
            dicom::put(o, tags::STUDY_INSTANCE_UID, VR::UI, "1.2.3.1");
            dicom::put(o, tags::FRAME_OF_REFERENCE_UID, VR::UI, "1.2.3.2");
            dicom::put(o, tags::WINDOW_CENTER, VR::DS, "128");
            dicom::put(o, tags::WINDOW_WIDTH, VR::DS, "256");
        });
    }
}

fn predict(home: &Path, args: &[&str]) -> serde_json::Value {
    let output = common::lesionlens(home, &[&["predict", "series", "--always-segment", "--json", "-"], args].concat());
    assert!(output.status.success(), "{}", common::text(&output.stderr));
    let text = common::text(&output.stdout);
    assert!(!text.contains("DOE") && !text.contains("4711"), "no patient tag in results: {text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn predict_looks_at_a_series_and_writes_its_masks_in_every_format() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("series")).unwrap();
    head_series(&home.path().join("series"));
    let at = |name: &str| home.path().join(name);
    let report = predict(home.path(), &["--mask", "png", "--csv", "results.csv"]);
    let results = report["results"].as_array().unwrap();
    let order: Vec<u64> = results.iter().map(|r| r["slice"].as_u64().unwrap()).collect();
    assert_eq!(order, [1, 2, 3]);
    assert!(results[0]["file"].as_str().unwrap().ends_with("IM1"), "slices count from foot to head");
    assert_eq!(results[1]["spacing_mm"], serde_json::json!([1.0, 1.0]));
    let study = &report["studies"][0];
    assert_eq!((study["slices"].as_u64(), study["plane"].as_str()), (Some(3), Some("axial")));
    let voxels: u64 = results.iter().map(|r| r["segmenter"]["mask_pixels"].as_u64().unwrap()).sum();
    assert!(voxels > 0 && study["mask"]["voxels"].as_u64() == Some(voxels));
    // 1 × 1 × 5 mm.
    let ml = study["mask"]["volume_ml"].as_f64().unwrap();
    assert!((ml - voxels as f64 * 0.005).abs() < 1e-9);
    let csv = std::fs::read_to_string(at("results.csv")).unwrap();
    assert!(csv.lines().count() == 4 && !csv.contains("DOE"));
    let mask = |name: &str| -> Vec<bool> {
        image::open(at("png").join(name)).unwrap().into_luma8().pixels().map(|p| p.0[0] == 255).collect()
    };
    let expected = [mask("IM1.png"), mask("IM2.png"), mask("IM0.png")];
    let values = |slice: &Slice| -> Vec<bool> { slice.values().iter().map(|v| *v > 0.0).collect() };

    predict(home.path(), &["--mask", "nifti", "--mask-format", "nifti"]);
    let volume = load(&at("nifti").join("IM.nii.gz")).unwrap();
    for (index, mask) in expected.iter().enumerate() {
        let slice = at_plane(&volume, Plane::Axial, 0, index);
        assert!(values(&slice) == *mask, "slice {index}");
    }
    let source = study_layout(&at("series"));
    let written = volume.frames.layout(Cut { plane: Plane::Axial, time: 0 }).unwrap().slices_affine().unwrap();
    assert_eq!((written.origin, written.steps), (source.origin, source.steps));

    predict(home.path(), &["--mask", "seg", "--mask-format", "seg"]);
    let seg = dicom_object::open_file(at("seg").join("IM.dcm")).unwrap();
    let text = |tag| seg.element(tag).unwrap().to_str().unwrap().trim().to_string();
    assert_eq!((text(tags::MODALITY), text(tags::PATIENT_NAME)), ("SEG".into(), "DOE^JOHN".into()));
    assert_eq!((text(tags::STUDY_INSTANCE_UID), text(tags::SEGMENTATION_TYPE)), ("1.2.3.1".into(), "BINARY".into()));
    let bytes = seg.element(tags::PIXEL_DATA).unwrap().to_bytes().unwrap().into_owned();
    let groups = seg.element(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).unwrap().items().unwrap();
    for (place, group) in groups.iter().enumerate() {
        let source = group.element(tags::DERIVATION_IMAGE_SEQUENCE).unwrap().items().unwrap()[0]
            .element(tags::SOURCE_IMAGE_SEQUENCE)
            .unwrap()
            .items()
            .unwrap()[0]
            .element(tags::REFERENCED_SOP_INSTANCE_UID)
            .unwrap()
            .to_str()
            .unwrap()
            .trim_end_matches('\0')
            .to_string();
        let z: usize = source.rsplit('.').next().unwrap().parse().unwrap();
        let bit = |i: usize| {
            let at = place * 65_536 + i;
            bytes[at / 8] >> (at % 8) & 1 == 1
        };
        assert!((0..65_536).map(bit).collect::<Vec<_>>() == expected[z / 5], "frame {place} is of z = {z}");
    }
    assert_eq!(groups.len(), expected.iter().filter(|mask| mask.contains(&true)).count());
}

fn study_layout(folder: &Path) -> lesionlens::domain::geometry::Affine {
    let study = study(folder);
    study.frames.layout(study.native()).unwrap().affine.unwrap()
}

/// Tables that turn a picture round: of the modality the values follow, of the values of interest the looks.
#[test]
fn look_up_tables_are_applied() {
    use dicom_core::value::DataSetSequence;
    use dicom_core::{DataElement, PrimitiveValue};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    let pixels: Vec<u16> = (0..256).collect();
    let with = |sequence: dicom_object::Tag| {
        dicom::write(&path, 16, &pixels, |o| {
            let mut item = dicom_object::InMemDicomObject::new_empty();
            // 200 entries from 10 on, 8 bits: 255, 254 …
            item.put(DataElement::new(
                tags::LUT_DESCRIPTOR,
                VR::US,
                PrimitiveValue::U16([200, 10, 8].into_iter().collect()),
            ));
            let entries = (0..200u16).map(|i| 255 - i).collect();
            item.put(DataElement::new(tags::LUT_DATA, VR::US, PrimitiveValue::U16(entries)));
            o.put(DataElement::new(sequence, VR::SQ, DataSetSequence::from(vec![item])));
        });
        load(&path).unwrap().slice(0).unwrap()
    };
    for sequence in [tags::MODALITY_LUT_SEQUENCE, tags::VOILUT_SEQUENCE] {
        let slice = with(sequence);
        let values = slice.values();
        assert_eq!((values[0], values[10], values[11], values[209], values[255]), (255.0, 255.0, 254.0, 56.0, 56.0));
        assert!(slice.grey()[20] > slice.grey()[200]);
    }
    assert_eq!(with(tags::VOILUT_SEQUENCE).windows(), [Window::from_range(0.0, 255.0)]);
}
