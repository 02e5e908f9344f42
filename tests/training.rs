//! Training on a few drawn heads: it learns, it stops and goes on as if it had not, and it refuses what it must.

use lesionlens::domain::phantom::{Lesion, Phantom};
use lesionlens::export::png;
use lesionlens::nn::exec::Parameters;
use lesionlens::train::checkpoint::RunFolder;
use lesionlens::train::dataset::Dataset;
use lesionlens::train::error::TrainError;
use lesionlens::train::fit::{EpochRecord, Fit, Observer};
use lesionlens::train::recipe::{Phase, Recipe, Schedule};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

const SIDE: usize = 32;

/// Twelve patients of four slices each, half of them with a lesion.
fn data(folder: &Path) {
    std::fs::create_dir_all(folder.join("images")).unwrap();
    std::fs::create_dir_all(folder.join("masks")).unwrap();
    let mut list = String::from("file,patient,slice,tumor_pixels\n");
    for patient in 0..12u32 {
        for index in 0..4u32 {
            let place = (patient * 4 + index) as f32;
            let lesion = Lesion { x: 0.35 * place.sin(), y: 0.4 * (place * 1.7).cos(), radius: 0.24 };
            let phantom = Phantom { side: SIDE, seed: patient, lesion: (index % 2 == 0).then_some(lesion) };
            let (slice, mask) = phantom.draw();
            let name = format!("p{patient}_{index}.png");
            std::fs::write(folder.join("images").join(&name), png::slice(&slice).unwrap()).unwrap();
            std::fs::write(folder.join("masks").join(&name), png::mask(&mask).unwrap()).unwrap();
            list.push_str(&format!("{name},p{patient},{index},{}\n", mask.area()));
        }
    }
    std::fs::write(folder.join("slices.csv"), list).unwrap();
}

fn recipe(epochs: usize) -> Recipe {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/lgg-resunet.toml");
    let mut recipe = Recipe::read(&path).unwrap();
    recipe.input.side = SIDE;
    recipe.sampling.negatives = 1.0;
    recipe.ema = 0.9;
    recipe.phases = vec![Phase { epochs, side: SIDE, batch: 8, learning_rate: 3e-3, schedule: Schedule::OneCycle }];
    recipe
}

/// Raises the flag after so many steps.
struct Stopper<'a> {
    steps: usize,
    stop_at: Option<usize>,
    stop: &'a AtomicBool,
}

impl Observer for Stopper<'_> {
    fn step(&mut self, _: usize, _: usize, _: usize, _: usize, _: f64) {
        self.steps += 1;
        if self.stop_at == Some(self.steps) {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    fn epoch(&mut self, _: &EpochRecord) {}
}

fn run(
    data: &Dataset,
    recipe: &Recipe,
    folder: &Path,
    stop_at: Option<usize>,
    resume: bool,
) -> Result<Parameters, TrainError> {
    let parts = data.split(&recipe.split).unwrap();
    let device = candle_core::Device::Cpu;
    std::fs::create_dir_all(folder).unwrap();
    let run_folder = RunFolder(folder.to_path_buf());
    let fit = if resume {
        Fit::resume(recipe, data, &parts, &device, run_folder)?
    } else {
        Fit::new(recipe, data, &parts, &device, run_folder, None)?
    };
    let stop = AtomicBool::new(false);
    let (best, history) = fit.run(&mut Stopper { steps: 0, stop_at, stop: &stop }, &stop)?;
    // It learns: the last epoch is better than the first.
    assert!(history[history.len() - 1].loss < 0.95 * history[0].loss, "{history:?}");
    Ok(best)
}

fn same(a: &Parameters, b: &Parameters) -> bool {
    let values = |p: &Parameters, name: &String| p[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    a.len() == b.len() && a.keys().all(|name| values(a, name) == values(b, name))
}

#[test]
fn a_run_that_was_stopped_ends_with_the_very_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    data(folder.path());
    let (data, recipe) = (Dataset::open(folder.path()).unwrap(), recipe(2));
    let whole = run(&data, &recipe, &folder.path().join("whole"), None, false).unwrap();
    // Stopped in the middle of the second epoch and resumed.
    let broken = folder.path().join("broken");
    let stopped = run(&data, &recipe, &broken, Some(6), false);
    assert!(matches!(stopped, Err(TrainError::Interrupted(_))));
    let resumed = run(&data, &recipe, &broken, None, true).unwrap();
    assert!(same(&whole, &resumed));
    // Another recipe may not continue it.
    let other = Recipe { seed: 8, ..recipe };
    assert!(matches!(run(&data, &other, &broken, None, true), Err(TrainError::File { .. })));
}

#[test]
fn patients_are_never_in_two_parts_and_bad_data_is_named() {
    let folder = tempfile::tempdir().unwrap();
    data(folder.path());
    let recipe = recipe(1);
    let set = Dataset::open(folder.path()).unwrap();
    let parts = set.split(&recipe.split).unwrap();
    let lists = [set.patients(&parts.train), set.patients(&parts.validation), set.patients(&parts.test)];
    assert_eq!(lists.iter().map(Vec::len).sum::<usize>(), 12);
    assert!(lists.iter().all(|l| !l.is_empty()));
    assert!(lists[0].iter().all(|p| !lists[1].contains(p) && !lists[2].contains(p)));
    assert!(lists[1].iter().all(|p| !lists[2].contains(p)));

    std::fs::remove_file(folder.path().join("masks/p3_0.png")).unwrap();
    let error = Dataset::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("p3_0.png"), "{error}");
    std::fs::write(folder.path().join("masks/p3_0.png"), b"no picture").unwrap();
    assert!(Dataset::open(folder.path()).unwrap_err().to_string().contains("p3_0.png"));
}
