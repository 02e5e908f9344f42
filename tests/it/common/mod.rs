//! What several test files need.

pub mod dicom;
pub mod nifti;

use lesionlens::domain::phantom::{Lesion, Phantom};
use lesionlens::export::png;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A part of the real images beside the checkout. Tests that need one are ignored where there is none (`has_shared`, set by `build.rs`).
pub fn shared(part: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(part);
    assert!(path.exists(), "{} is not here", path.display());
    path
}

/// Runs the program in `home`, with its own empty data and settings folders.
pub fn lesionlens(home: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lesionlens"))
        .args(args)
        .current_dir(home)
        .env("HOME", home)
        .env("XDG_DATA_HOME", home.join("data"))
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .output()
        .unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The phantom as an 8-bit PNG.
pub fn phantom_png(path: &Path) {
    let (slice, _) = Phantom::example().draw();
    std::fs::write(path, png::slice(&slice).unwrap()).unwrap();
}

/// An `lgg`-style folder of drawn heads: `patients` × `slices`, every second slice with a lesion. Returns file, patient and whether
/// there is a lesion.
pub fn labelled_folder(folder: &Path, side: usize, patients: u32, slices: u32) -> Vec<(String, String, bool)> {
    std::fs::create_dir_all(folder.join("images")).unwrap();
    std::fs::create_dir_all(folder.join("masks")).unwrap();
    let mut list = String::from("file,patient,slice,tumor_pixels\n");
    let mut names = Vec::new();
    for patient in 0..patients {
        for index in 0..slices {
            let place = (patient * 4 + index) as f32;
            let lesion = Lesion { x: 0.35 * place.sin(), y: 0.4 * (place * 1.7).cos(), radius: 0.24 };
            let positive = index % 2 == 0;
            let (slice, mask) = Phantom { side, seed: patient, lesion: positive.then_some(lesion) }.draw();
            let name = format!("p{patient}_{index}.png");
            std::fs::write(folder.join("images").join(&name), png::slice(&slice).unwrap()).unwrap();
            std::fs::write(folder.join("masks").join(&name), png::mask(&mask).unwrap()).unwrap();
            list += &format!("{name},p{patient},{index},{}\n", mask.area());
            names.push((name, format!("p{patient}"), positive));
        }
    }
    std::fs::write(folder.join("slices.csv"), list).unwrap();
    names
}

/// 348 bytes of header, 4 of extension, voxels.
pub fn nifti(size: [i16; 4], kind: i16, voxels: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = vec![0; 352];
    bytes[..4].copy_from_slice(&348i32.to_le_bytes());
    let dims = if size[3] > 1 { 4i16 } else { 3 };
    for (i, n) in [dims, size[0], size[1], size[2], size[3], 1, 1, 1].into_iter().enumerate() {
        bytes[40 + 2 * i..42 + 2 * i].copy_from_slice(&n.to_le_bytes());
    }
    bytes[70..72].copy_from_slice(&kind.to_le_bytes());
    bytes[108..112].copy_from_slice(&352f32.to_le_bytes());
    for axis in 0..4 {
        bytes[76 + 4 * axis..80 + 4 * axis].copy_from_slice(&1f32.to_le_bytes());
    }
    bytes[344..348].copy_from_slice(b"n+1\0");
    change(&mut bytes);
    bytes.extend_from_slice(voxels);
    bytes
}
