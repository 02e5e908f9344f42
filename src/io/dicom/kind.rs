//! What tells apart frames that lie in one place but do not show the same: echo, diffusion weighting, magnitude or phase, time.

use super::functional_groups::Groups;
use super::values::{first_item, number_of, numbers};
use dicom_dictionary_std::tags;
use dicom_object::{InMemDicomObject, Tag};

/// b-values of two vendors, whose files do not carry the standard's attribute.
const SIEMENS_B_VALUE: Tag = Tag(0x0019, 0x100C);
const GE_B_VALUE: Tag = Tag(0x0043, 0x1039);
/// GE adds a flag above the digits of the b-value.
const GE_FLAG: f64 = 1e5;

/// Dimensions of a multi-frame file that say where a frame lies, not what it shows.
const PLACES: [Tag; 4] =
    [tags::IN_STACK_POSITION_NUMBER, tags::STACK_ID, tags::IMAGE_POSITION_PATIENT, tags::IMAGE_ORIENTATION_PATIENT];

/// Everything that frames of one volume share, in the order in which volumes are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind {
    /// ImageType or FrameType from its third value on: `M` and `P` are magnitude and phase.
    image: Vec<String>,
    /// ComplexImageComponent (0008,9208).
    component: Option<String>,
    /// Echo and inversion time in µs, b-value in thousandths of s/mm².
    echo: Option<i64>,
    inversion: Option<i64>,
    b_value: Option<i64>,
    /// TemporalPositionIndex or TemporalPositionIdentifier.
    time: Option<i64>,
    /// DimensionIndexValues (0020,9157) that are not of a place.
    dimensions: Vec<i64>,
}

impl Kind {
    pub fn of(groups: &Groups) -> Self {
        let image = [
            groups.text(tags::MR_IMAGE_FRAME_TYPE_SEQUENCE, tags::FRAME_TYPE),
            groups.text(tags::CT_IMAGE_FRAME_TYPE_SEQUENCE, tags::FRAME_TYPE),
            groups.text(tags::MR_IMAGE_FRAME_TYPE_SEQUENCE, tags::IMAGE_TYPE),
        ];
        let image = image.into_iter().flatten().next().unwrap_or_default();
        let first = |group: Tag, tag: Tag| groups.numbers(group, tag).first().copied();
        let thousandths = |value: f64| (value * 1000.0).round() as i64;
        let echo = first(tags::MR_ECHO_SEQUENCE, tags::EFFECTIVE_ECHO_TIME)
            .or_else(|| first(tags::MR_ECHO_SEQUENCE, tags::ECHO_TIME))
            .or_else(|| first(tags::MR_ECHO_SEQUENCE, tags::ECHO_NUMBERS));
        let b_value = first(tags::MR_DIFFUSION_SEQUENCE, tags::DIFFUSION_B_VALUE)
            .or_else(|| number_of(groups.object, SIEMENS_B_VALUE))
            .or_else(|| number_of(groups.object, GE_B_VALUE).map(|value| value % GE_FLAG));
        let time = [tags::TEMPORAL_POSITION_INDEX, tags::TEMPORAL_POSITION_IDENTIFIER]
            .into_iter()
            .find_map(|tag| first(tags::FRAME_CONTENT_SEQUENCE, tag));
        Self {
            image: image.split('\\').skip(2).map(|part| part.trim().to_string()).collect(),
            component: groups.text(tags::MR_IMAGE_FRAME_TYPE_SEQUENCE, tags::COMPLEX_IMAGE_COMPONENT),
            echo: echo.map(thousandths),
            inversion: first(tags::MR_MODIFIER_SEQUENCE, tags::INVERSION_TIME).map(thousandths),
            b_value: b_value.map(thousandths),
            time: time.map(|value| value as i64),
            dimensions: dimensions(groups),
        }
    }
}

/// A frame's indices in the dimensions of its file (PS3.3 C.7.6.17), without those that count places.
fn dimensions(groups: &Groups) -> Vec<i64> {
    let pointers: Vec<Option<Tag>> = groups
        .object
        .get(tags::DIMENSION_INDEX_SEQUENCE)
        .and_then(|element| element.items())
        .unwrap_or_default()
        .iter()
        .map(|item: &InMemDicomObject| item.get(tags::DIMENSION_INDEX_POINTER)?.value().to_tag().ok())
        .collect();
    let content = groups.own.and_then(|own| first_item(own, tags::FRAME_CONTENT_SEQUENCE));
    let values = content.map(|item| numbers(item, tags::DIMENSION_INDEX_VALUES)).unwrap_or_default();
    let is_place = |pointer: &Option<Tag>| pointer.is_none_or(|tag| PLACES.contains(&tag));
    pointers.iter().zip(values).filter(|(pointer, _)| !is_place(pointer)).map(|(_, value)| value as i64).collect()
}
