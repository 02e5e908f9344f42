//! Line plots as SVG, for reports, and as PNG.

use super::{ExportError, png};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;
use std::sync::Once;

/// A named line.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub name: String,
    /// (x, y); values that are no numbers leave a gap.
    pub points: Vec<(f64, f64)>,
}

/// A plot of one or more lines over common axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    pub x_range: [f64; 2],
    pub y_range: [f64; 2],
    pub series: Vec<Series>,
    /// A grey line from the lower left to the upper right corner: chance, or perfect calibration.
    pub diagonal: bool,
}

/// Distinguishable to colour-blind readers (Okabe & Ito 2008).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

const FONT: &str = "sans-serif";

impl Plot {
    /// The least and largest of all values with a little room, for axes that have no natural ends.
    pub fn range(values: impl IntoIterator<Item = f64>) -> [f64; 2] {
        let finite = values.into_iter().filter(|v| v.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        if low > high {
            return [0.0, 1.0];
        }
        let room = ((high - low) * 0.05).max(1e-3);
        [low - room, high + room]
    }

    /// As an SVG element, to stand in a page.
    pub fn svg(&self, width: u32, height: u32) -> Result<String, ExportError> {
        let mut text = String::new();
        self.draw(&SVGBackend::with_string(&mut text, (width, height)).into_drawing_area())?;
        Ok(text)
    }

    /// As a PNG file's bytes.
    pub fn png(&self, width: u32, height: u32) -> Result<Vec<u8>, ExportError> {
        let mut pixels = vec![0; (width * height * 3) as usize];
        self.draw(&BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area())?;
        let (pixels, _) = pixels.as_chunks::<3>();
        png::rgb(width as usize, height as usize, pixels)
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), ExportError> {
        static REGISTERED: Once = Once::new();
        // The font the window uses: a plot needs none from the system.
        REGISTERED.call_once(|| {
            register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT).ok();
        });
        self.try_draw(area).map_err(|e| ExportError::Plot(e.to_string()))
    }

    fn try_draw<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        area.fill(&WHITE)?;
        let ([left, right], [bottom, top]) = (self.x_range, self.y_range);
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .caption(&self.title, (FONT, 18))
            .x_label_area_size(36)
            .y_label_area_size(48)
            .build_cartesian_2d(left..right, bottom..top)?;
        chart
            .configure_mesh()
            .x_desc(&self.x_label)
            .y_desc(&self.y_label)
            .label_style((FONT, 13))
            .axis_desc_style((FONT, 14))
            .light_line_style(TRANSPARENT)
            .draw()?;
        if self.diagonal {
            chart.draw_series(LineSeries::new([(left, bottom), (right, top)], RGBColor(160, 160, 160)))?;
        }
        for (series, colour) in self.series.iter().zip(COLOURS.into_iter().cycle()) {
            let style = ShapeStyle::from(colour).stroke_width(2);
            for part in series.points.split(|(x, y)| !x.is_finite() || !y.is_finite()) {
                chart.draw_series(LineSeries::new(part.iter().copied(), style).point_size(if part.len() < 40 {
                    2
                } else {
                    0
                }))?;
            }
            chart
                .draw_series(std::iter::once(PathElement::new(Vec::new(), style)))?
                .label(&series.name)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], style));
        }
        if self.series.len() > 1 {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::LowerRight)
                .label_font((FONT, 13))
                .background_style(WHITE.mix(0.8))
                .draw()?;
        }
        area.present()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot() -> Plot {
        Plot {
            title: "Loss".into(),
            x_label: "epoch".into(),
            y_label: "loss".into(),
            x_range: [0.0, 2.0],
            y_range: Plot::range([1.0, 0.5, f64::NAN]),
            series: vec![Series { name: "a".into(), points: vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 0.5)] }],
            diagonal: false,
        }
    }

    #[test]
    fn a_plot_draws_its_lines_in_both_formats() {
        let svg = plot().svg(400, 300).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("Loss") && svg.contains("epoch"), "{svg}");
        let blue = |pixels: &[u8]| pixels.as_chunks::<3>().0.iter().filter(|p| **p == [0, 114, 178]).count();
        let decoded = image::load_from_memory(&plot().png(400, 300).unwrap()).unwrap().into_rgb8();
        assert_eq!(decoded.dimensions(), (400, 300));
        assert!(blue(decoded.as_raw()) > 0, "the line's colour is in the picture");
    }

    #[test]
    fn ranges_have_room_and_survive_nothing() {
        assert_eq!(Plot::range([]), [0.0, 1.0]);
        assert_eq!(Plot::range([0.0, 2.0]), [-0.1, 2.1]);
        let [low, high] = Plot::range([3.0]);
        assert!(low < 3.0 && high > 3.0);
    }
}
