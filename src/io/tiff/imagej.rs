//! What ImageJ writes into the description of a TIFF: lines of names and values.

/// Statements of a description.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// Pictures in the file. Behind the first they may lie without a directory of their own.
    pub images: usize,
    /// mm of the unit that resolutions count, where it is one of length.
    pub unit_mm: Option<f64>,
}

impl Description {
    /// `None` for a description by any other program.
    pub fn parse(text: &str) -> Option<Self> {
        let value =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::trim);
        if !text.starts_with("ImageJ=") {
            return None;
        }
        let unit_mm = match value("unit").unwrap_or_default() {
            "mm" | "millimeter" => Some(1.0),
            "cm" => Some(10.0),
            "um" | "µm" | "\u{3bc}m" | "\\u00B5m" | "micron" | "microns" => Some(0.001),
            "inch" => Some(25.4),
            _ => None,
        };
        Some(Self { images: value("images").and_then(|n| n.parse().ok()).unwrap_or(1), unit_mm })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_read() {
        let description = Description::parse("ImageJ=1.53t\nimages=6\nslices=6\nunit=mm\nspacing=3.0\n");
        assert_eq!(description, Some(Description { images: 6, unit_mm: Some(1.0) }));
        assert_eq!(Description::parse("ImageJ=1.11a\n"), Some(Description { images: 1, unit_mm: None }));
        assert_eq!(Description::parse("images=6\n"), None);
    }
}
