//! Tensors of a file that holds weights alone, given to a known network by the order of its layers.
//!
//! Keras writes layers in the order of `model.layers`: farthest from the output first, among equally far ones as a walk back from the output
//! meets them. Convolutions, dense layers and batch-norms are each paired in that order; every shape must fit.

use super::stored::Form;
use super::tensors::{keras_names, strings, tensor};
use super::{KerasError, hdf5};
use crate::exec::Parameters;
use crate::graph::{Graph, NodeId, Op, Parameter, Role};
use crate::weights::WeightsError;
use candle_core::Tensor;
use hdf5_pure::File;
use std::collections::{BTreeMap, HashMap};

/// Layers with tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Class {
    Conv,
    DepthwiseConv,
    Dense,
    BatchNorm,
}

impl Class {
    fn of(op: &Op) -> Option<Self> {
        match op {
            Op::Conv { .. } => Some(Class::Conv),
            Op::DepthwiseConv { .. } => Some(Class::DepthwiseConv),
            Op::Dense { .. } => Some(Class::Dense),
            Op::BatchNorm { .. } => Some(Class::BatchNorm),
            _ => None,
        }
    }

    /// Keras 3 names a layer's group so, with a number behind.
    fn group(self) -> &'static str {
        match self {
            Class::Conv => "conv2d",
            Class::DepthwiseConv => "depthwise_conv2d",
            Class::Dense => "dense",
            Class::BatchNorm => "batch_normalization",
        }
    }
}

/// Nesting of models in models that is followed.
const MAX_DEPTH: usize = 8;

/// Paths of a layer's tensors by the last part of their names (`kernel`, or `0` in Keras 3).
type Tensors = BTreeMap<String, String>;

/// The layers of a file by class, in their order.
#[derive(Default)]
pub struct Layers(HashMap<Class, Vec<Tensors>>);

impl Layers {
    /// Reads what layers a file of weights names.
    ///
    /// # Errors
    /// If its lists cannot be read.
    pub fn of(file: &File) -> Result<Self, KerasError> {
        let mut layers = Self::default();
        // A whole model without its configuration has them one level down.
        let (root, base) = match file.group("model_weights") {
            Ok(group) => (group, "model_weights/"),
            Err(_) => (file.root(), ""),
        };
        match strings(&root.attrs().map_err(hdf5)?, "layer_names") {
            Some(names) => layers.named(file, base, &names)?,
            None => layers.numbered(file, "layers", 0)?,
        }
        Ok(layers)
    }

    /// The legacy layout: each layer's group lists its tensors, those of a model inside the model all in one.
    fn named(&mut self, file: &File, base: &str, names: &[String]) -> Result<(), KerasError> {
        for name in names {
            let group = file.group(&format!("{base}{name}")).map_err(hdf5)?;
            let listed = strings(&group.attrs().map_err(hdf5)?, "weight_names").unwrap_or_default();
            let mut inner: Vec<(String, Tensors)> = Vec::new();
            for tensor in listed {
                let (layer, last) = tensor.rsplit_once('/').unwrap_or(("", &tensor));
                let last = last.trim_end_matches(":0").to_string();
                let place = inner.iter().position(|(known, _)| known == layer).unwrap_or_else(|| {
                    inner.push((layer.to_string(), Tensors::new()));
                    inner.len() - 1
                });
                inner[place].1.insert(last, format!("{base}{name}/{tensor}"));
            }
            for (_, tensors) in inner {
                if let Some(class) = class_by_tensors(file, &tensors) {
                    self.0.entry(class).or_default().push(tensors);
                }
            }
        }
        Ok(())
    }

