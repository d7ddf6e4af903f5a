//! What the methods of a twin take and return: the InputArguments and OutputArguments of every instance, and what a call is
//! checked against. The same signatures stand in `nodesets/UaTwin.NodeSet2.xml`; a test holds the two together.

use opcua::types::{Argument, DataTypeId, LocalizedText, UAString};

use super::ids;

/// ValueRank of a scalar.
pub const SCALAR: i32 = -1;
/// ValueRank of a one-dimensional array.
pub const ARRAY: i32 = 1;

/// One argument of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArgDef {
    /// Its name, which a client shows.
    pub name: &'static str,
    /// Its DataType.
    pub data_type: DataTypeId,
    /// [`SCALAR`] or [`ARRAY`].
    pub value_rank: i32,
    /// What it means, for an operator.
    pub description: &'static str,
}

impl ArgDef {
    /// The `Argument` structure that InputArguments and OutputArguments hold.
    pub fn to_argument(&self) -> Argument {
        Argument {
            name: self.name.into(),
            data_type: self.data_type.into(),
            value_rank: self.value_rank,
            // 0: a length of any size (Part 3 §8.6); a scalar has no dimensions.
            array_dimensions: (self.value_rank == ARRAY).then(|| vec![0]),
            description: LocalizedText { locale: UAString::null(), text: self.description.into() },
        }
    }
}

/// A method that a twin, its `Statistics`, its `FitProgram` or `Configuration` offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodDef {
    /// The name part of its BrowseName.
    pub name: &'static str,
    /// The numeric NodeId of its declaration in `urn:uatwin:types`; InputArguments are at `id + 1`, OutputArguments at `id + 2`.
    pub id: u32,
    /// What it takes.
    pub inputs: &'static [ArgDef],
    /// What it returns.
    pub outputs: &'static [ArgDef],
}

/// What Acknowledge, Confirm and AddComment take (OPC 10000-9 §5.5.6, §5.7.3, §5.7.4).
pub const CONDITION_ARGUMENTS: &[ArgDef] = &[
    scalar("EventId", DataTypeId::ByteString, "The identifier for the event to comment."),
    scalar("Comment", DataTypeId::LocalizedText, "The comment to add to the condition."),
];

/// The method of that name, if our types declare it.
pub fn method(name: &str) -> Option<&'static MethodDef> {
    METHODS.iter().find(|method| method.name == name)
}

/// The method with that declaration in `urn:uatwin:types`, if there is one.
pub fn method_by_id(id: u32) -> Option<&'static MethodDef> {
    METHODS.iter().find(|method| method.id == id)
}

