//! `merge`: one tape of several.

use clap::{Args, ValueEnum};
use redtape_core::Count;
use redtape_core::config::ConfigText;
use redtape_core::edit::{Selection, Slicer};
use redtape_core::tape::Align;

use super::output::OutputArgs;
use super::source::Source;
use crate::cli::Input;
use crate::failure::Result;

/// `merge`
#[derive(Args, Debug)]
pub struct MergeTapes {
    /// The tapes
    #[command(flatten)]
    pub input: Input,
    /// Where the new one goes
    #[command(flatten)]
    pub output: OutputArgs,
    /// How the times of several recordings are put on one clock
    #[arg(long, value_enum, default_value_t)]
    pub align: AlignBy,
    /// No warnings and no summary
    #[arg(long, short)]
    pub quiet: bool,
}

/// How times are put on one clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AlignBy {
    /// By the time of day; tapes of one boot of one host as they are
    #[default]
    Clock,
    /// As if all had begun when the first one did
    Start,
}

pub(crate) fn run(args: &MergeTapes) -> Result {
    let align = match args.align {
        AlignBy::Clock => Align::Clock,
        AlignBy::Start => Align::Start,
    };
    let mut source = Source::open(&args.input.tapes, align, args.quiet)?;
    let new = args.output.create(&args.input.tapes)?;
    let configs = source.metas.iter().map(ConfigText::of_meta);
    if !args.quiet && configs.clone().zip(configs.skip(1)).any(|(one, other)| one != other) {
        eprintln!(
            "redtape: warning: the tapes were recorded by different configurations: the new one has the first one's"
        );
    }
    let options = new.tape_options();
    let (name, failed) = (new.name().to_owned(), new.failed());
    let mut writer = Slicer::new(&source.meta, "merge", Selection::ALL, new, options).map_err(&failed)?;
    while let Some(event) = source.next()? {
        writer.push(&event).map_err(&failed)?;
    }
    let (totals, new) = writer.finish().map_err(&failed)?;
    source.check(args.input.strict, args.quiet)?;
    new.finish()?;
    if !args.quiet {
        eprintln!("{name}: {} of {}", Count(totals.events, "event"), Count(source.metas.len() as u64, "tape"));
    }
    Ok(())
}
