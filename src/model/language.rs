//! The expression language: text → operations on a [`TapeBuilder`]. Precedence, loosest first: `||`, `&&`, comparison,
//! `+ -`, `* /`, prefix `- + !`, `^` (right-associative; its exponent may be signed, so `-x^2` is −(x²)).
//! Hostile text gives an error: length, nesting and operations are bounded before anything is allocated for them.

use super::ModelFault;
use super::lexer::{Token, next_token, shorten, suggest};
use super::tape::{Code, Operand, TapeBuilder};

/// Longest text of one expression.
pub const TEXT_BYTES_MAX: usize = 16_384;
/// Deepest nesting of parentheses, calls and prefixes.
pub const DEPTH_MAX: usize = 64;
/// Most operations of a whole model.
pub const OPERATIONS_MAX: usize = 10_000;
/// Longest name.
pub const NAME_BYTES_MAX: usize = 128;
/// Most unknown names reported from one expression.
const FAULTS_MAX: usize = 20;

/// Names that mean something else: time in seconds, and π.
pub const RESERVED: [&str; 2] = ["t", "pi"];

/// How many arguments a function takes.
#[derive(Clone, Copy, PartialEq)]
enum Arity {
    Exactly(usize),
    AtLeast(usize),
}

/// The functions, in the order of the documentation.
const FUNCTIONS: [(&str, Arity, Option<Code>); 29] = [
    ("if", Arity::Exactly(3), Some(Code::Select)),
    ("sin", Arity::Exactly(1), Some(Code::Sin)),
    ("cos", Arity::Exactly(1), Some(Code::Cos)),
    ("tan", Arity::Exactly(1), Some(Code::Tan)),
    ("asin", Arity::Exactly(1), Some(Code::Asin)),
    ("acos", Arity::Exactly(1), Some(Code::Acos)),
    ("atan", Arity::Exactly(1), Some(Code::Atan)),
    ("atan2", Arity::Exactly(2), Some(Code::Atan2)),
    ("sinh", Arity::Exactly(1), Some(Code::Sinh)),
    ("cosh", Arity::Exactly(1), Some(Code::Cosh)),
    ("tanh", Arity::Exactly(1), Some(Code::Tanh)),
    ("exp", Arity::Exactly(1), Some(Code::Exp)),
    ("log", Arity::Exactly(1), Some(Code::Log)),
    ("ln", Arity::Exactly(1), Some(Code::Log)),
    ("log10", Arity::Exactly(1), Some(Code::Log10)),
    ("sqrt", Arity::Exactly(1), Some(Code::Sqrt)),
    ("abs", Arity::Exactly(1), Some(Code::Abs)),
    ("sign", Arity::Exactly(1), Some(Code::Sign)),
    ("floor", Arity::Exactly(1), Some(Code::Floor)),
    ("pow", Arity::Exactly(2), Some(Code::Pow)),
    ("min", Arity::AtLeast(2), Some(Code::Min)),
    ("max", Arity::AtLeast(2), Some(Code::Max)),
    ("clamp", Arity::Exactly(3), None),
    ("and", Arity::AtLeast(2), Some(Code::And)),
    ("or", Arity::AtLeast(2), Some(Code::Or)),
    ("smooth_abs", Arity::Exactly(2), Some(Code::SmoothAbs)),
    ("smooth_max", Arity::Exactly(3), None),
    ("smooth_min", Arity::Exactly(3), None),
    ("smooth_step", Arity::Exactly(2), Some(Code::SmoothStep)),
];

/// Turns names into operands while an expression is parsed.
pub(crate) type Lookup<'a> = dyn Fn(&str) -> Option<Operand> + 'a;

