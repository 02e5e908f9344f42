//! Operators that move values: shapes, slices, frames. Most exporters' ones only say where axes stand.

use super::array::Array;
use super::proto::Attribute;
use super::reader::{Axis, CHANNELS_FIRST, CHANNELS_LAST, Call, Flow, Reader, Standing, VECTOR, Value};
use crate::graph::{NodeId, Op, Padding, Role, Shape, Window};

fn flow(id: NodeId, standing: Standing) -> Value {
    Value::Flow(Flow { id, standing })
}

fn plain(axes: &[Axis]) -> Standing {
    Standing::Plain(axes.to_vec())
}

/// Place of an axis that may be counted from the end.
fn axis_of(axis: i64, rank: usize) -> Result<usize, String> {
    let place = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    usize::try_from(place).ok().filter(|place| *place < rank).ok_or_else(|| format!("axis {axis} of {rank}"))
}

impl Reader<'_> {
    /// `None` for other operators.
    pub fn reshaping(&mut self, call: &Call) -> Option<Result<Value, String>> {
        Some(match call.node.operator.as_str() {
            "Identity" | "Dropout" | "Cast" => call.flow(0).map(Value::Flow),
            "Shape" => call.flow(0).map(|flow| {
                let sides: Vec<i64> = self.sides(&flow).into_iter().map(|side| side as i64).collect();
                let rank = sides.len() as i64;
                let place = |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank) as usize;
                let (start, end) = (place(call.integer("start", 0)), place(call.integer("end", rank)));
                Value::Constant(Array::list(sides[start..end.max(start)].to_vec()))
            }),
            "Transpose" => self.transpose(call),
            "Reshape" => self.reshape(call),
            "Flatten" => self.flatten(call),
            "Squeeze" | "Unsqueeze" => self.squeeze(call),
            "Concat" => self.concat(call),
            "Slice" => self.slice(call),
            "Pad" => self.pad(call),
            "ReduceMean" | "ReduceMax" => self.reduce(call),
            "DepthToSpace" => self.depth_to_space(call),
            _ => return None,
        })
    }

    fn transpose(&mut self, call: &Call) -> Result<Value, String> {
        let x = call.flow(0)?;
        let rank = self.sides(&x).len();
        let order = call.integers("perm").unwrap_or_else(|| (0..rank as i64).rev().collect());
        let order: Vec<usize> = order.iter().map(|axis| axis_of(*axis, rank)).collect::<Result<_, _>>()?;
        let standing = match x.standing {
            Standing::Plain(axes) if order.len() == axes.len() && order.first() == Some(&0) => {
                Standing::Plain(order.iter().map(|axis| axes[*axis]).collect())
            }
            Standing::Table { groups, turned } if order == [0, 2, 1, 3, 4] => {
                Standing::Table { groups, turned: !turned }
            }
            _ => return Err(format!("an order of axes that is not known here ({order:?})")),
        };
        Ok(flow(x.id, standing))
    }

    /// The vector that the file sees when it reads all values in its order.
    fn flat(&mut self, call: &Call, x: &Flow) -> Result<Value, String> {
        let (shape, mut id) = (self.builder.shape(x.id), x.id);
        let Standing::Plain(axes) = &x.standing else { return Err("flattens channels that stand in groups".into()) };
        let Shape::Image { height, width, .. } = shape else { return Ok(flow(id, plain(&VECTOR))) };
        if (height, width) == (1, 1) {
            // The mean of a map is a vector at once.
            if let Some((Op::AveragePool { window }, from)) = self.ops.get(&id).cloned()
                && let Shape::Image { height, width, .. } = self.builder.shape(from[0])
                && window == Window::new([height, width], [1; 2], Padding::Valid)
            {
                return Ok(flow(self.push(call, "", Op::GlobalAveragePool, &from), plain(&VECTOR)));
            }
            return Ok(flow(self.push(call, "", Op::Flatten, &[id]), plain(&VECTOR)));
        }
        let place = |axis: &Axis| match axis {
            Axis::Row => Some(0),
            Axis::Column => Some(1),
            Axis::Channel => Some(2),
            Axis::Batch => None,
        };
        let order: Vec<usize> = axes.iter().filter_map(place).collect();
        let order: [usize; 3] = order.try_into().map_err(|_| "flattens a map without all its axes".to_string())?;
        if order != [0, 1, 2] {
            id = self.push(call, "order", Op::Permute { axes: order }, &[id]);
        }
        Ok(flow(self.push(call, "", Op::Flatten, &[id]), plain(&VECTOR)))
    }

    fn flatten(&mut self, call: &Call) -> Result<Value, String> {
        let x = call.flow(0)?;
        let rank = self.sides(&x).len();
        if axis_of(call.integer("axis", 1), rank)? != 1 {
            return Err("flattens from another axis than the channels".into());
        }
        self.flat(call, &x)
    }

    fn reshape(&mut self, call: &Call) -> Result<Value, String> {
        let x = call.flow(0)?;
        let told = call.list("shape", 1).ok_or("does not say its shape as a constant")?;
        let from = self.sides(&x);
        let total: usize = from.iter().product();
        let mut to: Vec<usize> = Vec::new();
        for (at, side) in told.iter().enumerate() {
            to.push(match side {
                0 if call.integer("allowzero", 0) == 0 => *from.get(at).ok_or("copies a side that is not there")?,
                -1 => 0,
                side => usize::try_from(*side).map_err(|_| format!("side {side}"))?,
            });
        }
        let known = to.iter().filter(|side| **side > 0).try_fold(1usize, |all, side| all.checked_mul(*side));
        let known = known.filter(|known| *known <= total).ok_or("has a larger shape than its values make")?;
        for side in to.iter_mut().filter(|side| **side == 0) {
            *side = total / known.max(1);
        }
        let whole = to.iter().try_fold(1usize, |all, side| all.checked_mul(*side));
        if whole != Some(total) {
            return Err(format!("{from:?} does not become {to:?}"));
        }
        // Exporters that fix the batch may join it with the first axis.
        if to == from {
            return Ok(Value::Flow(x));
        }
        let is_map = matches!(&x.standing, Standing::Plain(axes) if *axes == CHANNELS_FIRST);
        match (to.as_slice(), &x.standing) {
            (&[1, _], Standing::Plain(_)) => self.flat(call, &x),
            // Where there is one channel, tf2onnx moves its axis by a reshape.
            (&[1, height, width, 1], _) if is_map && from == [1, 1, height, width] => {
                Ok(flow(x.id, plain(&CHANNELS_LAST)))
            }
            (&[1, 1, height, width], Standing::Plain(axes))
                if *axes == CHANNELS_LAST && from == [1, height, width, 1] =>
            {
                Ok(flow(x.id, plain(&CHANNELS_FIRST)))
            }
            (&[1, groups, each, height, width], _)
                if is_map
                    && from == [1, total / height.max(1) / width.max(1), height, width]
                    && groups > 0
                    && each > 0 =>
            {
                Ok(flow(x.id, Standing::Table { groups, turned: false }))
            }
            (&[1, groups, _], _) if is_map && groups > 0 && from[1].is_multiple_of(groups) => {
                Ok(flow(x.id, Standing::Grouped { groups }))
            }
            (&[1, channels, height, width], Standing::Table { groups, turned })
                if (channels, height, width) == (from[1] * from[2], from[3], from[4]) =>
            {
                let id =
                    if *turned { self.push(call, "", Op::ShuffleChannels { groups: *groups }, &[x.id]) } else { x.id };
                Ok(flow(id, plain(&CHANNELS_FIRST)))
            }
            (&[1, channels, height, width], Standing::Grouped { .. })
                if self.builder.shape(x.id) == (Shape::Image { height, width, channels }) =>
            {
                Ok(flow(x.id, plain(&CHANNELS_FIRST)))
            }
            (&[1, channels, height, width], Standing::Plain(axes)) if *axes == VECTOR => {
                if (height, width) == (1, 1) {
                    let shape = Shape::Image { height, width, channels };
                    return Ok(flow(self.push(call, "", Op::Reshape { shape }, &[x.id]), plain(&CHANNELS_FIRST)));
                }
                let shape = Shape::Image { height: channels, width: height, channels: width };
                let id = self.push(call, "values", Op::Reshape { shape }, &[x.id]);
                let id = self.push(call, "", Op::Permute { axes: [1, 2, 0] }, &[id]);
                Ok(flow(id, plain(&CHANNELS_FIRST)))
            }
            _ => Err(format!("{from:?} to {to:?} is not known here")),
        }
    }

    fn squeeze(&mut self, call: &Call) -> Result<Value, String> {
        let x = call.flow(0)?;
        let sides = self.sides(&x);
        let axes = call.list("axes", 1).unwrap_or_default();
        let is_pixel = sides.len() == 4 && sides[2..] == [1, 1];
        match (call.node.operator.as_str(), sides.len()) {
            ("Squeeze", 4) if is_pixel && x.standing == plain(&CHANNELS_FIRST) => {
                let mut wanted: Vec<usize> = axes.iter().map(|axis| axis_of(*axis, 4)).collect::<Result<_, _>>()?;
                wanted.sort_unstable();
                if wanted == [2, 3] { self.flat(call, &x) } else { Err(format!("axes {axes:?}")) }
            }
            ("Unsqueeze", 2) => {
                let mut wanted: Vec<usize> = axes.iter().map(|axis| axis_of(*axis, 4)).collect::<Result<_, _>>()?;
                wanted.sort_unstable();
                if wanted != [2, 3] {
                    return Err(format!("axes {axes:?}"));
                }
                let shape = Shape::Image { height: 1, width: 1, channels: sides[1] };
                Ok(flow(self.push(call, "", Op::Reshape { shape }, &[x.id]), plain(&CHANNELS_FIRST)))
            }
            _ => Err(format!("axes {axes:?} of {sides:?}")),
        }
    }

    /// Which axis of the map an axis of the file is.
    fn axis(&self, x: &Flow, axis: i64) -> Result<Axis, String> {
        match &x.standing {
            Standing::Plain(axes) => Ok(axes[axis_of(axis, axes.len())?]),
            _ => Err("works on channels that stand in groups".into()),
        }
    }

    fn concat(&mut self, call: &Call) -> Result<Value, String> {
        let parts: Vec<Flow> = (0..call.inputs.len()).map(|at| call.flow(at)).collect::<Result<_, _>>()?;
        let first = parts.first().ok_or("has no inputs")?.clone();
        if parts.iter().any(|part| part.standing != first.standing) {
            return Err("joins values whose axes stand differently".into());
        }
        if self.axis(&first, call.integer("axis", 1))? != Axis::Channel {
            return Err("joins along another axis than the channels".into());
        }
        let ids: Vec<NodeId> = parts.iter().map(|part| part.id).collect();
        Ok(flow(self.push(call, "", Op::Concat, &ids), first.standing))
    }

    pub fn split(&mut self, call: &Call) -> Result<Vec<Value>, String> {
        let x = call.flow(0)?;
        if self.axis(&x, call.integer("axis", 0))? != Axis::Channel {
            return Err("splits along another axis than the channels".into());
        }
        let (channels, parts) = (self.builder.shape(x.id).channels(), call.node.outputs.len());
        let counts = match call.list("split", 1) {
            Some(counts) => counts.iter().map(|count| usize::try_from(*count).unwrap_or(0)).collect(),
            None => vec![channels.div_ceil(parts.max(1)); parts],
        };
        let mut first = 0;
        let mut out = Vec::new();
        for (at, count) in counts.into_iter().enumerate() {
            let count = count.min(channels.saturating_sub(first));
            let part = if at == 0 { String::new() } else { format!("part{at}") };
            out.push(flow(self.push(call, &part, Op::Channels { first, count }, &[x.id]), x.standing.clone()));
            first = first.saturating_add(count);
        }
        Ok(out)
    }

    fn slice(&mut self, call: &Call) -> Result<Value, String> {
        let x = call.flow(0)?;
        let sides = self.sides(&x);
        let starts = call.list("starts", 1).ok_or("does not say where as a constant")?;
        let ends = call.list("ends", 2).ok_or("does not say where as a constant")?;
        let axes = call.list("axes", 3).unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = call.list("steps", 4).unwrap_or_else(|| vec![1; starts.len()]);
        let (mut id, mut part) = (x.id, 0);
        for (((start, end), axis), step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
            let side = sides[axis_of(*axis, sides.len())?];
            let place =
                |at: i64| (if at < 0 { at.saturating_add(side as i64) } else { at }).clamp(0, side as i64) as usize;
            let (from, to) = (place(*start), place(*end));
            if *step != 1 || from >= to {
                return Err("takes every other entry, or none".into());
            }
            if (from, to) == (0, side) {
                continue;
            }
            let op = match self.axis(&x, *axis)? {
                Axis::Channel => Op::Channels { first: from, count: to - from },
                Axis::Row => Op::Crop { rows: [from, side - to], columns: [0; 2] },
                Axis::Column => Op::Crop { rows: [0; 2], columns: [from, side - to] },
                Axis::Batch => return Err("cuts the batch".into()),
            };
            part += 1;
            id = self.push(call, &format!("cut{part}"), op, &[id]);
        }
        Ok(flow(id, x.standing))
    }

    fn pad(&mut self, call: &Call) -> Result<Value, String> {
        let x = call.flow(0)?;
        let mode = call.text("mode");
        let has_frame = call.list("pads", 1).is_none_or(|pads| pads.iter().any(|pad| *pad != 0));
        if has_frame && !mode.is_empty() && mode != "constant" {
            return Err(format!("mode `{mode}`"));
        }
        let value = call.constant(2).and_then(Array::scalar).unwrap_or_else(|| call.float("value", 0.0));
        if value != 0.0 {
            return Err(format!("a frame of {value}"));
        }
        let pads = call.list("pads", 1).ok_or("does not say how much as a constant")?;
        let rank = self.sides(&x).len();
        let axes = call.constant(3).map(Array::as_integers).unwrap_or_else(|| (0..rank as i64).collect());
        if pads.len() != 2 * axes.len() || pads.iter().any(|pad| !(-4096..=4096).contains(pad)) {
            return Err("has odd `pads`".into());
        }
        let mut around = [[0i64; 2]; 2];
        for (at, axis) in axes.iter().enumerate() {
            let sides = [pads[at], pads[at + axes.len()]];
            match self.axis(&x, *axis)? {
                Axis::Row => around[0] = sides,
                Axis::Column => around[1] = sides,
                _ if sides == [0, 0] => {}
                _ => return Err("frames other axes than rows and columns".into()),
            }
        }
        let mut id = x.id;
        let outside = around.map(|sides| sides.map(|n| usize::try_from(n).unwrap_or(0)));
        let inside = around.map(|sides| sides.map(|n| usize::try_from(-n).unwrap_or(0)));
        if inside != [[0; 2]; 2] {
            id = self.push(call, "cut", Op::Crop { rows: inside[0], columns: inside[1] }, &[id]);
        }
        if outside != [[0; 2]; 2] {
            id = self.push(call, "", Op::ZeroPad { rows: outside[0], columns: outside[1] }, &[id]);
        }
        Ok(flow(id, x.standing))
    }

    fn reduce(&mut self, call: &Call) -> Result<Value, String> {
        let x = call.flow(0)?;
        let largest = call.node.operator == "ReduceMax";
        let rank = self.sides(&x).len();
        let axes = call.list("axes", 1).ok_or("does not say its axes as a constant")?;
        let mut wanted: Vec<Axis> = axes.iter().map(|axis| self.axis(&x, *axis)).collect::<Result<_, _>>()?;
        wanted.sort_by_key(|axis| *axis as usize);
        let kept = call.integer("keepdims", 1) == 1;
        let Standing::Plain(standing) = x.standing.clone() else { return Err("works on groups".into()) };
        match wanted.as_slice() {
            [Axis::Row, Axis::Column] if rank == 4 && kept => {
                Ok(flow(self.whole_pool(call, x.id, largest), Standing::Plain(standing)))
            }
            [Axis::Row, Axis::Column] if rank == 4 && !largest => {
                Ok(flow(self.push(call, "", Op::GlobalAveragePool, &[x.id]), plain(&VECTOR)))
            }
            [Axis::Channel] if rank == 4 && kept && !largest => {
                let channels = self.builder.shape(x.id).channels();
                let window = Window::dense(1, Padding::Valid);
                let id = self.push(call, "", Op::Conv { filters: 1, window, bias: false }, &[x.id]);
                let share = vec![1.0 / channels as f32; channels];
                self.parameter(call, "", Role::Kernel, share, &[1, channels, 1, 1])?;
                Ok(flow(id, Standing::Plain(standing)))
            }
            _ => Err(format!("over the axes {axes:?}")),
        }
    }

    fn depth_to_space(&mut self, call: &Call) -> Result<Value, String> {
        let mut id = call.map(0)?;
        let block = usize::try_from(call.integer("blocksize", 0)).unwrap_or(0);
        let channels = self.builder.shape(id).channels();
        if block == 0 || !channels.is_multiple_of(block * block) {
            return Err(format!("blocks of {block} for {channels} channels"));
        }
        if call.text("mode") == "CRD" {
            id = self.push(call, "order", Op::ShuffleChannels { groups: channels / (block * block) }, &[id]);
        }
        Ok(flow(self.push(call, "", Op::DepthToSpace { block }, &[id]), plain(&CHANNELS_FIRST)))
    }

    /// An operator of constants, computed here; `None` for operators that are no arithmetic of shapes.
    pub fn constant(&mut self, call: &Call) -> Result<Option<Array>, String> {
        let all: Vec<&Array> = (0..call.inputs.len()).filter_map(|at| call.constant(at)).collect();
        let odd = || "has constants that do not go together".to_string();
        let pair = |function: fn(f64, f64) -> f64| match all.as_slice() {
            [a, b] => a.combined(b, function).map(Some).ok_or_else(odd),
            _ => Err(odd()),
        };
        let zero = Array { sides: Vec::new(), values: super::array::Values::Floats(vec![0.0]) };
        let single = |function: fn(f64) -> f64| match all.as_slice() {
            [a] => {
                let whole = matches!(a.values, super::array::Values::Integers(_));
                let zero = if whole {
                    Array { sides: Vec::new(), values: super::array::Values::Integers(vec![0]) }
                } else {
                    zero.clone()
                };
                a.combined(&zero, |a, _| function(a)).map(Some).ok_or_else(odd)
            }
            _ => Err(odd()),
        };
        match call.node.operator.as_str() {
            "Constant" => match (call.node.attributes.get("value"), call.node.attributes.values().next()) {
                (Some(Attribute::Tensor(array)), _) => Ok(Some(array.clone())),
                (_, Some(Attribute::Integer(value))) => {
                    Ok(Some(Array { sides: Vec::new(), values: super::array::Values::Integers(vec![*value]) }))
                }
                (_, Some(Attribute::Integers(values))) => Ok(Some(Array::list(values.clone()))),
                (_, Some(Attribute::Float(value))) => {
                    Ok(Some(Array { sides: Vec::new(), values: super::array::Values::Floats(vec![*value]) }))
                }
                (_, Some(Attribute::Floats(values))) => Ok(Array::floats(vec![values.len()], values.clone())),
                _ => Err("holds no numbers".into()),
            },
            "ConstantOfShape" => {
                let sides: Vec<usize> = all
                    .first()
                    .ok_or_else(odd)?
                    .as_integers()
                    .iter()
                    .map(|side| usize::try_from(*side).unwrap_or(0))
                    .collect();
                let count =
                    sides.iter().try_fold(1usize, |all, side| all.checked_mul(*side)).filter(|count| *count <= 1 << 24);
                let count = count.ok_or_else(odd)?;
                match call.node.attributes.get("value") {
                    Some(Attribute::Tensor(array)) => {
                        let filled = Array::floats(sides.clone(), vec![0.0; count]).ok_or_else(odd)?;
                        let one = array.reshaped(Vec::new()).ok_or_else(odd)?;
                        let whole = matches!(one.values, super::array::Values::Integers(_));
                        let filled =
                            if whole { Array::integers(sides, vec![0; count]).ok_or_else(odd)? } else { filled };
                        filled.combined(&one, |_, value| value).map(Some).ok_or_else(odd)
                    }
                    _ => Ok(Array::floats(sides, vec![0.0; count])),
                }
            }
            "Add" => pair(|a, b| a + b),
            "Sub" => pair(|a, b| a - b),
            "Mul" => pair(|a, b| a * b),
            "Div" => pair(|a, b| a / b),
            "Pow" => pair(f64::powf),
            "Min" => pair(f64::min),
            "Max" => pair(f64::max),
            "Equal" => pair(|a, b| f64::from(a == b)),
            "Sqrt" => single(f64::sqrt),
            "Neg" => single(|a| -a),
            "Exp" => single(f64::exp),
            "Floor" => single(f64::floor),
            "Ceil" => single(f64::ceil),
            "Reciprocal" => single(|a| 1.0 / a),
            "Identity" => Ok(all.first().map(|array| (*array).clone())),
            "Shape" => {
                let sides = &all.first().ok_or_else(odd)?.sides;
                Ok(Some(Array::list(sides.iter().map(|side| *side as i64).collect())))
            }
            "Cast" => {
                let array = all.first().ok_or_else(odd)?;
                Ok(match call.integer("to", 1) {
                    1 | 10 | 11 | 16 => Array::floats(array.sides.clone(), array.as_floats()),
                    _ => Array::integers(array.sides.clone(), array.as_integers()),
                })
            }
            "Where" => match all.as_slice() {
                [test, yes, no] => {
                    let yes = test.combined(yes, |test, yes| if test != 0.0 { yes } else { 0.0 });
                    let no = test.combined(no, |test, no| if test != 0.0 { 0.0 } else { no });
                    Ok(yes.zip(no).and_then(|(yes, no)| yes.combined(&no, |a, b| a + b)))
                }
                _ => Err(odd()),
            },
            "Gather" => match all.as_slice() {
                [array, indices] => {
                    let axis = axis_of(call.integer("axis", 0), array.sides.len())?;
                    array.gathered(axis, indices).map(Some).ok_or_else(odd)
                }
                _ => Err(odd()),
            },
            "Concat" => {
                let axis = axis_of(call.integer("axis", 0), all.first().ok_or_else(odd)?.sides.len())?;
                if axis != 0 {
                    return Ok(None);
                }
                Ok(Some(Array::list(all.iter().flat_map(|array| array.as_integers()).collect())))
            }
            "Slice" => {
                let array = all.first().ok_or_else(odd)?;
                let (Some(starts), Some(ends)) = (call.list("starts", 1), call.list("ends", 2)) else {
                    return Err(odd());
                };
                let axes = call.list("axes", 3).unwrap_or_else(|| (0..starts.len() as i64).collect());
                let steps = call.list("steps", 4).unwrap_or_else(|| vec![1; starts.len()]);
                let mut out = (*array).clone();
                for (((start, end), axis), step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
                    let axis = axis_of(*axis, out.sides.len())?;
                    let side = out.sides[axis] as i64;
                    let place = |at: i64| if at < 0 { at.saturating_add(side) } else { at };
                    let (start, end) = (place(*start), place(*end));
                    let places: Vec<i64> = match *step {
                        step @ 1.. => {
                            (start.clamp(0, side)..end.clamp(0, side)).step_by(step.unsigned_abs() as usize).collect()
                        }
                        0 => return Err(odd()),
                        step => {
                            let (first, stop) = (start.clamp(-1, side - 1), end.clamp(-1, side - 1));
                            (stop + 1..=first).rev().step_by(step.unsigned_abs() as usize).collect()
                        }
                    };
                    out = out.gathered(axis, &Array::list(places)).ok_or_else(odd)?;
                }
                Ok(Some(out))
            }
            "Transpose" => {
                let array = all.first().ok_or_else(odd)?;
                let rank = array.sides.len();
                let order = call.integers("perm").unwrap_or_else(|| (0..rank as i64).rev().collect());
                let order: Vec<usize> = order.iter().map(|axis| axis_of(*axis, rank)).collect::<Result<_, _>>()?;
                Ok(array.transposed(&order))
            }
            "Reshape" => match all.as_slice() {
                [array, shape] => {
                    let told = shape.as_integers();
                    let known =
                        told.iter().filter(|side| **side > 0).try_fold(1i64, |all, side| all.checked_mul(*side));
                    let known = known.ok_or_else(odd)?;
                    let side = |(at, side): (usize, &i64)| match side {
                        -1 => array.len() / usize::try_from(known).unwrap_or(1).max(1),
                        0 => array.sides.get(at).copied().unwrap_or(0),
                        side => usize::try_from(*side).unwrap_or(0),
                    };
                    array.reshaped(told.iter().enumerate().map(side).collect()).map(Some).ok_or_else(odd)
                }
                _ => Err(odd()),
            },
            "Squeeze" | "Unsqueeze" => {
                let array = all.first().ok_or_else(odd)?;
                let axes = call.list("axes", 1).unwrap_or_default();
                let mut sides = array.sides.clone();
                if call.node.operator == "Squeeze" {
                    let rank = sides.len();
                    let gone: Vec<usize> = axes.iter().map(|axis| axis_of(*axis, rank)).collect::<Result<_, _>>()?;
                    let kept = |at: usize, side: usize| if axes.is_empty() { side != 1 } else { !gone.contains(&at) };
                    sides = sides
                        .iter()
                        .enumerate()
                        .filter(|(at, side)| kept(*at, **side))
                        .map(|(_, side)| *side)
                        .collect();
                } else {
                    let rank = sides.len() + axes.len();
                    let mut new: Vec<usize> = axes.iter().map(|axis| axis_of(*axis, rank)).collect::<Result<_, _>>()?;
                    new.sort_unstable();
                    new.into_iter().for_each(|at| sides.insert(at.min(sides.len()), 1));
                }
                array.reshaped(sides).map(Some).ok_or_else(odd)
            }
            "Expand" => match all.as_slice() {
                [array, shape] => {
                    let sides: Vec<usize> =
                        shape.as_integers().iter().map(|side| usize::try_from(*side).unwrap_or(0)).collect();
                    let count = sides
                        .iter()
                        .try_fold(1usize, |all, side| all.checked_mul(*side))
                        .filter(|count| *count <= 1 << 24);
                    let zeros = Array::integers(sides, vec![0; count.ok_or_else(odd)?]).ok_or_else(odd)?;
                    array.combined(&zeros, |a, _| a).map(Some).ok_or_else(odd)
                }
                _ => Err(odd()),
            },
            _ => Ok(None),
        }
    }
}
