//! One expression over named values: conditions (`when`) and computed variables.

use super::ModelFault;
use super::tape::{Operand, Tape, TapeBuilder};
use super::{language, lexer};

/// A compiled expression over the names it was parsed with.
#[derive(Clone, Debug)]
pub struct Expression {
    text: String,
    tape: Tape,
    registers: Vec<f64>,
    names: usize,
    uses: Vec<bool>,
}

/// An expression is its text, over the same number of names of which it uses the same.
impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.names == other.names && self.uses == other.uses
    }
}

impl Expression {
    /// Compiles `text`; `names` are what it may use, in the order in which [`Expression::eval`] takes their values.
    ///
    /// # Errors
    /// Every fault of the text, with item `expression`.
    pub fn parse(text: &str, names: &[&str]) -> Result<Self, Vec<ModelFault>> {
        let mut builder = TapeBuilder::default();
        let lookup = |name: &str| names.iter().position(|n| *n == name).map(|index| Operand::Variable(index as u32));
        let root = language::parse("expression", text, names, &lookup, &mut builder)?;
        let tape = builder.finish(names.len(), &[root]);
        let used = lexer::names_used(text);
        let uses = names.iter().map(|name| used.contains(name)).collect();
        Ok(Self { text: text.to_owned(), registers: tape.registers(), tape, names: names.len(), uses })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The value; a name without a value is NaN.
    #[must_use]
    pub fn eval(&self, values: &[f64]) -> f64 {
        let mut registers = self.registers.clone();
        self.eval_with(values, &mut registers)
    }

    /// As [`Expression::eval`], over registers that the caller keeps: no allocation after the first call.
    pub fn eval_with(&self, values: &[f64], registers: &mut Vec<f64>) -> f64 {
        if registers.len() != self.registers.len() {
            registers.clone_from(&self.registers);
        }
        for (index, register) in registers[..self.names].iter_mut().enumerate() {
            *register = values.get(index).copied().unwrap_or(f64::NAN);
        }
        self.tape.run(registers);
        registers[self.tape.roots()[0]]
    }

    /// As a condition: true where the value is a number other than zero and every name used has a value.
    #[must_use]
    pub fn holds(&self, values: &[f64]) -> bool {
        let known = self.uses.iter().enumerate().all(|(i, used)| !used || values.get(i).is_some_and(|v| !v.is_nan()));
        known && {
            let value = self.eval(values);
            value != 0.0 && !value.is_nan()
        }
    }

    /// Which of the names the text uses.
    #[must_use]
    pub fn uses(&self) -> &[bool] {
        &self.uses
    }
}
