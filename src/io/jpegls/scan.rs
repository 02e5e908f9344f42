//! One scan of JPEG-LS (T.87, Annex A): each sample is foreseen from its neighbours, and the error of that is coded by what is known of
//! such surroundings.

use super::bits::Bits;
use super::{MAX_COMPONENTS, Picture};
use crate::io::error::Problem;

/// Exponents of the lengths of runs (A.2.1).
const RUN_BITS: [u32; 32] =
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15];
/// Surroundings that are told apart, besides those of runs.
const CONTEXTS: usize = 365;
/// Bounds of the correction of what is foreseen.
const CORRECTIONS: std::ops::RangeInclusive<i32> = -128..=127;

/// Parameters that a file may preset (C.2.4.1.1); 0 where the default holds.
#[derive(Debug, Clone, Copy)]
pub struct Thresholds {
    pub max: i32,
    pub steps: [i32; 3],
    pub reset: i32,
}

/// Statistics of the errors in one kind of surroundings.
#[derive(Debug, Clone, Copy)]
struct Context {
    /// Sums of the errors' sizes and of the errors, and the number of them.
    size: i32,
    bias: i32,
    count: i32,
    correction: i32,
}

/// Statistics of the errors at the ends of runs, for one kind of end.
#[derive(Debug, Clone, Copy)]
struct RunContext {
    size: i32,
    count: i32,
    negative: i32,
}

pub struct Scan {
    near: i32,
    max: i32,
    steps: [i32; 3],
    reset: i32,
    /// Number of different errors, and the bits of one.
    range: i32,
    error_bits: u32,
    limit: i32,
    contexts: Vec<Context>,
    runs: [RunContext; 2],
    /// By component, place in [`RUN_BITS`].
    run_index: [usize; MAX_COMPONENTS],
    /// Components of the frame that this scan holds.
    places: Vec<usize>,
}

impl Scan {
    pub fn new(bits: u32, near: i32, presets: Option<Thresholds>, places: Vec<usize>) -> Result<Self, Problem> {
        let set = |value: fn(&Thresholds) -> i32| presets.as_ref().map(value).filter(|value| *value > 0);
        let max = set(|t| t.max).unwrap_or((1 << bits) - 1);
        if near > max / 2 || near > 255 {
            return Err(Problem::Damaged("its error bound is beyond its values".into()));
        }
        let defaults = default_steps(max, near);
        let steps = [
            set(|t| t.steps[0]).unwrap_or(defaults[0]),
            set(|t| t.steps[1]).unwrap_or(defaults[1]),
            set(|t| t.steps[2]).unwrap_or(defaults[2]),
        ];
        let range = (max + 2 * near) / (2 * near + 1) + 1;
        let error_bits = ceil_log2(range);
        let sample_bits = ceil_log2(max + 1).max(2) as i32;
        let size = ((range + 32) / 64).max(2);
        Ok(Self {
            near,
            max,
            steps,
            reset: set(|t| t.reset).unwrap_or(64),
            range,
            error_bits,
            limit: 2 * (sample_bits + sample_bits.max(8)),
            contexts: vec![Context { size, bias: 0, count: 1, correction: 0 }; CONTEXTS],
            runs: [RunContext { size, count: 1, negative: 0 }; 2],
            run_index: [0; MAX_COMPONENTS],
            places,
        })
    }

    /// Decodes the scan into `picture`; returns its length in bytes. `interleave` is 0 for one component, 1 for lines and 2 for samples
    /// of several.
    pub fn decode(mut self, interleave: u8, data: &[u8], picture: &mut Picture) -> Result<usize, Problem> {
        let mut bits = Bits::new(data);
        let (width, components) = (picture.width, self.places.len());
        if interleave > 2 || (interleave == 0 && components != 1) {
            return Err(Problem::Damaged("its components are mixed in no known way".into()));
        }
        // A line has one more sample at its left and at its right than the picture.
        let mut above = vec![vec![0; width + 2]; components];
        let mut line = above.clone();
        for y in 0..picture.height {
            for (line, above) in line.iter_mut().zip(&mut above) {
                above[width + 1] = above[width];
                line[0] = above[1];
            }
            match interleave {
                2 => self.mixed_line(&mut bits, &above, &mut line)?,
                _ => {
                    for (component, (line, above)) in line.iter_mut().zip(&above).enumerate() {
                        self.line(&mut bits, component, above, line)?;
                    }
                }
            }
            for (place, line) in self.places.iter().zip(&line) {
                let row = picture.samples[y * width * picture.components..].iter_mut();
                let own = row.skip(*place).step_by(picture.components);
                own.zip(&line[1..=width]).for_each(|(sample, value)| *sample = *value as u16);
            }
            std::mem::swap(&mut above, &mut line);
        }
        Ok(bits.taken())
    }