    /// Keras 3: `layers/conv2d_3/vars/0`, counted by class within a model; a model inside comes before the layers behind it.
    fn numbered(&mut self, file: &File, path: &str, depth: usize) -> Result<(), KerasError> {
        let Ok(group) = file.group(path) else { return Ok(()) };
        let mut children = group.groups().map_err(hdf5)?;
        children.sort_by_cached_key(|child| number(child));
        if depth < MAX_DEPTH {
            for child in &children {
                self.numbered(file, &format!("{path}/{child}/layers"), depth + 1)?;
            }
        }
        for child in &children {
            let stem = child.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('_');
            let is = |class: &Class| stem == class.group();
            let classes = [Class::Conv, Class::DepthwiseConv, Class::Dense, Class::BatchNorm];
            let Some(class) = classes.into_iter().find(is) else { continue };
            let vars = format!("{path}/{child}/vars");
            let names = file.group(&vars).and_then(|group| group.datasets()).map_err(hdf5)?;
            let tensors = names.into_iter().map(|name| (name.clone(), format!("{vars}/{name}"))).collect();
            self.0.entry(class).or_default().push(tensors);
        }
        Ok(())
    }

    fn of_class(&self, class: Class) -> &[Tensors] {
        self.0.get(&class).map_or(&[], Vec::as_slice)
    }

    /// Values that the last dense layer gives, or the last convolution of a network without one.
    pub fn outputs(&self, file: &File) -> Option<usize> {
        let last = self.of_class(Class::Dense).last().or(self.of_class(Class::Conv).last())?;
        kernel_shape(file, last)?.last().copied()
    }

    /// Channels that the first convolution takes.
    pub fn channels(&self, file: &File) -> Option<usize> {
        let first = self.of_class(Class::Conv).first()?;
        kernel_shape(file, first)?.get(2).copied()
    }

    /// Whether the first dense layer takes what the graph's does.
    pub fn first_dense_fits(&self, file: &File, graph: &Graph) -> bool {
        let is_dense = |id: &NodeId| Class::of(&graph.node(*id).op) == Some(Class::Dense);
        let wanted = in_keras_order(graph)
            .into_iter()
            .find(is_dense)
            .map(|id| graph.node(graph.node(id).inputs[0]).shape.values());
        let found = self.of_class(Class::Dense).first().and_then(|first| kernel_shape(file, first)?.first().copied());
        wanted == found
    }

    /// Where each parameter of `graph` lies, if its layer is there.
    fn places(&self, graph: &Graph) -> Vec<Place<'_>> {
        let mut parameters: HashMap<NodeId, Vec<Parameter>> = HashMap::new();
        for parameter in graph.parameters() {
            parameters.entry(parameter.node).or_default().push(parameter);
        }
        let mut taken: HashMap<Class, usize> = HashMap::new();
        let mut places = Vec::new();
        for id in in_keras_order(graph) {
            let op = &graph.node(id).op;
            let (Some(class), Some(wanted)) = (Class::of(op), parameters.remove(&id)) else { continue };
            let at = taken.entry(class).or_default();
            let found = self.of_class(class).get(*at);
            *at += 1;
            for (position, parameter) in wanted.into_iter().enumerate() {
                let mut stored = keras_names(op, parameter.role).iter().map(|name| name.to_string());
                let path = found.and_then(|tensors| {
                    stored.find_map(|name| tensors.get(&name)).or_else(|| tensors.get(&position.to_string()))
                });
                places.push(Place { class, parameter, path });
            }
        }
        places
    }

    /// The tensors of `graph`.
    ///
    /// # Errors
    /// If there are more or fewer layers of a class, or a tensor has another shape; every one is listed.
    pub fn tensors(&self, file: &File, graph: &Graph) -> Result<Parameters, KerasError> {
        let (mut out, mut problems) = (Parameters::new(), Vec::new());
        for place in self.places(graph) {
            match place.read(file)? {
                Some(Ok(tensor)) => _ = out.insert(place.parameter.name, tensor),
                Some(Err(problem)) => problems.push(problem),
                None => problems.push(format!("nothing in the file is `{}`", place.parameter.name)),
            }
        }
        for (class, layers) in &self.0 {
            let used = graph.nodes().iter().filter(|node| Class::of(&node.op) == Some(*class)).count();
            if layers.len() > used {
                let (there, name) = (layers.len(), class.group());
                problems.push(format!("{there} layers `{name}` are in the file, the network has {used}"));
            }
        }
        if problems.is_empty() { Ok(out) } else { Err(WeightsError::Mismatch(problems).into()) }
    }

    /// As many tensors of `graph` as the file has in their shape, such as those of a base without its head.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn fitting(&self, file: &File, graph: &Graph) -> Result<Parameters, KerasError> {
        let mut out = Parameters::new();
        for place in self.places(graph) {
            if let Some(Ok(tensor)) = place.read(file)? {
                out.insert(place.parameter.name, tensor);
            }
        }
        Ok(out)
    }
}

