//! A flat list of operations over registers: what an expression compiles to. Running it neither branches on the text
//! nor allocates, whatever the text was. Registers are laid out as variables, constants, results.

use std::collections::HashMap;

use super::dual::Number;

/// An operation of one, two or three registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Code {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    /// Integer power; the exponent stands in the second operand.
    PowInteger(i32),
    Neg,
    Less,
    LessEqual,
    Equal,
    NotEqual,
    And,
    Or,
    Not,
    /// `if(a, b, c)`.
    Select,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Atan2,
    Sinh,
    Cosh,
    Tanh,
    Exp,
    Log,
    Log10,
    Sqrt,
    Abs,
    Min,
    Max,
    Sign,
    Floor,
    /// √(a² + b²): |a|, rounded off where a is no larger than b.
    SmoothAbs,
    /// (√(a² + b²) − |a|)/2: what a smooth maximum or minimum is off by. At a = 0 its slope is that from above.
    Bend,
    /// (1 + tanh(a/b))/2.
    SmoothStep,
}

/// Where a value comes from while a tape is being built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operand {
    Variable(u32),
    Constant(u32),
    Result(u32),
}

type Operation<R> = (Code, [R; 3]);

/// Collects operations; equal ones are shared and constant ones are folded.
#[derive(Debug, Default)]
pub(crate) struct TapeBuilder {
    constants: Vec<f64>,
    constant_of: HashMap<u64, u32>,
    operations: Vec<Operation<Operand>>,
    result_of: HashMap<Operation<Operand>, u32>,
}

impl TapeBuilder {
    pub(crate) fn constant(&mut self, value: f64) -> Operand {
        let next = self.constants.len() as u32;
        let index = *self.constant_of.entry(value.to_bits()).or_insert(next);
        if index == next {
            self.constants.push(value);
        }
        Operand::Constant(index)
    }

    /// Number of operations so far; the caller bounds it.
    pub(crate) fn len(&self) -> usize {
        self.operations.len()
    }

    fn constant_value(&self, operand: Operand) -> Option<f64> {
        match operand {
            Operand::Constant(index) => Some(self.constants[index as usize]),
            _ => None,
        }
    }

    pub(crate) fn push(&mut self, code: Code, operands: [Operand; 3]) -> Operand {
        let values = operands.map(|operand| self.constant_value(operand));
        if let [Some(a), Some(b), Some(c)] = values {
            return self.constant(apply(code, a, b, c));
        }
        if let (Code::Pow, Some(exponent)) = (code, values[1])
            && exponent.fract() == 0.0
            && exponent.abs() <= 64.0
        {
            return self.push(Code::PowInteger(exponent as i32), [operands[0]; 3]);
        }
        let next = self.operations.len() as u32;
        let index = *self.result_of.entry((code, operands)).or_insert(next);
        if index == next {
            self.operations.push((code, operands));
        }
        Operand::Result(index)
    }

    /// The operations that `roots` need, and no others.
    pub(crate) fn finish(&self, variables: usize, roots: &[Operand]) -> Tape {
        let mut needed = vec![false; self.operations.len()];
        let mark = |needed: &mut Vec<bool>, operand: Operand| {
            if let Operand::Result(index) = operand {
                needed[index as usize] = true;
            }
        };
        roots.iter().for_each(|&root| mark(&mut needed, root));
        for index in (0..self.operations.len()).rev() {
            if needed[index] {
                self.operations[index].1.iter().for_each(|&operand| mark(&mut needed, operand));
            }
        }
        let first_result = variables + self.constants.len();
        let mut register_of = vec![0_u32; self.operations.len()];
        let mut operations = Vec::new();
        let register = |register_of: &[u32], operand: Operand| match operand {
            Operand::Variable(index) => index,
            Operand::Constant(index) => variables as u32 + index,
            Operand::Result(index) => register_of[index as usize],
        };
        for (index, (code, operands)) in self.operations.iter().enumerate() {
            if needed[index] {
                register_of[index] = (first_result + operations.len()) as u32;
                operations.push((*code, operands.map(|operand| register(&register_of, operand))));
            }
        }
        let roots = roots.iter().map(|&root| register(&register_of, root) as usize).collect();
        Tape { variables, constants: self.constants.clone(), operations, roots }
    }
}

/// Compiled expressions; `roots` are the registers of their values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tape {
    variables: usize,
    constants: Vec<f64>,
    operations: Vec<Operation<u32>>,
    roots: Vec<usize>,
}

impl Tape {
    /// Registers ready for [`Tape::run`]: constants stand, variables are zero until the caller sets them.
    pub(crate) fn registers<N: Number>(&self) -> Vec<N> {
        let mut registers = vec![N::constant(0.0); self.variables + self.constants.len() + self.operations.len()];
        for (register, &value) in registers[self.variables..].iter_mut().zip(&self.constants) {
            *register = N::constant(value);
        }
        registers
    }

    /// The registers that hold the expressions' values after a run.
    pub(crate) fn roots(&self) -> &[usize] {
        &self.roots
    }

    /// One more value: what a register holds.
    pub(crate) fn add_root(&mut self, register: usize) {
        self.roots.push(register);
    }

    /// Number of operations of one run.
    pub(crate) fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether a value depends on this variable.
    pub(crate) fn reads(&self, variable: usize) -> bool {
        self.roots.contains(&variable)
            || self.operations.iter().any(|(_, operands)| operands.iter().any(|&operand| operand as usize == variable))
    }

