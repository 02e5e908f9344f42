//! Functions of single values, and sums and products of values and constants.

use super::array::Array;
use super::reader::{Axis, Call, Flow, Reader, Standing, Value, plain_activation};
use crate::graph::{Activation, NodeId, Op, Role};

impl Reader<'_> {
    /// `None` for other operators.
    pub fn arithmetic(&mut self, call: &Call) -> Option<Result<Value, String>> {
        if let Some(function) = plain_activation(call) {
            return Some(self.activate(call, function));
        }
        Some(match call.node.operator.as_str() {
            "Clip" => self.clip(call),
            "PRelu" => self.prelu(call),
            "Softmax" => self.softmax(call),
            "LogSoftmax" if self.model.outputs.contains(&call.node.outputs[0]) => self.softmax(call),
            "LogSoftmax" => Err("is known at the end of a network only".into()),
            "Neg" => self.scaled(call, 0, -1.0, 0.0),
            "Add" | "Sub" | "Mul" | "Div" => self.binary(call),
            "Max" => self.bounded(call, |low| (low, f32::INFINITY)),
            "Min" => self.bounded(call, |high| (f32::NEG_INFINITY, high)),
            "Pow" => match (call.flow(0), call.constant(1).and_then(Array::scalar)) {
                (Ok(x), Some(2.0)) => {
                    let id = self.push(call, "", Op::Multiply, &[x.id, x.id]);
                    Ok(Value::Flow(Flow { id, ..x }))
                }
                _ => Err("a power other than 2".into()),
            },
            _ => return None,
        })
    }

    fn clip(&mut self, call: &Call) -> Result<Value, String> {
        let bound = |name: &str, at: usize, none: f32| match call.inputs.get(at) {
            Some(Some(_)) => {
                call.constant(at).and_then(Array::scalar).ok_or_else(|| format!("its `{name}` is no constant"))
            }
            _ => Ok(call.float(name, none)),
        };
        let (low, high) = (bound("min", 1, f32::NEG_INFINITY)?, bound("max", 2, f32::INFINITY)?);
        self.activate(call, between(low, high))
    }

    /// The larger or smaller of a value and a constant, or the larger of two values.
    fn bounded(&mut self, call: &Call, bounds: fn(f32) -> (f32, f32)) -> Result<Value, String> {
        let constant = [0, 1].into_iter().find_map(|at| Some((1 - at, call.constant(at)?.scalar()?)));
        match constant {
            Some((at, constant)) if call.inputs.len() == 2 => {
                let x = call.flow(at)?;
                let (low, high) = bounds(constant);
                let id = self.push(call, "", Op::Activation { function: between(low, high) }, &[x.id]);
                Ok(Value::Flow(Flow { id, ..x }))
            }
            None if call.node.operator == "Max" && call.inputs.len() == 2 => self.joined(call, Op::Maximum),
            _ => Err("of these inputs".into()),
        }
    }

    fn prelu(&mut self, call: &Call) -> Result<Value, String> {
        let x = call.flow(0)?;
        let slopes = self.by_channel(&x, call.weights(1, "slopes")?)?;
        let count = slopes.len();
        let id = self.push(call, "", Op::PRelu { by_channel: true }, &[x.id]);
        self.parameter(call, "", Role::Scale, slopes, &[count])?;
        Ok(Value::Flow(Flow { id, ..x }))
    }

    fn softmax(&mut self, call: &Call) -> Result<Value, String> {
        let x = call.flow(0)?;
        let rank = self.sides(&x).len();
        let new = self.model.opset >= 13;
        let axis = call.integer("axis", if new { -1 } else { 1 });
        let axis = usize::try_from(if axis < 0 { axis.saturating_add(rank as i64) } else { axis }).unwrap_or(rank);
        let is_channel = matches!(&x.standing, Standing::Plain(axes) if axes.get(axis) == Some(&Axis::Channel));
        // Older versions join the axes from this one on.
        if !is_channel || !new && axis != rank - 1 {
            return Err("along other axes than the channels".into());
        }
        self.activate(call, Activation::Softmax)
    }

    /// A constant as one value a channel.
    fn by_channel(&self, x: &Flow, constant: &Array) -> Result<Vec<f32>, String> {
        let channels = self.builder.shape(x.id).channels();
        let values = constant.as_floats();
        if let [one] = values[..] {
            return Ok(vec![one; channels]);
        }
        let Standing::Plain(axes) = &x.standing else { return Err("works on channels that stand in groups".into()) };
        let first = axes.len().checked_sub(constant.sides.len()).ok_or("has a constant of more axes than the value")?;
        let fits = |(side, axis): (&usize, &Axis)| *side == 1 || *axis == Axis::Channel && *side == channels;
        if constant.sides.iter().zip(&axes[first..]).all(fits) && values.len() == channels {
            Ok(values)
        } else {
            Err(format!("has a constant of {:?} for {}", constant.sides, self.builder.shape(x.id)))
        }
    }

    fn binary(&mut self, call: &Call) -> Result<Value, String> {
        let operator = call.node.operator.as_str();
        let (left, right) = (call.constant(0).cloned(), call.constant(1).cloned());
        let (at, constant, swapped) = match (left, right) {
            (None, Some(constant)) => (0, constant, false),
            (Some(constant), None) => (1, constant, true),
            _ => {
                return match operator {
                    "Add" => self.joined(call, Op::Add),
                    "Mul" => self.product(call),
                    "Sub" => self.difference(call),
                    _ => Err("divides by a computed value".into()),
                };
            }
        };
        let x = call.flow(at)?;
        let constant = match constant.scalar() {
            Some(one) => vec![one],
            None => self.by_channel(&x, &constant)?,
        };
        let none = vec![0.0; constant.len()];
        let ones = vec![1.0; constant.len()];
        let (scale, shift) = match (operator, swapped) {
            ("Add", _) => (ones, constant),
            ("Mul", _) => (constant, none),
            ("Sub", false) => (ones, constant.iter().map(|c| -c).collect()),
            ("Sub", true) => (vec![-1.0; constant.len()], constant),
            ("Div", false) => (constant.iter().map(|c| 1.0 / c).collect(), none),
            _ => return Err("divides by a computed value".into()),
        };
        match (&scale[..], &shift[..]) {
            (&[scale], &[shift]) => self.scaled(call, at, scale, shift),
            _ => {
                let id = self.affine(call, "", x.id, scale, shift)?;
                Ok(Value::Flow(Flow { id, ..x }))
            }
        }
    }

    fn affine(
        &mut self,
        call: &Call,
        part: &str,
        x: NodeId,
        scale: Vec<f32>,
        shift: Vec<f32>,
    ) -> Result<NodeId, String> {
        let id = self.push(call, part, Op::Affine, &[x]);
        let count = scale.len();
        self.parameter(call, part, Role::Scale, scale, &[count])?;
        self.parameter(call, part, Role::Bias, shift, &[count])?;
        Ok(id)
    }

    /// Times one number plus another; several such steps become one.
    fn scaled(&mut self, call: &Call, at: usize, scale: f32, shift: f32) -> Result<Value, String> {
        let x = call.flow(at)?;
        let (from, scale, shift) = match (self.scalars.get(&x.id), self.ops.get(&x.id)) {
            (Some((before, moved)), Some((_, inputs))) => (inputs[0], scale * before, scale * moved + shift),
            _ => (x.id, scale, shift),
        };
        if (scale, shift) == (1.0, 0.0) {
            return Ok(Value::Flow(Flow { id: from, ..x }));
        }
        let channels = self.builder.shape(from).channels();
        let id = self.affine(call, "", from, vec![scale; channels], vec![shift; channels])?;
        self.scalars.insert(id, (scale, shift));
        Ok(Value::Flow(Flow { id, ..x }))
    }

    fn difference(&mut self, call: &Call) -> Result<Value, String> {
        let (x, y) = (call.flow(0)?, call.flow(1)?);
        let channels = self.builder.shape(y.id).channels();
        let minus = self.affine(call, "minus", y.id, vec![-1.0; channels], vec![0.0; channels])?;
        self.together(call, Op::Add, x, Flow { id: minus, ..y })
    }

    fn joined(&mut self, call: &Call, op: Op) -> Result<Value, String> {
        let (x, y) = (call.flow(0)?, call.flow(1)?);
        self.together(call, op, x, y)
    }

    fn together(&mut self, call: &Call, op: Op, x: Flow, y: Flow) -> Result<Value, String> {
        if x.standing != y.standing {
            return Err("joins values whose axes stand differently".into());
        }
        let (first, second) = (self.builder.shape(x.id), self.builder.shape(y.id));
        let pair = if second.spreads_over(first) { [x.id, y.id] } else { [y.id, x.id] };
        if !second.spreads_over(first) && !first.spreads_over(second) {
            return Err(format!("joins {first} and {second}"));
        }
        let id = self.push(call, "", op, &pair);
        Ok(Value::Flow(Flow { id, ..x }))
    }

    /// A product, which with a function of its own factor is one function.
    fn product(&mut self, call: &Call) -> Result<Value, String> {
        let (x, y) = (call.flow(0)?, call.flow(1)?);
        for (own, other) in [(&x, &y), (&y, &x)] {
            let Some((op, inputs)) = self.ops.get(&other.id).cloned() else { continue };
            let function = match op {
                Op::Activation { function: Activation::Sigmoid } if inputs[0] == own.id => Activation::Silu,
                Op::Activation { function: Activation::HardSigmoid { slope, shift } }
                    if inputs[0] == own.id && (slope - 1.0 / 6.0).abs() < 1e-6 && shift == 0.5 =>
                {
                    Activation::HardSwish
                }
                Op::Affine if self.is_gelu_share(other.id, own.id) => {
                    let gelu = Op::Activation { function: Activation::Gelu };
                    let id = self.push(call, "gelu", gelu, &[own.id]);
                    let channels = self.builder.shape(id).channels();
                    let twice = self.affine(call, "", id, vec![2.0; channels], vec![0.0; channels])?;
                    self.scalars.insert(twice, (2.0, 0.0));
                    return Ok(Value::Flow(Flow { id: twice, ..own.clone() }));
                }
                _ => continue,
            };
            let id = self.push(call, "", Op::Activation { function }, &[own.id]);
            return Ok(Value::Flow(Flow { id, ..own.clone() }));
        }
        self.together(call, Op::Multiply, x, y)
    }

    /// Whether a node is 1 + erf(x / √2).
    fn is_gelu_share(&self, node: NodeId, x: NodeId) -> bool {
        let before = |id: &NodeId| self.ops.get(id).and_then(|(_, inputs)| inputs.first());
        let is = |id: &NodeId, scale: f32, shift: f32| {
            self.scalars.get(id).is_some_and(|(s, t)| (s - scale).abs() < 1e-5 && (t - shift).abs() < 1e-6)
        };
        let Some(erf) = before(&node).filter(|_| is(&node, 1.0, 1.0)) else { return false };
        let is_erf = matches!(self.ops.get(erf), Some((Op::Activation { function: Activation::Erf }, _)));
        let Some(divided) = before(erf).filter(|_| is_erf) else { return false };
        is(divided, std::f32::consts::FRAC_1_SQRT_2, 0.0) && before(divided) == Some(&x)
    }
}

fn between(low: f32, high: f32) -> Activation {
    match (low, high) {
        (0.0, high) if high == f32::INFINITY || high > 1e30 => Activation::Relu,
        (0.0, 6.0) => Activation::Relu6,
        _ => Activation::Clip { low: f64::from(low.max(-1e30)), high: f64::from(high.min(1e30)) },
    }
}