/// Every method that our types declare, by name.
pub const METHODS: &[MethodDef] = &[
    MethodDef {
        name: "ActivateRevision",
        id: ids::METHOD_ACTIVATE_REVISION,
        inputs: &[scalar("Revision", DataTypeId::UInt32, "The number of the revision.")],
        outputs: &[],
    },
    MethodDef { name: "CancelFit", id: ids::METHOD_CANCEL_FIT, inputs: &[], outputs: &[] },
    MethodDef {
        name: "Correlate",
        id: ids::METHOD_CORRELATE,
        inputs: &[
            scalar("StartTime", DataTypeId::UtcTime, "The start of the range."),
            scalar("EndTime", DataTypeId::UtcTime, "The end of the range."),
            array("Variables", DataTypeId::String, "The names of the variables to correlate."),
        ],
        outputs: &[
            array("Names", DataTypeId::String, "The names of the variables, n of them, in the order of the rows."),
            array("Coefficients", DataTypeId::Double, "The correlation coefficients, row by row, n times n."),
            array("PValues", DataTypeId::Double, "The p-values of the coefficients, row by row, n times n."),
            array("Counts", DataTypeId::UInt32, "The number of pairs behind each coefficient, row by row, n times n."),
        ],
    },
    MethodDef {
        name: "Fit",
        id: ids::METHOD_FIT,
        inputs: &[
            scalar(
                "StartTime",
                DataTypeId::UtcTime,
                "The start of the range; null means the start of the configured fit window.",
            ),
            scalar("EndTime", DataTypeId::UtcTime, "The end of the range; null means now."),
            array("Parameters", DataTypeId::String, "The names of the parameters to fit; empty means all free ones."),
            scalar(
                "Wait",
                DataTypeId::Duration,
                "How long the caller is ready to wait, in milliseconds, clamped to 0 to 60,000.",
            ),
        ],
        outputs: &[
            scalar("State", DataTypeId::String, "Completed, Running, Failed or Cancelled."),
            scalar("Revision", DataTypeId::UInt32, "The revision of the parameters."),
            array("Names", DataTypeId::String, "The names of the fitted parameters."),
            array("Values", DataTypeId::Double, "Their values."),
            array(
                "StandardErrors",
                DataTypeId::Double,
                "Their standard errors; NaN where a parameter is not identifiable.",
            ),
            array("Lower95", DataTypeId::Double, "The lower ends of their 95 % confidence intervals."),
            array("Upper95", DataTypeId::Double, "The upper ends of their 95 % confidence intervals."),
            scalar("Rmse", DataTypeId::Double, "The root mean square of the residuals."),
            scalar("RSquared", DataTypeId::Double, "The coefficient of determination."),
            scalar("Iterations", DataTypeId::UInt32, "The number of iterations."),
            scalar("Message", DataTypeId::LocalizedText, "How the fit ended, in words for an operator."),
        ],
    },
    MethodDef { name: "Halt", id: ids::METHOD_PROGRAM_HALT, inputs: &[], outputs: &[] },
    MethodDef {
        name: "OptimizeSetpoints",
        id: ids::METHOD_OPTIMIZE_SETPOINTS,
        inputs: &[
            scalar("Output", DataTypeId::String, "The name of the output."),
            scalar("Target", DataTypeId::Double, "What it should read."),
            scalar("Horizon", DataTypeId::Duration, "When it should, from the last measurement on."),
            scalar("Apply", DataTypeId::Boolean, "Whether the values are written to the PLC; else this is a dry run."),
        ],
        outputs: &[
            array("InputNames", DataTypeId::String, "The inputs that may be moved."),
            array("InputValues", DataTypeId::Double, "Their values; as they are now where no values keep all bounds."),
            scalar("PredictedOutput", DataTypeId::Double, "What the output will read then."),
            scalar(
                "Cost",
                DataTypeId::Double,
                "What is left of the distance in squares of sigma, and the price of moving.",
            ),
            scalar("Applied", DataTypeId::Boolean, "Whether the PLC has taken the values."),
            scalar("Message", DataTypeId::LocalizedText, "What was found and done, in words for an operator."),
        ],
    },
    MethodDef {
        name: "Predict",
        id: ids::METHOD_PREDICT,
        inputs: &[
            scalar("Horizon", DataTypeId::Duration, "How far to predict, from the last measurement on."),
            scalar("Step", DataTypeId::Duration, "The time between two points."),
            scalar("Output", DataTypeId::String, "The name of the output."),
            array("InputNames", DataTypeId::String, "The inputs whose values are given."),
            array(
                "InputValues",
                DataTypeId::Double,
                "Their values, held constant; the other inputs keep their last one.",
            ),
        ],
        outputs: &[
            array("Timestamps", DataTypeId::DateTime, "The times of the points."),
            array("Values", DataTypeId::Double, "The values expected."),
            array("Lower95", DataTypeId::Double, "The lower ends of the 95 % intervals of what will be measured."),
            array("Upper95", DataTypeId::Double, "Their upper ends."),
        ],
    },
    MethodDef {
        name: "Reload",
        id: ids::METHOD_RELOAD,
        inputs: &[],
        outputs: &[array("Changes", DataTypeId::String, "What has changed, a line each; empty: nothing.")],
    },
    MethodDef { name: "Reset", id: ids::METHOD_PROGRAM_RESET, inputs: &[], outputs: &[] },
    MethodDef { name: "ResetStatistics", id: ids::METHOD_RESET_STATISTICS, inputs: &[], outputs: &[] },
    MethodDef { name: "Resume", id: ids::METHOD_PROGRAM_RESUME, inputs: &[], outputs: &[] },
    MethodDef {
        name: "SetParameters",
        id: ids::METHOD_SET_PARAMETERS,
        inputs: &[
            array("Names", DataTypeId::String, "The names of the parameters."),
            array("Values", DataTypeId::Double, "Their values."),
        ],
        outputs: &[scalar("Revision", DataTypeId::UInt32, "The new revision of the parameters.")],
    },
    MethodDef {
        name: "Simulate",
        id: ids::METHOD_SIMULATE,
        inputs: &[
            scalar("StartTime", DataTypeId::UtcTime, "The start of the range."),
            scalar("EndTime", DataTypeId::UtcTime, "The end of the range."),
            scalar("Output", DataTypeId::String, "The name of the output."),
            array("ParameterNames", DataTypeId::String, "The parameters that differ from those in force."),
            array("ParameterValues", DataTypeId::Double, "Their values."),
        ],
        outputs: &[
            array("Timestamps", DataTypeId::DateTime, "The timestamps of the stored samples of the output."),
            array("Values", DataTypeId::Double, "The simulated values."),
        ],
    },
    MethodDef { name: "Start", id: ids::METHOD_PROGRAM_START, inputs: &[], outputs: &[] },
    MethodDef { name: "Suspend", id: ids::METHOD_PROGRAM_SUSPEND, inputs: &[], outputs: &[] },
];