    /// Computes every operation from the variables in `registers[..variables]`.
    #[inline]
    pub(crate) fn run<N: Number>(&self, registers: &mut [N]) {
        let first = self.variables + self.constants.len();
        for (index, &(code, [a, b, c])) in self.operations.iter().enumerate() {
            let (done, rest) = registers.split_at_mut(first + index);
            let (a, b) = (&done[a as usize], &done[b as usize]);
            // Arithmetic is nearly all that models do: it stays in this loop, without a copy or a call.
            rest[0] = match code {
                Code::Add => a.add(*b),
                Code::Sub => a.sub(*b),
                Code::Mul => a.mul(*b),
                Code::Div => a.div(*b),
                Code::Select if a.value() != 0.0 => *b,
                Code::Select => done[c as usize],
                _ => apply2(code, *a, *b),
            };
        }
    }
}

fn apply(code: Code, a: f64, b: f64, c: f64) -> f64 {
    if let Code::Select = code { if a != 0.0 { b } else { c } } else { apply2(code, a, b) }
}

fn truth<N: Number>(holds: bool) -> N {
    N::constant(if holds { 1.0 } else { 0.0 })
}

/// One operation. Derivatives at kinks are one-sided ones (0 for `sign` and `floor`).
#[inline(never)]
fn apply2<N: Number>(code: Code, a: N, b: N) -> N {
    let (x, y) = (a.value(), b.value());
    match code {
        Code::Add => a.add(b),
        Code::Sub => a.sub(b),
        Code::Mul => a.mul(b),
        Code::Div => a.div(b),
        Code::Pow => a.pow(b),
        Code::PowInteger(n) => a.chain(x.powi(n), || if n == 0 { 0.0 } else { f64::from(n) * x.powi(n - 1) }),
        Code::Neg => N::constant(0.0).sub(a),
        Code::Less => truth(x < y),
        Code::LessEqual => truth(x <= y),
        Code::Equal => truth(x == y),
        Code::NotEqual => truth(x != y),
        Code::And => truth(x != 0.0 && y != 0.0),
        Code::Or => truth(x != 0.0 || y != 0.0),
        Code::Not => truth(x == 0.0),
        // `Tape::run` picks the branch: only it has the third operand.
        Code::Select => b,
        Code::Sin => a.chain(x.sin(), || x.cos()),
        Code::Cos => a.chain(x.cos(), || -x.sin()),
        Code::Tan => a.chain(x.tan(), || 1.0 + x.tan().powi(2)),
        Code::Asin => a.chain(x.asin(), || 1.0 / (1.0 - x * x).sqrt()),
        Code::Acos => a.chain(x.acos(), || -1.0 / (1.0 - x * x).sqrt()),
        Code::Atan => a.chain(x.atan(), || 1.0 / (1.0 + x * x)),
        Code::Atan2 => a.chain2(b, x.atan2(y), || (y / (x * x + y * y), -x / (x * x + y * y))),
        Code::Sinh => a.chain(x.sinh(), || x.cosh()),
        Code::Cosh => a.chain(x.cosh(), || x.sinh()),
        Code::Tanh => a.chain(x.tanh(), || 1.0 - x.tanh().powi(2)),
        Code::Exp => {
            let value = x.exp();
            a.chain(value, || value)
        }
        Code::Log => a.chain(x.ln(), || 1.0 / x),
        Code::Log10 => a.chain(x.log10(), || 1.0 / (x * std::f64::consts::LN_10)),
        Code::Sqrt => a.chain(x.sqrt(), || 0.5 / x.sqrt()),
        Code::Abs => a.chain(x.abs(), || sign(x)),
        // A NaN on either side stays a NaN: f64::min would hide it.
        Code::Min => match x.partial_cmp(&y) {
            Some(std::cmp::Ordering::Greater) => b,
            Some(_) => a,
            None => a.add(b),
        },
        Code::Max => match x.partial_cmp(&y) {
            Some(std::cmp::Ordering::Less) => b,
            Some(_) => a,
            None => a.add(b),
        },
        Code::Sign => N::constant(sign(x)),
        Code::Floor => N::constant(x.floor()),
        Code::SmoothAbs => {
            let value = x.hypot(y);
            a.chain2(b, value, || if value == 0.0 { (0.0, 0.0) } else { (x / value, y / value) })
        }
        Code::Bend => {
            let (value, height) = bend(x, y);
            a.chain2(b, value, || match height == 0.0 {
                true => (-0.5, 0.0),
                false => (if x < 0.0 { value / height } else { -value / height }, 0.5 * y / height),
            })
        }
        Code::SmoothStep => {
            let (value, rest) = smooth_step(x, y);
            a.chain2(b, value, || match value * rest == 0.0 || y == 0.0 {
                true => (0.0, 0.0),
                false => {
                    let slope = 2.0 * value * rest / y.abs();
                    (slope, -slope * x / y)
                }
            })
        }
    }
}

/// (h − |x|)/2 and h = √(x² + w²), without the difference of two numbers that are nearly equal.
fn bend(x: f64, w: f64) -> (f64, f64) {
    let height = x.hypot(w);
    (if height == 0.0 { 0.0 } else { 0.5 * w * (w / (height + x.abs())) }, height)
}

/// (1 + tanh(x/|w|))/2, and 1 less that: both to the last digit, however near to 0.
fn smooth_step(x: f64, w: f64) -> (f64, f64) {
    if w == 0.0 {
        return (0.5 * (1.0 + sign(x)), 0.5 * (1.0 - sign(x)));
    }
    let twice = 2.0 * x / w.abs();
    (1.0 / (1.0 + (-twice).exp()), 1.0 / (1.0 + twice.exp()))
}

fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}
