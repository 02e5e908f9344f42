//! Which instructions this processor has, and which of them are used.

use super::kernels::{self, Kernel};
use crate::graph::{Graph, Op, Shape};
use half::bf16;
use std::fmt;
use std::sync::OnceLock;

/// Names the path in the environment, for tests and for comparing.
pub const VARIABLE: &str = "LESIONLENS_ISA";

/// A way to run networks on the CPU, fastest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isa {
    /// bf16 products summed in f32.
    Avx512Bf16,
    Avx512,
    Avx2,
    Neon,
    /// Whatever the compiler makes of plain code.
    Portable,
}

/// Why a path cannot be forced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IsaError {
    #[error("`{name}` is no instruction set; choose one of {}", names(&Isa::ALL))]
    Unknown { name: String },
    #[error("this processor has no {isa}; it has {}", names(&Isa::available()))]
    Missing { isa: Isa },
    #[error("{forced} is forced already; choose one instruction set for the whole run")]
    Forced { forced: Isa },
}

fn names(all: &[Isa]) -> String {
    all.iter().map(|isa| isa.id()).collect::<Vec<_>>().join(", ")
}

/// A set of kernels that this processor can run, with the number format they work in.
pub(super) enum Kernels {
    F32(&'static Kernel<f32>),
    Bf16(&'static Kernel<bf16>),
}

/// The path that this process was told to take.
static FORCED: OnceLock<Isa> = OnceLock::new();

impl Isa {
    pub const ALL: [Isa; 5] = [Isa::Avx512Bf16, Isa::Avx512, Isa::Avx2, Isa::Neon, Isa::Portable];

    /// The name on the command line and in [`VARIABLE`].
    pub fn id(self) -> &'static str {
        match self {
            Isa::Avx512Bf16 => "avx512-bf16",
            Isa::Avx512 => "avx512",
            Isa::Avx2 => "avx2",
            Isa::Neon => "neon",
            Isa::Portable => "portable",
        }
    }

    /// Those that this processor can run, fastest first; never empty.
    pub fn available() -> Vec<Isa> {
        Self::ALL.into_iter().filter(|isa| isa.kernels().is_some()).collect()
    }

    /// The kernels, if the processor has the instructions.
    pub(super) fn kernels(self) -> Option<Kernels> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => (std::is_x86_feature_detected!("avx512f")
                && std::is_x86_feature_detected!("avx512bf16")
                && std::is_x86_feature_detected!("avx512bw")
                && std::is_x86_feature_detected!("avx512vl"))
            .then_some(Kernels::Bf16(&kernels::avx512_bf16::KERNEL)),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => std::is_x86_feature_detected!("avx512f").then_some(Kernels::F32(&kernels::avx512::KERNEL)),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => (std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma"))
                .then_some(Kernels::F32(&kernels::avx2::KERNEL)),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Some(Kernels::F32(&kernels::neon::KERNEL)),
            Isa::Portable => Some(Kernels::F32(&kernels::portable::KERNEL)),
            _ => None,
        }
    }

    /// Whether activations and weights are kept in bf16.
    pub fn is_half(self) -> bool {
        self == Isa::Avx512Bf16
    }

    /// What a network runs on: the forced path, else the fastest that keeps its answers.
    ///
    /// A class probability in bf16 stays within 5e-3 of the one in f32. A map does not: where probabilities cross the threshold
    /// slowly, enough pixels change sides for masks to differ (pooled Dice 0.996 over 34 slices of the 17 test patients, less on small lesions), so maps
    /// are computed in f32 unless bf16 is forced. So are networks of depthwise convolutions, whose thin layers round more often and
    /// gain little.
    pub fn for_network(graph: &Graph) -> Isa {
        if let Some(forced) = Self::forced() {
            return forced;
        }
        let is_thin = graph.nodes().iter().any(|node| matches!(node.op, Op::DepthwiseConv { .. }));
        match graph.output_shape() {
            Shape::Vector { .. } if !is_thin => Self::available()[0],
            _ => Self::exact(),
        }
    }

    /// The fastest that computes in f32.
    pub fn exact() -> Isa {
        Self::available().into_iter().find(|isa| !isa.is_half()).unwrap_or(Isa::Portable)
    }

    /// The path that this process was told to take.
    pub fn forced() -> Option<Isa> {
        FORCED.get().copied()
    }

    /// Fixes the path of this process by name, for the networks that are built from now on.
    pub fn force(name: &str) -> Result<(), IsaError> {
        let isa = Self::ALL.into_iter().find(|isa| isa.id() == name);
        let isa = isa.ok_or_else(|| IsaError::Unknown { name: name.to_string() })?;
        if isa.kernels().is_none() {
            return Err(IsaError::Missing { isa });
        }
        let forced = *FORCED.get_or_init(|| isa);
        if forced == isa { Ok(()) } else { Err(IsaError::Forced { forced }) }
    }

    /// Obeys [`VARIABLE`] if it is set.
    pub fn force_from_environment() -> Result<(), IsaError> {
        match std::env::var(VARIABLE) {
            Ok(name) if !name.is_empty() => Self::force(&name),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}