const fn scalar(name: &'static str, data_type: DataTypeId, description: &'static str) -> ArgDef {
    ArgDef { name, data_type, value_rank: SCALAR, description }
}

const fn array(name: &'static str, data_type: DataTypeId, description: &'static str) -> ArgDef {
    ArgDef { name, data_type, value_rank: ARRAY, description }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::northbound::{ids, nodesets::tests::type_nodes};
    use opcua::{
        nodes::NodeType,
        types::{DataEncoding, NodeId, NumericRange, TimestampsToReturn, Variant},
    };

    fn read(variable: &opcua::nodes::Variable) -> Option<Variant> {
        variable.value(TimestampsToReturn::Neither, &NumericRange::None, &DataEncoding::Binary, 0.0).value
    }

    #[test]
    fn the_nodeset_declares_the_same_arguments() {
        let nodes = type_nodes();
        for method in METHODS {
            for (id, expected) in [(method.id + 1, method.inputs), (method.id + 2, method.outputs)] {
                let node = nodes.iter().find(|node| node.as_node().node_id() == &NodeId::new(2, id));
                let Some(NodeType::Variable(variable)) = node else {
                    assert!(expected.is_empty(), "{}: i={id} is not in the file", method.name);
                    continue;
                };
                let expected: Vec<Variant> = expected
                    .iter()
                    .map(|argument| opcua::types::ExtensionObject::from_message(argument.to_argument()).into())
                    .collect();
                let Some(Variant::Array(declared)) = read(variable) else {
                    panic!("{}: i={id} has no value", method.name)
                };
                assert_eq!(declared.values, expected, "{}: i={id}", method.name);
            }
        }
    }

    #[test]
    fn every_method_of_the_nodeset_has_its_signature_here() {
        let declared: Vec<u32> = type_nodes()
            .iter()
            .filter(|node| matches!(node, NodeType::Method(_)) && node.as_node().node_id().namespace == 2)
            .filter_map(|node| ids::numeric(node.as_node().node_id()))
            .filter(|id| method_by_id(*id).is_none())
            .collect();
        assert_eq!(declared, Vec::<u32>::new());
    }
}
