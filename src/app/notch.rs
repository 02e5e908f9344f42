//! How many wheel events one notch of a mouse wheel makes.
//!
//! On an X server whose devices have no scroll axes, as Xvfb's and some remote desktops' have none, winit 0.30 tells of the press and of
//! the release of a wheel button as a turn each (mended upstream in winit's pull request 4386).

/// Events for each notch: two on such X servers, else one.
#[cfg(target_os = "linux")]
pub fn events() -> f32 {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_x11 = is_set("DISPLAY") && !is_set("WAYLAND_DISPLAY") && !is_set("WAYLAND_SOCKET");
    // A server that cannot be asked is taken for a usual one.
    if is_x11 && has_scroll_axes() == Some(false) { 2.0 } else { 1.0 }
}

#[cfg(not(target_os = "linux"))]
pub fn events() -> f32 {
    1.0
}

/// Whether any pointer device of the X server says that it scrolls (XInput 2.1, XIScrollClass).
#[cfg(target_os = "linux")]
fn has_scroll_axes() -> Option<bool> {
    use x11rb::protocol::xinput::{ConnectionExt as _, Device, DeviceClassData};
    let (connection, _) = x11rb::connect(None).ok()?;
    connection.xinput_xi_query_version(2, 1).ok()?.reply().ok()?;
    let devices = connection.xinput_xi_query_device(u16::from(Device::ALL)).ok()?.reply().ok()?;
    let mut classes = devices.infos.iter().flat_map(|device| &device.classes);
    Some(classes.any(|class| matches!(class.data, DeviceClassData::Scroll(_))))
}