/// Parses one expression onto `tape`. `item` names it in faults; `known` are the names for suggestions.
pub(crate) fn parse(
    item: &str,
    text: &str,
    known: &[&str],
    lookup: &Lookup<'_>,
    tape: &mut TapeBuilder,
) -> Result<Operand, Vec<ModelFault>> {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("the expression is {} bytes long, at most {TEXT_BYTES_MAX} are allowed", text.len());
        return Err(vec![ModelFault::new(item, Some(TEXT_BYTES_MAX), message, "split it with `let`")]);
    }
    let mut parser = Parser {
        item,
        text,
        known,
        lookup,
        tape,
        faults: Vec::new(),
        position: 0,
        start: 0,
        token: Token::End,
        depth: 0,
    };
    let parsed = parser.advance().and_then(|()| parser.whole());
    let mut faults = parser.faults;
    match parsed {
        Ok(operand) if faults.is_empty() => Ok(operand),
        Ok(_) => Err(faults),
        Err(fault) => {
            faults.push(fault);
            Err(faults)
        }
    }
}

struct Parser<'a> {
    item: &'a str,
    text: &'a str,
    known: &'a [&'a str],
    lookup: &'a Lookup<'a>,
    tape: &'a mut TapeBuilder,
    faults: Vec<ModelFault>,
    position: usize,
    start: usize,
    token: Token<'a>,
    depth: usize,
}

type Parsed = Result<Operand, ModelFault>;

impl<'a> Parser<'a> {
    fn fault(&self, message: impl Into<String>, remedy: impl Into<String>) -> ModelFault {
        ModelFault::new(self.item, Some(self.start), message, remedy)
    }

    fn advance(&mut self) -> Result<(), ModelFault> {
        match next_token(self.text, self.position) {
            Ok((token, start, end)) => {
                (self.token, self.start, self.position) = (token, start, end);
                Ok(())
            }
            Err((offset, message, remedy)) => Err(ModelFault::new(self.item, Some(offset), message, remedy)),
        }
    }