    fn line(&mut self, bits: &mut Bits, component: usize, above: &[i32], line: &mut [i32]) -> Result<(), Problem> {
        let width = line.len() - 2;
        let mut x = 1;
        while x <= width {
            let around = Around::of(above, line, x);
            let q = around.gradients().map(|d| self.step(d));
            if q != [0; 3] {
                line[x] = self.sample(bits, &around, q)?;
                x += 1;
                continue;
            }
            let length = self.run(bits, component, width + 1 - x)?;
            let left = line[x - 1];
            line[x..x + length].fill(left);
            x += length;
            if x <= width {
                let kind = usize::from((left - above[x]).abs() <= self.near);
                line[x] = self.end_of_run(bits, component, kind, left, above[x])?;
                self.run_index[component] = self.run_index[component].saturating_sub(1);
                x += 1;
            }
        }
        Ok(())
    }

    /// A line of several components, sample by sample: runs are common to them.
    fn mixed_line(&mut self, bits: &mut Bits, above: &[Vec<i32>], line: &mut [Vec<i32>]) -> Result<(), Problem> {
        let width = line[0].len() - 2;
        let mut x = 1;
        while x <= width {
            let around: Vec<Around> =
                above.iter().zip(&*line).map(|(above, line)| Around::of(above, line, x)).collect();
            let steps: Vec<[i32; 3]> = around.iter().map(|a| a.gradients().map(|d| self.step(d))).collect();
            if steps.iter().any(|q| *q != [0; 3]) {
                for (component, (around, q)) in around.iter().zip(steps).enumerate() {
                    line[component][x] = self.sample(bits, around, q)?;
                }
                x += 1;
                continue;
            }
            let length = self.run(bits, 0, width + 1 - x)?;
            for line in line.iter_mut() {
                let left = line[x - 1];
                line[x..x + length].fill(left);
            }
            x += length;
            if x <= width {
                for (line, above) in line.iter_mut().zip(above) {
                    line[x] = self.end_of_run(bits, 0, 0, line[x - 1], above[x])?;
                }
                self.run_index[0] = self.run_index[0].saturating_sub(1);
                x += 1;
            }
        }
        Ok(())
    }

    /// A difference of neighbours in nine steps (A.3.3).
    fn step(&self, difference: i32) -> i32 {
        let size = difference.abs();
        let step = match self.steps.iter().position(|step| size < *step) {
            Some(0) if size <= self.near => 0,
            Some(step) => step as i32 + 1,
            None => 4,
        };
        step * difference.signum()
    }

    /// A sample outside runs (A.4 to A.6).
    fn sample(&mut self, bits: &mut Bits, around: &Around, q: [i32; 3]) -> Result<i32, Problem> {
        let index = (q[0] * 9 + q[1]) * 9 + q[2];
        let sign = if index < 0 { -1 } else { 1 };
        let context = self.contexts[index.unsigned_abs() as usize];
        let foreseen = (around.foreseen() + sign * context.correction).clamp(0, self.max);
        let k = exponent(context.count, context.size);
        let code = self.code(bits, k, self.limit)?;
        let is_turned = self.near == 0 && k == 0 && 2 * context.bias <= -context.count;
        let error = match (code & 1 == 1, is_turned) {
            (false, false) => code / 2,
            (true, false) => -(code + 1) / 2,
            (true, true) => (code - 1) / 2,
            (false, true) => -(code / 2) - 1,
        };
        self.contexts[index.unsigned_abs() as usize] = context.learned(error, self.near, self.reset);
        Ok(self.restored(foreseen, sign * error))
    }

    /// Length of a run of at most `room` samples (A.7.1).
    fn run(&mut self, bits: &mut Bits, component: usize, room: usize) -> Result<usize, Problem> {
        let index = &mut self.run_index[component];
        let mut length = 0;
        while bits.bit()? {
            let whole = 1usize << RUN_BITS[*index];
            let part = whole.min(room - length);
            length += part;
            if part == whole {
                *index = (*index + 1).min(RUN_BITS.len() - 1);
            }
            if length == room {
                return Ok(length);
            }
        }
        length += bits.number(RUN_BITS[*index])? as usize;
        // What ends the run is a sample of this line.
        if length < room { Ok(length) } else { Err(Problem::Damaged("a run is longer than its line".into())) }
    }

