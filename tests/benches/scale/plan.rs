//! What is run: how many variables, how often, and what the twins make of them.

use std::fmt::Write as _;

pub(crate) const VARIABLES_PER_TWIN: u32 = 10;

/// What is on besides history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Features {
    /// Rolling statistics of every variable, a model of one in ten.
    Moments,
    /// All that a twin can have.
    Everything,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) variables: u32,
    /// Samples of each in a second.
    pub(crate) rate: u32,
    /// In how many groups they come, one after the other.
    pub(crate) groups: u32,
    pub(crate) seconds: u32,
    pub(crate) features: Features,
    /// Of statistics.
    pub(crate) window: &'static str,
    pub(crate) is_subscribed: bool,
    /// Aggregates are read and fits run meanwhile.
    pub(crate) is_busy: bool,
    pub(crate) is_restarted: bool,
}

impl Plan {
    pub(crate) fn at_1_hz(variables: u32, seconds: u32) -> Self {
        Self {
            variables,
            rate: 1,
            groups: 50,
            seconds,
            features: Features::Moments,
            window: "10m",
            is_subscribed: true,
            is_busy: false,
            is_restarted: false,
        }
    }

    pub(crate) fn twins(&self) -> u32 {
        self.variables / VARIABLES_PER_TWIN
    }

    /// Of the variables, in the order of the load's.
    pub(crate) fn names(&self) -> Vec<String> {
        let of = |twin: u32| (0..VARIABLES_PER_TWIN).map(move |v| format!("T{twin:05}.V{v}"));
        (0..self.twins()).flat_map(of).collect()
    }

    pub(crate) fn config(&self, port: u16, plc_port: u16) -> String {
        let mut text = format!(
            "[server]\nname = \"scale\"\nendpoint = \"opc.tcp://127.0.0.1:{port}\"\nadvertise = \"127.0.0.1\"\n\
             data_dir = \"data\"\npki_dir = \"pki\"\n[server.security]\npolicies = [\"None\"]\nanonymous = \"engineer\"\n\
             [plc.p]\nendpoint = \"opc.tcp://127.0.0.1:{plc_port}\"\nsecurity_policy = \"None\"\nsecurity_mode = \"None\"\n\
             publishing_interval = \"20ms\"\n"
        );
        let everything = self.features == Features::Everything;
        for v in 0..VARIABLES_PER_TWIN {
            let _ = write!(
                text,
                "[twin_type.L.variable.V{v}]\nsource = \"nsu=urn:uatwin:plant;s=none\"\nsampling_interval = \"{}ms\"\n",
                1000 / self.rate
            );
            if everything {
                text.push_str(
                    "limits = { lower = 0, upper = 2e5 }\nalarm = { high = 1e6, high_high = 2e6, low = -1.0 }\n",
                );
            }
        }
        let _ = write!(text, "[twin_type.L.statistics]\nwindow = \"{}\"\n", self.window);
        if everything {
            text.push_str(CHARTS);
        }
        text.push_str(MODEL);
        if everything {
            text.push_str(EVERYTHING);
        }
        for twin in 0..self.twins() {
            let _ = write!(text, "[twin.T{twin:05}]\ntype = \"L\"\nplc = \"p\"\ndevice = \"Load\"\n");
            for v in 0..VARIABLES_PER_TWIN {
                let index = twin * VARIABLES_PER_TWIN + v + 1;
                let _ = writeln!(text, "variable.V{v}.source = \"nsu=urn:uatwin:plant;s=Load.{index:05}\"");
            }
        }
        text
    }
}

/// A body heated by V0 in surroundings of V2.
const MODEL: &str = "
[twin_type.L.model.state.T1]
init = 22
noise = 0.01
[twin_type.L.model.parameter]
C = { value = 60, min = 5, max = 1000 }
h = { value = 4, min = 0.1, max = 100 }
[twin_type.L.model.input.V0]
[twin_type.L.model.input.V2]
[twin_type.L.model.equation]
T1 = \"(V0 - h*(T1 - V2))/C\"
[twin_type.L.model.output.V1]
expr = \"T1\"
";

const EVERYTHING: &str = "
[twin_type.L.model.live]
observer = \"ekf\"
[twin_type.L.drift]
";

/// Of the table of statistics.
const CHARTS: &str = "chart = {}
reference = { start = \"2023-11-14T20:00:00Z\", end = \"2023-11-14T21:00:00Z\" }
correlate = [\"V0\", \"V1\", \"V2\", \"V3\", \"V4\", \"V5\", \"V6\", \"V7\", \"V8\", \"V9\"]
";
