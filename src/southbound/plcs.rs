//! Which PLCs there are. A config that is loaded while the service runs makes a successor; in it no number means another PLC.

use super::{PlcConfig, PlcId, SharedLink, SharedOutlet};

/// One PLC.
#[derive(Clone, Debug)]
pub struct Plc {
    /// How it is reached.
    pub config: PlcConfig,
    /// How that stands.
    pub link: SharedLink,
    /// The way to it.
    pub outlet: SharedOutlet,
}

/// Every PLC, by number.
#[derive(Clone, Debug, Default)]
pub struct Plcs {
    /// By [`PlcId`]; those of earlier configs too.
    all: Vec<Plc>,
    /// Those that are there, in config order.
    present: Vec<PlcId>,
}

impl Plcs {
    /// These, in the order of their numbers.
    #[must_use]
    pub fn of(all: Vec<Plc>) -> Self {
        Self { present: (0..).map(PlcId).take(all.len()).collect(), all }
    }

    /// Numbers them.
    #[must_use]
    pub fn new(configs: Vec<PlcConfig>) -> Self {
        Self::default().succeeded_by(configs)
    }

    /// Those of another config. One that is as it was keeps its number, and with it its session.
    #[must_use]
    pub fn succeeded_by(&self, configs: Vec<PlcConfig>) -> Self {
        let mut next = Self { all: self.all.clone(), present: Vec::with_capacity(configs.len()) };
        for config in configs {
            let same = self.named(&config.name).filter(|plc| self.all[plc.0 as usize].config == config);
            next.present.push(same.unwrap_or_else(|| {
                next.all.push(Plc { config, link: SharedLink::default(), outlet: SharedOutlet::default() });
                PlcId(u32::try_from(next.all.len() - 1).unwrap_or(u32::MAX))
            }));
        }
        next
    }

    /// The PLC of a number, there or gone.
    #[must_use]
    pub fn get(&self, plc: PlcId) -> Option<&Plc> {
        self.all.get(plc.0 as usize)
    }

    /// Those that are there, in config order.
    pub fn ids(&self) -> impl Iterator<Item = PlcId> + use<'_> {
        self.present.iter().copied()
    }

    /// Whether it is there.
    #[must_use]
    pub fn has(&self, plc: PlcId) -> bool {
        self.present.contains(&plc)
    }

    /// How many are there.
    #[must_use]
    pub fn count(&self) -> usize {
        self.present.len()
    }

    /// The `i`th that is there, in config order.
    #[must_use]
    pub fn nth(&self, i: usize) -> Option<PlcId> {
        self.present.get(i).copied()
    }

    /// The one of a name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<PlcId> {
        self.ids().find(|plc| self.all[plc.0 as usize].config.name == name)
    }

    /// How many numbers are taken.
    #[must_use]
    pub fn numbers(&self) -> usize {
        self.all.len()
    }
}
