//! TIFF files as microscopes, ImageJ and cameras write them: palettes, thumbnails, orientation notes, stacks without directories.

use lesionlens::domain::study::{Grouping, Study, Warning};
use lesionlens::io::paths::Source;
use lesionlens::io::{load, open, paths};

const SIDE: u32 = 16;
const AREA: usize = 256;

/// Tags (TIFF 6.0).
const SUBFILE: u16 = 254;
const BITS: u16 = 258;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const DESCRIPTION: u16 = 270;
const OFFSETS: u16 = 273;
const ORIENTATION: u16 = 274;
const SAMPLES: u16 = 277;
const X_RESOLUTION: u16 = 282;
const Y_RESOLUTION: u16 = 283;
const PLANAR: u16 = 284;
const COLOUR_MAP: u16 = 320;
const TILE_SIDES: [u16; 2] = [322, 323];
const TILE_OFFSETS: u16 = 324;
const TILE_BYTES: u16 = 325;

/// Values of a tag.
#[derive(Clone)]
enum Value {
    Shorts(Vec<u16>),
    Longs(Vec<u32>),
    Ratio(u32, u32),
    Text(&'static str),
}

use Value::{Longs, Ratio, Shorts, Text};

/// Tags of a page, and its pixels.
type Page<'a> = (&'a [(u16, Value)], &'a [u8]);

/// A classic little-endian file: pages with their tags and pixels. Tags of sides and of strips are put in where a page has no tiles.
fn tiff(pages: &[Page]) -> Vec<u8> {
    let mut bytes = b"II*\0\0\0\0\0".to_vec();
    let mut link = 4;
    for (tags, pixels) in pages {
        let data = bytes.len() as u32;
        bytes.extend_from_slice(pixels);
        let mut tags = tags.to_vec();
        let mut default = |tag: u16, value: Value| {
            if !tags.iter().any(|(known, _)| *known == tag) {
                tags.push((tag, value));
            }
        };
        default(256, Longs(vec![SIDE]));
        default(257, Longs(vec![SIDE]));
        default(BITS, Shorts(vec![8]));
        default(COMPRESSION, Shorts(vec![1]));
        default(PHOTOMETRIC, Shorts(vec![1]));
        default(SAMPLES, Shorts(vec![1]));
        if !tags.iter().any(|(tag, _)| *tag == TILE_BYTES) {
            tags.extend([
                (OFFSETS, Longs(vec![data])),
                (278, Longs(vec![SIDE])),
                (279, Longs(vec![pixels.len() as u32])),
            ]);
        }
        tags.sort_by_key(|(tag, _)| *tag);
        let mut entries = Vec::new();
        for (tag, value) in tags {
            let (kind, count, content): (u16, usize, Vec<u8>) = match value {
                Shorts(values) => (3, values.len(), values.iter().flat_map(|v| v.to_le_bytes()).collect()),
                // Places of tiles are told from the page's first byte on.
                Longs(values) if tag == TILE_OFFSETS => {
                    (4, values.len(), values.iter().flat_map(|v| (v + data).to_le_bytes()).collect())
                }
                Longs(values) => (4, values.len(), values.iter().flat_map(|v| v.to_le_bytes()).collect()),
                Ratio(n, d) => (5, 1, [n.to_le_bytes(), d.to_le_bytes()].concat()),
                Text(text) => (2, text.len() + 1, [text.as_bytes(), &[0]].concat()),
            };
            entries.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
            entries.extend((count as u32).to_le_bytes());
            if content.len() <= 4 {
                entries.extend([content.as_slice(), &[0; 4]].concat().into_iter().take(4));
            } else {
                entries.extend((bytes.len() as u32).to_le_bytes());
                bytes.extend(content);
            }
        }
        let place = (bytes.len() as u32).to_le_bytes();
        bytes[link..link + 4].copy_from_slice(&place);
        bytes.extend(((entries.len() / 12) as u16).to_le_bytes());
        bytes.extend(entries);
        link = bytes.len();
        bytes.extend([0; 4]);
    }
    bytes
}

fn opened(bytes: &[u8]) -> Study {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    std::fs::write(&path, bytes).unwrap();
    load(&path).unwrap()
}

fn values(study: &Study) -> Vec<f32> {
    study.slice(0).unwrap().values()
}

fn ramp() -> Vec<u8> {
    (0..=255).collect()
}

#[test]
fn palettes_give_their_colours() {
    // Index i is red i, green 0, blue 255 − i.
    let part = |value: fn(u16) -> u16| (0..256).map(move |i| value(i) * 257);
    let map: Vec<u16> = part(|i| i).chain(part(|_| 0)).chain(part(|i| 255 - i)).collect();
    let study = opened(&tiff(&[(&[(PHOTOMETRIC, Shorts(vec![3])), (COLOUR_MAP, Shorts(map))], &ramp())]));
    let wanted: Vec<f32> = (0..256).map(|i| (0.299 * i as f32 + 0.114 * (255 - i) as f32).round()).collect();
    assert_eq!(values(&study), wanted);
    assert_eq!(study.slice(0).unwrap().warnings, [Warning::ColourToGrey]);
    // Four bits: two indices in a byte, sixteen greys.
    let greys: Vec<u16> = (0..3).flat_map(|_| (0..16).map(|i| i * 17 * 257)).collect();
    let tags = [(PHOTOMETRIC, Shorts(vec![3])), (COLOUR_MAP, Shorts(greys)), (BITS, Shorts(vec![4]))];
    let packed: Vec<u8> = (0..AREA / 2).map(|i| (i % 8 * 0x22 + 1) as u8).collect();
    let study = opened(&tiff(&[(&tags, &packed)]));
    assert_eq!(&values(&study)[..4], [0.0, 17.0, 34.0, 51.0]);
}

#[test]
fn zstandard_is_unpacked() {
    // A frame of one block that is stored as it is (RFC 8878, 3.1.1): magic number, one segment of 256 bytes, last block, raw.
    let mut packed = vec![0x28, 0xb5, 0x2f, 0xfd, 0x60, 0x00, 0x00, 0x01, 0x08, 0x00];
    packed.extend(ramp());
    let study = opened(&tiff(&[(&[(COMPRESSION, Shorts(vec![50_000]))], &packed)]));
    assert_eq!(values(&study), ramp().into_iter().map(f32::from).collect::<Vec<_>>());
}

#[test]
fn slices_of_sixteen_bits_share_one_window() {
    let deep = |factor: u16| -> Vec<u8> { (0..AREA as u16).flat_map(|v| (v * factor).to_le_bytes()).collect() };
    let (dark, bright) = (deep(1), deep(10));
    let tags = [(BITS, Shorts(vec![16]))];
    let check = |study: &Study| {
        let windows = [0, 1].map(|at| study.slice(at).unwrap().default_window());
        assert_eq!(windows[0], windows[1]);
        // The brightest pixel of the dark slice, 255, is a tenth of the bright one's, 2550, which all but meets the window's end.
        let brightest = study.slice(0).unwrap().grey().into_iter().fold(0.0, f32::max);
        assert!((24.0..27.0).contains(&brightest), "{brightest}");
    };
    check(&opened(&tiff(&[(&tags, &dark), (&tags, &bright)])));
    let folder = tempfile::tempdir().unwrap();
    for (name, pixels) in [("P12_1.tif", &dark), ("P12_2.tif", &bright)] {
        std::fs::write(folder.path().join(name), tiff(&[(&tags, pixels)])).unwrap();
    }
    let files = ["P12_1.tif", "P12_2.tif"].map(|name| folder.path().join(name)).to_vec();
    check(&open(Source::Slices { files, grouping: Grouping::Name }).unwrap());
}

#[test]
fn inks_become_light() {
    let pixels: Vec<u8> = (0..AREA).flat_map(|i| [0, 0, 0, i as u8]).collect();
    let tags = [(PHOTOMETRIC, Shorts(vec![5])), (SAMPLES, Shorts(vec![4])), (BITS, Shorts(vec![8; 4]))];
    let wanted: Vec<f32> = (0..AREA).map(|i| 255.0 - i as f32).collect();
    assert_eq!(values(&opened(&tiff(&[(&tags, &pixels)]))), wanted);
}

#[test]
fn tiles_by_plane_are_put_together() {
    let side = 32usize;
    // Four tiles of 16×16 for red, as many for green and blue; each of one value.
    let value = |plane: usize, tile: usize| (60 * plane + 10 * tile + 5) as u8;
    let pixels: Vec<u8> = (0..12).flat_map(|i| [value(i / 4, i % 4); AREA]).collect();
    let tags = [
        (256, Longs(vec![side as u32])),
        (257, Longs(vec![side as u32 - 6])),
        (PHOTOMETRIC, Shorts(vec![2])),
        (SAMPLES, Shorts(vec![3])),
        (BITS, Shorts(vec![8; 3])),
        (PLANAR, Shorts(vec![2])),
        (TILE_SIDES[0], Longs(vec![SIDE])),
        (TILE_SIDES[1], Longs(vec![SIDE])),
        (TILE_OFFSETS, Longs((0..12).map(|i| i * AREA as u32).collect())),
        (TILE_BYTES, Longs(vec![AREA as u32; 12])),
    ];
    let slice = opened(&tiff(&[(&tags, &pixels)])).slice(0).unwrap();
    assert_eq!((slice.width(), slice.height()), (32, 26));
    for (tile, (x, y)) in [(3, 3), (20, 3), (3, 20), (20, 20)].into_iter().enumerate() {
        let [red, green, blue] = [0, 1, 2].map(|plane| f32::from(value(plane, tile)));
        let wanted = (0.299 * red + 0.587 * green + 0.114 * blue).round();
        assert_eq!(slice.value(x, y), Some(wanted), "tile {tile}");
    }
}

#[test]
fn thumbnails_are_no_pages() {
    let small =
        tiff(&[(&[], &ramp()), (&[(SUBFILE, Longs(vec![1]))], &[7; AREA]), (&[(SUBFILE, Longs(vec![4]))], &[0; AREA])]);
    let study = opened(&small);
    assert_eq!((study.count(), values(&study)[9]), (1, 9.0));
    // Before its picture as well.
    let before = opened(&tiff(&[(&[(SUBFILE, Longs(vec![1]))], &[7; AREA]), (&[], &ramp())]));
    assert_eq!((before.count(), values(&before)[9]), (1, 9.0));
    // A folder of such files is a stack as one of plain files is.
    let folder = tempfile::tempdir().unwrap();
    for number in 1..=3 {
        std::fs::write(folder.path().join(format!("p_{number}.tif")), &small).unwrap();
    }
    let found = paths::expand(&[folder.path().to_path_buf()], &|| false);
    assert!(found.errors.is_empty(), "{:?}", found.errors);
    assert!(found.sources.into_iter().all(|source| lesionlens::io::open(source).is_ok()));
}

#[test]
fn orientation_notes_turn_and_never_mirror() {
    let turned = |orientation: u16| {
        let resolution = [
            (ORIENTATION, Shorts(vec![orientation])),
            (296, Shorts(vec![3])),
            (X_RESOLUTION, Ratio(20, 1)),
            (Y_RESOLUTION, Ratio(10, 1)),
        ];
        opened(&tiff(&[(&resolution, &ramp())])).slice(0).unwrap()
    };
    let corners = |orientation: u16| {
        let slice = turned(orientation);
        [(0, 0), (15, 0), (0, 15), (15, 15)].map(|(x, y)| slice.value(x, y).unwrap())
    };
    assert_eq!(corners(1), [0.0, 15.0, 240.0, 255.0]);
    assert_eq!(corners(3), [255.0, 240.0, 15.0, 0.0]);
    // Six: the first row is the right-hand side.
    assert_eq!(corners(6), [240.0, 0.0, 255.0, 15.0]);
    assert_eq!(corners(8), [15.0, 255.0, 0.0, 240.0]);
    let spacing = |orientation| turned(orientation).spacing.map(|s| (s.row_mm, s.column_mm));
    assert_eq!((spacing(1), spacing(6)), (Some((1.0, 0.5)), Some((0.5, 1.0))), "sides are turned with the picture");
    for mirrored in [2, 4, 5, 7] {
        assert_eq!(corners(mirrored), corners(1));
        assert_eq!(turned(mirrored).warnings, [Warning::MirrorIgnored]);
    }
}

#[test]
fn stacks_of_imagej_are_whole_and_measured() {
    let planes: Vec<u8> = (0..3u8).flat_map(|plane| [10 * plane; AREA]).collect();
    let description = "ImageJ=1.53t\nimages=3\nslices=3\nunit=mm\n";
    let tags = [(DESCRIPTION, Text(description)), (X_RESOLUTION, Ratio(2, 1)), (Y_RESOLUTION, Ratio(4, 3))];
    let study = opened(&tiff(&[(&tags, &planes)]));
    let greys: Vec<f32> = (0..study.count()).map(|page| study.slice(page).unwrap().values()[0]).collect();
    assert_eq!(greys, [0.0, 10.0, 20.0]);
    let spacing = study.slice(2).unwrap().spacing.unwrap();
    assert_eq!((spacing.row_mm, spacing.column_mm), (0.75, 0.5));
    // With a directory for each, the description adds none.
    let each = opened(&tiff(&[(&tags, &[1; AREA]), (&[], &[2; AREA]), (&[], &[3; AREA])]));
    assert_eq!(each.count(), 3);
    assert_eq!(opened(&tiff(&[(&tags, &[1; AREA])])).count(), 1, "a picture taken out of its stack");
    // Pages that are promised and not there are told.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.tif");
    let promised = [(DESCRIPTION, Text("ImageJ=1.53t\nimages=30\n"))];
    std::fs::write(&path, tiff(&[(&promised, &planes)])).unwrap();
    assert!(load(&path).unwrap_err().to_string().contains("ends before the picture does"));
}
