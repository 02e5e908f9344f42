//! AVX2 with FMA: eight f32 lanes, sixteen registers.

use super::lanes::f32_lanes;
use super::{Kernel, Tile, accumulate_tile, depthwise, kernel, winograd};
use std::arch::x86_64::*;

f32_lanes!(__m256, 8;
    splat _mm256_set1_ps, load _mm256_loadu_ps, store _mm256_storeu_ps, add _mm256_add_ps, subtract _mm256_sub_ps,
    // The sum stands second because a NaN there is kept.
    clamp |sum, lower, upper| _mm256_min_ps(upper, _mm256_max_ps(lower, sum)),
    multiply_add _mm256_fmadd_ps);

kernel!(__m256, f32, needs "avx2,fma";
    2 => [1, 2, 3, 4, 5, 6],
    1 => [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
