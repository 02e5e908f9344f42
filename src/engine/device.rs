//! Where networks run.

use candle_core::Device;

/// The user's wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// A GPU when this build can use one and there is one, else the CPU.
    #[default]
    Auto,
    Cpu,
    Cuda,
    Metal,
}

impl DeviceChoice {
    pub const ALL: [DeviceChoice; 4] = [DeviceChoice::Auto, DeviceChoice::Cpu, DeviceChoice::Cuda, DeviceChoice::Metal];

    /// The choices that this build can follow.
    pub fn built() -> Vec<DeviceChoice> {
        let can = |choice: &DeviceChoice| match choice {
            DeviceChoice::Auto | DeviceChoice::Cpu => true,
            DeviceChoice::Cuda => candle_core::utils::cuda_is_available(),
            DeviceChoice::Metal => candle_core::utils::metal_is_available(),
        };
        Self::ALL.into_iter().filter(can).collect()
    }

    pub fn label(self) -> &'static str {
        match self {
            DeviceChoice::Auto => "auto",
            DeviceChoice::Cpu => "cpu",
            DeviceChoice::Cuda => "cuda",
            DeviceChoice::Metal => "metal",
        }
    }
}

/// The device that was found, with a notice when it is not the one that was asked for.
pub struct Opened {
    pub device: Device,
    pub notice: Option<String>,
}

/// Opens the wanted device or falls back to the CPU.
pub fn open(choice: DeviceChoice) -> Opened {
    let cpu = |notice| Opened { device: Device::Cpu, notice };
    let fallback = |name: &str, why: String| cpu(Some(format!("{name} is not available ({why}); running on the CPU")));
    match choice {
        DeviceChoice::Cpu => cpu(None),
        DeviceChoice::Cuda => cuda().map_or_else(|why| fallback("CUDA", why), |device| Opened { device, notice: None }),
        DeviceChoice::Metal => {
            metal().map_or_else(|why| fallback("Metal", why), |device| Opened { device, notice: None })
        }
        DeviceChoice::Auto => match cuda().or_else(|_| metal()) {
            Ok(device) => Opened { device, notice: None },
            Err(_) => cpu(None),
        },
    }
}

fn cuda() -> Result<Device, String> {
    if !candle_core::utils::cuda_is_available() {
        return Err("this build has no CUDA support".into());
    }
    // Without a driver candle's CUDA set-up may panic instead of failing.
    std::panic::catch_unwind(|| Device::new_cuda(0))
        .map_err(|_| "no CUDA driver".to_string())?
        .map_err(|e| e.to_string())
}

fn metal() -> Result<Device, String> {
    if !candle_core::utils::metal_is_available() {
        return Err("this build has no Metal support".into());
    }
    Device::new_metal(0).map_err(|e| e.to_string())
}

/// "cpu", "cuda" or "metal".
pub fn name(device: &Device) -> &'static str {
    match device {
        Device::Cpu => "cpu",
        Device::Cuda(_) => "cuda",
        Device::Metal(_) => "metal",
    }
}
