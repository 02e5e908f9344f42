//! What the DICOM file of the slice on show says before its pixels, with a search.

use super::dialog::{Foot, Outcome};
use crate::app::App;
use crate::io::dicom::Attribute;
use egui::{Label, RichText, ScrollArea, TextEdit, Ui};
use rust_i18n::t;

/// Width of the columns of tag, kind and name, in points.
const COLUMNS: [f32; 3] = [104.0, 28.0, 230.0];
const INDENT: f32 = 14.0;

pub fn show(app: &mut App, ui: &mut Ui, is_top: bool) -> Outcome {
    let Some((path, attributes)) = &app.tags else { return Outcome::Closed };
    let fields = &mut app.fields;
    let name = ("tags", t!("tags.title").into_owned());
    super::dialog::show(
        ui,
        name,
        is_top,
        |window| window.default_size([680.0, 460.0]),
        |ui| {
            let hint = t!("tags.search");
            let field = TextEdit::singleline(&mut fields.tag_search).hint_text(hint.clone()).desired_width(320.0);
            let response = ui.add(field).accessible_name(hint);
            fields.focus.give(&response);
            let wanted = fields.tag_search.trim().to_lowercase();
            let found: Vec<&Attribute> = attributes.iter().filter(|attribute| matches(attribute, &wanted)).collect();
            let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            ui.weak(t!("tags.found", n = found.len(), count = attributes.len(), file = file));
            let height = ui.text_style_height(&egui::TextStyle::Body);
            let area = ScrollArea::both().auto_shrink(false).max_height(super::dialog_height(ui));
            area.show_rows(ui, height, found.len(), |ui, rows| {
                found[rows].iter().for_each(|attribute| row(ui, attribute, height));
            });
            Foot::Close
        },
    )
}

/// Whether an attribute's tag, name or value holds the text, which is in lower case.
fn matches(attribute: &Attribute, text: &str) -> bool {
    let tag = attribute.tag.to_lowercase();
    let plain = tag.replace(['(', ')', ','], "");
    [tag, plain, attribute.name.to_lowercase(), attribute.value.to_lowercase()].iter().any(|part| part.contains(text))
}

fn row(ui: &mut Ui, attribute: &Attribute, height: f32) {
    let private = || t!("tags.private").into_owned();
    let name = if attribute.name.is_empty() { private() } else { attribute.name.clone() };
    ui.horizontal(|ui| {
        ui.add_space(INDENT * attribute.depth as f32);
        let cells = [RichText::new(&attribute.tag).monospace(), RichText::new(&attribute.representation).weak()];
        for (text, width) in cells.into_iter().chain([RichText::new(name)]).zip(COLUMNS) {
            ui.scope(|ui| {
                ui.set_max_width(width);
                ui.set_min_size(egui::vec2(width, height));
                ui.add(Label::new(text).truncate());
            });
        }
        ui.add(Label::new(&attribute.value).selectable(true).extend());
    });
}
