//! `filter`: the events of a tape of which an expression holds.

use clap::Args;
use redtape_core::Count;
use redtape_core::edit::{Expr, Field, Selection, Sieve, Slicer};
use redtape_core::tape::Align;

use super::output::OutputArgs;
use super::source::{Source, warn_of_forgotten};
use crate::cli::Input;
use crate::failure::Result;

/// `filter`
#[derive(Args, Debug)]
#[command(after_long_help = fields())]
pub struct FilterTape {
    /// What is kept, as in 'port == 8080 and not kind == arrival'
    #[arg(value_name = "EXPR", value_parser = parse_expr)]
    pub expr: (String, Expr),
    /// The tapes
    #[command(flatten)]
    pub input: Input,
    /// Where the new one goes
    #[command(flatten)]
    pub output: OutputArgs,
    /// No warnings and no summary
    #[arg(long, short)]
    pub quiet: bool,
}

/// The fields of expressions, for `--help`.
pub(crate) fn fields() -> String {
    let lines = Field::about().map(|(name, about)| format!("  {name:<12} {about}\n"));
    format!(
        "Fields of expressions:\n{}\nOperators: == != < <= > >= ~ !~ contains in (a, b); and, or, not, ( ). docs/tapes.md tells them all.",
        lines.collect::<String>()
    )
}

/// Reads an expression of the command line; its text is kept.
///
/// # Errors
///
/// What is wrong with it.
pub fn parse_expr(text: &str) -> std::result::Result<(String, Expr), String> {
    Expr::parse(text).map(|expr| (text.to_owned(), expr)).map_err(|error| error.to_string())
}

pub(crate) fn run(args: &FilterTape) -> Result {
    let (text, expr) = &args.expr;
    let mut source = Source::open(&args.input.tapes, Align::Clock, args.quiet)?;
    let new = args.output.create(&args.input.tapes)?;
    let options = new.tape_options();
    let (name, failed) = (new.name().to_owned(), new.failed());
    let what = format!("filter {text}");
    let mut writer = Slicer::new(&source.meta, &what, Selection::ALL, new, options).map_err(&failed)?;
    let mut sieve = Sieve::new(expr.clone());
    let mut all = 0_u64;
    while let Some(event) = source.next()? {
        all += u64::from(!event.body.is_entry());
        if sieve.keeps(&event) {
            writer.push(&event).map_err(&failed)?;
        }
    }
    let (totals, new) = writer.finish().map_err(&failed)?;
    source.check(args.input.strict, args.quiet)?;
    new.finish()?;
    if !args.quiet {
        eprintln!("{name}: {} of {all}", Count(totals.events, "event"));
        if !sieve.has_held() {
            eprintln!("redtape: warning: there is no event of which `{text}` holds");
        }
        warn_of_forgotten(sieve.forgotten());
    }
    Ok(())
}