/// A parameter and the path of its dataset.
struct Place<'a> {
    class: Class,
    parameter: Parameter,
    path: Option<&'a String>,
}

impl Place<'_> {
    fn form(&self) -> Form {
        match (self.class, self.parameter.role) {
            (Class::Conv, Role::Kernel) => Form::Kernel,
            (Class::DepthwiseConv, Role::Kernel) => Form::Depthwise,
            (Class::Dense, Role::Kernel) => Form::Dense,
            _ => Form::Plain,
        }
    }

    /// `None` if it is not there, the inner error if it is another tensor.
    fn read(&self, file: &File) -> Result<Option<Result<Tensor, String>>, KerasError> {
        let Some(path) = self.path else { return Ok(None) };
        let dataset = file.dataset(path).map_err(hdf5)?;
        let tensor = tensor(&dataset, &self.parameter.shape, self.form());
        Ok(Some(tensor.map_err(|problem| format!("`{path}`: {problem}"))))
    }
}

fn shape(file: &File, path: &str) -> Option<Vec<usize>> {
    let shape = file.dataset(path).ok()?.shape().ok()?;
    shape.into_iter().map(|side| usize::try_from(side).ok()).collect()
}

/// As the file has it: rows × columns × in × out, or in × out.
fn kernel_shape(file: &File, layer: &Tensors) -> Option<Vec<usize>> {
    shape(file, layer.get("kernel").or(layer.get("0"))?)
}

fn class_by_tensors(file: &File, tensors: &Tensors) -> Option<Class> {
    if tensors.contains_key("moving_mean") {
        return Some(Class::BatchNorm);
    }
    if tensors.contains_key("depthwise_kernel") {
        return Some(Class::DepthwiseConv);
    }
    match shape(file, tensors.get("kernel")?)?.len() {
        4 => Some(Class::Conv),
        2 => Some(Class::Dense),
        _ => None,
    }
}

/// The number behind a name; none stands before 1.
fn number(name: &str) -> usize {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let has_stroke = name[..name.len() - digits].ends_with('_');
    if has_stroke { name[name.len() - digits..].parse().unwrap_or(0) } else { 0 }
}

/// The nodes in the order of `model.layers`.
fn in_keras_order(graph: &Graph) -> Vec<NodeId> {
    let inputs: Vec<Vec<usize>> =
        graph.nodes().iter().map(|node| node.inputs.iter().map(|input| input.0).collect()).collect();
    keras_order(&inputs, graph.output().0).into_iter().map(NodeId).collect()
}

/// The layers that `output` needs, in the order that Keras' `_map_graph_network` gives them. `inputs` are each layer's, which come
/// before it.
pub fn keras_order(inputs: &[Vec<usize>], output: usize) -> Vec<usize> {
    let mut met: Vec<Option<usize>> = vec![None; inputs.len()];
    let (mut waiting, mut count) = (vec![output], 0);
    while let Some(at) = waiting.pop() {
        if met[at].is_none() {
            met[at] = Some(count);
            count += 1;
            waiting.extend(inputs[at].iter().rev());
        }
    }
    let mut order: Vec<usize> = (0..inputs.len()).filter(|at| met[*at].is_some()).collect();
    let mut depth = vec![0usize; inputs.len()];
    for at in order.iter().rev() {
        for input in &inputs[*at] {
            depth[*input] = depth[*input].max(depth[*at] + 1);
        }
    }
    order.sort_by_key(|at| (std::cmp::Reverse(depth[*at]), met[*at]));
    order
}
