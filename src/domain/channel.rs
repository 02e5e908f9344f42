//! Channels of colour pictures.

/// Mean difference between a pixel's largest and smallest channel, of 255, up to which a picture counts as grey.
pub const LEAST_SPREAD: f32 = 1.0;

/// One of the three channels of a colour picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    Red,
    Green,
    Blue,
}

impl Channel {
    pub const ALL: [Channel; 3] = [Channel::Red, Channel::Green, Channel::Blue];

    /// Number of the channel in the picture, from 1.
    pub fn number(self) -> usize {
        self as usize + 1
    }
}
