//! The colors that the network gives to labels.

const COLORS: [&str; 20] = [
    "#ff9485", "#64c4ff", "#ffd429", "#dfaef0", "#99b6c1", "#55ccb3", "#ff9dff", "#d3a91d", "#6d7cce", "#d7e752",
    "#00d0e2", "#ffc5c7", "#93ceac", "#f74848", "#00a0f2", "#83e422", "#ffaf04", "#b5ebff", "#9ba6ff", "#9368cf",
];

/// The color at a place.
#[must_use]
pub fn hex(place: u8) -> Option<&'static str> {
    COLORS.get(usize::from(place)).copied()
}

/// The place of a color.
#[must_use]
pub fn place(hex: &str) -> Option<u8> {
    let place = COLORS.iter().position(|color| color.eq_ignore_ascii_case(hex))?;
    u8::try_from(place).ok()
}
