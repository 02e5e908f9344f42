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
    v.weak_text_color = Some(Color32::from_rgb(150, 160, 172));
    finish(v, Color32::from_rgb(48, 54, 64))
}

fn light() -> Visuals {
    let mut v = Visuals::light();
    v.panel_fill = Color32::from_rgb(244, 246, 249);
    v.window_fill = Color32::from_rgb(252, 253, 254);
    v.extreme_bg_color = Color32::WHITE;
    v.faint_bg_color = Color32::from_rgb(233, 237, 242);
    v.override_text_color = Some(Color32::from_rgb(30, 36, 44));
    v.weak_text_color = Some(Color32::from_rgb(86, 94, 104));
    let mut v = finish(v, Color32::from_rgb(208, 214, 222));
    // Amber, coral and sky blue are too pale on white.
    v.warn_fg_color = Color32::from_rgb(140, 86, 0);
    v.error_fg_color = Color32::from_rgb(184, 40, 32);
    v.hyperlink_color = Color32::from_rgb(18, 98, 180);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance (WCAG 2.1).
    fn luminance(colour: Color32) -> f64 {
        let linear = |v: u8| {
            let v = f64::from(v) / 255.0;
            if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(colour.r()) + 0.7152 * linear(colour.g()) + 0.0722 * linear(colour.b())
    }

    fn contrast(a: Color32, b: Color32) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn contrast_by_hand() {
        assert!((contrast(Color32::WHITE, Color32::BLACK) - 21.0).abs() < 1e-9);
        // #767676 on white is the well-known limit of 4.54.
        assert!((contrast(Color32::from_gray(0x76), Color32::WHITE) - 4.54).abs() < 0.005);
    }

    /// Every text colour on everything that text stands on, in both themes.
    #[test]
    fn text_stands_out_in_both_themes() {
        for (name, v) in [("dark", dark()), ("light", light())] {
            let inks = [v.text_color(), v.weak_text_color(), v.warn_fg_color, v.error_fg_color, v.hyperlink_color];
            let papers = [v.panel_fill, v.window_fill, v.extreme_bg_color, v.faint_bg_color];
            for ink in inks {
                assert_eq!(ink.a(), 255, "a translucent colour has no contrast of its own");
                for paper in papers {
                    let found = contrast(ink, paper);
                    assert!(found >= 4.5, "{name}: {ink:?} on {paper:?} is {found:.2}");
                }
            }
            // Chosen entries and buttons.
            for fill in [v.selection.bg_fill, v.widgets.inactive.weak_bg_fill, v.widgets.hovered.weak_bg_fill] {
                let paper = v.panel_fill.blend(fill);
                let found = contrast(v.text_color(), paper);
                assert!(found >= 4.5, "{name}: text on {paper:?} is {found:.2}");
            }
        }
        for ink in [VIEWPORT_TEXT, MARK, MEASURE] {
            assert!(contrast(ink, VIEWPORT) >= 4.5, "{ink:?} on the viewport");
        }
    }
}
