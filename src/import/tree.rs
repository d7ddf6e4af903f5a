//! A survey as a tree, and which of its objects are alike.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use crate::southbound::survey::{Facts, Found, Qualified, Survey, What};

/// A survey's nodes by what is below them; every list by index of the survey.
pub(super) struct Tree<'a> {
    pub(super) nodes: &'a [Found],
    pub(super) children: Vec<Vec<usize>>,
    /// Variables below a node, itself included.
    pub(super) variables_len: Vec<usize>,
    /// Whether an object below has an ObjectType of its own.
    pub(super) has_types_below: Vec<bool>,
    /// What is alike has the same: names and data types of all variables below, or the ObjectType.
    kinds: Vec<u64>,
    /// How often each kind occurs, of objects with variables.
    counts: HashMap<u64, usize>,
}

impl<'a> Tree<'a> {
    pub(super) fn of(survey: &'a Survey) -> Self {
        let nodes = &survey.nodes;
        let mut children = vec![Vec::new(); nodes.len()];
        for (index, node) in nodes.iter().enumerate().skip(1) {
            children[node.parent].push(index);
        }
        let mut tree = Self {
            nodes,
            children,
            variables_len: vec![0; nodes.len()],
            has_types_below: vec![false; nodes.len()],
            kinds: vec![0; nodes.len()],
            counts: HashMap::new(),
        };
        let mut structures = vec![0; nodes.len()];
        for index in (0..nodes.len()).rev() {
            tree.judge(index, &mut structures); // children come after their parents
        }
        tree
    }

    fn judge(&mut self, index: usize, structures: &mut [u64]) {
        let below = &self.children[index];
        self.variables_len[index] = below.iter().map(|child| self.variables_len[*child]).sum();
        self.has_types_below[index] = below.iter().any(|child| {
            self.has_types_below[*child] || self.object_type(*child).is_some() && self.variables_len[*child] > 0
        });
        let mut parts: Vec<(&str, u64)> = below
            .iter()
            .filter(|child| self.variables_len[**child] > 0)
            .map(|child| (self.nodes[*child].name.text.as_ref(), structures[*child]))
            .collect();
        parts.sort_unstable();
        let mut hasher = DefaultHasher::new();
        parts.hash(&mut hasher);
        if let What::Variable(facts) = &self.nodes[index].what {
            self.variables_len[index] += 1;
            (facts.built_in, facts.shape as u8).hash(&mut hasher);
        }
        structures[index] = hasher.finish();
        self.kinds[index] = match self.object_type(index) {
            None => structures[index],
            Some(of) => {
                let mut hasher = DefaultHasher::new();
                ("of type", of).hash(&mut hasher);
                hasher.finish()
            }
        };
        if self.is_object(index) && self.variables_len[index] > 0 {
            *self.counts.entry(self.kinds[index]).or_default() += 1;
        }
    }

    pub(super) fn is_object(&self, index: usize) -> bool {
        matches!(self.nodes[index].what, What::Object { .. })
    }

    /// An object's own ObjectType.
    pub(super) fn object_type(&self, index: usize) -> Option<&'a Qualified> {
        match &self.nodes[index].what {
            What::Object { object_type, .. } => object_type.as_ref(),
            What::Variable(_) => None,
        }
    }

    pub(super) fn facts(&self, index: usize) -> Option<&'a Facts> {
        match &self.nodes[index].what {
            What::Object { .. } => None,
            What::Variable(facts) => Some(facts),
        }
    }

    /// Objects right below that have variables.
    pub(super) fn sub_objects(&self, index: usize) -> impl Iterator<Item = usize> {
        self.children[index].iter().copied().filter(|child| self.is_object(*child) && self.variables_len[*child] > 0)
    }

    /// Whether it has variables itself.
    pub(super) fn has_variables(&self, index: usize) -> bool {
        self.children[index].iter().any(|child| !self.is_object(*child))
    }

    /// Whether two or more objects right below are alike.
    pub(super) fn holds_alike(&self, index: usize) -> bool {
        let mut kinds: Vec<u64> = self.sub_objects(index).map(|child| self.kinds[child]).collect();
        kinds.sort_unstable();
        kinds.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// Whether another object is alike.
    pub(super) fn occurs_again(&self, index: usize) -> bool {
        self.counts.get(&self.kinds[index]).is_some_and(|count| *count > 1)
    }
}