    /// The sample that ends a run (A.7.2). `kind` is 1 when its left and upper neighbours are alike.
    fn end_of_run(
        &mut self,
        bits: &mut Bits,
        component: usize,
        kind: usize,
        left: i32,
        above: i32,
    ) -> Result<i32, Problem> {
        let context = self.runs[kind];
        let is_alike = kind as i32;
        let k = exponent(context.count, context.size + is_alike * (context.count >> 1));
        let limit = self.limit - RUN_BITS[self.run_index[component]] as i32 - 1;
        let code = self.code(bits, k, limit)?;
        let odd = (code + is_alike) & 1;
        let size = (code + is_alike + odd) / 2;
        let is_negative = (k != 0 || 2 * context.negative >= context.count) == (odd == 1);
        let error = if is_negative { -size } else { size };
        self.runs[kind] = context.learned(error, (code + 1 - is_alike) >> 1, self.reset);
        let sign = if kind == 0 && left > above { -1 } else { 1 };
        Ok(self.restored(if kind == 1 { left } else { above }, sign * error))
    }

    /// A code of limited length (A.5.3).
    fn code(&self, bits: &mut Bits, k: u32, limit: i32) -> Result<i32, Problem> {
        let longest = limit - self.error_bits as i32 - 1;
        let code = match bits.zeros(longest)? {
            high if high < longest => (high << k) + bits.number(k)?,
            _ => bits.number(self.error_bits)? + 1,
        };
        match code <= 2 * self.range {
            true => Ok(code),
            false => Err(Problem::Damaged("an error is beyond the scale".into())),
        }
    }

    /// A value by what was foreseen and the error of that, both taken round the end of the scale (A.4.5).
    fn restored(&self, foreseen: i32, error: i32) -> i32 {
        let whole = self.range * (2 * self.near + 1);
        let value = foreseen + error * (2 * self.near + 1);
        let value = match value {
            value if value < -self.near => value + whole,
            value if value > self.max + self.near => value - whole,
            value => value,
        };
        value.clamp(0, self.max)
    }
}

/// Neighbours of a sample: left, above, above left, above right.
struct Around {
    a: i32,
    b: i32,
    c: i32,
    d: i32,
}

impl Around {
    fn of(above: &[i32], line: &[i32], x: usize) -> Self {
        Self { a: line[x - 1], b: above[x], c: above[x - 1], d: above[x + 1] }
    }

    fn gradients(&self) -> [i32; 3] {
        [self.d - self.b, self.b - self.c, self.c - self.a]
    }

    /// The sample by its neighbours: along an edge, or on their plane (A.4.1).
    fn foreseen(&self) -> i32 {
        let (low, high) = (self.a.min(self.b), self.a.max(self.b));
        match self.c {
            c if c >= high => low,
            c if c <= low => high,
            c => self.a + self.b - c,
        }
    }
}

impl Context {
    /// After one more error (A.6).
    fn learned(self, error: i32, near: i32, reset: i32) -> Self {
        let mut next = self;
        next.bias += error * (2 * near + 1);
        next.size += error.abs();
        if next.count == reset {
            next.size >>= 1;
            next.bias = if next.bias >= 0 { next.bias >> 1 } else { -((1 - next.bias) >> 1) };
            next.count >>= 1;
        }
        next.count += 1;
        if next.bias <= -next.count {
            next.bias = (next.bias + next.count).max(1 - next.count);
            next.correction = (next.correction - 1).max(*CORRECTIONS.start());
        } else if next.bias > 0 {
            next.bias = (next.bias - next.count).min(0);
            next.correction = (next.correction + 1).min(*CORRECTIONS.end());
        }
        next
    }
}

impl RunContext {
    /// After one more error (A.7.2).
    fn learned(self, error: i32, size: i32, reset: i32) -> Self {
        let mut next = self;
        next.negative += i32::from(error < 0);
        next.size += size;
        if next.count == reset {
            next.size >>= 1;
            next.count >>= 1;
            next.negative >>= 1;
        }
        next.count += 1;
        next
    }
}

/// The least exponent by which `count` reaches `size`.
fn exponent(count: i32, size: i32) -> u32 {
    (0..24).find(|k| i64::from(count) << k >= i64::from(size)).unwrap_or(24)
}

fn ceil_log2(n: i32) -> u32 {
    (n - 1).max(1).ilog2() + 1
}

/// Where differences of neighbours begin to count as another step (C.2.4.1.1.1).
fn default_steps(max: i32, near: i32) -> [i32; 3] {
    let bounded = |value: i32, least: i32| if value > max || value < least { least } else { value };
    let [first, second, third] = match max >= 128 {
        true => {
            let factor = (max.min(4095) + 128) >> 8;
            [factor + 2 + 3 * near, factor * 4 + 3 + 5 * near, factor * 17 + 4 + 7 * near]
        }
        false => {
            let factor = 256 / (max + 1);
            [(3 / factor + 3 * near).max(2), (7 / factor + 5 * near).max(3), (21 / factor + 7 * near).max(4)]
        }
    };
    let first = bounded(first, near + 1);
    let second = bounded(second, first);
    [first, second, bounded(third, second)]
}
