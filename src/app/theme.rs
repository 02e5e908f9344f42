//! Colours, spacing and fonts: the one place where the look is decided.

use super::state::ThemeChoice;
use egui::{Color32, CornerRadius, FontFamily, FontId, Stroke, TextStyle, Theme, ThemePreference, Visuals, vec2};

pub const ACCENT: Color32 = Color32::from_rgb(56, 151, 240);
pub const DANGER: Color32 = Color32::from_rgb(236, 86, 76);
/// Colour of answers below a threshold. It is no green: nothing here is an all-clear.
pub const NEUTRAL: Color32 = Color32::from_rgb(128, 141, 158);
pub const CAUTION: Color32 = Color32::from_rgb(224, 162, 52);
/// Behind the scan in either theme: pictures are judged on black.
pub const VIEWPORT: Color32 = Color32::from_rgb(8, 9, 11);
/// Sides of the patient, and what the reader measured.
pub const MARK: Color32 = Color32::from_rgb(255, 214, 102);
pub const MEASURE: Color32 = Color32::from_rgb(255, 214, 102);
pub const VIEWPORT_TEXT: Color32 = Color32::from_rgb(205, 214, 224);

/// Sets fonts and both themes; called once.
pub fn install(ctx: &egui::Context) {
    let mut fonts = egui::FontDefinitions::default();
    // Arrows and triangles are only in the monospace font.
    if let Some(family) = fonts.families.get_mut(&FontFamily::Proportional) {
        family.push("Hack".into());
    }
    ctx.set_fonts(fonts);
    ctx.set_visuals_of(Theme::Dark, dark());
    ctx.set_visuals_of(Theme::Light, light());
    ctx.all_styles_mut(|style| {
        style.text_styles = [
            (TextStyle::Small, FontId::proportional(11.5)),
            (TextStyle::Body, FontId::proportional(14.0)),
            (TextStyle::Button, FontId::proportional(14.0)),
            (TextStyle::Heading, FontId::proportional(17.0)),
            (TextStyle::Monospace, FontId::monospace(12.5)),
        ]
        .into();
        style.spacing.item_spacing = vec2(8.0, 6.0);
        style.spacing.button_padding = vec2(9.0, 4.0);
        // A bar that appears under the pointer never covers what it scrolls.
        style.spacing.scroll.floating_allocated_width = style.spacing.scroll.bar_width;
        style.spacing.interact_size.y = 24.0;
        style.interaction.selectable_labels = false;
    });
}

pub fn choose(ctx: &egui::Context, choice: ThemeChoice) {
    ctx.set_theme(match choice {
        ThemeChoice::Dark => ThemePreference::Dark,
        ThemeChoice::Light => ThemePreference::Light,
    });
}

fn dark() -> Visuals {
    let mut v = Visuals::dark();
    v.panel_fill = Color32::from_rgb(22, 25, 30);
    v.window_fill = Color32::from_rgb(28, 32, 38);
    v.extreme_bg_color = Color32::from_rgb(13, 15, 18);
    v.faint_bg_color = Color32::from_rgb(30, 34, 41);
    v.override_text_color = Some(Color32::from_rgb(218, 224, 232));
    finish(v, Color32::from_rgb(48, 54, 64))
}

fn light() -> Visuals {
    let mut v = Visuals::light();
    v.panel_fill = Color32::from_rgb(244, 246, 249);
    v.window_fill = Color32::from_rgb(252, 253, 254);
    v.extreme_bg_color = Color32::WHITE;
    v.faint_bg_color = Color32::from_rgb(233, 237, 242);
    v.override_text_color = Some(Color32::from_rgb(30, 36, 44));
    let mut v = finish(v, Color32::from_rgb(208, 214, 222));
    // Amber is too pale on white.
    v.warn_fg_color = Color32::from_rgb(150, 92, 0);
    v
}

fn finish(mut v: Visuals, line: Color32) -> Visuals {
    let radius = CornerRadius::same(6);
    for widget in [
        &mut v.widgets.noninteractive,
        &mut v.widgets.inactive,
        &mut v.widgets.hovered,
        &mut v.widgets.active,
        &mut v.widgets.open,
    ] {
        widget.corner_radius = radius;
    }
    v.widgets.noninteractive.bg_stroke = Stroke::new(1.0, line);
    v.selection.bg_fill = ACCENT.gamma_multiply(0.55);
    v.selection.stroke = Stroke::new(1.0, ACCENT);
    v.hyperlink_color = ACCENT;
    v.window_corner_radius = CornerRadius::same(10);
    v.warn_fg_color = CAUTION;
    v.error_fg_color = DANGER;
    v
}
