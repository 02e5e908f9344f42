//! Ctrl+C in commands that train.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that Ctrl+C raises: training stops after the step in hand, with a checkpoint. A second Ctrl+C ends the program at once; the last
/// checkpoint stays.
///
/// # Errors
/// If the signal cannot be caught.
pub fn on_ctrl_c() -> Result<Arc<AtomicBool>, ctrlc::Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("stopping after this step; press again to stop at once");
    })?;
    Ok(stop)
}
