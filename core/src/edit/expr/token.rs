//! Words, texts, operators and parentheses, with their places.

use std::ops::Range;

use winnow::combinator::{alt, delimited, preceded, repeat};
use winnow::error::ContextError;
use winnow::prelude::*;
use winnow::stream::Location as _;
use winnow::token::{any, none_of, one_of, take_while};
use winnow::{LocatingSlice, ascii::multispace0};

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word as it stands: a field, a value, `and`.
    Word(String),
    /// A text in quotes.
    Text(String),
    /// `==` and the like.
    Op(&'static str),
    Open,
    Close,
    Comma,
}

type Input<'a> = LocatingSlice<&'a str>;

/// The tokens of an expression, each with its bytes. Fails with the byte at which there is none.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, Range<usize>)>, usize> {
    let mut input = LocatingSlice::new(text);
    let mut tokens = Vec::new();
    loop {
        let blank: Result<&str, ContextError> = multispace0.parse_next(&mut input);
        let at = input.current_token_start();
        if blank.is_err() || input.is_empty() {
            return Ok(tokens);
        }
        let token = token.parse_next(&mut input).map_err(|_: ContextError| at)?;
        tokens.push((token, at..input.current_token_start()));
    }
}

fn token(input: &mut Input<'_>) -> Result<Token, ContextError> {
    alt((
        alt(("==", "!=", "<=", ">=", "!~", "<", ">", "~", "=")).map(|op: &str| Token::Op(known(op))),
        '('.value(Token::Open),
        ')'.value(Token::Close),
        ','.value(Token::Comma),
        quoted('"').map(Token::Text),
        quoted('\'').map(Token::Text),
        take_while(1.., is_word).map(|word: &str| Token::Word(word.to_owned())),
    ))
    .parse_next(input)
}

/// A text in quotes, in which a backslash stands before a quote or another one.
fn quoted<'a>(quote: char) -> impl Parser<Input<'a>, String, ContextError> {
    let escaped = preceded('\\', alt(('n'.value('\n'), 'r'.value('\r'), 't'.value('\t'), any)));
    let plain = none_of([quote, '\\']);
    delimited(one_of(quote), repeat(0.., alt((escaped, plain))), one_of(quote))
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || "_-.:/[]*%+@".contains(char)
}

fn known(op: &str) -> &'static str {
    ["==", "!=", "<=", ">=", "!~", "<", ">", "~"].into_iter().find(|known| *known == op).unwrap_or("==")
}