    fn eat(&mut self, symbol: &'static str) -> Result<bool, ModelFault> {
        let found = self.token == Token::Symbol(symbol);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn emit(&mut self, code: Code, operands: [Operand; 3]) -> Parsed {
        if self.tape.len() >= OPERATIONS_MAX {
            let message = format!("the model has more than {OPERATIONS_MAX} operations");
            return Err(self.fault(message, "make the model smaller"));
        }
        Ok(self.tape.push(code, operands))
    }

    fn emit2(&mut self, code: Code, a: Operand, b: Operand) -> Parsed {
        self.emit(code, [a, b, b])
    }

    fn whole(&mut self) -> Parsed {
        let operand = self.disjunction()?;
        match self.token {
            Token::End => Ok(operand),
            Token::Symbol("=") => Err(self.fault("`=` is not an operator", "compare with `==`")),
            Token::Symbol(")") => Err(self.fault("a `)` without its `(`", "remove it or open a parenthesis")),
            Token::Symbol(",") => Err(self.fault("a comma outside of a function's arguments", "use `.` in numbers")),
            _ => Err(self.fault(
                format!("an operator is missing before {}", self.token_text()),
                "write for instance `*` between them",
            )),
        }
    }

    fn token_text(&self) -> String {
        match self.token {
            Token::End => "the end".to_owned(),
            _ => format!("`{}`", shorten(&self.text[self.start..self.position])),
        }
    }

    fn disjunction(&mut self) -> Parsed {
        let mut left = self.conjunction()?;
        while self.eat("||")? {
            let right = self.conjunction()?;
            left = self.emit2(Code::Or, left, right)?;
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Parsed {
        let mut left = self.comparison()?;
        while self.eat("&&")? {
            let right = self.comparison()?;
            left = self.emit2(Code::And, left, right)?;
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Parsed {
        let left = self.sum()?;
        let Some((code, swap)) = self.comparison_code() else {
            return Ok(left);
        };
        self.advance()?;
        let right = self.sum()?;
        if self.comparison_code().is_some() {
            return Err(self.fault("comparisons can't be chained", "write `a < b && b < c`"));
        }
        if swap { self.emit2(code, right, left) } else { self.emit2(code, left, right) }
    }

    fn comparison_code(&self) -> Option<(Code, bool)> {
        match self.token {
            Token::Symbol("<") => Some((Code::Less, false)),
            Token::Symbol("<=") => Some((Code::LessEqual, false)),
            Token::Symbol(">") => Some((Code::Less, true)),
            Token::Symbol(">=") => Some((Code::LessEqual, true)),
            Token::Symbol("==") => Some((Code::Equal, false)),
            Token::Symbol("!=") => Some((Code::NotEqual, false)),
            _ => None,
        }
    }

    fn sum(&mut self) -> Parsed {
        let mut left = self.product()?;
        loop {
            let code = match self.token {
                Token::Symbol("+") => Code::Add,
                Token::Symbol("-") => Code::Sub,
                _ => return Ok(left),
            };
            self.advance()?;
            let right = self.product()?;
            left = self.emit2(code, left, right)?;
        }
    }

    fn product(&mut self) -> Parsed {
        let mut left = self.prefix()?;
        loop {
            let code = match self.token {
                Token::Symbol("*") => Code::Mul,
                Token::Symbol("/") => Code::Div,
                _ => return Ok(left),
            };
            self.advance()?;
            let right = self.prefix()?;
            left = self.emit2(code, left, right)?;
        }
    }

    /// The only way down: every recursion passes here, so here it is bounded.
    fn prefix(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let message = format!("the expression is nested more than {DEPTH_MAX} deep");
            return Err(self.fault(message, "split it with `let`"));
        }
        let operand = if self.eat("-")? {
            let operand = self.prefix()?;
            self.emit(Code::Neg, [operand; 3])
        } else if self.eat("+")? {
            self.prefix()
        } else if self.eat("!")? {
            let operand = self.prefix()?;
            self.emit(Code::Not, [operand; 3])
        } else {
            self.power()
        };
        self.depth -= 1;
        operand
    }

    fn power(&mut self) -> Parsed {
        let base = self.atom()?;
        if self.token == Token::Symbol("**") {
            return Err(self.fault("`**` is not an operator", "write `^` for powers"));
        }
        if self.eat("^")? {
            let exponent = self.prefix()?;
            return self.emit2(Code::Pow, base, exponent);
        }
        Ok(base)
    }

    fn atom(&mut self) -> Parsed {
        match self.token {
            Token::Number(value) => {
                self.advance()?;
                Ok(self.tape.constant(value))
            }
            Token::Symbol("(") => {
                self.advance()?;
                let operand = self.disjunction()?;
                self.close()?;
                Ok(operand)
            }
            Token::Name(name) => self.name_or_call(name),
            Token::End => {
                Err(self.fault("the expression ends where a value is needed", "complete or remove the last operator"))
            }
            Token::Symbol(symbol) => Err(self
                .fault(format!("a value is needed here, not `{symbol}`"), "write a number, a name or a parenthesis")),
        }
    }

    fn close(&mut self) -> Result<(), ModelFault> {
        if self.eat(")")? {
            return Ok(());
        }
        Err(self.fault(format!("`)` is missing before {}", self.token_text()), "close the parenthesis"))
    }

    fn name_or_call(&mut self, name: &'a str) -> Parsed {
        let start = self.start;
        self.advance()?;
        if self.token == Token::Symbol("(") {
            return self.call(name, start);
        }
        if let Some(operand) = (self.lookup)(name) {
            return Ok(operand);
        }
        if name == "pi" {
            return Ok(self.tape.constant(std::f64::consts::PI));
        }
        let is_function = FUNCTIONS.iter().any(|(function, ..)| *function == name);
        let (message, remedy) = if is_function {
            (format!("`{name}` is a function"), format!("write its arguments: `{name}(...)`"))
        } else {
            let remedy = match suggest(name, self.known.iter().copied()) {
                Some(candidate) => format!("did you mean `{candidate}`?"),
                None => "use a state, parameter, input or let of this model, `t` or `pi`".to_owned(),
            };
            (format!("unknown name `{}`", shorten(name)), remedy)
        };
        let fault = ModelFault::new(self.item, Some(start), message, remedy);
        if self.faults.len() + 1 >= FAULTS_MAX {
            return Err(fault);
        }
        // Go on, so that every unknown name of the expression is reported at once.
        self.faults.push(fault);
        Ok(self.tape.constant(f64::NAN))
    }

    fn call(&mut self, name: &str, start: usize) -> Parsed {
        let Some((name, arity, code)) = FUNCTIONS.iter().find(|(function, ..)| *function == name) else {
            let remedy = match suggest(name, FUNCTIONS.iter().map(|(function, ..)| *function)) {
                Some(candidate) => format!("did you mean `{candidate}`?"),
                None if (self.lookup)(name).is_some() => "multiply with `*`".to_owned(),
                None => "the functions stand in the documentation of the model language".to_owned(),
            };
            return Err(ModelFault::new(
                self.item,
                Some(start),
                format!("unknown function `{}`", shorten(name)),
                remedy,
            ));
        };
        self.advance()?;
        let mut arguments = Vec::new();
        if self.token != Token::Symbol(")") {
            arguments.push(self.disjunction()?);
            while self.eat(",")? {
                arguments.push(self.disjunction()?);
            }
        }
        self.close()?;
        let (fits, wanted) = match *arity {
            Arity::Exactly(count) => (arguments.len() == count, count.to_string()),
            Arity::AtLeast(count) => (arguments.len() >= count, format!("{count} or more")),
        };
        if !fits {
            let message = format!("`{name}` takes {wanted} arguments, not {}", arguments.len());
            return Err(ModelFault::new(self.item, Some(start), message, "correct the arguments"));
        }
        match (code, arguments.as_slice()) {
            (Some(code), &[a]) => self.emit(*code, [a; 3]),
            (Some(Code::Select), &[a, b, c]) => self.emit(Code::Select, [a, b, c]),
            (Some(code), [first, rest @ ..]) => rest.iter().try_fold(*first, |all, &next| self.emit2(*code, all, next)),
            (None, &[a, b, c]) => self.composed(name, a, b, c),
            _ => unreachable!("the number of arguments was checked above"),
        }
    }

    /// The functions of three arguments that are several operations.
    fn composed(&mut self, name: &str, a: Operand, b: Operand, c: Operand) -> Parsed {
        // Of two that are equal, `min` and `max` go with the first: there the slope of what is added halves its own.
        let bent = match name {
            "smooth_max" => Some((Code::Max, self.emit2(Code::Sub, a, b)?, Code::Add)),
            "smooth_min" => Some((Code::Min, self.emit2(Code::Sub, b, a)?, Code::Sub)),
            _ => None,
        };
        if let Some((sharp, difference, join)) = bent {
            let (sharp, off) = (self.emit2(sharp, a, b)?, self.emit2(Code::Bend, difference, c)?);
            return self.emit2(join, sharp, off);
        }
        let raised = self.emit2(Code::Max, a, b)?;
        self.emit2(Code::Min, raised, c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{INPUTS_MAX, LETS_MAX, OUTPUTS_MAX, PARAMETERS_MAX, STATES_MAX};

    #[test]
    fn the_documentation_has_every_function_every_reserved_name_and_every_limit() {
        let text = include_str!("language.md");
        for (function, ..) in FUNCTIONS {
            assert!(text.contains(&format!("`{function}(")), "language.md does not say what `{function}` is");
        }
        for name in RESERVED {
            assert!(text.contains(&format!("`{name}`")), "language.md does not say what `{name}` is");
        }
        assert_eq!([INPUTS_MAX, OUTPUTS_MAX], [PARAMETERS_MAX; 2], "language.md has one line for the three");
        for (what, most) in [
            ("states", STATES_MAX),
            ("parameters, inputs, outputs", PARAMETERS_MAX),
            ("helpers", LETS_MAX),
            ("nesting of parentheses, calls and prefixes", DEPTH_MAX),
            ("bytes of a name", NAME_BYTES_MAX),
        ] {
            assert!(text.contains(&format!("| {what} | {most}")), "{what}: {most}");
        }
        assert_eq!((TEXT_BYTES_MAX, OPERATIONS_MAX), (16_384, 10_000), "language.md says so");
    }
}
