//! From tokens to an expression, and what it says of an event.
//!
//! ```text
//! or   := and ("or" and)*
//! and  := not ("and" not)*
//! not  := "not" not | "(" or ")" | test
//! test := FLAG | FIELD op value | FIELD "in" "(" value, … ")"
//! op   := == != < <= > >= ~ !~ "contains"
//! ```

use std::ops::Range;

use memchr::memmem;
use regex::bytes::{Regex, RegexBuilder};

use super::facts::{KINDS, Subject, Value};
use super::field::{Field, Type};
use super::token::{Token, tokens};
use crate::config::hint;

/// An expression about events.
#[derive(Clone, Debug)]
pub struct Expr(Node);

/// An expression that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}")]
pub struct ExprError {
    /// Where, from 1 on, counted in characters.
    pub column: usize,
    /// What is wrong, and what to write instead.
    pub message: String,
}

#[derive(Clone, Debug)]
enum Node {
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
    Test(Field, Test),
}

/// What is asked of the values of a field.
#[derive(Clone, Debug)]
enum Test {
    /// The flag is set.
    Is,
    Text(Vec<String>),
    Number(Order, Vec<u64>),
    Matches(Regex),
    Contains(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Parentheses and `not` within each other, at most.
const DEPTH: usize = 64;
/// Bytes that a compiled regular expression may take.
const REGEX_BYTES: usize = 1 << 20;

impl Expr {
    /// Reads an expression.
    ///
    /// # Errors
    /// See [`ExprError`].
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        let column = |at: usize| text.get(..at).unwrap_or(text).chars().count() + 1;
        let error = |(at, message)| ExprError { column: column(at), message };
        let tokens = tokens(text).map_err(|at| {
            let quote = text.get(at..).is_some_and(|rest| rest.starts_with(['"', '\'']));
            let what =
                if quote { "this text has no end; close the quote" } else { "no word, text or operator begins so" };
            error((at, what.to_owned()))
        })?;
        let mut parser = Parser { tokens: &tokens, at: 0, end: text.len(), depth: 0 };
        let node = parser.or().map_err(error)?;
        match parser.peek() {
            None => Ok(Self(node)),
            Some(_) => {
                let message = "`and`, `or` or the end is expected here".to_owned();
                Err(error((parser.place(), message)))
            }
        }
    }

    /// Whether it is so of the event. Of what the event lacks, nothing is so.
    pub fn holds(&self, subject: &Subject<'_>) -> bool {
        self.0.holds(subject, false).unwrap_or_default()
    }

    /// Whether it may be so of some event of the connection that this one is about.
    pub fn may_hold_of_connection(&self, subject: &Subject<'_>) -> bool {
        self.0.holds(subject, true).unwrap_or(true)
    }
}

impl Node {
    /// Whether it holds; `None` if that depends on what is not asked of: with `of_connection`, fields of single events.
    fn holds(&self, subject: &Subject<'_>, of_connection: bool) -> Option<bool> {
        match self {
            Self::And(a, b) => match (a.holds(subject, of_connection), b.holds(subject, of_connection)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(a, b) => match (a.holds(subject, of_connection), b.holds(subject, of_connection)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Self::Not(node) => node.holds(subject, of_connection).map(|holds| !holds),
            Self::Test(field, _) if of_connection && !field.is_of_connection() => None,
            Self::Test(field, _) if of_connection && subject.conn.is_none() && *field != Field::Conn => None,
            Self::Test(field, test) => Some(subject.any(*field, &mut |value| test.passes(value))),
        }
    }
}

impl Test {
    fn passes(&self, value: Value<'_>) -> bool {
        match (self, value) {
            (Self::Is, Value::Flag(flag)) => flag,
            (Self::Text(texts), Value::Text(text)) => texts.iter().any(|wanted| wanted == text),
            (Self::Number(order, numbers), Value::Number(number)) => {
                numbers.iter().any(|&wanted| order.holds(number, wanted))
            }
            (Self::Matches(regex), Value::Text(text)) => regex.is_match(text.as_bytes()),
            (Self::Matches(regex), Value::Bytes(bytes)) => regex.is_match(bytes),
            (Self::Contains(part), Value::Text(text)) => memmem::find(text.as_bytes(), part).is_some(),
            (Self::Contains(part), Value::Bytes(bytes)) => memmem::find(bytes, part).is_some(),
            _ => false,
        }
    }
}

impl Order {
    const fn holds(self, number: u64, wanted: u64) -> bool {
        match self {
            Self::Equal => number == wanted,
            Self::Less => number < wanted,
            Self::LessOrEqual => number <= wanted,
            Self::Greater => number > wanted,
            Self::GreaterOrEqual => number >= wanted,
        }
    }
}

/// Where something is wrong, and what.
type Fault = (usize, String);

struct Parser<'a> {
    tokens: &'a [(Token, Range<usize>)],
    at: usize,
    end: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    /// Where the next token begins.
    fn place(&self) -> usize {
        self.tokens.get(self.at).map_or(self.end, |(_, range)| range.start)
    }

    fn fault<T>(&self, message: impl Into<String>) -> Result<T, Fault> {
        Err((self.place(), message.into()))
    }

    fn takes(&mut self, word: &str) -> bool {
        let there = matches!(self.peek(), Some(Token::Word(there)) if there == word);
        self.at += usize::from(there);
        there
    }

    fn or(&mut self) -> Result<Node, Fault> {
        let mut node = self.and()?;
        while self.takes("or") {
            node = Node::Or(Box::new(node), Box::new(self.and()?));
        }
        Ok(node)
    }

    fn and(&mut self) -> Result<Node, Fault> {
        let mut node = self.not()?;
        while self.takes("and") {
            node = Node::And(Box::new(node), Box::new(self.not()?));
        }
        Ok(node)
    }

    fn not(&mut self) -> Result<Node, Fault> {
        self.depth += 1;
        if self.depth > DEPTH {
            return self.fault(format!("more than {DEPTH} within each other"));
        }
        let node = if self.takes("not") {
            Node::Not(Box::new(self.not()?))
        } else if self.peek() == Some(&Token::Open) {
            self.at += 1;
            let node = self.or()?;
            if self.peek() != Some(&Token::Close) {
                return self.fault("`)` is expected here");
            }
            self.at += 1;
            node
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(node)
    }

    fn test(&mut self) -> Result<Node, Fault> {
        let Some(Token::Word(name)) = self.peek() else {
            return self.fault("a field is expected here, as in `port == 8080`");
        };
        let Some(field) = Field::of(name) else {
            return self.fault(format!("`{name}` is no field; {}", hint(name, &Field::names())));
        };
        self.at += 1;
        let (place, name, kind) = (self.place(), field.name(), field.type_of());
        let op = match self.peek() {
            Some(Token::Op(op)) => *op,
            Some(Token::Word(word)) if word == "in" => "in",
            Some(Token::Word(word)) if word == "contains" => "contains",
            _ if kind == Type::Flag => return Ok(Node::Test(field, Test::Is)),
            _ => return self.fault(format!("an operator is expected behind `{name}`: {}", operators(kind).join(" "))),
        };
        if !operators(kind).contains(&op) {
            let able = operators(kind);
            let instead = if able.is_empty() { format!("write `{name}` or `not {name}`") } else { able.join(" ") };
            return Err((place, format!("`{op}` cannot be asked of `{name}`; {instead}")));
        }
        self.at += 1;
        let (node, negated) = match op {
            "in" => (Node::Test(field, self.list(field)?), false),
            "~" | "!~" => (Node::Test(field, Test::Matches(self.regex()?)), op == "!~"),
            "contains" => (Node::Test(field, Test::Contains(self.value("a text")?.into_bytes())), false),
            _ if matches!(kind, Type::Number | Type::Duration) => {
                let order = match op {
                    "<" => Order::Less,
                    "<=" => Order::LessOrEqual,
                    ">" => Order::Greater,
                    ">=" => Order::GreaterOrEqual,
                    _ => Order::Equal,
                };
                (Node::Test(field, Test::Number(order, vec![self.number(kind)?])), op == "!=")
            }
            _ => (Node::Test(field, Test::Text(vec![self.text(field)?])), op == "!="),
        };
        Ok(if negated { Node::Not(Box::new(node)) } else { node })
    }

    fn list(&mut self, field: Field) -> Result<Test, Fault> {
        if self.peek() != Some(&Token::Open) {
            return self.fault("`(` is expected here, as in `port in (80, 8080)`");
        }
        let (kind, mut texts, mut numbers) = (field.type_of(), Vec::new(), Vec::new());
        loop {
            self.at += 1;
            match kind {
                Type::Number | Type::Duration => numbers.push(self.number(kind)?),
                _ => texts.push(self.text(field)?),
            }
            match self.peek() {
                Some(Token::Comma) => {}
                Some(Token::Close) => break,
                _ => return self.fault("`,` or `)` is expected here"),
            }
        }
        self.at += 1;
        Ok(if texts.is_empty() { Test::Number(Order::Equal, numbers) } else { Test::Text(texts) })
    }

    fn value(&mut self, what: &str) -> Result<String, Fault> {
        let Some(Token::Word(text) | Token::Text(text)) = self.peek() else {
            return self.fault(format!("{what} is expected here"));
        };
        let text = text.clone();
        self.at += 1;
        Ok(text)
    }

    /// A text that the field may have.
    fn text(&mut self, field: Field) -> Result<String, Fault> {
        let place = self.place();
        let text = self.value("a value")?;
        let known: &[&str] = match field {
            Field::Kind => &KINDS,
            Field::Direction => &["in", "out"],
            Field::Role => &["client", "server", "unknown"],
            _ => return Ok(text),
        };
        if known.contains(&text.as_str()) {
            return Ok(text);
        }
        Err((place, format!("`{text}` is no {}; {}", field.name(), hint(&text, known))))
    }

    fn number(&mut self, kind: Type) -> Result<u64, Fault> {
        let place = self.place();
        let text = self.value("a number")?;
        let wanted =
            if kind == Type::Duration { "a time such as 1.5s or 200ms" } else { "a number such as 8080 or 64K" };
        number(&text, kind).ok_or_else(|| (place, format!("`{text}` is no number; {wanted} is expected here")))
    }

    fn regex(&mut self) -> Result<Regex, Fault> {
        let place = self.place();
        let text = self.value("a regular expression, best in quotes,")?;
        let regex = RegexBuilder::new(&text).unicode(false).size_limit(REGEX_BYTES).build();
        regex.map_err(|error| {
            let last = error.to_string();
            let last = last.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            (place, format!("`{text}` is no regular expression: {last}"))
        })
    }
}

/// What can be asked of a field of this kind.
const fn operators(kind: Type) -> &'static [&'static str] {
    match kind {
        Type::Text => &["==", "!=", "~", "!~", "contains", "in"],
        Type::Number | Type::Duration => &["==", "!=", "<", "<=", ">", ">=", "in"],
        Type::Flag => &[],
        Type::Bytes => &["contains", "~", "!~"],
    }
}

/// A decimal number with its unit, as a whole number: bytes, or nanoseconds.
fn number(text: &str, kind: Type) -> Option<u64> {
    let digits = text.trim_end_matches(|char: char| char.is_ascii_alphabetic());
    let unit = match (kind, text.get(digits.len()..)?) {
        (Type::Duration, "ns") | (Type::Number, "") => 1,
        (Type::Duration, "us") => 1_000,
        (Type::Duration, "ms") => 1_000_000,
        (Type::Duration, "s") => 1_000_000_000,
        (Type::Duration, "m") => 60_000_000_000,
        (Type::Duration, "h") => 3_600_000_000_000,
        (Type::Number, "K") => 1 << 10,
        (Type::Number, "M") => 1 << 20,
        (Type::Number, "G") => 1 << 30,
        _ => return None,
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut number = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.chars() {
        place /= 10;
        number = number.checked_add(u64::from(digit.to_digit(10)?) * place)?;
    }
    Some(number)
}
