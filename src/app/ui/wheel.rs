//! How many slices the wheel or a touchpad was turned by.

use egui::{Id, Ui};

/// Touchpad travel that moves on by one slice.
const POINTS_PER_SLICE: f32 = 24.0;

/// Slices that the wheel was turned by over `response`: one for each notch.
pub fn turned(ui: &Ui, response: &egui::Response, events_per_notch: f32) -> isize {
    if response.hovered() { wheel(ui, events_per_notch) } else { 0 }
}

/// Slices that the wheel was turned by since the last frame: down goes on.
fn wheel(ui: &Ui, events_per_notch: f32) -> isize {
    let travel = |event: &egui::Event| match event {
        egui::Event::MouseWheel { unit: egui::MouseWheelUnit::Line, delta, modifiers, .. } if modifiers.is_none() => {
            -delta.y / events_per_notch
        }
        // A touchpad: a slice every few points.
        egui::Event::MouseWheel { delta, modifiers, .. } if modifiers.is_none() => -delta.y / POINTS_PER_SLICE,
        _ => 0.0,
    };
    let id = Id::unique("wheel");
    let before: f32 = ui.data(|d| d.get_temp(id)).unwrap_or_default();
    let turned = before + ui.input(|i| i.events.iter().map(travel).sum::<f32>());
    // What is left of a slice counts towards the next one.
    ui.data_mut(|d| d.insert_temp(id, turned.fract()));
    turned.trunc() as isize
}
