//! NEON: four f32 lanes, thirty-two registers.

use super::lanes::f32_lanes;
use super::{Kernel, Tile, accumulate_tile, depthwise, kernel, winograd};
use std::arch::aarch64::*;

f32_lanes!(float32x4_t, 4;
    splat vdupq_n_f32, load vld1q_f32, store vst1q_f32, add vaddq_f32, subtract vsubq_f32,
    // The sum stands second because a NaN there is kept.
    clamp |sum, lower, upper| vminq_f32(upper, vmaxq_f32(lower, sum)),
    multiply_add |a, b, sum| vfmaq_f32(sum, a, b));

kernel!(float32x4_t, f32, needs "neon";
    4 => [1, 2, 3, 4, 5, 6],
    2 => [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    1 => [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
