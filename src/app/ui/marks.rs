//! What is drawn over any plane: the patient's sides, and where the planes cross.

use crate::app::theme;
use crate::domain::slice::Slice;
use egui::{Align2, Color32, FontId, Painter, Pos2, Rect, Stroke, vec2};

/// Sides of the patient at the edges of the viewport, where the study tells.
pub fn sides(painter: &Painter, slice: &Slice, viewport: Rect) {
    let Some(orientation) = slice.orientation else { return };
    let inside = viewport.shrink(12.0);
    let places = [
        (inside.left_center(), Align2::LEFT_CENTER),
        (inside.right_center(), Align2::RIGHT_CENTER),
        (inside.center_top(), Align2::CENTER_TOP),
        (inside.center_bottom(), Align2::CENTER_BOTTOM),
    ];
    for (text, (at, align)) in orientation.marks().into_iter().zip(places) {
        let galley = painter.layout_no_wrap(text, FontId::proportional(17.0), theme::MARK);
        let rect = align.anchor_size(at, galley.size());
        painter.rect_filled(rect.expand2(vec2(5.0, 1.0)), 4, Color32::from_black_alpha(120));
        painter.galley(rect.min, galley, theme::MARK);
    }
}

/// Two thin lines that leave the place itself free.
pub fn crosshair(painter: &Painter, rect: Rect, at: Pos2) {
    let stroke = Stroke::new(1.0, theme::MARK.gamma_multiply(0.6));
    let free = 6.0;
    painter.hline(rect.left()..=at.x - free, at.y, stroke);
    painter.hline(at.x + free..=rect.right(), at.y, stroke);
    painter.vline(at.x, rect.top()..=at.y - free, stroke);
    painter.vline(at.x, at.y + free..=rect.bottom(), stroke);
}
