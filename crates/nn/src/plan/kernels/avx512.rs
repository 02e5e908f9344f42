//! AVX-512 F: sixteen f32 lanes, thirty-two registers.

use super::lanes::f32_lanes;
use super::{Kernel, Tile, accumulate_tile, depthwise, kernel, winograd};
use std::arch::x86_64::*;

f32_lanes!(__m512, 16;
    splat _mm512_set1_ps, load _mm512_loadu_ps, store _mm512_storeu_ps, add _mm512_add_ps, subtract _mm512_sub_ps,
    // The sum stands second because a NaN there is kept.
    clamp |sum, lower, upper| _mm512_min_ps(upper, _mm512_max_ps(lower, sum)),
    multiply_add _mm512_fmadd_ps);

kernel!(__m512, f32, needs "avx512f";
    4 => [1, 2, 3, 4, 5, 6],
    2 => [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    1 => [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
